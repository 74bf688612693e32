//! Many questions at once, or one for a long time: which services of which addresses answer?

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    net::IpAddr,
    str::FromStr,
    time::Duration,
};

use crate::{
    LabError, Place, Process, lab,
    wait::{scaled, wait_until},
};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// A TCP connection to a port.
    Tcp(u16),
    /// A UDP datagram to a port.
    Udp(u16),
    /// An SCTP association with a port, as far as its first two packets.
    Sctp(u16),
    /// An echo of the address's family. Every kernel answers.
    Icmp,
    /// A packet of any other protocol.
    Protocol(u8),
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(port) => write!(f, "tcp/{port}"),
            Self::Udp(port) => write!(f, "udp/{port}"),
            Self::Sctp(port) => write!(f, "sctp/{port}"),
            Self::Icmp => f.write_str("icmp"),
            Self::Protocol(number) => write!(f, "{number}"),
        }
    }
}

impl FromStr for Service {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no service: tcp/PORT, udp/PORT, sctp/PORT, icmp, or a protocol");
        match text.split_once('/') {
            Some((protocol, port)) => {
                let port = port.parse().map_err(|_| wrong())?;
                match protocol {
                    "tcp" => Ok(Self::Tcp(port)),
                    "udp" => Ok(Self::Udp(port)),
                    "sctp" => Ok(Self::Sctp(port)),
                    _ => Err(wrong()),
                }
            }
            None if text == "icmp" => Ok(Self::Icmp),
            None => text.parse().map(Self::Protocol).map_err(|_| wrong()),
        }
    }
}

/// Who is asked, for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Question {
    /// For what.
    pub service: Service,
    /// Whom.
    pub to: IpAddr,
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.service, self.to)
    }
}

impl FromStr for Question {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (service, to) = text.split_once(' ').ok_or_else(|| format!("`{text}` is no question"))?;
        Ok(Self { service: service.parse()?, to: to.parse().map_err(|e| format!("{to}: {e}"))? })
    }
}

/// How long an answer that nobody expects is waited for, after all others have come.
const QUIET: Duration = Duration::from_millis(150);
/// How long one is waited for that is expected.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asking, in every place.
pub trait Probe: Place {
    /// Starts a program that answers what is asked for these services, with what it was told; returns when it listens.
    fn respond(&self, services: &[Service]) -> Result<Process, LabError> {
        let words = services.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let process = self.spawn(&format!("{} respond {words}", lab::program()?.display()))?;
        process.wait_for_line(PATIENCE, |line| line == "ready")?;
        Ok(process)
    }

    /// Asks all at once, and returns whether they were answered; of each it is said whether that is expected, which only
    /// says how long to wait. An answer is one of the address that was asked: also one that says no.
    fn probe(&self, questions: &BTreeMap<Question, bool>) -> Result<BTreeMap<Question, bool>, LabError> {
        self.probe_from(None, questions)
    }

    /// The same, from an address of several that the place has.
    fn probe_from(
        &self,
        from: Option<IpAddr>,
        questions: &BTreeMap<Question, bool>,
    ) -> Result<BTreeMap<Question, bool>, LabError> {
        let [quiet, patience] = [QUIET, PATIENCE].map(|time| scaled(time).as_millis());
        let mut line = format!("{} probe --quiet {quiet} --patience {patience}", lab::program()?.display());
        if let Some(from) = from {
            let _ = write!(line, " --from {from}");
        }
        let mut input = String::new();
        for (question, expected) in questions {
            let _ = writeln!(input, "{} {question}", if *expected { '+' } else { '-' });
        }
        let said = self.run_with_input(&line, &input)?;
        let answered: Vec<&str> = said.lines().collect();
        let is_answered = |question: &Question| answered.contains(&&*question.to_string());
        Ok(questions.keys().map(|question| (*question, is_answered(question))).collect())
    }

    /// Starts to ask all of them some hundred times a second, and returns when it has begun.
    fn hammer(&self, questions: &[Question]) -> Result<Hammer, LabError> {
        let mut line = format!("{} hammer", lab::program()?.display());
        for question in questions {
            let _ = write!(line, " '{question}'");
        }
        let hammer = Hammer(self.spawn(&line)?);
        hammer.goes_on()?;
        Ok(hammer)
    }

    /// Starts a conversation over TCP or UDP that goes on, and returns when the first words have been answered.
    fn talk(&self, question: Question) -> Result<Conversation, LabError> {
        let process = self.spawn(&format!("{} talk '{question}'", lab::program()?.display()))?;
        process.wait_for_line(PATIENCE, |line| line.starts_with("heard "))?;
        Ok(Conversation(process))
    }
}

impl<P: Place> Probe for P {}

/// Somebody who asks all the time.
#[derive(Debug)]
pub struct Hammer(Process);

impl Hammer {
    /// Waits until it has asked some fifty times more than by now.
    pub fn goes_on(&self) -> Result<(), LabError> {
        let before = self.rounds();
        // The first of them may have begun already.
        wait_until("more questions", PATIENCE, || {
            let rounds = self.rounds();
            if rounds > before + 1 { Ok(()) } else { Err(format!("{rounds} rounds")) }
        })
    }

    fn rounds(&self) -> usize {
        self.0.lines().iter().filter(|line| line.text.starts_with("asked ")).count()
    }

    /// What was answered so far, each as often as it was.
    pub fn answers(&self) -> Vec<String> {
        let lines = self.0.lines().into_iter().map(|line| line.text);
        lines.filter(|line| !line.starts_with("asked ")).collect()
    }

    /// Waits until it is answered from now on.
    pub fn is_answered(&self) -> Result<(), LabError> {
        let before = self.answers().len();
        wait_until("an answer", PATIENCE, || if self.answers().len() > before { Ok(()) } else { Err("none") })
    }
}

/// Somebody who says a number every few milliseconds, and hears it again.
#[derive(Debug)]
pub struct Conversation(Process);

impl Conversation {
    /// The last number that was heard.
    pub fn heard(&self) -> u64 {
        let lines = self.0.lines();
        let numbers = lines.iter().filter_map(|line| line.text.strip_prefix("heard ")?.parse().ok());
        numbers.max().unwrap_or(0)
    }

    /// Waits until so many more numbers have been heard than by now.
    pub fn goes_on(&self, count: u64) -> Result<(), LabError> {
        let before = self.heard();
        wait_until("a conversation that goes on", PATIENCE, || {
            let heard = self.heard();
            if heard >= before + count { Ok(()) } else { Err(format!("{before} then, {heard} now")) }
        })
    }

    /// The longest time between two numbers heard, and how many were not heard among those that were.
    pub fn gaps(&self) -> (Duration, u64) {
        let lines = self.0.lines();
        let heard: Vec<_> = lines
            .iter()
            .filter_map(|line| Some((line.at, line.text.strip_prefix("heard ")?.parse::<u64>().ok()?)))
            .collect();
        let pairs = heard.windows(2);
        let longest = pairs.clone().map(|pair| pair[1].0.saturating_duration_since(pair[0].0)).max();
        let lost = pairs.map(|pair| pair[1].1.saturating_sub(pair[0].1 + 1)).sum();
        (longest.unwrap_or_default(), lost)
    }

    /// What went wrong, if something did.
    pub fn error(&self) -> Option<String> {
        self.0.lines().into_iter().map(|line| line.text).find(|line| !line.starts_with("heard "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_as_it_is_written() {
        let to = ["20.1.1.1", "2001:db8::1"].map(|a| a.parse::<IpAddr>().unwrap());
        let services =
            [Service::Tcp(80), Service::Udp(53), Service::Sctp(9), Service::Icmp, Service::Protocol(47)];
        for question in to.iter().flat_map(|to| services.map(|service| Question { service, to: *to })) {
            assert_eq!(question.to_string().parse(), Ok(question));
        }
        assert!("tcp 1.2.3.4".parse::<Question>().is_err());
        assert!("300 1.2.3.4".parse::<Question>().is_err());
    }
}

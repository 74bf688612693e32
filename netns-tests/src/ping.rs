//! What `ping` found out.

use std::time::Duration;

/// The result of a series of echo requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Ping {
    /// Requests sent.
    pub sent: u32,
    /// Answers received, without duplicates.
    pub received: u32,
    /// Time to live (hop limit) of the first answer.
    pub ttl: Option<u8>,
    /// Mean round trip.
    pub mean: Option<Duration>,
}

impl Ping {
    /// Share of requests without answer, in percent.
    pub fn loss(&self) -> f64 {
        if self.sent == 0 {
            100.0
        } else {
            f64::from(self.sent - self.received.min(self.sent)) * 100.0 / f64::from(self.sent)
        }
    }

    /// Every request was answered.
    pub fn is_complete(&self) -> bool {
        self.sent > 0 && self.received == self.sent
    }

    /// Reads the output of iputils' `ping`; `None` if it never got to its statistics.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // 5 packets transmitted, 5 received, 0% packet loss, time 41ms
        let statistics = text.lines().find(|line| line.contains(" packets transmitted"))?;
        let number = |word: &str| {
            statistics
                .split(',')
                .find(|part| part.contains(word))?
                .split_whitespace()
                .next()?
                .parse::<u32>()
                .ok()
        };
        let ttl = text.split("ttl=").nth(1).and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        // rtt min/avg/max/mdev = 0.036/0.050/0.071/0.013 ms
        let mean = text.lines().find(|line| line.starts_with("rtt ")).and_then(|line| {
            let mean = line.split(" = ").nth(1)?.split('/').nth(1)?.parse::<f64>().ok()?;
            Duration::try_from_secs_f64(mean / 1000.0).ok()
        });
        Some(Self { sent: number("transmitted")?, received: number("received")?, ttl, mean })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complete_series_has_no_loss() {
        let text = "PING 192.0.2.1 (192.0.2.1) 56(84) bytes of data.\n\
            64 bytes from 192.0.2.1: icmp_seq=1 ttl=60 time=0.071 ms\n\n--- 192.0.2.1 ping statistics ---\n\
            2 packets transmitted, 2 received, 0% packet loss, time 41ms\nrtt min/avg/max/mdev = 0.036/0.050/0.071/0.013 ms\n";
        let ping = Ping::parse(text).unwrap();
        assert_eq!(ping, Ping { sent: 2, received: 2, ttl: Some(60), mean: Some(Duration::from_micros(50)) });
        assert!(ping.is_complete());
    }

    #[test]
    fn errors_and_duplicates_do_not_hide_the_loss() {
        let text =
            "4 packets transmitted, 1 received, +1 duplicates, +2 errors, 75% packet loss, time 31ms\n";
        let ping = Ping::parse(text).unwrap();
        assert_eq!((ping.sent, ping.received, ping.ttl), (4, 1, None));
        assert!((ping.loss() - 75.0).abs() < f64::EPSILON);
        assert!(!ping.is_complete());
    }

    #[test]
    fn a_ping_that_could_not_start_has_no_result() {
        assert_eq!(Ping::parse("ping: connect: Network is unreachable\n"), None);
    }
}

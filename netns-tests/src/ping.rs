//! What `ping` found out.

use std::{net::IpAddr, time::Duration};

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

/// What became of one packet that must not be fragmented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It arrived, and so did the answer, which is as large.
    Passed,
    /// Somebody said that it is too large.
    TooBig {
        /// The largest that fits, in bytes of IP.
        mtu: u32,
        /// The router that said so; `None`: the sender's own kernel.
        by: Option<IpAddr>,
    },
    /// Nothing was heard of it.
    Lost,
}

impl Fit {
    /// Reads the output of iputils' `ping -M do -c 1`.
    pub(crate) fn parse(text: &str) -> Self {
        if Ping::parse(text).is_some_and(|ping| ping.is_complete()) {
            return Self::Passed;
        }
        // ping: local error: message too long, mtu: 1450
        // From 60.1.1.3 icmp_seq=1 Frag needed and DF set (mtu = 1450)
        // From 2001:db8:60::3 icmp_seq=1 Packet too big: mtu=1450
        let said = text.lines().find_map(|line| {
            let rest = line.split("mtu").nth(1)?.trim_start_matches([' ', '=', ':']);
            let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
            let from = line.strip_prefix("From ").and_then(|rest| rest.split_whitespace().next());
            Some(Self::TooBig { mtu: digits.parse().ok()?, by: from.and_then(|from| from.parse().ok()) })
        });
        said.unwrap_or(Self::Lost)
    }
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
    fn a_packet_that_does_not_fit_is_refused_by_somebody() {
        let local = "PING 10.1.2.2 (10.1.2.2) 1423(1451) bytes of data.\nping: local error: message too long, mtu=1450\n";
        assert_eq!(Fit::parse(local), Fit::TooBig { mtu: 1450, by: None });
        let router = "From 60.1.1.3 icmp_seq=1 Frag needed and DF set (mtu = 1450)\n";
        let by = "60.1.1.3".parse().ok();
        assert_eq!(Fit::parse(router), Fit::TooBig { mtu: 1450, by });
        let router = "From 2001:db8:60::3 icmp_seq=1 Packet too big: mtu=1450\n";
        let by = "2001:db8:60::3".parse().ok();
        assert_eq!(Fit::parse(router), Fit::TooBig { mtu: 1450, by });
        let nobody = "1 packets transmitted, 0 received, 100% packet loss, time 0ms\n";
        assert_eq!(Fit::parse(nobody), Fit::Lost);
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

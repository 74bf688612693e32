//! Conversations in the lab: does it come about, and who is seen at the other end?

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use crate::{LabError, Place, Process, lab};

/// How a conversation is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// A TCP connection for each question.
    Tcp,
    /// A UDP datagram each way.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// Talking, in every place.
pub trait Talk: Place {
    /// Starts a program that tells everybody who asks at `address` what their address looks like from here; returns when
    /// it listens.
    fn answer(&self, protocol: Protocol, address: impl Into<SocketAddr>) -> Result<Process, LabError> {
        let address = address.into();
        let process = self.spawn(&format!("{} answer {protocol} {address}", lab::program()?.display()))?;
        process.wait_for_line(Duration::from_secs(10), |line| line == "ready")?;
        Ok(process)
    }

    /// Asks there, and returns the address that this place is seen with. An error says that there was no answer.
    fn ask(&self, protocol: Protocol, address: impl Into<SocketAddr>) -> Result<IpAddr, LabError> {
        let address = address.into();
        let said = self.say(protocol, address, "?")?;
        let seen = said.parse::<SocketAddr>().map(|seen| seen.ip().to_canonical());
        seen.map_err(|e| LabError::Output {
            place: self.label(),
            command: format!("ask {protocol} {address}"),
            problem: e.to_string(),
            output: said,
        })
    }

    /// Says `text` there, and returns what is answered.
    fn say(
        &self,
        protocol: Protocol,
        address: impl Into<SocketAddr>,
        text: &str,
    ) -> Result<String, LabError> {
        let line = format!("{} ask {protocol} {}", lab::program()?.display(), address.into());
        self.run_with_input(&line, text)
    }
}

impl<P: Place> Talk for P {}

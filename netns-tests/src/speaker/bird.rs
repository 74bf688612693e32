//! BIRD 2.

use std::time::Duration;

use crate::{LabError, Node, Place, holds, wait_until};

/// BIRD in a node.
#[derive(Clone, Copy, Debug)]
pub struct Bird<'a>(Node<'a>);

impl<'a> Node<'a> {
    /// This node's BIRD.
    pub fn bird(self) -> Bird<'a> {
        Bird(self)
    }
}

impl Bird<'_> {
    /// Starts it with `/etc/bird/bird.conf`.
    pub fn start(self) -> Result<(), LabError> {
        self.0.start_daemon("bird", "bird -f -c /etc/bird/bird.conf -s /run/bird/bird.ctl")
    }

    /// Runs a command of its client, and returns what it prints.
    pub fn show(self, command: &str) -> Result<String, LabError> {
        self.0.run(&format!("birdc -s /run/bird/bird.ctl {command}"))
    }

    /// Waits until a protocol is Established.
    pub fn wait_established(self, protocol: &str) -> Result<(), LabError> {
        let what = format!("session of {} ({protocol})", self.0.label());
        wait_until(&what, Duration::from_secs(30), || {
            let said = self.show(&format!("show protocols {protocol}")).map_err(|e| e.to_string())?;
            holds(said.contains("Established"), said)
        })
    }
}

//! GoBGP. It programs no kernel table; its routes are added with its client.

use std::time::Duration;

use serde_json::Value;

use crate::{LabError, Node, Place, holds, wait_until};

/// GoBGP in a node.
#[derive(Clone, Copy, Debug)]
pub struct GoBgp<'a>(Node<'a>);

impl<'a> Node<'a> {
    /// This node's GoBGP.
    pub fn gobgp(self) -> GoBgp<'a> {
        GoBgp(self)
    }
}

impl GoBgp<'_> {
    /// Starts it with `/etc/gobgp/gobgpd.conf` and waits until its client is answered.
    pub fn start(self) -> Result<(), LabError> {
        self.0.start_daemon("gobgpd", "gobgpd -f /etc/gobgp/gobgpd.conf --log-plain --pprof-disable")?;
        wait_until("answer of gobgpd", Duration::from_secs(20), || self.show("global"))?;
        Ok(())
    }

    /// Runs a command of its client, and returns what it prints.
    pub fn show(self, command: &str) -> Result<String, LabError> {
        self.0.run(&format!("gobgp {command}"))
    }

    /// Runs a command of its client that answers in JSON.
    pub fn show_json(self, command: &str) -> Result<Value, LabError> {
        self.0.json(&format!("gobgp -j {command}"))
    }

    /// Originates a route.
    pub fn originate(self, prefix: ipnet::IpNet, next_hop: std::net::IpAddr) -> Result<(), LabError> {
        let family = if prefix.addr().is_ipv6() { "ipv6" } else { "ipv4" };
        self.show(&format!("global rib add {prefix} nexthop {next_hop} -a {family}")).map(drop)
    }

    /// Waits until the session with a neighbour is Established.
    pub fn wait_established(self, neighbor: &str) -> Result<(), LabError> {
        let what = format!("session of {} with {neighbor}", self.0.label());
        wait_until(&what, Duration::from_secs(30), || {
            let said = self.show(&format!("neighbor {neighbor}")).map_err(|e| e.to_string())?;
            let state =
                said.lines().find(|line| line.contains("BGP state")).unwrap_or("no state").trim().to_owned();
            holds(state.to_ascii_uppercase().contains("ESTABLISHED"), state)
        })
    }
}

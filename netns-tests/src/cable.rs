//! Cables: veth pairs, and what can happen to them.

use std::{
    fmt::Write as _,
    io::Write as _,
    process::{Command, Stdio},
};

use crate::{
    Lab, LabError, Place,
    sys::Namespaces,
    topology::{Port, Topology},
};

/// Makes all veth pairs, each end born in its node. `around` is where the nodes can be seen; `namespace` is the path of a
/// node's network namespace there.
pub(crate) fn plug(
    topology: &Topology,
    around: &Namespaces,
    namespace: impl Fn(&str) -> String,
) -> Result<(), LabError> {
    let mut batch = String::new();
    for link in &topology.links {
        let [a, b] = &link.ends;
        let end = |p: &Port| format!("name {} netns {} mtu {}", p.interface, namespace(&p.node), link.mtu);
        // Writing to a String cannot fail.
        let _ = writeln!(batch, "link add {} type veth peer {}", end(a), end(b));
    }
    let mut command = Command::new("ip");
    command.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = around.spawn(&mut command).map_err(LabError::system("ip -batch"))?;
    if let Some(stdin) = &mut child.stdin {
        stdin.write_all(batch.as_bytes()).map_err(LabError::system("ip -batch"))?;
    }
    let output = child.wait_with_output().map_err(LabError::system("ip -batch"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(LabError::Build(format!("cables: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

impl Lab {
    /// Switches an interface off in its own node, as `ip link set down`: its routes go, and its peer loses carrier.
    pub fn switch_off(&self, port: &Port) -> Result<(), LabError> {
        self.set(port, "down")
    }

    /// Undoes [`Lab::switch_off`].
    pub fn switch_on(&self, port: &Port) -> Result<(), LabError> {
        self.set(port, "up")
    }

    /// Pulls the cable as `port` sees it: it loses carrier and stays configured, because its peer is switched off.
    pub fn pull(&self, port: &Port) -> Result<(), LabError> {
        self.set(self.other_end(port)?, "down")
    }

    /// Undoes [`Lab::pull`].
    pub fn put_back(&self, port: &Port) -> Result<(), LabError> {
        self.set(self.other_end(port)?, "up")
    }

    /// Loses every frame in both directions while both ends keep carrier, as a broken switch in between does.
    pub fn silence(&self, port: &Port) -> Result<(), LabError> {
        for end in [port, self.other_end(port)?] {
            let interface = &end.interface;
            let rules = format!(
                "table netdev silence_{interface} {{\nchain ingress {{\n\
                 type filter hook ingress device \"{interface}\" priority 0; policy drop;\n}}\n}}\n"
            );
            self.node(&end.node).run_with_input("nft -f -", &rules)?;
        }
        Ok(())
    }

    /// Undoes [`Lab::silence`].
    pub fn unsilence(&self, port: &Port) -> Result<(), LabError> {
        for end in [port, self.other_end(port)?] {
            self.node(&end.node).run(&format!("nft delete table netdev silence_{}", end.interface))?;
        }
        Ok(())
    }

    fn set(&self, port: &Port, state: &str) -> Result<(), LabError> {
        self.node(&port.node).run(&format!("ip link set {} {state}", port.interface)).map(drop)
    }

    fn other_end(&self, port: &Port) -> Result<&Port, LabError> {
        self.topology()
            .peer(port)
            .ok_or_else(|| LabError::Missing(format!("no cable is plugged into {port}")))
    }
}

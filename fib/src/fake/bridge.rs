//! Bridges, VLAN and VXLAN devices, and forwarding entries.

use super::{By, FakeKernel, FakeLink, dice, refuse};
use crate::model::{BridgePort, FdbKey, FdbTarget, IfName, Key, Link, LinkKind, Ns, Object, OpResult};

impl FakeKernel {
    /// Makes a link that is no veth.
    pub(super) fn create_device(&mut self, ns: Ns, name: &IfName, link: &Link) -> OpResult {
        let Some(space) = self.spaces.get(&ns) else { return refuse(libc::ENODEV, "no such namespace") };
        if space.links.contains_key(name) {
            return refuse(libc::EEXIST, "");
        }
        let mut mtu = 1500;
        match &link.kind {
            LinkKind::Vlan { parent, .. } => {
                let Some(parent) = space.links.get(parent) else { return refuse(libc::ENODEV, "") };
                if space.links.values().any(|l| l.kind == link.kind) {
                    return refuse(libc::EEXIST, "VLAN device already exists");
                }
                mtu = parent.mtu;
            }
            LinkKind::Vxlan { vni, port, .. } => {
                let same = |l: &FakeLink| matches!(&l.kind, LinkKind::Vxlan { vni: v, port: p, .. } if (v, p) == (vni, port));
                if space.links.values().any(same) {
                    return refuse(libc::EEXIST, "A VXLAN device with the specified VNI already exists");
                }
                mtu = 1450;
            }
            LinkKind::Bridge { .. } | LinkKind::Ifb => {}
            _ => return refuse(libc::EOPNOTSUPP, "not made"),
        }
        self.check_mtu(ns, link)?;
        if let Some(port) = &link.port {
            self.check_bridge(ns, &port.bridge)?;
        }
        let index = self.new_index();
        let made = FakeLink {
            index,
            peer: None,
            kind: link.kind.clone(),
            mac: link.mac.unwrap_or_else(|| dice(name)),
            mtu: link.mtu.unwrap_or(mtu),
            up: false,
            alias: link.alias.clone(),
            group: self.owner.link_group,
            port: link.port.clone(),
            plugged: true,
        };
        self.insert_link(ns, name, made);
        if link.up {
            self.set_up(ns, name, true, By::Us);
        }
        Ok(())
    }

    /// A VLAN cannot carry more than its parent.
    pub(super) fn check_mtu(&self, ns: Ns, link: &Link) -> OpResult {
        if let LinkKind::Vlan { parent, .. } = &link.kind
            && let (Some(parent), Some(mtu)) = (self.link(ns, parent), link.mtu)
            && mtu > parent.mtu
        {
            return refuse(libc::ERANGE, "");
        }
        Ok(())
    }

    pub(super) fn check_bridge(&self, ns: Ns, name: &IfName) -> OpResult {
        match self.link(ns, name).map(|link| &link.kind) {
            None => refuse(libc::ENODEV, ""),
            Some(LinkKind::Bridge { .. }) => Ok(()),
            Some(_) => refuse(libc::EOPNOTSUPP, "Device does not allow enslaving"),
        }
    }

    /// Puts a link on a bridge, or takes it off.
    pub(super) fn set_port(&mut self, ns: Ns, name: &IfName, port: Option<BridgePort>) {
        let bridge = |port: &Option<BridgePort>| port.as_ref().map(|port| port.bridge.clone());
        let Some(link) = self.link_mut(ns, name) else { return };
        let after = bridge(&port);
        let before = std::mem::replace(&mut link.port, port);
        if before.is_some() && bridge(&before) != after {
            self.flush_fdb(ns, |entry| entry.link == *name && entry.target == FdbTarget::Port);
        }
    }

    /// What goes with a link that goes.
    pub(super) fn leave_alone(&mut self, ns: Ns, name: &IfName) {
        let links = self.spaces.get(&ns).map(|s| s.links.clone()).unwrap_or_default();
        for (other, link) in &links {
            if matches!(&link.kind, LinkKind::Vlan { parent, .. } if parent == name) {
                self.remove_end(ns, other, By::Others);
            }
            if link.port.as_ref().is_some_and(|port| port.bridge == *name) {
                self.set_port(ns, other, None);
                self.announce_link(ns, other);
            }
        }
        self.flush_fdb(ns, |entry| entry.link == *name);
        if ns == Ns::HOST {
            self.tc.without(name);
        }
    }

    /// VLANs follow their parent up and down.
    pub(super) fn lead_vlans(&mut self, ns: Ns, name: &IfName, up: bool) {
        let links = self.spaces.get(&ns).map(|s| s.links.clone()).unwrap_or_default();
        for (vlan, link) in &links {
            if matches!(&link.kind, LinkKind::Vlan { parent, .. } if parent == name) {
                self.set_up(ns, vlan, up, By::Others);
            }
        }
    }

    fn flush_fdb(&mut self, ns: Ns, which: impl Fn(&FdbKey) -> bool) {
        if ns != Ns::HOST {
            return;
        }
        let gone: Vec<FdbKey> = self.fdb.iter().filter(|entry| which(entry)).cloned().collect();
        for entry in gone {
            self.fdb.remove(&entry);
            self.announce_gone(ns, Key::Fdb(entry));
        }
    }

    pub(super) fn create_fdb(&mut self, entry: &FdbKey) -> OpResult {
        self.check_fdb(entry)?;
        if self.fdb.insert(entry.clone()) { Ok(()) } else { refuse(libc::EEXIST, "") }
    }

    pub(super) fn delete_fdb(&mut self, entry: &FdbKey) -> OpResult {
        self.check_fdb(entry)?;
        if self.fdb.remove(entry) { Ok(()) } else { refuse(libc::ENOENT, "") }
    }

    fn check_fdb(&self, entry: &FdbKey) -> OpResult {
        let Some(link) = self.link(Ns::HOST, &entry.link) else { return refuse(libc::ENODEV, "") };
        if !self.is_link_ours(Ns::HOST, &entry.link) {
            return refuse(libc::EPERM, "somebody else's link");
        }
        match (&entry.target, &link.kind) {
            (FdbTarget::Port, _) if link.port.is_some() => Ok(()),
            (FdbTarget::Vtep(to), LinkKind::Vxlan { local, .. }) if to.is_ipv4() == local.is_ipv4() => Ok(()),
            (FdbTarget::Vtep(_), LinkKind::Vxlan { .. }) => refuse(libc::EAFNOSUPPORT, ""),
            _ => refuse(libc::EOPNOTSUPP, ""),
        }
    }

    /// Somebody adds a forwarding entry, on whosever link.
    pub fn add_fdb(&mut self, entry: FdbKey) {
        if self.link(Ns::HOST, &entry.link).is_some() && self.fdb.insert(entry.clone()) {
            self.announce(Ns::HOST, Object::Fdb(entry), 0);
        }
    }

    /// Somebody removes a forwarding entry.
    pub(super) fn take_fdb_away(&mut self, entry: &FdbKey) {
        if self.fdb.remove(entry) {
            self.announce_gone(Ns::HOST, Key::Fdb(entry.clone()));
        }
    }

    /// Somebody makes a bridge.
    pub fn add_bridge(&mut self, ns: Ns, name: &IfName) {
        self.add_link(ns, name);
        if let Some(link) = self.link_mut(ns, name) {
            link.kind = LinkKind::Bridge { netfilter: false };
            self.announce_link(ns, name);
        }
    }

    /// Somebody puts a link on a bridge, or takes it off.
    pub fn enslave(&mut self, ns: Ns, name: &IfName, port: Option<BridgePort>) {
        if self.link(ns, name).is_some()
            && port.as_ref().is_none_or(|p| self.check_bridge(ns, &p.bridge).is_ok())
        {
            self.set_port(ns, name, port);
            self.announce_link(ns, name);
        }
    }
}

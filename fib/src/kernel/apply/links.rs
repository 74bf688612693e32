//! Links: making, setting, deleting.

use std::os::fd::AsFd;

use super::{Run, Verb, no_link, not_ours};
use crate::{
    kernel::{
        channel::Request,
        codec::Message,
        engine::Engine,
        failed,
        link::{self, NewDevice, NewLink, Setting},
        refused, sysctl, udp,
    },
    model::{IfName, KernelError, Link, LinkKind, Ns, OpResult},
};

/// There where bridged frames can meet the rules for packets.
const BRIDGE_NETFILTER: &str = "net/bridge/bridge-nf-call-iptables";

impl Engine {
    pub(super) fn put_link(
        &mut self,
        run: &mut Run,
        ns: Ns,
        verb: Verb,
        name: &IfName,
        link: &Link,
    ) -> OpResult {
        self.flush(run);
        if link.kind == (LinkKind::Bridge { netfilter: true }) && !sysctl::exists(BRIDGE_NETFILTER) {
            // It would take the setting, and do nothing.
            let text = "the kernel has no netfilter for bridges (module br_netfilter)";
            return Err(refused(libc::EOPNOTSUPP, text));
        }
        let bridge = self.bridge_of(run, link)?;
        let settings_only = matches!(link.kind, LinkKind::VethPeer | LinkKind::Foreign);
        if verb == Verb::Create && !settings_only {
            let outcome = self.create_link(run, ns, name, link, bridge);
            self.links_changed(run, name);
            return outcome.map_err(|error| self.explain(error, link));
        }
        let now = self.look_up(run, name)?;
        if link.kind != LinkKind::Foreign && !self.owner.owns_link(&now) {
            return Err(not_ours(&now));
        }
        let setting = Setting::of(&now, link, bridge);
        if setting.is_nothing() {
            return Ok(());
        }
        let outcome = self.set_link(run, &setting);
        self.links_changed(run, name);
        outcome.map_err(|error| self.explain(error, link))
    }

    /// The index of the bridge that the link is to be a port of. Somebody else's bridge gets no port from us.
    fn bridge_of(&mut self, run: &mut Run, link: &Link) -> Result<Option<u32>, KernelError> {
        let Some(port) = &link.port else { return Ok(None) };
        let bridge = self.link(run, &port.bridge)?;
        if !self.owner.owns_link(&bridge) {
            return Err(not_ours(&bridge));
        }
        Ok(Some(bridge.index))
    }

    /// Makes a link with all its settings, or none: a retry would find its own half-made link in the way. What a crash
    /// in between leaves has our group.
    fn create_link(
        &mut self,
        run: &mut Run,
        ns: Ns,
        name: &IfName,
        link: &Link,
        bridge: Option<u32>,
    ) -> OpResult {
        let peer_file = match &link.kind {
            LinkKind::Veth { peer_ns, .. } if *peer_ns != ns => {
                Some(self.namespaces.file(*peer_ns).map_err(|error| {
                    self.lose(*peer_ns, &error);
                    failed(&error)
                })?)
            }
            _ => None,
        };
        let device = match &link.kind {
            LinkKind::Veth { peer, .. } => {
                NewDevice::Veth { peer, peer_ns: peer_file.as_ref().map(AsFd::as_fd) }
            }
            LinkKind::Bridge { netfilter } => NewDevice::Bridge { netfilter: *netfilter },
            LinkKind::Ifb => NewDevice::Ifb,
            LinkKind::Vlan { parent, tag } => NewDevice::Vlan { parent: self.index(run, parent)?, tag: *tag },
            LinkKind::Vxlan { vni, local, port } => {
                NewDevice::Vxlan { vni: *vni, local: *local, port: *port }
            }
            LinkKind::VethPeer | LinkKind::Foreign => return Err(no_link(name)),
        };
        let new = NewLink { name, link, group: self.owner.link_group, device };
        let create: Request<'_> = &|w, seq, flags| link::create(w, seq, flags, &new);
        // Asked for in the same breath. If the first is refused, this may show somebody else's link.
        let get: Request<'_> = &|w, seq, flags| link::get(w, seq, flags, name);
        let mut seen = None;
        let read = |message: Message<'_>| seen = link::decode(ns, message);
        self.channel(run)?.sequence(&[create, get], read)?;
        let now = self.named(run, seen, name)?;
        self.set_link(run, &Setting::of(&now, link, bridge)).inspect_err(|_| {
            if let Err(error) = self.request(run, |w, seq, f| link::delete(w, seq, f, now.index), |_| {}) {
                tracing::warn!(%error, link = %name, "a link that could not be set up cannot be removed either");
            }
        })
    }

    fn set_link(&mut self, run: &mut Run, setting: &Setting) -> OpResult {
        let general: Request<'_> = &|w, seq, flags| setting.general(w, seq, flags);
        let port: Request<'_> = &|w, seq, flags| setting.port(w, seq, flags);
        let mut requests = Vec::with_capacity(2);
        requests.extend(setting.in_general().then_some(general));
        requests.extend(setting.as_port().then_some(port));
        self.channel(run)?.sequence(&requests, |_| {})
    }

    pub(super) fn delete_link(&mut self, run: &mut Run, name: &IfName) -> OpResult {
        self.flush(run);
        let now = self.look_up(run, name)?;
        if !self.owner.owns_link(&now) {
            return Err(not_ours(&now));
        }
        if run.target == Ns::HOST {
            self.echoes.links.insert(now.index);
        }
        let outcome = self.request(run, |w, seq, flags| link::delete(w, seq, flags, now.index), |_| {});
        self.links_changed(run, name);
        outcome
    }

    /// What was known of links is to be read again; the other end of a veth may be news in the host's namespace.
    fn links_changed(&mut self, run: &mut Run, name: &IfName) {
        if let Some(session) = &mut run.container {
            session.links.remove(name);
        }
        self.watch();
    }

    /// The kernel's refusal, in words where it has none that help.
    fn explain(&mut self, error: KernelError, link: &Link) -> KernelError {
        // what rtnetlink says of a kind that no module provides
        let says_nothing = error.text.as_deref().is_none_or(|text| text == "Unknown device type");
        let text = match (error.errno.0, &link.kind) {
            _ if !says_nothing => return error,
            (libc::EOPNOTSUPP, LinkKind::Vlan { .. }) => "the kernel has no 802.1Q support (module 8021q)",
            (libc::EOPNOTSUPP, LinkKind::Vxlan { .. }) => "the kernel has no VXLAN support (module vxlan)",
            (libc::EOPNOTSUPP, LinkKind::Bridge { .. }) => "the kernel has no bridges (module bridge)",
            (libc::EOPNOTSUPP, LinkKind::Ifb) => "the kernel has no IFBs (module ifb)",
            (libc::EOPNOTSUPP, LinkKind::Veth { .. }) => "the kernel has no veths (module veth)",
            (libc::EINVAL | libc::ERANGE, LinkKind::Vlan { parent, .. }) => {
                let below = self.interfaces.index(parent).and_then(|index| self.interfaces.get(index));
                return match (link.mtu, below) {
                    (Some(mtu), Some(below)) if mtu > below.mtu => refused(
                        error.errno.0,
                        format!("MTU {mtu} is more than that of {parent}, {}", below.mtu),
                    ),
                    _ => error,
                };
            }
            (libc::EADDRINUSE, LinkKind::Vxlan { port, .. }) => {
                return refused(libc::EADDRINUSE, self.who_has(*port));
            }
            _ => return error,
        };
        refused(error.errno.0, text)
    }

    /// A VXLAN device shares its UDP port with others of its family and settings only.
    fn who_has(&mut self, port: u16) -> String {
        let look = |message: Message<'_>| {
            let seen = link::decode(Ns::HOST, message)?;
            (seen.vxlan_port() == Some(port)).then(|| seen.name().clone())
        };
        let devices = self.host.dump(link::dump, look).unwrap_or_default();
        let by = match (udp::holder(port), devices.as_slice()) {
            (None, _) => return format!("UDP port {port} was taken"),
            // a socket of the kernel's says nothing of its device
            (Some(_), [first, ..]) => format!("VXLAN device {first}, which has other settings"),
            (Some(by), []) => by,
        };
        format!("UDP port {port} is taken by {by}")
    }
}

//! What the configuration asks of the kernel beside the containers: the host's own objects, bridged networks, our
//! nftables table. And what of a network the configuration alone cannot know: what its links can carry.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    ops::RangeInclusive,
};

use ipnet::IpNet;
use petiole_config::{
    HostConfig,
    model::{Encap, Network, Protocol, Publish, ScopedName},
};
use petiole_fib::model::{IfName, KernelError, Key, LinkKind, LinkState, Ns, Object};

use super::{Core, objects, policy};

/// The least that the kernel's IPv4 asks of a link (`IPV4_MIN_MTU`, RFC 791), and IPv6 (RFC 8200 section 5).
const MTU_MIN: [u32; 2] = [68, 1280];

/// What is wanted for the configuration.
#[derive(Debug, Default)]
pub(super) struct Networks {
    /// Some container has published ports.
    publishing: bool,
    /// Keys of all that is wanted.
    configured: BTreeSet<Key>,
    /// What removed networks leave, until their containers are gone.
    retiring: Vec<(ScopedName, Vec<Key>)>,
    /// The networks by their links.
    by_link: HashMap<IfName, ScopedName>,
    /// The kernel's latest refusal, by object.
    problems: BTreeMap<Key, String>,
}

/// A port of the host, wanted for something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WantedPort {
    /// For what, in words.
    pub(crate) what: String,
    pub(crate) protocol: Protocol,
    /// `None`: on every address.
    pub(crate) address: Option<IpAddr>,
    pub(crate) ports: RangeInclusive<u16>,
}

impl WantedPort {
    /// A port that leads to a container.
    pub(super) fn published(endpoint: &ScopedName, p: &Publish) -> Self {
        Self {
            what: format!("endpoint {endpoint}"),
            protocol: p.protocol,
            address: p.address,
            ports: p.host.first()..=p.host.last(),
        }
    }
}

impl Core {
    /// Wants what the configuration asks for, and no longer what it does not.
    pub(super) fn want_configured(&mut self) {
        let publishing = self.endpoints.is_publishing();
        self.networks.publishing = publishing;
        let mut wanted: BTreeMap<Key, Object> = BTreeMap::new();
        let mut add = |objects: Vec<Object>| wanted.extend(objects.into_iter().map(|o| (o.key(), o)));
        add(objects::host(&self.config));
        add(objects::netfilter(&self.config, publishing, policy::needed(&self.config)));
        let mut by_link = HashMap::new();
        for n in &self.config.networks {
            let judged = self.members.is_judged(&n.id);
            add(objects::network(n, self.network_mtu(n), judged));
            by_link.extend(objects::network_links(n).map(|link| (link, n.id.clone())));
        }
        let configured: BTreeSet<Key> = wanted.keys().cloned().collect();
        let before = std::mem::replace(&mut self.networks.configured, configured);
        let old_links = std::mem::replace(&mut self.networks.by_link, by_link);
        let mut retiring: BTreeMap<ScopedName, Vec<Key>> = BTreeMap::new();
        for key in before.into_iter().filter(|k| !wanted.contains_key(k)) {
            match link_of(&key).and_then(|link| old_links.get(link)) {
                Some(network) if self.endpoints.is_leaving(network) => {
                    retiring.entry(network.clone()).or_default().push(key);
                }
                _ => self.fib.unwant(&key),
            }
        }
        self.networks.retiring.extend(retiring);
        self.networks.problems.retain(|key, _| wanted.contains_key(key));
        for object in wanted.into_values() {
            self.fib.want(object);
        }
    }

    /// The first container with published ports came, or the last one went.
    pub(super) fn follow_publishing(&mut self) {
        if self.networks.publishing != self.endpoints.is_publishing() {
            self.want_configured();
        }
    }

    /// Takes away what removed networks left, where the last container is gone (rule 11: withdraw, then tear down).
    pub(super) fn retire_networks(&mut self) {
        let mut retiring = std::mem::take(&mut self.networks.retiring);
        retiring.retain(|(network, keys)| {
            let leaving = self.endpoints.is_leaving(network);
            if !leaving {
                for key in keys.iter().filter(|k| !self.networks.configured.contains(k)) {
                    self.fib.unwant(key);
                }
            }
            leaving
        });
        self.networks.retiring = retiring;
    }

    /// What the containers of a network can send in one packet: as configured, else what the underlay carries less
    /// the encapsulation (rule 23). `None` while the underlay is not there.
    pub(super) fn network_mtu(&self, n: &Network) -> Option<u32> {
        n.mtu.or_else(|| self.network_room(n))
    }

    /// The most that a network's packets can have.
    fn network_room(&self, n: &Network) -> Option<u32> {
        let underlay = match &n.encap {
            Encap::Routed => self.mtu(),
            Encap::Vlan { uplink, .. } => self.links.get(&objects::if_name(uplink)).map(|l| l.mtu),
            Encap::Vxlan { local, .. } => self.mtu_from(*local).or_else(|| self.mtu()),
        };
        underlay?.checked_sub(objects::overhead(&n.encap))
    }

    /// MTU of the link that has the address; a loopback's says nothing of the way out.
    fn mtu_from(&self, address: IpAddr) -> Option<u32> {
        let has = |addresses: &BTreeSet<IpNet>| addresses.iter().any(|a| a.addr() == address);
        let link = self.own_addresses.iter().find(|(link, a)| link.as_str() != "lo" && has(a))?.0;
        Some(self.links.get(link)?.mtu)
    }

    /// What the uplinks can carry: the least of them. `None` while none is there.
    pub(super) fn mtu(&self) -> Option<u32> {
        let uplinks = self.config.uplinks.iter();
        uplinks.filter_map(|u| self.links.get(&objects::if_name(&u.interface))).map(|l| l.mtu).min()
    }

    /// An uplink's MTU may have changed: networks and containers follow.
    pub(super) fn update_mtu(&mut self) {
        if self.unread.is_empty() {
            self.want_configured();
            self.update_container_mtus();
        }
    }

    /// Ports that a new configuration wants and the running one does not have.
    pub(crate) fn new_ports(&self, config: &HostConfig) -> Vec<WantedPort> {
        let published = config.endpoints.iter().flat_map(|e| {
            let old = self.config.endpoint(&e.id).map(|e| e.publish.as_slice()).unwrap_or_default();
            e.publish.iter().filter(|p| !old.contains(p)).map(|p| WantedPort::published(&e.id, p))
        });
        let vxlan = |n: &Network| match n.encap {
            Encap::Vxlan { port, .. } => Some(port),
            Encap::Routed | Encap::Vlan { .. } => None,
        };
        // VXLAN devices share a port, ours and those of others.
        let shared = |port: u16| {
            self.config.networks.iter().any(|n| vxlan(n) == Some(port))
                || self.links.values().any(|l| matches!(l.kind, LinkKind::Vxlan { port: p, .. } if p == port))
        };
        let vxlan = config.networks.iter().filter_map(|n| {
            let port = vxlan(n).filter(|port| !shared(*port))?;
            Some(WantedPort {
                what: format!("network {}", n.id),
                protocol: Protocol::Udp,
                address: None,
                ports: port..=port,
            })
        });
        published.chain(vxlan).collect()
    }

    /// Whether the host can carry the networks of a new configuration; the reason why it cannot.
    pub(super) fn check_networks(&self, config: &HostConfig) -> Result<(), String> {
        for n in &config.networks {
            self.check_mtu(n)?;
            if let Encap::Vxlan { vni, .. } = n.encap
                && let Some(link) = self.links.values().find(|l| self.is_foreign_vni(l, vni))
            {
                return Err(format!("network {}: VNI {vni} is in use by link {}", n.id, link.name));
            }
        }
        Ok(())
    }

    fn is_foreign_vni(&self, link: &LinkState, wanted: u32) -> bool {
        matches!(link.kind, LinkKind::Vxlan { vni, .. } if vni == wanted) && !self.fib.owner().owns_link(link)
    }

    fn check_mtu(&self, n: &Network) -> Result<(), String> {
        let Some(room) = self.network_room(n) else { return Ok(()) };
        let overhead = objects::overhead(&n.encap);
        let what = match overhead {
            0 => String::new(),
            _ => format!(", less {overhead} of {} encapsulation", n.encap.as_str()),
        };
        let least = MTU_MIN[usize::from(n.v6.is_some())];
        match n.mtu {
            Some(mtu) if mtu > room => Err(format!(
                "network {}: mtu {mtu} does not fit: its underlay carries {}{what}, that is {room}",
                n.id,
                room + overhead
            )),
            None if room < least => Err(format!(
                "network {}: its underlay carries {}{what}, that is {room}; it needs at least {least}",
                n.id,
                room + overhead
            )),
            _ => Ok(()),
        }
    }

    pub(super) fn network_object_failed(&mut self, key: &Key, error: &KernelError) {
        if self.networks.configured.contains(key) {
            self.networks.problems.insert(key.clone(), error.to_string());
        }
    }

    pub(super) fn network_object_settled(&mut self, key: &Key) {
        self.networks.problems.remove(key);
    }

    /// What holds a network up, if something does.
    pub(super) fn network_problem(&self, n: &ScopedName) -> Option<(&Key, &str)> {
        let of = |key: &Key| link_of(key).and_then(|link| self.networks.by_link.get(link)) == Some(n);
        self.networks.problems.iter().find(|(key, _)| of(key)).map(|(key, text)| (key, text.as_str()))
    }

    /// Whether a link is to be brought up when it appears: uplinks with addresses of ours, and those that carry VLANs.
    pub(super) fn is_raised(&self, link: &IfName) -> bool {
        let named = |name: &petiole_config::model::IfName| name.as_str() == link.as_str();
        let vlan = |n: &Network| matches!(&n.encap, Encap::Vlan { uplink, .. } if named(uplink));
        self.config.uplinks.iter().any(|u| named(&u.interface) && !u.addresses.is_empty())
            || self.config.networks.iter().any(vlan)
    }

    /// Whether a network's MTU follows the link's.
    pub(super) fn is_underlay(&self, link: &IfName) -> bool {
        let named = |name: &petiole_config::model::IfName| name.as_str() == link.as_str();
        let carries = |n: &Network| match &n.encap {
            Encap::Routed => false,
            Encap::Vlan { uplink, .. } => named(uplink),
            Encap::Vxlan { local, .. } => {
                self.own_addresses.get(link).is_some_and(|a| a.iter().any(|a| a.addr() == *local))
            }
        };
        self.config.uplinks.iter().any(|u| named(&u.interface)) || self.config.networks.iter().any(carries)
    }
}

/// The host's link that an object is, or is on.
fn link_of(key: &Key) -> Option<&IfName> {
    match key {
        Key::Link(Ns::HOST, link) | Key::Address(Ns::HOST, link, _) => Some(link),
        Key::Fdb(fdb) => Some(&fdb.link),
        _ => None,
    }
}

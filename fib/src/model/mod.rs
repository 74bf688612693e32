//! Kernel objects, keyed as the kernel keys them, and the operations on them.
//!
//! A [`Key`] names one object in one network namespace; an [`Object`] is a key with the value that it has or
//! should have. Who wants an object, and why, is not known here.

mod display;
mod nft;
mod observed;
mod tc;

use std::{fmt, net::IpAddr, sync::Arc};

use ipnet::IpNet;

pub use nft::{
    Chain, ChainType, Condition, Data, ElementKey, Elements, Expr, Field, Hook, HookPoint, NftFamily,
    Operand, Rule, Set, SetKind, TableItem, TableRef, Verdict, Word,
};
pub use observed::{Command, Concern, Count, Event, LinkState, Observed, Resolution};
pub use tc::{Qdisc, TokenBucket};

/// A network namespace: the host's own, or a container's, by a number that the owner of the plan gave out.
/// The kernel engine maps it to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ns(pub u32);

impl Ns {
    /// The namespace that the daemon runs in.
    pub const HOST: Self = Self(0);
}

/// An interface name: 1 to 15 bytes, no `/`, no white space.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfName(Arc<str>);

impl IfName {
    /// The longest name that the kernel takes (`IFNAMSIZ` less the terminator).
    pub const MAX: usize = 15;

    /// Checks what `dev_valid_name` in the kernel checks. `None` when the kernel would refuse the name.
    pub fn new(name: &str) -> Option<Self> {
        let ok = !name.is_empty()
            && name.len() <= Self::MAX
            && name != "."
            && name != ".."
            && !name.bytes().any(|b| b == b'/' || b == b':' || b.is_ascii_whitespace());
        ok.then(|| Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The id of a nexthop object (`NHA_ID`); ids that we hand out come from a range of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NextHopId(pub u32);

/// The key of an object: what the kernel finds it by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// `net.ipv4.conf.eth1.rp_filter`, with dots or slashes as in `/proc/sys` below its root (slashes kept).
    Sysctl(Ns, Arc<str>),
    /// A link by name.
    Link(Ns, IfName),
    /// An address on a link.
    Address(Ns, IfName, IpNet),
    /// A permanent neighbour entry on a link.
    Neighbour(Ns, IfName, IpAddr),
    /// A nexthop object or group. Host namespace only.
    NextHop(NextHopId),
    /// A route.
    Route(RouteKey),
    /// An entry of a link's forwarding database. Host namespace only.
    Fdb(FdbKey),
    /// The root qdisc of a link: of what leaves by it. Host namespace only.
    Qdisc(IfName),
    /// What comes in by a link is sent out of another one instead, and comes in when it has passed that one's qdisc.
    /// Host namespace only.
    Redirect(IfName),
    /// An nftables table of ours. Host namespace only, as all that is in it.
    Table(TableRef),
    /// A chain of such a table, with its rules.
    Chain(TableItem),
    /// A set or map of such a table; its elements are objects of their own.
    Set(TableItem),
    /// An element of such a set or map.
    Element(TableItem, ElementKey),
}

/// A forwarding entry's key. The kernel finds it by the link and these.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FdbKey {
    /// The link that leads there: a VXLAN device, or a port of a bridge.
    pub link: IfName,
    /// The Ethernet address; all zeros on a VXLAN device: what is flooded (broadcast, multicast, unknown).
    pub mac: Mac,
    /// Where to.
    pub target: FdbTarget,
}

/// Where a forwarding entry leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FdbTarget {
    /// An entry of the VXLAN device itself (`NTF_SELF`, permanent): to the VTEP of this address. Several with one
    /// Ethernet address stand beside each other (`NLM_F_APPEND`).
    Vtep(IpAddr),
    /// An entry of the bridge that the link is a port of (`NTF_MASTER`, `NUD_NOARP`: static): out of this port.
    Port,
}

/// A route's key: the kernel keeps one route per namespace, table, prefix and metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteKey {
    /// Where.
    pub ns: Ns,
    /// Routing table id, 254 = main.
    pub table: u32,
    /// Destination.
    pub prefix: IpNet,
    /// `RTA_PRIORITY`.
    pub metric: u32,
}

/// A key together with the object's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// The value is the sysctl's text, trimmed.
    Sysctl(Ns, Arc<str>, Arc<str>),
    /// A link.
    Link(Ns, IfName, Link),
    /// An address.
    Address(Ns, IfName, IpNet),
    /// A permanent neighbour entry.
    Neighbour(Ns, IfName, IpAddr, Mac),
    /// A nexthop object or group.
    NextHop(NextHopId, NextHop),
    /// A route.
    Route(RouteKey, Route),
    /// A forwarding entry; it has no value beyond its key.
    Fdb(FdbKey),
    /// A root qdisc.
    Qdisc(IfName, Qdisc),
    /// A redirection, with the link that it leads to: an [`LinkKind::Ifb`]. `None`, which is never wanted: to one that is
    /// gone, so that all that comes in is dropped, or to something that we would not make.
    Redirect(IfName, Option<IfName>),
    /// An nftables table; it has no value beyond its key.
    Table(TableRef),
    /// A chain and its rules, all of them: rules have an order, so the chain is exchanged as one.
    Chain(TableItem, Chain),
    /// A set or map, without its elements. Of another shape it is another one: it is deleted and made anew.
    Set(TableItem, Set),
    /// An element, and in a map what it maps to.
    Element(TableItem, ElementKey, Option<Data>),
}

/// A link that we make, or whose settings we manage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// What it is.
    pub kind: LinkKind,
    /// Its Ethernet address; `None` leaves the kernel's choice.
    pub mac: Option<Mac>,
    /// Its MTU in bytes; `None` leaves the kernel's choice.
    pub mtu: Option<u32>,
    /// Administratively up.
    pub up: bool,
    /// `IFLA_IFALIAS`: our mark, see `owner`. Readable after a crash.
    pub alias: Option<Arc<str>>,
    /// The bridge that it is a port of, with the port's settings. `None`: of none (a link that we make), or somebody
    /// else's business ([`LinkKind::Foreign`]).
    pub port: Option<BridgePort>,
}

/// A link as port of a bridge (`IFLA_MASTER`, `IFLA_BRPORT_*`). What is not named here has the kernel's default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgePort {
    /// The bridge, in the same namespace.
    pub bridge: IfName,
    /// `IFLA_BRPORT_ISOLATED`: nothing passes to other isolated ports.
    pub isolated: bool,
    /// `IFLA_BRPORT_MODE`: a frame may leave by the port that it came in by.
    pub hairpin: bool,
    /// `IFLA_BRPORT_NEIGH_SUPPRESS`: the bridge answers ARP and ND for neighbours that it knows instead of flooding.
    pub neigh_suppress: bool,
    /// `IFLA_BRPORT_LEARNING`: source addresses of frames go into the forwarding database.
    pub learning: bool,
}

/// Kinds of links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// A veth pair, made with one operation **from inside** the namespace of this end, with the other end put into
    /// `peer_ns`: 1 ms, against 17 ms for create-then-move. The peer's own settings are a `Link` of kind `VethPeer`.
    Veth {
        /// Namespace of the other end.
        peer_ns: Ns,
        /// Name of the other end.
        peer: IfName,
    },
    /// The other end of a veth: appears and disappears with its pair; only settings are managed.
    VethPeer,
    /// A bridge without spanning tree and without multicast snooping (`IFLA_BR_STP_STATE`, `IFLA_BR_MCAST_SNOOPING` 0):
    /// its networks are trees by construction, and a querier that is not there would cut multicast off.
    Bridge {
        /// IPv4 and IPv6 in frames that pass the bridge meet the same rules as packets that the host routes
        /// (`IFLA_BR_NF_CALL_IPTABLES`, `IFLA_BR_NF_CALL_IP6TABLES`). With `net.bridge.bridge-nf-call-iptables` they do so
        /// in any case.
        netfilter: bool,
    },
    /// An 802.1Q subinterface.
    Vlan {
        /// The link that carries the tagged frames, in the same namespace (`IFLA_LINK`).
        parent: IfName,
        /// VLAN id, 1 to 4094.
        tag: u16,
    },
    /// A VXLAN device (RFC 7348), with the packet's mark in the header where there is one
    /// (draft-smith-vxlan-group-policy; without a mark the header is that of the RFC), learning from what it receives, without a default remote: what is flooded where
    /// stands in its forwarding database ([`FdbTarget::Vtep`]).
    Vxlan {
        /// VXLAN network identifier, 24 bits.
        vni: u32,
        /// Source address of the packets; with it the family of the underlay.
        local: IpAddr,
        /// UDP port, ours and the peers'.
        port: u16,
    },
    /// An intermediate functional block: gives what comes in by another link a qdisc to pass ([`Object::Redirect`]).
    Ifb,
    /// A link that somebody else made (an uplink, `lo`): only settings are managed, it is never created or deleted.
    Foreign,
}

/// A nexthop object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NextHop {
    /// One gateway over one link. `via` of the other family than the routes' is allowed (RFC 8950).
    Single {
        /// Gateway.
        via: IpAddr,
        /// Outgoing link, by name.
        link: IfName,
        /// `RTNH_F_ONLINK`.
        onlink: bool,
    },
    /// A group of single ones, each with weight 1, sorted.
    Group(Vec<NextHopId>),
}

/// What a route leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// The target.
    pub target: RouteTarget,
    /// `RTA_PREFSRC`.
    pub preferred_source: Option<IpAddr>,
}

/// The target of a route.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RouteTarget {
    /// A nexthop object or group (`RTA_NH_ID`).
    NextHop(NextHopId),
    /// Out of a link: to neighbours on it, or by a gateway.
    Link {
        /// The outgoing link.
        link: IfName,
        /// The gateway, if there is one.
        via: Option<IpAddr>,
    },
    /// `RTN_UNREACHABLE`: answered with ICMP.
    Unreachable,
    /// `RTN_BLACKHOLE`.
    Blackhole,
}

impl Key {
    /// The namespace that the object is in.
    pub fn ns(&self) -> Ns {
        match self {
            Self::Sysctl(ns, _) | Self::Link(ns, _) | Self::Address(ns, ..) | Self::Neighbour(ns, ..) => *ns,
            Self::Route(key) => key.ns,
            Self::NextHop(_)
            | Self::Fdb(_)
            | Self::Qdisc(_)
            | Self::Redirect(_)
            | Self::Table(_)
            | Self::Chain(_)
            | Self::Set(_)
            | Self::Element(..) => Ns::HOST,
        }
    }

    /// Whether the object is an nftables table or in one: all that changes together in one transaction.
    pub fn is_nft(&self) -> bool {
        matches!(self, Self::Table(_) | Self::Chain(_) | Self::Set(_) | Self::Element(..))
    }
}

impl Object {
    /// The object's key.
    pub fn key(&self) -> Key {
        match self {
            Self::Sysctl(ns, path, _) => Key::Sysctl(*ns, path.clone()),
            Self::Link(ns, name, _) => Key::Link(*ns, name.clone()),
            Self::Address(ns, link, address) => Key::Address(*ns, link.clone(), *address),
            Self::Neighbour(ns, link, address, _) => Key::Neighbour(*ns, link.clone(), *address),
            Self::NextHop(id, _) => Key::NextHop(*id),
            Self::Route(key, _) => Key::Route(*key),
            Self::Fdb(key) => Key::Fdb(key.clone()),
            Self::Qdisc(link, _) => Key::Qdisc(link.clone()),
            Self::Redirect(link, _) => Key::Redirect(link.clone()),
            Self::Table(table) => Key::Table(table.clone()),
            Self::Chain(chain, _) => Key::Chain(chain.clone()),
            Self::Set(set, _) => Key::Set(set.clone()),
            Self::Element(set, element, _) => Key::Element(set.clone(), element.clone()),
        }
    }
}

/// One operation on the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Make it; an object with that key is an error (`EEXIST`), whoever made it. A link is made with our `IFLA_GROUP`
    /// (both ends of a veth), because the kernel ignores an alias at creation: a crash before the alias is set must
    /// leave a link that we know again. A link with `up: false` is left down, and the tracker asks for `port: None` here:
    /// the bridge comes with a `Change`.
    Create(Object),
    /// Bring the existing one to this value in place (`NLM_F_REPLACE` without `NLM_F_CREATE`); what is not there is
    /// an error (`ENOENT`, `ESRCH`, `ENODEV`). Of a link, what is `None` stays as it is, but for `port`: a link of ours
    /// with `port: None` leaves the bridge that it is a port of. The rules of a chain are exchanged for the new ones, all
    /// of them; an element gets its new value by being deleted and made anew in the same transaction.
    Change(Object),
    /// Remove it. A route only if its protocol is ours. A chain with its rules, a set with its elements, a table with all
    /// that is in it.
    Delete(Key),
}

impl Op {
    /// The key that the operation works on.
    pub fn key(&self) -> Key {
        match self {
            Self::Create(o) | Self::Change(o) => o.key(),
            Self::Delete(k) => k.clone(),
        }
    }
}

/// Why the kernel refused an operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{errno}{}", text.as_deref().map(|t| format!(" ({t})")).unwrap_or_default())]
pub struct KernelError {
    /// The error number.
    pub errno: Errno,
    /// The kernel's own words (`NLMSGERR_ATTR_MSG`).
    pub text: Option<String>,
}

/// A positive errno; displays as the C library's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        std::io::Error::from_raw_os_error(self.0).fmt(f)
    }
}

/// The outcome of one operation.
pub type OpResult = Result<(), KernelError>;

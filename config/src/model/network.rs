//! Tenants, networks, groups: where containers get their addresses from, and how their traffic travels.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use super::{AddrRange, Address, DefaultAction, GroupId, IfName, Name, ScopedName};

/// `[[tenant]]`: whose networks these are. Nothing passes from one to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Tenant {
    /// Unique among tenants.
    pub name: Name,
}

/// `[[network]]`: where containers get their addresses from. Has `v4`, `v6` or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Network {
    /// Unique among networks.
    pub id: ScopedName,
    /// How its traffic travels.
    pub encap: Encap,
    /// `subnet`, `gateway`, `pool`, `exclude`.
    pub v4: Option<Subnet<Ipv4Addr>>,
    /// `subnet6`, `gateway6`, `pool6`, `exclude6`.
    pub v6: Option<Subnet<Ipv6Addr>>,
    /// What BGP says about it. [`Advertise::None`] where no family has a gateway.
    pub advertise: Advertise,
    /// Whether what leaves the network's subnets for elsewhere gets an address of this host as source. Only where
    /// [`Network::has_host_routes`].
    pub masquerade: bool,
    /// The containers' MTU in bytes, 68 to 65535 (1280 and up with IPv6, RFC 8200 section 5); `None`: the uplinks' less
    /// what the encapsulation takes.
    pub mtu: Option<u32>,
    /// Seconds that an address rests after it was released, before it is given out again.
    pub quarantine: u32,
}

impl Network {
    /// Whether this host routes to the network's containers: a routed network, or a bridged one with a gateway in at
    /// least one family. Which one, says [`Subnet::gateway`].
    pub fn has_host_routes(&self) -> bool {
        self.v4.as_ref().is_some_and(|subnet| subnet.gateway.is_some())
            || self.v6.as_ref().is_some_and(|subnet| subnet.gateway.is_some())
    }
}

/// How the traffic of a network travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encap {
    /// Each container is a /32 or /128 that the host routes.
    Routed,
    /// Containers are ports of a bridge, and so is a VLAN of an interface.
    Vlan {
        /// 802.1Q VLAN identifier, 1 to 4094; unique on its uplink.
        tag: u16,
        /// Interface of the host that frames leave by; it need not exist yet, nor be an [`Uplink`](super::Uplink).
        uplink: IfName,
    },
    /// Containers are ports of a bridge, and so is a VXLAN device (RFC 7348).
    Vxlan {
        /// VXLAN network identifier, 1 to 16777215; unique on this host.
        vni: u32,
        /// Address of this host that packets are sent from.
        local: IpAddr,
        /// UDP port that packets are sent to and received on.
        port: u16,
        /// The other hosts of the network, ascending, each once, none of this host's own addresses; of one family
        /// with `local`. May be empty: no other host yet.
        vteps: Vec<IpAddr>,
    },
}

impl Encap {
    /// Whether containers are ports of a bridge.
    pub fn is_bridged(&self) -> bool {
        !matches!(self, Self::Routed)
    }

    /// The UDP port that its packets come to, if they come in UDP.
    pub fn udp_port(&self) -> Option<u16> {
        match self {
            Self::Vxlan { port, .. } => Some(*port),
            Self::Routed | Self::Vlan { .. } => None,
        }
    }

    /// The word for it in the file.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Routed => "routed",
            Self::Vlan { .. } => "vlan",
            Self::Vxlan { .. } => "vxlan",
        }
    }
}

/// What BGP says about a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Advertise {
    /// A /32 or /128 for each attached container.
    Endpoints,
    /// The subnet, whether or not it has containers.
    Subnet,
    /// Nothing.
    None,
}

/// The addresses of a network in one family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Subnet<A: Address> {
    /// The prefix, without host bits.
    #[serde(rename = "subnet")]
    pub net: A::Net,
    /// The containers' default gateway: in the subnet (and then in no pool), or link-local. The host answers for it, on
    /// each container's link or on the bridge. Always there in a routed network, where it is 169.254.1.1 and fe80::1
    /// unless the file says otherwise; `None` in a bridged one: the host has no way into the network.
    pub gateway: Option<A>,
    /// The addresses that this host may give out: inside the subnet, ascending, apart from each other, not empty;
    /// the gateway, an IPv4 network or broadcast address, IPv6's subnet-router anycast address and what the file
    /// excludes are not among them. The pools of [`Group`]s are.
    pub pool: Vec<AddrRange<A>>,
}

impl<A: Address> Subnet<A> {
    /// Whether this host may give out the address.
    pub fn may_assign(&self, address: A) -> bool {
        self.pool.iter().any(|range| range.contains(address))
    }
}

/// `[[group]]`: containers of one network that have something in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Group {
    /// Unique among groups; of the network's tenant.
    pub id: ScopedName,
    /// Name of a [`Network`] of this configuration.
    pub network: ScopedName,
    /// Its number on the wire; unique among groups.
    pub number: GroupId,
    /// Names of [`Policy`](super::Policy)s of this configuration, each once. Of rules of the same priority and action, the
    /// first one's policy and the first in it counts.
    pub policies: Vec<ScopedName>,
    /// What becomes of traffic that no rule is about.
    pub default: DefaultAction,
    /// Name of a [`Profile`](super::Profile) of this configuration.
    pub profile: Option<ScopedName>,
    /// All IPv4 addresses that are the group's alone, also those that this host excludes because somebody else gives them
    /// out: whoever has one of them is a member. Ascending, apart from each other and from those of the network's other
    /// groups.
    pub all4: Vec<AddrRange<Ipv4Addr>>,
    /// The same for IPv6.
    pub all6: Vec<AddrRange<Ipv6Addr>>,
    /// IPv4 addresses that only endpoints of this group get: inside the network's pool, ascending, apart from each
    /// other, apart from those of the network's other groups. Empty: the group's endpoints get theirs out of what no
    /// group of the network has for itself.
    pub v4: Vec<AddrRange<Ipv4Addr>>,
    /// The same for IPv6.
    pub v6: Vec<AddrRange<Ipv6Addr>>,
}

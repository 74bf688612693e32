//! What the speaker is configured with: typed, defaulted, comparable. Where it was read from is somebody else's business.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    sync::Arc,
    time::Duration,
};

use crate::{fsm::RemoteAs, policy::Policy, wire::FamilySet};

/// All of a speaker's configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Our AS number.
    pub asn: u32,
    /// Our BGP identifier, not zero (RFC 6286).
    pub router_id: Ipv4Addr,
    /// Sent to the peers as FQDN capability, unless empty.
    pub host_name: String,
    /// How many equally good paths are used at once; at least 1.
    pub max_paths: usize,
    /// The second part of large communities that label a route, see [`FibChange::label`](crate::rib::FibChange::label).
    pub label: u32,
    /// The peers. Names and addresses are unique.
    pub peers: Vec<PeerConfig>,
}

/// One peer.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerConfig {
    /// Identity across reconfigurations.
    pub name: String,
    /// For people.
    pub description: String,
    /// Where it is.
    pub address: PeerAddress,
    /// The AS it must be in.
    pub remote_as: RemoteAs,
    /// The AS that we are in towards this peer, if not [`Config::asn`].
    pub local_as: Option<u32>,
    /// Families to exchange. At least one.
    pub families: FamilySet,
    /// Hold time to propose, seconds: 0 (none) or at least 3.
    pub hold_time: u16,
    /// KEEPALIVE interval, seconds, if shorter than a third of the hold time.
    pub keepalive: Option<u16>,
    /// The longest pause between two dials, and the longest time that a dial may take.
    pub connect_retry: Duration,
    /// Never dial.
    pub passive: bool,
    /// Keep using the peer's routes while it restarts, if it can restart gracefully (RFC 4724).
    pub graceful_restart: bool,
    /// How often our own AS may stand in the path of a route that this peer announces.
    pub allow_own_as: u8,
    /// Which routes are accepted. [`Policy::none`] if in doubt (RFC 8212).
    pub import: Arc<Policy>,
    /// Which routes are announced: [`Policy::local`] unless asked otherwise (RFC 8212).
    pub export: Arc<Policy>,
    /// More accepted prefixes than this, of one family, end the session.
    pub max_prefixes: Option<u32>,
    /// After that, try again so much later. `None`: only after [`super::Speaker::reset`].
    pub max_prefixes_restart: Option<Duration>,
    /// No more than this many prefixes of a family are announced.
    pub max_prefixes_out: Option<u32>,
    /// Administratively down, and why (may be empty); the peer is told (RFC 9003).
    pub shutdown: Option<String>,
    /// Learned routes are for the kernel's table.
    pub install: bool,
    /// Our addresses towards this peer of the families that the session itself does not run over, for use as next hop.
    /// Without one, routes of that family are not announced (or, for IPv4, with an IPv6 next hop where RFC 8950
    /// was negotiated). The address that the session uses needs no mention.
    pub next_hop: OwnAddresses,
    /// For the I/O layer.
    pub transport: Transport,
}

impl PeerConfig {
    /// A peer with the usual settings: IPv4 unicast, hold time 90 s, imports nothing, exports what is originated here.
    pub fn new(name: impl Into<String>, address: IpAddr, remote_as: RemoteAs) -> Self {
        Self {
            name: name.into(),
            description: String::new(),
            address: PeerAddress::Ip(address),
            remote_as,
            local_as: None,
            families: FamilySet { ipv4: true, ipv6: false },
            hold_time: 90,
            keepalive: None,
            connect_retry: Duration::from_secs(30),
            passive: false,
            graceful_restart: true,
            allow_own_as: 0,
            import: Arc::new(Policy::none()),
            export: Arc::new(Policy::local()),
            max_prefixes: None,
            max_prefixes_restart: None,
            max_prefixes_out: None,
            shutdown: None,
            install: true,
            next_hop: OwnAddresses::default(),
            transport: Transport::default(),
        }
    }
}

/// Where a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerAddress {
    /// At this address.
    Ip(IpAddr),
    /// On this link: an unnumbered session.
    LinkLocal {
        /// Its link-local address. Follows what the link says; a change needs a new session.
        address: Ipv6Addr,
        /// Index of the interface.
        interface: u32,
    },
}

impl PeerAddress {
    /// The bare address.
    pub fn ip(self) -> IpAddr {
        match self {
            Self::Ip(address) => address,
            Self::LinkLocal { address, .. } => address.into(),
        }
    }

    /// The interface, of an unnumbered session.
    pub fn interface(self) -> Option<u32> {
        match self {
            Self::Ip(_) => None,
            Self::LinkLocal { interface, .. } => Some(interface),
        }
    }

    /// The address to connect to; the interface is its scope.
    pub fn socket(self, port: u16) -> SocketAddr {
        match self {
            Self::Ip(address) => SocketAddr::new(address, port),
            Self::LinkLocal { address, interface } => SocketAddrV6::new(address, port, 0, interface).into(),
        }
    }

    /// Whether a connection from there is this peer's. IPv4-mapped addresses count as IPv4.
    pub fn matches(self, remote: SocketAddr) -> bool {
        match (self, remote) {
            (Self::LinkLocal { address, interface }, SocketAddr::V6(remote)) => {
                *remote.ip() == address && remote.scope_id() == interface
            }
            (Self::LinkLocal { .. }, SocketAddr::V4(_)) => false,
            (Self::Ip(address), remote) => remote.ip().to_canonical() == address,
        }
    }
}

/// One address of ours per family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnAddresses {
    /// IPv4.
    pub ipv4: Option<Ipv4Addr>,
    /// IPv6, global.
    pub ipv6: Option<Ipv6Addr>,
}

/// How to connect: opaque to the speaker but for the local address, handed to the I/O layer with
/// [`super::Action::Connect`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transport {
    /// The peer's TCP port.
    pub port: u16,
    /// Our address; connections from the peer to another one are refused.
    pub local_address: Option<IpAddr>,
    /// The TTL to send with, for peers that are not on the link.
    pub multihop: Option<u8>,
    /// Refuse what came over a router (RFC 5082).
    pub ttl_security: bool,
    /// TCP MD5 signatures (RFC 2385).
    pub password: Option<Secret>,
}

impl Default for Transport {
    fn default() -> Self {
        Self { port: 179, local_address: None, multihop: None, ttl_security: false, password: None }
    }
}

/// Something that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    /// Wraps a secret.
    pub fn new(octets: impl Into<Vec<u8>>) -> Self {
        Self(octets.into().into())
    }

    /// The secret.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

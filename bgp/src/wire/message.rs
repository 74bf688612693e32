//! The five message types (RFC 4271 section 4, RFC 2918, RFC 7313).

use std::net::Ipv4Addr;

use super::{Attributes, Capability, Family, FamilySet, Notification};

/// What encoder and decoder must know of the session: the outcome of the OPEN exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Both sides speak 4-octet AS numbers (RFC 6793).
    pub four_octet_as: bool,
    /// Both sides accept messages of up to 65,535 octets (RFC 8654).
    pub extended_message: bool,
    /// The peer is in another AS: LOCAL_PREF is ignored on receipt and never sent (RFC 4271 section 5.1.5).
    pub external: bool,
    /// The families that both sides announced (RFC 4760). NLRI of others is ignored.
    pub families: FamilySet,
    /// IPv4 unicast with an IPv6 next hop may be received (RFC 8950).
    pub extended_next_hop: bool,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// RFC 4271 section 4.2.
    Open(Open),
    /// RFC 4271 section 4.3.
    Update(Update),
    /// RFC 4271 section 4.5.
    Notification(Notification),
    /// RFC 4271 section 4.4.
    Keepalive,
    /// RFC 2918, RFC 7313.
    RouteRefresh(RouteRefresh),
}

/// OPEN. `asn` is the real AS number, whether it came in the fixed field or in the capability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The sender's AS number.
    pub asn: u32,
    /// Proposed hold time in seconds: 0 or at least 3.
    pub hold_time: u16,
    /// Any non-zero value (RFC 6286).
    pub router_id: Ipv4Addr,
    /// Capabilities in the order of the message.
    pub capabilities: Vec<Capability>,
}

/// UPDATE. Placeholder of the skeleton: the codec decides how NLRI is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The path attributes, when the message announces anything.
    pub attributes: Option<Attributes>,
}

/// ROUTE-REFRESH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteRefresh {
    /// The family asked for or demarcated.
    pub family: Family,
    /// The message subtype.
    pub kind: RouteRefreshKind,
}

/// ROUTE-REFRESH message subtypes (RFC 7313 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteRefreshKind {
    /// Send me everything again.
    Request,
    /// Beginning of route refresh.
    Begin,
    /// End of route refresh.
    End,
}

//! Numbers assigned by IANA, each with its registry and the RFC that asked for it.
//!
//! Knows numbers and their names. Must not know how anything is encoded.

/// Registry "BGP Message Types" (RFC 4271).
pub mod message_type {
    /// RFC 4271 section 4.2.
    pub const OPEN: u8 = 1;
    /// RFC 4271 section 4.3.
    pub const UPDATE: u8 = 2;
    /// RFC 4271 section 4.5.
    pub const NOTIFICATION: u8 = 3;
    /// RFC 4271 section 4.4.
    pub const KEEPALIVE: u8 = 4;
    /// RFC 2918.
    pub const ROUTE_REFRESH: u8 = 5;
}

/// Registry "BGP Error (Notification) Codes" (RFC 4271).
pub mod error_code {
    /// RFC 4271 section 6.1.
    pub const MESSAGE_HEADER: u8 = 1;
    /// RFC 4271 section 6.2.
    pub const OPEN_MESSAGE: u8 = 2;
    /// RFC 4271 section 6.3.
    pub const UPDATE_MESSAGE: u8 = 3;
    /// RFC 4271 section 6.5.
    pub const HOLD_TIMER_EXPIRED: u8 = 4;
    /// RFC 4271 section 6.6, RFC 6608.
    pub const FINITE_STATE_MACHINE: u8 = 5;
    /// RFC 4271 section 6.7, RFC 4486.
    pub const CEASE: u8 = 6;
    /// RFC 7313.
    pub const ROUTE_REFRESH: u8 = 7;
    /// RFC 9687.
    pub const SEND_HOLD_TIMER_EXPIRED: u8 = 8;
}

/// Registry "Message Header Error subcodes" (RFC 4271 section 6.1).
pub mod header_error {
    /// RFC 4271.
    pub const CONNECTION_NOT_SYNCHRONIZED: u8 = 1;
    /// RFC 4271.
    pub const BAD_MESSAGE_LENGTH: u8 = 2;
    /// RFC 4271.
    pub const BAD_MESSAGE_TYPE: u8 = 3;
}

/// Registry "OPEN Message Error subcodes" (RFC 4271 section 6.2).
pub mod open_error {
    /// RFC 4271: a recognised optional parameter is malformed.
    pub const UNSPECIFIC: u8 = 0;
    /// RFC 4271.
    pub const UNSUPPORTED_VERSION: u8 = 1;
    /// RFC 4271, RFC 7607.
    pub const BAD_PEER_AS: u8 = 2;
    /// RFC 4271, RFC 6286.
    pub const BAD_BGP_IDENTIFIER: u8 = 3;
    /// RFC 4271.
    pub const UNSUPPORTED_OPTIONAL_PARAMETER: u8 = 4;
    /// RFC 4271.
    pub const UNACCEPTABLE_HOLD_TIME: u8 = 6;
    /// RFC 5492.
    pub const UNSUPPORTED_CAPABILITY: u8 = 7;
    /// RFC 9234.
    pub const ROLE_MISMATCH: u8 = 11;
}

/// Registry "UPDATE Message Error subcodes" (RFC 4271 section 6.3).
pub mod update_error {
    /// RFC 4271.
    pub const MALFORMED_ATTRIBUTE_LIST: u8 = 1;
    /// RFC 4271.
    pub const UNRECOGNIZED_WELL_KNOWN_ATTRIBUTE: u8 = 2;
    /// RFC 4271.
    pub const MISSING_WELL_KNOWN_ATTRIBUTE: u8 = 3;
    /// RFC 4271.
    pub const ATTRIBUTE_FLAGS: u8 = 4;
    /// RFC 4271.
    pub const ATTRIBUTE_LENGTH: u8 = 5;
    /// RFC 4271.
    pub const INVALID_ORIGIN: u8 = 6;
    /// RFC 4271.
    pub const INVALID_NEXT_HOP: u8 = 8;
    /// RFC 4271, RFC 4760 section 7.
    pub const OPTIONAL_ATTRIBUTE: u8 = 9;
    /// RFC 4271.
    pub const INVALID_NETWORK_FIELD: u8 = 10;
    /// RFC 4271.
    pub const MALFORMED_AS_PATH: u8 = 11;
}

/// Registry "BGP Finite State Machine Error Subcodes" (RFC 6608).
pub mod fsm_error {
    /// RFC 6608.
    pub const UNSPECIFIED: u8 = 0;
    /// RFC 6608.
    pub const UNEXPECTED_IN_OPEN_SENT: u8 = 1;
    /// RFC 6608.
    pub const UNEXPECTED_IN_OPEN_CONFIRM: u8 = 2;
    /// RFC 6608.
    pub const UNEXPECTED_IN_ESTABLISHED: u8 = 3;
}

/// Registry "BGP Cease NOTIFICATION message subcodes" (RFC 4486).
pub mod cease {
    /// RFC 4486.
    pub const MAXIMUM_PREFIXES: u8 = 1;
    /// RFC 4486, RFC 9003.
    pub const ADMINISTRATIVE_SHUTDOWN: u8 = 2;
    /// RFC 4486.
    pub const PEER_DECONFIGURED: u8 = 3;
    /// RFC 4486, RFC 9003.
    pub const ADMINISTRATIVE_RESET: u8 = 4;
    /// RFC 4486.
    pub const CONNECTION_REJECTED: u8 = 5;
    /// RFC 4486.
    pub const OTHER_CONFIGURATION_CHANGE: u8 = 6;
    /// RFC 4486.
    pub const CONNECTION_COLLISION: u8 = 7;
    /// RFC 4486.
    pub const OUT_OF_RESOURCES: u8 = 8;
    /// RFC 8538.
    pub const HARD_RESET: u8 = 9;
    /// RFC 9384.
    pub const BFD_DOWN: u8 = 10;
}

/// Registry "BGP ROUTE-REFRESH Message Error subcodes" (RFC 7313).
pub mod route_refresh_error {
    /// RFC 7313.
    pub const INVALID_MESSAGE_LENGTH: u8 = 1;
}

/// Registry "BGP OPEN Optional Parameter Types".
pub mod open_parameter {
    /// RFC 5492.
    pub const CAPABILITIES: u8 = 2;
    /// RFC 9072: not a parameter, but the mark of the extended form.
    pub const EXTENDED_LENGTH: u8 = 255;
}

/// Registry "Capability Codes" (RFC 5492).
pub mod capability_code {
    /// RFC 4760.
    pub const MULTIPROTOCOL: u8 = 1;
    /// RFC 2918.
    pub const ROUTE_REFRESH: u8 = 2;
    /// RFC 8950.
    pub const EXTENDED_NEXT_HOP: u8 = 5;
    /// RFC 8654.
    pub const EXTENDED_MESSAGE: u8 = 6;
    /// RFC 4724.
    pub const GRACEFUL_RESTART: u8 = 64;
    /// RFC 6793.
    pub const FOUR_OCTET_AS: u8 = 65;
    /// RFC 7313.
    pub const ENHANCED_ROUTE_REFRESH: u8 = 70;
    /// draft-walton-bgp-hostname-capability.
    pub const FQDN: u8 = 73;
}

/// Registry "BGP Path Attributes".
pub mod attribute_code {
    /// RFC 4271 section 5.1.1.
    pub const ORIGIN: u8 = 1;
    /// RFC 4271 section 5.1.2.
    pub const AS_PATH: u8 = 2;
    /// RFC 4271 section 5.1.3.
    pub const NEXT_HOP: u8 = 3;
    /// RFC 4271 section 5.1.4.
    pub const MULTI_EXIT_DISC: u8 = 4;
    /// RFC 4271 section 5.1.5.
    pub const LOCAL_PREF: u8 = 5;
    /// RFC 4271 section 5.1.6.
    pub const ATOMIC_AGGREGATE: u8 = 6;
    /// RFC 4271 section 5.1.7.
    pub const AGGREGATOR: u8 = 7;
    /// RFC 1997.
    pub const COMMUNITIES: u8 = 8;
    /// RFC 4456.
    pub const ORIGINATOR_ID: u8 = 9;
    /// RFC 4456.
    pub const CLUSTER_LIST: u8 = 10;
    /// RFC 4760.
    pub const MP_REACH_NLRI: u8 = 14;
    /// RFC 4760.
    pub const MP_UNREACH_NLRI: u8 = 15;
    /// RFC 4360.
    pub const EXTENDED_COMMUNITIES: u8 = 16;
    /// RFC 6793.
    pub const AS4_PATH: u8 = 17;
    /// RFC 6793.
    pub const AS4_AGGREGATOR: u8 = 18;
    /// RFC 8092.
    pub const LARGE_COMMUNITY: u8 = 32;
}

/// Attribute Flags (RFC 4271 section 4.3).
pub mod attribute_flag {
    /// The attribute is optional, not well-known.
    pub const OPTIONAL: u8 = 0x80;
    /// The attribute is transitive.
    pub const TRANSITIVE: u8 = 0x40;
    /// A speaker on the way did not know the attribute.
    pub const PARTIAL: u8 = 0x20;
    /// The length takes two octets.
    pub const EXTENDED_LENGTH: u8 = 0x10;
}

/// AS_PATH segment types (RFC 4271 section 4.3, RFC 5065 section 3).
pub mod as_path_segment {
    /// RFC 4271.
    pub const AS_SET: u8 = 1;
    /// RFC 4271.
    pub const AS_SEQUENCE: u8 = 2;
    /// RFC 5065.
    pub const AS_CONFED_SEQUENCE: u8 = 3;
    /// RFC 5065.
    pub const AS_CONFED_SET: u8 = 4;
}

/// Stands for an AS number that a two-octet speaker cannot express (RFC 6793).
pub const AS_TRANS: u16 = 23456;

/// Registry "Address Family Numbers": IPv4.
pub const AFI_IPV4: u16 = 1;
/// Registry "Address Family Numbers": IPv6.
pub const AFI_IPV6: u16 = 2;
/// Registry "SAFI Namespace" (RFC 4760): unicast.
pub const SAFI_UNICAST: u8 = 1;

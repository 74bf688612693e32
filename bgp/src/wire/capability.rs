//! Capabilities (RFC 5492) and address families.

/// The address families this speaker carries: AFI 1 and 2, SAFI 1 (unicast).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// AFI 1, SAFI 1.
    Ipv4,
    /// AFI 2, SAFI 1.
    Ipv6,
}

/// A set of [`Family`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FamilySet {
    /// IPv4 unicast.
    pub ipv4: bool,
    /// IPv6 unicast.
    pub ipv6: bool,
}

/// One capability of an OPEN. Families that we do not carry are dropped by the decoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capability {
    /// RFC 4760.
    Multiprotocol(Family),
    /// RFC 2918.
    RouteRefresh,
    /// RFC 8950: NLRI of the first family with an IPv6 next hop.
    ExtendedNextHop(Vec<Family>),
    /// RFC 8654.
    ExtendedMessage,
    /// RFC 6793.
    FourOctetAs(u32),
    /// RFC 4724, RFC 8538.
    GracefulRestart(GracefulRestart),
    /// RFC 7313.
    EnhancedRouteRefresh,
    /// draft-walton-bgp-hostname-capability.
    Fqdn {
        /// Host name, UTF-8.
        host: String,
        /// Domain name, UTF-8, may be empty.
        domain: String,
    },
    /// Everything else, ignored.
    Unknown {
        /// IANA capability code.
        code: u8,
        /// Its value as it stood in the message.
        value: Vec<u8>,
    },
}

/// RFC 4724 section 3.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GracefulRestart {
    /// The R bit: the sender has just restarted.
    pub restarting: bool,
    /// The N bit (RFC 8538).
    pub notification: bool,
    /// Restart time in seconds, 12 bits.
    pub restart_time: u16,
    /// Families, each with its F bit (forwarding state preserved).
    pub families: Vec<(Family, bool)>,
}

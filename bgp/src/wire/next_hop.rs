//! The next hop of a route, and which addresses can be one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The next hop of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NextHop {
    /// IPv4.
    V4(Ipv4Addr),
    /// IPv6, global (or link-local alone, in `global`, as FRR and others send it on unnumbered sessions).
    V6 {
        /// First address of the next hop field.
        global: Ipv6Addr,
        /// Second address (RFC 2545), where there is one and it is link-local.
        link_local: Option<Ipv6Addr>,
    },
}

impl NextHop {
    /// The address that resolution works on: the global one.
    pub fn address(self) -> IpAddr {
        match self {
            Self::V4(a) => a.into(),
            Self::V6 { global, .. } => global.into(),
        }
    }

    /// The address that a packet can be sent to without resolution: the link-local one where there is one, else
    /// the same as [`address`](Self::address).
    pub fn forwarding_address(self) -> IpAddr {
        match self {
            Self::V6 { link_local: Some(a), .. } => a.into(),
            other => other.address(),
        }
    }

    /// An IPv6 next hop from the one or two addresses of a next hop field, in the form that compares equal for
    /// the spellings in use: a link-local address alone may come as `ll`, as `ll, ll` or as `::, ll`; a second
    /// address that is not link-local means nothing (RFC 2545 section 3).
    pub fn v6(first: Ipv6Addr, second: Option<Ipv6Addr>) -> Self {
        match second.filter(Ipv6Addr::is_unicast_link_local) {
            Some(link_local) if first.is_unspecified() || first == link_local => {
                Self::V6 { global: link_local, link_local: None }
            }
            link_local => Self::V6 { global: first, link_local },
        }
    }

    /// Whether the address can be a host's: the "valid IP host address" of RFC 4271 section 6.3.
    pub fn is_host(self) -> bool {
        match self {
            // 0/8 and 127/8 never leave a host; 224/4 is multicast. 240/4 is reserved, yet in use inside
            // data centres: only the broadcast address is refused.
            Self::V4(a) => {
                let first = a.octets()[0];
                first != 0 && first != 127 && !a.is_multicast() && !a.is_broadcast()
            }
            Self::V6 { global: a, .. } => !a.is_unspecified() && !a.is_loopback() && !a.is_multicast(),
        }
    }
}

impl From<IpAddr> for NextHop {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(a) => Self::V4(a),
            IpAddr::V6(global) => Self::V6 { global, link_local: None },
        }
    }
}

/// `10.0.0.1`, `2001:db8::1`, `2001:db8::1 (fe80::1)`.
impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(a) => a.fmt(f),
            Self::V6 { global, link_local: None } => global.fmt(f),
            Self::V6 { global, link_local: Some(link_local) } => write!(f, "{global} ({link_local})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_local_next_hop_alone_has_one_form() {
        let ll: Ipv6Addr = "fe80::1".parse().unwrap();
        let alone = NextHop::V6 { global: ll, link_local: None };
        assert_eq!(NextHop::v6(ll, None), alone);
        assert_eq!(NextHop::v6(ll, Some(ll)), alone);
        assert_eq!(NextHop::v6(Ipv6Addr::UNSPECIFIED, Some(ll)), alone);
    }

    #[test]
    fn a_second_address_that_is_not_link_local_is_ignored() {
        let global: Ipv6Addr = "2001:db8::1".parse().unwrap();
        assert_eq!(NextHop::v6(global, Some(global)), NextHop::V6 { global, link_local: None });
    }

    #[test]
    fn martians_are_no_hosts() {
        for bad in ["0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.5", "255.255.255.255", "::", "::1", "ff02::1"]
        {
            assert!(!NextHop::from(bad.parse::<IpAddr>().unwrap()).is_host(), "{bad}");
        }
        for good in ["10.0.0.1", "240.0.0.1", "169.254.0.1", "fe80::1", "2001:db8::1"] {
            assert!(NextHop::from(good.parse::<IpAddr>().unwrap()).is_host(), "{good}");
        }
    }
}

//! What differs between IPv4 and IPv6 when a file is read, so that everything else is written once.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use ipnet::{Ipv4Net, Ipv6Net};

use crate::model::{AddrRange, Address};

/// IPv4 or IPv6, by its address type.
pub(crate) trait Family: Address + FromStr {
    /// "IPv4".
    const NAME: &'static str;
    /// The keys of a network: `subnet`, `gateway`, `pool` with nothing or `6` behind.
    const SUFFIX: &'static str;
    /// Bits of an address.
    const BITS: u8;
    /// An example, for messages and editors.
    const EXAMPLE: &'static str;
    /// An example of a prefix.
    const EXAMPLE_NET: &'static str;
    /// The largest subnet that a network may have. For IPv4 what Contiv took; for IPv6 what a registry gives out.
    const SHORTEST: u8;
    /// The smallest subnet that a network may have: one address. Of a /31 and a /127 both are usable (RFC 3021, RFC 6164).
    const LONGEST: u8;
    /// The gateway of containers of a routed network when the file names none: the same on every host, and never routed.
    const LINK_GATEWAY: Self;

    /// `None` when the length is more than an address has bits.
    fn net(address: Self, length: u8) -> Option<Self::Net>;

    /// First and last address, and length.
    fn parts(net: Self::Net) -> (Self, Self, u8);

    /// Whether the address is link-local.
    fn is_link_local(self) -> bool;

    /// What the addresses are for, when containers cannot have them.
    fn special(range: AddrRange<Self>) -> Option<&'static str>;

    /// What the address is for, when no host can have it.
    fn special_address(address: Self) -> Option<&'static str> {
        AddrRange::new(address, address).and_then(Self::special)
    }

    /// The addresses of a subnet that no container can have, with what they are.
    fn reserved(net: Self::Net) -> Vec<(Self, &'static str)>;
}

impl Family for Ipv4Addr {
    const NAME: &'static str = "IPv4";
    const SUFFIX: &'static str = "";
    const BITS: u8 = 32;
    const EXAMPLE: &'static str = "192.168.1.254";
    const EXAMPLE_NET: &'static str = "192.168.1.0/24";
    const SHORTEST: u8 = 8;
    const LONGEST: u8 = 32;
    const LINK_GATEWAY: Self = Self::new(169, 254, 1, 1);

    fn net(address: Self, length: u8) -> Option<Ipv4Net> {
        Ipv4Net::new(address, length).ok()
    }

    fn parts(net: Ipv4Net) -> (Self, Self, u8) {
        (net.network(), net.broadcast(), net.prefix_len())
    }

    fn is_link_local(self) -> bool {
        Self::is_link_local(&self)
    }

    fn special(range: AddrRange<Self>) -> Option<&'static str> {
        // IANA IPv4 Special-Purpose Address Registry (RFC 6890), what cannot be a host's address anywhere.
        let blocks = [
            (Self::UNSPECIFIED, 8, "\"this network\" (RFC 791)"),
            (Self::LOCALHOST, 8, "loopback (RFC 1122)"),
            (Self::new(169, 254, 0, 0), 16, "link-local (RFC 3927)"),
            (Self::new(224, 0, 0, 0), 4, "multicast (RFC 5771)"),
            (Self::new(240, 0, 0, 0), 4, "reserved (RFC 1112)"),
        ];
        overlapping(range, blocks)
    }

    fn reserved(net: Ipv4Net) -> Vec<(Self, &'static str)> {
        // RFC 3021: a /31 has neither.
        if net.prefix_len() >= 31 {
            return Vec::new();
        }
        vec![(net.network(), "the network address"), (net.broadcast(), "the broadcast address")]
    }
}

impl Family for Ipv6Addr {
    const NAME: &'static str = "IPv6";
    const SUFFIX: &'static str = "6";
    const BITS: u8 = 128;
    const EXAMPLE: &'static str = "2001:db8:1::1";
    const EXAMPLE_NET: &'static str = "2001:db8:1::/64";
    const SHORTEST: u8 = 32;
    const LONGEST: u8 = 128;
    const LINK_GATEWAY: Self = Self::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

    fn net(address: Self, length: u8) -> Option<Ipv6Net> {
        Ipv6Net::new(address, length).ok()
    }

    fn parts(net: Ipv6Net) -> (Self, Self, u8) {
        (net.network(), net.broadcast(), net.prefix_len())
    }

    fn is_link_local(self) -> bool {
        self.is_unicast_link_local()
    }

    fn special(range: AddrRange<Self>) -> Option<&'static str> {
        // IANA IPv6 Special-Purpose Address Registry (RFC 6890) and RFC 4291.
        let blocks = [
            (Self::UNSPECIFIED, 128, "the unspecified address (RFC 4291)"),
            (Self::LOCALHOST, 128, "the loopback address (RFC 4291)"),
            (Self::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, "IPv4-mapped (RFC 4291)"),
            (Self::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "link-local (RFC 4291)"),
            (Self::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "multicast (RFC 4291)"),
        ];
        overlapping(range, blocks)
    }

    fn reserved(net: Ipv6Net) -> Vec<(Self, &'static str)> {
        // RFC 4291 section 2.6.1; RFC 6164 takes it away from a /127.
        if net.prefix_len() >= 127 {
            return Vec::new();
        }
        vec![(net.network(), "the subnet-router anycast address")]
    }
}

/// The first and last address of a prefix.
pub(crate) fn range_of<A: Family>(net: A::Net) -> Option<AddrRange<A>> {
    let (first, last, _) = A::parts(net);
    AddrRange::new(first, last)
}

fn overlapping<A: Family, const N: usize>(
    range: AddrRange<A>,
    blocks: [(A, u8, &'static str); N],
) -> Option<&'static str> {
    blocks.into_iter().find_map(|(address, length, what)| {
        let block = range_of::<A>(A::net(address, length)?)?;
        overlap(&range, &block).then_some(what)
    })
}

/// Whether two ranges have an address in common.
pub(crate) fn overlap<A: Address>(a: &AddrRange<A>, b: &AddrRange<A>) -> bool {
    a.first() <= b.last() && b.first() <= a.last()
}

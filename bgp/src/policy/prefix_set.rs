//! Lists of prefix ranges, compiled.
//!
//! A list of ten thousand prefixes answers as fast as one of ten: one look into a hash table for each length that
//! covering prefixes in the list have, of which there are few.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::PrefixRange;

/// The prefixes that a rule asks for.
#[derive(Clone, Debug, Default)]
pub(super) struct PrefixSet {
    ipv4: FamilySet,
    ipv6: FamilySet,
}

#[derive(Clone, Debug, Default)]
struct FamilySet {
    /// Lengths that covering prefixes have, ascending.
    covering: Vec<u8>,
    /// The lengths that are in the set inside each covering prefix.
    inside: HashMap<IpNet, Lengths>,
}

/// A set of prefix lengths, 0 to 128.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lengths {
    zero: bool,
    /// Length n at bit n-1.
    others: u128,
}

impl Lengths {
    fn insert(&mut self, length: u8) {
        match length.checked_sub(1) {
            None => self.zero = true,
            Some(bit) => self.others |= 1 << bit,
        }
    }

    fn contains(self, length: u8) -> bool {
        length.checked_sub(1).map_or(self.zero, |bit| self.others >> bit & 1 == 1)
    }
}

impl PrefixSet {
    pub(super) fn new(ranges: &[PrefixRange]) -> Self {
        let mut set = Self::default();
        for range in ranges {
            let net = range.net.trunc();
            let family = set.family_mut(net.addr());
            let lengths = family.inside.entry(net).or_default();
            for length in range.ge.max(net.prefix_len())..=range.le.min(net.max_prefix_len()) {
                lengths.insert(length);
            }
            if let Err(at) = family.covering.binary_search(&net.prefix_len()) {
                family.covering.insert(at, net.prefix_len());
            }
        }
        set
    }

    fn family_mut(&mut self, address: IpAddr) -> &mut FamilySet {
        if address.is_ipv4() { &mut self.ipv4 } else { &mut self.ipv6 }
    }

    pub(super) fn contains(&self, prefix: IpNet) -> bool {
        let family = if prefix.addr().is_ipv4() { &self.ipv4 } else { &self.ipv6 };
        let covering = family.covering.iter().take_while(|length| **length <= prefix.prefix_len());
        covering.filter_map(|length| IpNet::new(prefix.addr(), *length).ok()).any(|net| {
            let inside = family.inside.get(&net.trunc());
            inside.is_some_and(|lengths| lengths.contains(prefix.prefix_len()))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(ranges: &[(&str, u8, u8)]) -> PrefixSet {
        let range =
            |(net, ge, le): &(&str, u8, u8)| PrefixRange { net: net.parse().unwrap(), ge: *ge, le: *le };
        PrefixSet::new(&ranges.iter().map(range).collect::<Vec<_>>())
    }

    #[test]
    fn a_range_holds_what_lies_inside_with_a_length_between() {
        let set = set(&[("10.0.0.0/8", 16, 24), ("0.0.0.0/0", 0, 0), ("2001:db8::/32", 48, 128)]);
        for (prefix, expected) in [
            ("10.0.0.0/8", false),
            ("10.1.0.0/16", true),
            ("10.1.2.0/24", true),
            ("10.1.2.0/25", false),
            ("11.1.0.0/16", false),
            ("0.0.0.0/0", true),
            ("0.0.0.0/1", false),
            ("::/0", false),
            ("2001:db8:1::/48", true),
            ("2001:db8::1/128", true),
            ("2001:db8::/32", false),
        ] {
            assert_eq!(set.contains(prefix.parse().unwrap()), expected, "{prefix}");
        }
    }

    #[test]
    fn ranges_of_one_prefix_add_up() {
        let set = set(&[("10.0.0.0/8", 8, 8), ("10.0.0.0/8", 32, 32), ("10.1.0.0/16", 24, 24)]);
        for (prefix, expected) in
            [("10.0.0.0/8", true), ("10.0.0.1/32", true), ("10.0.1.0/24", false), ("10.1.1.0/24", true)]
        {
            assert_eq!(set.contains(prefix.parse().unwrap()), expected, "{prefix}");
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_walk_through_the_list(
            ranges in prop::collection::vec((0u32..8, 0u8..33, 0u8..33, 0u8..33), 0..12),
            prefix in (0u32..8, 0u8..33),
        ) {
            let net = |bits: u32, length| {
                IpNet::from(ipnet::Ipv4Net::new((bits << 29).into(), length).unwrap().trunc())
            };
            let ranges: Vec<_> = ranges
                .into_iter()
                .map(|(bits, length, ge, le)| PrefixRange { net: net(bits, length), ge, le })
                .collect();
            let prefix = net(prefix.0, prefix.1);
            let expected = ranges.iter().any(|range| {
                range.net.contains(&prefix) && (range.ge..=range.le).contains(&prefix.prefix_len())
            });
            prop_assert_eq!(PrefixSet::new(&ranges).contains(prefix), expected);
        }
    }
}

//! Route policies.
//!
//! Rules are tried in order; the first whose match holds decides. A match holds when each of its parts does; a part
//! that lists several values holds when one of them does; an empty part always holds.

use std::fmt;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use super::Name;

/// `[[route-policy]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RoutePolicy {
    /// Unique among policies, and none of the built-in `all`, `default-route`, `none`, `local`.
    pub name: Name,
    /// In order.
    pub rules: Vec<Rule>,
    /// What happens to a route that no rule matches: [`Action::Reject`], or [`Action::Accept`] with nothing set.
    /// On export it is about routes that this host originates: a learned route that no rule matches is rejected, whatever
    /// stands here (RFC 8212).
    pub default: Action,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Rule {
    /// Which routes.
    #[serde(rename = "match")]
    pub matches: Match,
    /// What happens to them.
    pub action: Action,
}

/// Which routes a rule is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Match {
    /// One of these ranges holds the route's prefix.
    pub prefixes: Vec<PrefixRange>,
    /// The route carries one of these communities.
    pub communities: Vec<Community>,
    /// The route carries one of these large communities.
    pub large_communities: Vec<LargeCommunity>,
    /// One of these masks fits the route's AS path.
    pub as_paths: Vec<AsPathMask>,
    /// Where the route is from. Decides only on export: what is imported is always learned.
    pub source: Source,
}

/// Where a route is from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Originated by this host. The default: a rule that does not say otherwise cannot make the host a transit.
    #[default]
    Local,
    /// Learned from a neighbour.
    Learned,
    /// Either.
    Any,
}

/// What happens to a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It passes, changed like this.
    Accept(Set),
    /// It does not pass.
    Reject,
}

/// What changes on a route that passes. The default changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Set {
    /// LOCAL_PREF.
    pub local_pref: Option<u32>,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// How often our AS is put before the path, beyond what eBGP does anyway; at most 16.
    pub prepend: u8,
    /// Communities taken away, before the others are added.
    pub communities_remove: Vec<Community>,
    /// Communities added.
    pub communities_add: Vec<Community>,
    /// Large communities taken away, before the others are added.
    pub large_communities_remove: Vec<LargeCommunity>,
    /// Large communities added.
    pub large_communities_add: Vec<LargeCommunity>,
}

/// Prefixes inside `net` with `ge <= length <= le`.
///
/// `net.prefix_len() <= ge <= le <= net.max_prefix_len()`, and `net` has no host bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixRange {
    net: IpNet,
    ge: u8,
    le: u8,
}

impl PrefixRange {
    /// `None` when the lengths are out of order. Host bits of `net` are cleared.
    pub fn new(net: IpNet, ge: u8, le: u8) -> Option<Self> {
        let ok = net.prefix_len() <= ge && ge <= le && le <= net.max_prefix_len();
        ok.then(|| Self { net: net.trunc(), ge, le })
    }

    /// The prefix that all are inside of.
    pub fn net(&self) -> IpNet {
        self.net
    }

    /// The shortest length.
    pub fn ge(&self) -> u8 {
        self.ge
    }

    /// The longest length.
    pub fn le(&self) -> u8 {
        self.le
    }

    /// Whether the range holds this prefix.
    pub fn contains(&self, prefix: &IpNet) -> bool {
        (self.ge..=self.le).contains(&prefix.prefix_len()) && self.net.contains(prefix)
    }
}

impl fmt::Display for PrefixRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.net)?;
        if self.ge != self.net.prefix_len() {
            write!(f, " ge {}", self.ge)?;
        }
        // Without `le` a range ends at its own length, or where `ge` is given at the longest.
        let implied = if self.ge == self.net.prefix_len() { self.ge } else { self.net.max_prefix_len() };
        if self.le == implied { Ok(()) } else { write!(f, " le {}", self.le) }
    }
}

/// A community (RFC 1997).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Community(pub u32);

impl Community {
    /// The community `high:low`.
    pub const fn new(high: u16, low: u16) -> Self {
        Self((high as u32) << 16 | low as u32)
    }

    /// The names that the file takes, from IANA's registry "BGP Well-known Communities".
    pub const WELL_KNOWN: &'static [(&'static str, Self)] = &[
        ("graceful-shutdown", Self(0xffff_0000)),   // RFC 8326
        ("accept-own", Self(0xffff_0001)),          // RFC 7611
        ("llgr-stale", Self(0xffff_0006)),          // RFC 9494
        ("no-llgr", Self(0xffff_0007)),             // RFC 9494
        ("blackhole", Self(0xffff_029a)),           // RFC 7999
        ("no-export", Self(0xffff_ff01)),           // RFC 1997
        ("no-advertise", Self(0xffff_ff02)),        // RFC 1997
        ("no-export-subconfed", Self(0xffff_ff03)), // RFC 1997
        ("no-peer", Self(0xffff_ff04)),             // RFC 3765
    ];
}

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::WELL_KNOWN.iter().find(|(_, value)| value == self) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "{}:{}", self.0 >> 16, self.0 & 0xffff),
        }
    }
}

/// A large community (RFC 8092): global administrator, two local parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LargeCommunity(pub u32, pub u32, pub u32);

impl fmt::Display for LargeCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.0, self.1, self.2)
    }
}

/// A pattern that a whole AS path fits, or does not. No token: the empty path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsPathMask(pub Vec<AsPathToken>);

/// A part of an [`AsPathMask`]. An AS_SET in the path counts as one AS, which each of its members may stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsPathToken {
    /// This AS.
    Asn(u32),
    /// `64512..65534`: one AS from the first to the second, both included; in order.
    Range(u32, u32),
    /// `?`: any one AS.
    Any,
    /// `*`: any number of ASes, none too.
    Many,
}

impl fmt::Display for AsPathToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asn(asn) => write!(f, "{asn}"),
            Self::Range(first, last) => write!(f, "{first}..{last}"),
            Self::Any => f.write_str("?"),
            Self::Many => f.write_str("*"),
        }
    }
}

impl fmt::Display for AsPathMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, token) in self.0.iter().enumerate() {
            write!(f, "{}{token}", if i == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

macro_rules! as_text {
    ($($type:ty)+) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )+};
}

as_text!(PrefixRange Community LargeCommunity AsPathMask);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_prefixes_inside_it_of_the_right_lengths() {
        let range = PrefixRange::new("10.0.0.0/8".parse().unwrap(), 16, 24).unwrap();
        let holds = |prefix: &str| range.contains(&prefix.parse().unwrap());
        assert!(holds("10.1.0.0/16") && holds("10.1.2.0/24"));
        assert!(!holds("10.0.0.0/8") && !holds("10.1.2.0/25"), "lengths");
        assert!(!holds("11.1.0.0/16") && !holds("2001:db8::/24"), "places");
    }

    #[test]
    fn ranges_that_hold_nothing_cannot_be_made() {
        let net = "10.0.0.0/8".parse().unwrap();
        assert_eq!(PrefixRange::new(net, 7, 9), None);
        assert_eq!(PrefixRange::new(net, 10, 9), None);
        assert_eq!(PrefixRange::new(net, 9, 33), None);
    }
}

//! Address families.

use std::fmt;

use super::iana::{AFI_IPV4, AFI_IPV6, SAFI_UNICAST};

/// The address families this speaker carries: AFI 1 and 2, SAFI 1 (unicast).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// AFI 1, SAFI 1.
    Ipv4,
    /// AFI 2, SAFI 1.
    Ipv6,
}

impl Family {
    /// The family of IANA's numbers, where we carry it.
    pub fn from_iana(afi: u16, safi: u8) -> Option<Self> {
        match (afi, safi) {
            (AFI_IPV4, SAFI_UNICAST) => Some(Self::Ipv4),
            (AFI_IPV6, SAFI_UNICAST) => Some(Self::Ipv6),
            _ => None,
        }
    }

    /// Address Family Identifier.
    pub fn afi(self) -> u16 {
        match self {
            Self::Ipv4 => AFI_IPV4,
            Self::Ipv6 => AFI_IPV6,
        }
    }

    /// Subsequent Address Family Identifier.
    pub fn safi(self) -> u8 {
        SAFI_UNICAST
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        })
    }
}

/// A set of [`Family`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FamilySet {
    /// IPv4 unicast.
    pub ipv4: bool,
    /// IPv6 unicast.
    pub ipv6: bool,
}

impl FamilySet {
    /// No family.
    pub const NONE: Self = Self { ipv4: false, ipv6: false };
    /// Both families.
    pub const ALL: Self = Self { ipv4: true, ipv6: true };

    /// Whether `family` is in the set.
    pub fn contains(self, family: Family) -> bool {
        match family {
            Family::Ipv4 => self.ipv4,
            Family::Ipv6 => self.ipv6,
        }
    }

    /// Adds `family`.
    pub fn insert(&mut self, family: Family) {
        match family {
            Family::Ipv4 => self.ipv4 = true,
            Family::Ipv6 => self.ipv6 = true,
        }
    }

    /// The families in both sets.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self { ipv4: self.ipv4 && other.ipv4, ipv6: self.ipv6 && other.ipv6 }
    }

    /// The families of the set, IPv4 first.
    pub fn iter(self) -> impl Iterator<Item = Family> {
        [Family::Ipv4, Family::Ipv6].into_iter().filter(move |f| self.contains(*f))
    }
}

impl FromIterator<Family> for FamilySet {
    fn from_iter<I: IntoIterator<Item = Family>>(families: I) -> Self {
        let mut set = Self::NONE;
        families.into_iter().for_each(|f| set.insert(f));
        set
    }
}

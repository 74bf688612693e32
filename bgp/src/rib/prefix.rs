//! The key of a table: one type per family.

use std::fmt::Debug;
use std::hash::Hash;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::wire::{self, Family};

/// A destination's prefix, without host bits.
pub(crate) trait FamilyPrefix: wire::Prefix + Debug + Default + Eq + Ord + Hash + Into<IpNet> {
    /// The family of the table.
    const FAMILY: Family;
    /// Well mixed, for a table; `seed` is secret so that nobody can make prefixes collide.
    fn hash(self, seed: u64) -> u64;
    /// The prefix of this length that holds an address.
    fn containing(address: IpAddr, length: u8) -> Option<Self>;
}

/// Multiplies into 128 bits and folds: every bit of the input reaches every bit of the result.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

const MIX: u64 = 0x9E37_79B9_7F4A_7C15;

impl FamilyPrefix for Ipv4Net {
    const FAMILY: Family = Family::Ipv4;

    fn hash(self, seed: u64) -> u64 {
        let key = u64::from(self.addr().to_bits()) << 8 | u64::from(self.prefix_len());
        fold(fold(key ^ seed, MIX), seed | 1)
    }

    fn containing(address: IpAddr, length: u8) -> Option<Self> {
        let IpAddr::V4(address) = address else { return None };
        Self::new(address, length).ok().map(|net| net.trunc())
    }
}

impl FamilyPrefix for Ipv6Net {
    const FAMILY: Family = Family::Ipv6;

    fn hash(self, seed: u64) -> u64 {
        let bits = self.addr().to_bits();
        let (high, low) = ((bits >> 64) as u64, bits as u64);
        let folded = fold(high ^ seed, MIX) ^ u64::from(self.prefix_len());
        fold(fold(folded ^ low, MIX), seed | 1)
    }

    fn containing(address: IpAddr, length: u8) -> Option<Self> {
        let IpAddr::V6(address) = address else { return None };
        Self::new(address, length).ok().map(|net| net.trunc())
    }
}

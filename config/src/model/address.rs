//! Arithmetic on addresses of one family, for pools.

use std::{
    fmt,
    hash::Hash,
    net::{Ipv4Addr, Ipv6Addr},
};

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Serialize, Serializer};

mod sealed {
    pub trait Sealed {}
    impl Sealed for std::net::Ipv4Addr {}
    impl Sealed for std::net::Ipv6Addr {}
}

/// `Ipv4Addr` or `Ipv6Addr`.
pub trait Address: sealed::Sealed + Copy + Ord + Hash + fmt::Debug + fmt::Display + Serialize {
    /// The prefix type of the family.
    type Net: Copy + Eq + fmt::Debug + fmt::Display + Serialize;

    /// The address as a number.
    fn to_bits(self) -> u128;

    /// The address of that number; `None` when the family has none.
    fn from_bits(bits: u128) -> Option<Self>;
}

impl Address for Ipv4Addr {
    type Net = Ipv4Net;

    fn to_bits(self) -> u128 {
        u32::from(self).into()
    }

    fn from_bits(bits: u128) -> Option<Self> {
        u32::try_from(bits).ok().map(Self::from)
    }
}

impl Address for Ipv6Addr {
    type Net = Ipv6Net;

    fn to_bits(self) -> u128 {
        self.into()
    }

    fn from_bits(bits: u128) -> Option<Self> {
        Some(bits.into())
    }
}

/// A run of addresses, both ends included; never empty.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddrRange<A> {
    first: A,
    last: A,
}

impl<A: Address> AddrRange<A> {
    /// `None` when `last` is before `first`.
    pub fn new(first: A, last: A) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// The lowest address.
    pub fn first(&self) -> A {
        self.first
    }

    /// The highest address.
    pub fn last(&self) -> A {
        self.last
    }

    /// Whether the address is in it.
    pub fn contains(&self, address: A) -> bool {
        self.first <= address && address <= self.last
    }

    /// The address `n` steps above the first, if it is still in the range.
    pub fn nth(&self, n: u128) -> Option<A> {
        let address = A::from_bits(self.first.to_bits().checked_add(n)?)?;
        self.contains(address).then_some(address)
    }

    /// The number of steps from the first address to the last: one less than there are addresses (which, for all
    /// of IPv6, would be one more than a `u128` holds).
    pub fn span(&self) -> u128 {
        self.last.to_bits() - self.first.to_bits()
    }
}

impl<A: Address> fmt::Display for AddrRange<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl<A: Address> fmt::Debug for AddrRange<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<A: Address> Serialize for AddrRange<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

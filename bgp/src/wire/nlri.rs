//! Lists of prefixes (RFC 4271 section 4.3): checked once, then read and written without a check that can fail.
//!
//! Knows a length octet and the octets after it. Must not know which field or attribute they stand in.

use std::iter::FusedIterator;
use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::BufMut;
use ipnet::{Ipv4Net, Ipv6Net};

/// The families are a closed set: nobody else implements [`Prefix`].
mod sealed {
    pub trait Sealed {}
    impl Sealed for ipnet::Ipv4Net {}
    impl Sealed for ipnet::Ipv6Net {}
}

/// A prefix type that lists of NLRI are made of.
pub trait Prefix: Copy + sealed::Sealed {
    /// The longest prefix in bits.
    const MAX_LEN: u8;
    /// The most octets that one NLRI takes.
    const MAX_OCTETS: usize = 1 + Self::MAX_LEN as usize / 8;

    /// Whether the prefix can be a unicast destination. RFC 4271 section 6.3 wants one that cannot logged and ignored,
    /// which is for whoever imports: to the codec it is a prefix.
    fn is_unicast(self) -> bool;

    /// The NLRI at the head of a checked list, and the rest of the list.
    fn read(list: &[u8]) -> Option<(Self, &[u8])>;

    /// Writes the NLRI at the start of `place`, and may write beyond its end. Returns the octets of the NLRI.
    fn write(self, place: &mut [u8; PLACE]) -> usize;
}

/// Octets that a writer of one NLRI may overwrite: enough for every family.
const PLACE: usize = 17;

/// How many octets an NLRI of `bits` has, without its length octet.
#[inline]
const fn octets(bits: u8) -> usize {
    (bits as usize).div_ceil(8)
}

impl Prefix for Ipv4Net {
    const MAX_LEN: u8 = 32;

    fn is_unicast(self) -> bool {
        !(self.addr().is_multicast() && self.prefix_len() >= 4)
    }

    #[inline]
    fn read(list: &[u8]) -> Option<(Self, &[u8])> {
        let (&bits, rest) = list.split_first()?;
        // A branch on the size, which nearly always goes the way it went before, lets the processor start on the
        // next NLRI before this one's length octet has arrived from memory.
        let (address, rest) = match bits {
            17..=24 => {
                let (&[a, b, c], rest) = rest.split_first_chunk()?;
                (u32::from_be_bytes([a, b, c, 0]), rest)
            }
            25..=32 => {
                let (octets, rest) = rest.split_first_chunk()?;
                (u32::from_be_bytes(*octets), rest)
            }
            9..=16 => {
                let (&[a, b], rest) = rest.split_first_chunk()?;
                (u32::from_be_bytes([a, b, 0, 0]), rest)
            }
            1..=8 => {
                let (&[a], rest) = rest.split_first_chunk()?;
                (u32::from_be_bytes([a, 0, 0, 0]), rest)
            }
            _ => (0, rest),
        };
        // Bits beyond the length have no meaning (RFC 4271 section 4.3): they must not make two routes of one.
        let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
        Some((Self::new(Ipv4Addr::from_bits(address & mask), bits).ok()?, rest))
    }

    #[inline]
    fn write(self, place: &mut [u8; PLACE]) -> usize {
        let bits = self.prefix_len();
        let [a, b, c, d] = self.addr().octets();
        // One store of eight octets.
        if let Some(place) = place.first_chunk_mut() {
            *place = [bits, a, b, c, d, 0, 0, 0];
        }
        1 + octets(bits)
    }
}

impl Prefix for Ipv6Net {
    const MAX_LEN: u8 = 128;

    fn is_unicast(self) -> bool {
        !(self.addr().is_multicast() && self.prefix_len() >= 8)
    }

    #[inline]
    fn read(list: &[u8]) -> Option<(Self, &[u8])> {
        let (&bits, rest) = list.split_first()?;
        let after = rest.get(octets(bits)..)?;
        // Sixteen octets at once are cheaper than as many as there are; what is too much is masked away.
        let address = rest.first_chunk().copied().unwrap_or_else(|| {
            let mut address = [0; 16];
            address.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            address
        });
        let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
        Some((Self::new(Ipv6Addr::from_bits(u128::from_be_bytes(address) & mask), bits).ok()?, after))
    }

    #[inline]
    fn write(self, place: &mut [u8; PLACE]) -> usize {
        let bits = self.prefix_len();
        place[0] = bits;
        place[1..17].copy_from_slice(&self.addr().octets());
        1 + octets(bits)
    }
}

/// Whether `list` is syntactically correct (RFC 7606 section 5.3): no length above the family's, no prefix cut off.
#[inline]
pub(super) fn is_valid<P: Prefix>(mut list: &[u8]) -> bool {
    while let Some((&bits, rest)) = list.split_first() {
        // For the branches, see `Prefix::read`.
        if (17..=24).contains(&bits)
            && let Some(rest) = rest.get(3..)
        {
            list = rest;
        } else if (25..=32).contains(&bits)
            && let Some(rest) = rest.get(4..)
        {
            list = rest;
        } else {
            match rest.get(octets(bits)..) {
                Some(rest) if bits <= P::MAX_LEN => list = rest,
                _ => return false,
            }
        }
    }
    true
}

/// How many lists an iterator may have to read: of an UPDATE that is treated as withdraw, all four fields.
const LISTS: usize = 4;

/// Iterator over the prefixes of an UPDATE that share one fate. Borrows the message.
#[derive(Clone, Debug)]
pub struct Prefixes<'a, P> {
    list: &'a [u8],
    more: [&'a [u8]; LISTS - 1],
    prefix: std::marker::PhantomData<P>,
}

impl<'a, P: Prefix> Prefixes<'a, P> {
    /// Over lists that [`is_valid`] has checked.
    #[inline]
    pub(super) fn new(lists: [&'a [u8]; LISTS]) -> Self {
        let [list, more @ ..] = lists;
        Self { list, more, prefix: std::marker::PhantomData }
    }

    #[cold]
    fn next_list(&mut self) -> Option<P> {
        while self.list.is_empty() {
            let next = self.more.iter_mut().find(|list| !list.is_empty())?;
            self.list = std::mem::take(next);
        }
        self.next()
    }
}

impl<P: Prefix> Iterator for Prefixes<'_, P> {
    type Item = P;

    #[inline]
    fn next(&mut self) -> Option<P> {
        if self.list.is_empty() {
            return self.next_list();
        }
        let (prefix, rest) = P::read(self.list)?;
        self.list = rest;
        Some(prefix)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let octets = self.list.len() + self.more.iter().map(|list| list.len()).sum::<usize>();
        (octets.div_ceil(P::MAX_OCTETS), Some(octets))
    }
}

impl<P: Prefix> FusedIterator for Prefixes<'_, P> {}

/// Writes `first`, for which there must be room, and more prefixes until they end or `room` has fewer octets left than
/// the longest NLRI takes. Returns their number.
#[inline]
pub(super) fn write<P: Prefix>(
    out: &mut impl BufMut,
    mut room: usize,
    first: P,
    prefixes: &mut impl Iterator<Item = P>,
) -> usize {
    // A block on the stack spares a length update and a capacity check of the output per prefix.
    const BLOCK: usize = 512;
    let mut block = [0; BLOCK];
    let mut used = first.write(block.first_chunk_mut().unwrap_or(&mut [0; PLACE]));
    let mut count = 1;
    loop {
        // Up to here another prefix fits, both into the block and into the room.
        let last = room.saturating_sub(P::MAX_OCTETS).min(BLOCK - PLACE);
        while used <= last
            && let Some(place) = block.get_mut(used..).and_then(|rest| rest.first_chunk_mut())
        {
            let Some(prefix) = prefixes.next() else {
                out.put_slice(block.get(..used).unwrap_or(&[]));
                return count;
            };
            used += prefix.write(place);
            count += 1;
        }
        out.put_slice(block.get(..used).unwrap_or(&[]));
        room -= used;
        used = 0;
        if room < P::MAX_OCTETS {
            return count;
        }
    }
}

#[cfg(test)]
mod tests;

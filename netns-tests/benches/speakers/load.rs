//! The rows: which prefixes, from how many feeders, in what attributes; and the bytes that the feeders send.

use std::net::Ipv4Addr;

use crate::{
    message::{Attributes, MAX_MESSAGE, UPDATE_OVERHEAD, prefix, update},
    scene::Peer,
};

/// A row of the benchmark. Every feeder announces all of its prefixes.
#[derive(Debug)]
pub(crate) struct Load {
    /// As printed, and as `--row` finds it.
    pub(crate) name: &'static str,
    /// How many feeders.
    pub(crate) feeders: u8,
    /// How many distinct prefixes.
    pub(crate) prefixes: u32,
    /// Length of each prefix.
    length: u8,
    /// How prefixes share attributes.
    sharing: Sharing,
    /// Part of the smoke test.
    pub(crate) quick: bool,
    /// Small enough for speakers that are here for orientation only.
    pub(crate) small: bool,
}

/// How prefixes share attributes.
#[derive(Debug)]
enum Sharing {
    /// So many in one UPDATE, and each UPDATE with attributes of its own, as the Internet's table has them.
    PerUpdate(u32),
    /// All have the same attributes: UPDATEs are as long as they may be.
    All,
}

/// All rows, the costly ones first.
pub(crate) static LOADS: [Load; 4] = [
    Load {
        name: "1M /24 from 2 feeders",
        feeders: 2,
        prefixes: 1_000_000,
        length: 24,
        sharing: Sharing::PerUpdate(6),
        quick: false,
        small: false,
    },
    Load {
        name: "100k /24 from 8 feeders",
        feeders: 8,
        prefixes: 100_000,
        length: 24,
        sharing: Sharing::PerUpdate(6),
        quick: true,
        small: false,
    },
    Load {
        name: "500k /32 packed",
        feeders: 1,
        prefixes: 500_000,
        length: 32,
        sharing: Sharing::All,
        quick: false,
        small: false,
    },
    Load {
        name: "10k /24, 1 feeder",
        feeders: 1,
        prefixes: 10_000,
        length: 24,
        sharing: Sharing::PerUpdate(6),
        quick: true,
        small: true,
    },
];

/// The first prefix: public unicast space from here on for a million /24, and clear of the lab's own addresses.
const FIRST: u32 = Ipv4Addr::new(16, 0, 0, 0).to_bits();

impl Load {
    /// The number of a prefix, if it is one of the load's.
    pub(crate) fn index(&self, address: u32, length: u8) -> Option<u32> {
        let offset = address.checked_sub(FIRST)?;
        let index = offset >> (32 - self.length);
        (length == self.length && index < self.prefixes).then_some(index)
    }

    /// All that a feeder announces. `shortest` holds, for each prefix, the hops of the shortest path that any feeder
    /// announces, and is kept so; 0 is none yet.
    pub(crate) fn announcements(&self, feeder: &Peer, shortest: &mut [u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut random = Random(u64::from(feeder.asn));
        let mut index = 0;
        while index < self.prefixes {
            let attributes = Attributes::of(feeder, &mut random);
            let hops = attributes.path.len() as u8;
            let attributes = attributes.encode();
            let room = MAX_MESSAGE - UPDATE_OVERHEAD - attributes.len();
            let until = match self.sharing {
                Sharing::PerUpdate(count) => self.prefixes.min(index + count),
                Sharing::All => self.prefixes,
            };
            for best in shortest.get_mut(index as usize..until as usize).unwrap_or_default() {
                *best = if *best == 0 { hops } else { hops.min(*best) };
            }
            while index < until {
                let nlri = self.run(&mut index, until, room);
                update(&mut bytes, &[], &attributes, &nlri);
            }
        }
        bytes
    }

    /// The withdrawal of everything, as dense as any speaker would send it.
    pub(crate) fn withdrawals(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut index = 0;
        while index < self.prefixes {
            let withdrawn = self.run(&mut index, self.prefixes, MAX_MESSAGE - UPDATE_OVERHEAD);
            update(&mut bytes, &withdrawn, &[], &[]);
        }
        bytes
    }

    /// As many prefixes from `index` on as there is `room` for, in bytes.
    fn run(&self, index: &mut u32, until: u32, room: usize) -> Vec<u8> {
        let mut nlri = Vec::with_capacity(room);
        while *index < until {
            let before = nlri.len();
            prefix(&mut nlri, FIRST + (*index << (32 - self.length)), self.length);
            if nlri.len() > room {
                nlri.truncate(before);
                break;
            }
            *index += 1;
        }
        nlri
    }
}

impl Attributes {
    /// Attributes like the Internet's: a path of three to six hops, two communities.
    fn of(feeder: &Peer, random: &mut Random) -> Self {
        let hops = 2 + random.below(4);
        let mut path = vec![feeder.asn];
        // 32-bit AS numbers of the ordinary kind, not those that are reserved.
        path.extend((0..hops).map(|_| 200_000 + random.below(200_000)));
        let communities = [0; 2].map(|_: u32| ((1 + random.below(60_000)) << 16) | random.below(65_536));
        Self { path, next_hop: feeder.address, communities }
    }
}

/// SplitMix64: the same load in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((z ^ (z >> 31)) >> 32) as u32) % limit
    }
}

//! Codec speed beside the oracle crate, in one run: `cargo bench -p petiole-bgp --bench codec`.
//!
//! Prints nanoseconds per prefix or per message: the best of several rounds, for what disturbs a round only makes it
//! slower.

#![expect(clippy::unwrap_used, reason = "a benchmark has its own input")]

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ipnet::{Ipv4Net, Ipv6Net};
use petiole_bgp::wire::{
    AsPath, Attributes, Community, EncodeContext, FamilySet, Message, NextHop, Origin, Session, UpdateWriter,
};
use rustbgpd_wire as oracle;

const SESSION: Session = Session {
    four_octet_as: true,
    extended_message: false,
    external: false,
    families: FamilySet::ALL,
    extended_next_hop: false,
};
const CONTEXT: EncodeContext =
    EncodeContext { four_octet_as: true, external: false, prepend: None, send_med: true };

/// A generator of numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as u32) % limit
    }
}

/// Nanoseconds per unit of work: `work` does `units` of it.
fn measure(name: &str, unit: &str, units: usize, mut work: impl FnMut()) {
    const ROUND: Duration = Duration::from_millis(40);
    let units = f64::from(u32::try_from(units).unwrap());
    let mut best = f64::INFINITY;
    for _ in 0..9 {
        let start = Instant::now();
        let mut times = 0u32;
        while start.elapsed() < ROUND {
            for _ in 0..16 {
                work();
            }
            times += 16;
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(times) / units);
    }
    println!("{name:<58} {best:8.2} ns/{unit}");
}

/// ORIGIN, AS_PATH, NEXT_HOP, MED, LOCAL_PREF, COMMUNITIES.
fn six_attributes(path: &[u32], tag: u16) -> Attributes {
    let next_hop = NextHop::V4(Ipv4Addr::new(10, 0, 0, 1));
    let mut attributes = Attributes::new(Origin::Igp, AsPath::from_sequence(path), next_hop);
    attributes.set_med(Some(50));
    attributes.set_local_pref(Some(100));
    attributes.set_communities(vec![Community::new(65000, tag), Community::new(65000, tag.wrapping_add(1))]);
    attributes
}

fn announce(attributes: &Attributes, prefixes: &[Ipv4Net]) -> Vec<u8> {
    let mut out = Vec::new();
    let block = attributes.encode(&CONTEXT);
    let written = UpdateWriter::new(&SESSION)
        .announce_v4(&mut out, &block, attributes.next_hop(), &mut prefixes.iter().copied())
        .unwrap();
    assert_eq!(written, prefixes.len());
    out
}

fn prefixes(count: u32, len: impl Fn(&mut Numbers) -> u8) -> Vec<Ipv4Net> {
    let mut numbers = Numbers(1);
    (0..count)
        .map(|i| {
            let address = Ipv4Addr::from_bits(0x0A00_0000 + (i << 8) + numbers.below(256));
            Ipv4Net::new(address, len(&mut numbers)).unwrap().trunc()
        })
        .collect()
}

/// Lengths as in the Internet's table, roughly: 60 % /24, a quarter /19 to /23, the rest shorter.
fn internet(numbers: &mut Numbers) -> u8 {
    match numbers.below(100) {
        0..60 => 24,
        60..85 => 19 + numbers.below(5) as u8,
        85..97 => 16 + numbers.below(3) as u8,
        _ => 8 + numbers.below(8) as u8,
    }
}

fn decode_v4(message: &[u8]) -> u32 {
    let Ok(Message::Update(update)) = Message::decode(message, &SESSION) else { panic!("not an UPDATE") };
    let mut sum = 0u32;
    for announcement in update.into_announcements() {
        black_box(&announcement.attributes);
        if let petiole_bgp::wire::Nlri::V4(prefixes) = announcement.prefixes {
            for prefix in prefixes {
                sum = sum.wrapping_add(prefix.addr().to_bits() ^ u32::from(prefix.prefix_len()));
            }
        }
    }
    sum
}

fn decode_oracle(message: &Bytes) -> u32 {
    let mut bytes = message.clone();
    let oracle::Message::Update(update) = oracle::decode_message(&mut bytes, 4096).unwrap() else {
        panic!("not an UPDATE")
    };
    let parsed = update.parse_revised(true, true, false, &[]).unwrap();
    oracle::validate::validate_update_attributes(&parsed.update.attributes, true, true, false).unwrap();
    let mut sum = 0u32;
    for entry in &parsed.update.announced {
        sum = sum.wrapping_add(entry.prefix.addr.to_bits() ^ u32::from(entry.prefix.len));
    }
    sum
}

fn decode_large() {
    let attributes = six_attributes(&[65001, 65002, 65003], 1);
    for (name, list) in [
        ("500 x /24", prefixes(500, |_| 24)),
        ("500 x /32", prefixes(500, |_| 32)),
        ("500, lengths as in the Internet", prefixes(500, internet)),
    ] {
        let message = announce(&attributes, &list);
        measure(&format!("decode UPDATE {name}"), "prefix", list.len(), || {
            black_box(decode_v4(black_box(&message)));
        });
        let message = Bytes::from(message);
        assert_eq!(decode_v4(&message), decode_oracle(&message));
        measure(&format!("  rustbgpd-wire {name}"), "prefix", list.len(), || {
            black_box(decode_oracle(black_box(&message)));
        });
    }
}

fn encode_large() {
    let attributes = six_attributes(&[65001, 65002, 65003], 1);
    let writer = UpdateWriter::new(&SESSION);
    for (name, list) in
        [("500 x /24", prefixes(500, |_| 24)), ("500, lengths as in the Internet", prefixes(500, internet))]
    {
        let mut out = Vec::with_capacity(8192);
        measure(&format!("encode UPDATE {name}, attributes included"), "prefix", list.len(), || {
            out.clear();
            let block = black_box(&attributes).encode(&CONTEXT);
            let mut left = list.iter().copied();
            black_box(writer.announce_v4(&mut out, &block, attributes.next_hop(), &mut left).unwrap());
        });
        let parsed: Vec<_> = list
            .iter()
            .map(|p| oracle::Ipv4NlriEntry {
                path_id: 0,
                prefix: oracle::Ipv4Prefix::new(p.addr(), p.prefix_len()),
            })
            .collect();
        let oracle_attributes = vec![
            oracle::PathAttribute::Origin(oracle::Origin::Igp),
            oracle::PathAttribute::AsPath(oracle::AsPath {
                segments: vec![oracle::AsPathSegment::AsSequence(vec![65001, 65002, 65003])],
            }),
            oracle::PathAttribute::NextHop(Ipv4Addr::new(10, 0, 0, 1)),
            oracle::PathAttribute::Med(50),
            oracle::PathAttribute::LocalPref(100),
            oracle::PathAttribute::Communities(vec![0xFDE8_0001, 0xFDE8_0002]),
        ];
        let mode = oracle::Ipv4UnicastMode::Body;
        measure(&format!("  rustbgpd-wire {name}"), "prefix", list.len(), || {
            let update = oracle::UpdateMessage::try_build(
                &parsed,
                &[],
                black_box(&oracle_attributes),
                true,
                false,
                mode,
            )
            .unwrap();
            black_box(oracle::encode_message(&oracle::Message::Update(update)).unwrap());
        });
    }
}

fn encode_v6() {
    let next_hop = NextHop::v6("2001:db8::1".parse().unwrap(), None);
    let block = six_attributes(&[65001, 65002, 65003], 1).encode(&CONTEXT);
    let list: Vec<Ipv6Net> =
        (0..200u32).map(|i| Ipv6Net::new_assert(format!("2001:db8:{i:x}::").parse().unwrap(), 48)).collect();
    let (writer, mut out) = (UpdateWriter::new(&SESSION), Vec::with_capacity(8192));
    measure("encode UPDATE 200 x IPv6 /48", "prefix", list.len(), || {
        out.clear();
        let mut left = list.iter().copied();
        black_box(writer.announce_v6(&mut out, &block, next_hop, &mut left).unwrap());
    });
    measure("decode UPDATE 200 x IPv6 /48", "prefix", list.len(), || {
        let Ok(Message::Update(update)) = Message::decode(black_box(&out), &SESSION) else {
            panic!("not an UPDATE")
        };
        let sum = update.announced_v6().fold(0u128, |sum, prefix| sum ^ prefix.addr().to_bits());
        black_box(sum);
    });
}

/// What a full table looks like: few prefixes with many different attributes.
fn small() {
    let mut numbers = Numbers(7);
    let all: Vec<(Attributes, Vec<Ipv4Net>)> = (0..512u32)
        .map(|i| {
            let hops = 3 + numbers.below(4) as usize;
            let path: Vec<u32> = (0..hops).map(|_| 64512 + numbers.below(1000)).collect();
            let list = prefixes(6 * (i + 1), |_| 24).split_off(6 * i as usize);
            (six_attributes(&path, i as u16), list)
        })
        .collect();
    let messages: Vec<Vec<u8>> = all.iter().map(|(attributes, list)| announce(attributes, list)).collect();
    measure("decode UPDATE of 6 prefixes, path 3-6, 2 communities", "message", messages.len(), || {
        for message in &messages {
            black_box(decode_v4(black_box(message)));
        }
    });
    let bytes: Vec<Bytes> = messages.into_iter().map(Bytes::from).collect();
    measure("  rustbgpd-wire", "message", bytes.len(), || {
        for message in &bytes {
            black_box(decode_oracle(black_box(message)));
        }
    });
    let writer = UpdateWriter::new(&SESSION);
    let (mut out, mut block) = (Vec::with_capacity(8192), petiole_bgp::wire::EncodedAttributes::default());
    measure("encode UPDATE of 6 prefixes, path 3-6, 2 communities", "message", all.len(), || {
        for (attributes, list) in &all {
            out.clear();
            black_box(attributes).encode_into(&CONTEXT, &mut block);
            let mut left = list.iter().copied();
            black_box(writer.announce_v4(&mut out, &block, attributes.next_hop(), &mut left).unwrap());
        }
    });
}

fn main() {
    // `cargo test --benches` runs this too: there, being able to start is enough.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    println!("size of Attributes: {} octets", size_of::<Attributes>());
    decode_large();
    encode_large();
    encode_v6();
    small();
}

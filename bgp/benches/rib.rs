//! RIB figures: octets per route, nanoseconds per decision, nanoseconds per prefix from UPDATE to UPDATE.
//!
//! `cargo bench -p petiole-bgp --bench rib`. The loads are those that the daemon is measured with as a black box:
//! feeders announce the same prefixes with paths of 3 to 6 ASes and two communities, a sink gets the best ones.
//! Memory is what a counting allocator has handed out, not what the system thinks of it.

#![allow(clippy::unwrap_used, clippy::cast_precision_loss)]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use ipnet::Ipv4Net;
use petiole_bgp::policy::{Action, Policy, Rule, Source};
use petiole_bgp::rib::decision::{Candidate, first_of_two, select};
use petiole_bgp::rib::{NextHopSelf, PeerId, PeerRib, Rib, RibConfig};
use petiole_bgp::wire::{
    AsPath, Attributes, Community, EncodeContext, Family, FamilySet, MAX_MESSAGE_LEN, Message, NextHop,
    Origin, Session, UpdateWriter, frame,
};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// The system's allocator with two counters: the only `unsafe` of this program, and it forwards every call as it is.
#[allow(unsafe_code)]
mod counting {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::sync::atomic::{AtomicUsize, Ordering};

    static LIVE: AtomicUsize = AtomicUsize::new(0);
    static PEAK: AtomicUsize = AtomicUsize::new(0);

    pub(crate) struct Counting;

    /// Octets in use.
    pub(crate) fn live() -> usize {
        LIVE.load(Ordering::Relaxed)
    }

    /// The most octets in use since the last call.
    pub(crate) fn peak() -> usize {
        PEAK.swap(live(), Ordering::Relaxed)
    }

    fn grow(octets: usize) {
        let live = LIVE.fetch_add(octets, Ordering::Relaxed) + octets;
        PEAK.fetch_max(live, Ordering::Relaxed);
    }

    // SAFETY: every call is handed to `System` with its arguments unchanged.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            grow(layout.size());
            unsafe { System.alloc(layout) }
        }

        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            grow(layout.size());
            unsafe { System.alloc_zeroed(layout) }
        }

        unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
            LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
            unsafe { System.dealloc(place, layout) }
        }

        unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
            grow(size);
            unsafe { System.realloc(place, layout, size) }
        }
    }
}

/// What feeders send.
#[derive(Clone, Copy)]
struct Load {
    name: &'static str,
    feeders: u32,
    prefixes: u32,
    length: u8,
    /// Prefixes per UPDATE, each UPDATE with its own attributes; 0: all with the same.
    per_update: usize,
}

const LOADS: [Load; 4] = [
    Load { name: "1M /24, 2 feeders", feeders: 2, prefixes: 1_000_000, length: 24, per_update: 6 },
    Load { name: "100k /24, 8 feeders", feeders: 8, prefixes: 100_000, length: 24, per_update: 6 },
    Load { name: "500k /32, packed", feeders: 1, prefixes: 500_000, length: 32, per_update: 0 },
    Load { name: "10k /24, 1 feeder", feeders: 1, prefixes: 10_000, length: 24, per_update: 6 },
];

const SESSION: Session = Session {
    four_octet_as: true,
    extended_message: false,
    external: true,
    families: FamilySet { ipv4: true, ipv6: false },
    extended_next_hop: false,
};

fn main() {
    // `cargo test` runs benches with `--test`, and only wants to know that they work.
    let quick = std::env::args().any(|argument| argument == "--test");
    decision(if quick { 1000 } else { 1_000_000 });
    for load in &LOADS {
        run_load(&Load { prefixes: if quick { 1000 } else { load.prefixes }, ..*load });
    }
}

fn decision(rounds: u32) {
    let candidate = |host: u8| Candidate {
        local: false,
        local_pref: 100,
        path_length: 3,
        origin: Origin::Igp,
        neighbor_as: host.into(),
        med: 0,
        external: true,
        metric: 0,
        current: false,
        router_id: host.into(),
        cluster_list_length: 0,
        address: IpAddr::from([10, 0, 0, host]),
    };
    let mut alive = Vec::new();
    for count in [2, 4, 8] {
        let candidates: Vec<_> = (1..=count).map(candidate).collect();
        let each = time(rounds, || {
            black_box(select(black_box(&candidates), &mut alive, |_, _| {}));
        });
        println!("decision among {count}, tied up to the router id: {each:.1} ns");
    }
    let (a, b) = (candidate(1), candidate(2));
    let each = time(rounds, || {
        black_box(first_of_two(black_box(&a), black_box(&b)));
    });
    println!("decision between two, without working space: {each:.1} ns");
}

fn time(rounds: u32, mut body: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..rounds {
        body();
    }
    start.elapsed().as_nanos() as f64 / f64::from(rounds)
}

fn run_load(load: &Load) {
    let streams: Vec<_> = (0..load.feeders).map(|feeder| announcements(load, feeder)).collect();
    let withdrawals = vec![withdrawals(load); load.feeders as usize];
    let sink = PeerId(load.feeders);
    let paths = load.prefixes as usize * load.feeders as usize;
    let base = counting::live();
    counting::peak();

    let mut rib =
        Rib::new(RibConfig { asn: 65000, router_id: Ipv4Addr::new(10, 0, 0, 254), max_paths: 1, label: 1 });
    let all = Rule { source: Some(Source::Any), ..Rule::new(Action::Accept) };
    rib.peer_up(sink, peer(load.feeders, Policy::new(vec![all], Action::Reject)));
    for feeder in 0..load.feeders {
        rib.peer_up(PeerId(feeder), peer(feeder, Policy::none()));
    }
    let announce = drive(&mut rib, &streams, sink);
    let held = counting::live() - base;
    let peak = counting::peak() - base;
    let totals = rib.totals();
    assert_eq!(totals.paths[0], paths);
    assert_eq!(rib.counters(sink, Family::Ipv4).unwrap().advertised, load.prefixes);
    println!("{}:", load.name);
    println!(
        "  memory: {:.1} MiB held, {:.1} at the peak; {:.1} octets per path; {} attribute sets",
        mib(held),
        mib(peak),
        held as f64 / paths as f64,
        totals.attribute_sets
    );
    announce.print("announce", paths);

    let withdraw = drive(&mut rib, &withdrawals, sink);
    withdraw.print("withdraw", paths);
    println!("  memory after it: {:.1} KiB", (counting::live() - base) as f64 / 1024.0);

    drive(&mut rib, &streams, sink);
    let mut longest = Duration::ZERO;
    let start = Instant::now();
    rib.peer_down(PeerId(0));
    let mut more = true;
    while more {
        let slice = Instant::now();
        more = rib.work(1);
        longest = longest.max(slice.elapsed());
    }
    println!(
        "  a feeder lost: {:.0} ms for {} paths; longest slice {:.0} µs",
        start.elapsed().as_secs_f64() * 1e3,
        load.prefixes,
        longest.as_secs_f64() * 1e6
    );
}

/// Time spent, and octets sent.
#[derive(Default)]
struct Spent {
    decode: Duration,
    update: Duration,
    pack: Duration,
    octets: usize,
}

impl Spent {
    fn print(&self, what: &str, paths: usize) {
        let per_path = |time: Duration| time.as_nanos() as f64 / paths as f64;
        println!(
            "  {what}: per path received decode {:.0} ns, RIB {:.0} ns, pack {:.0} ns; {:.3} s in all, {:.1} MB sent",
            per_path(self.decode),
            per_path(self.update),
            per_path(self.pack),
            (self.decode + self.update + self.pack).as_secs_f64(),
            self.octets as f64 / 1e6
        );
    }
}

/// Feeds the streams in turn, 64 KiB at a time, and lets the sink read in between.
fn drive(rib: &mut Rib, streams: &[Vec<u8>], sink: PeerId) -> Spent {
    let mut spent = Spent::default();
    let mut at = vec![0; streams.len()];
    let mut out = BytesMut::with_capacity(1 << 17);
    let mut messages: Vec<&[u8]> = Vec::new();
    loop {
        let mut idle = true;
        for (feeder, (stream, at)) in (0..).zip(streams.iter().zip(&mut at)) {
            let end = (*at + 65536).min(stream.len());
            messages.clear();
            while *at < end {
                let length = frame(&stream[*at..], MAX_MESSAGE_LEN).unwrap().unwrap();
                messages.push(&stream[*at..*at + length]);
                *at += length;
                idle = false;
            }
            let start = Instant::now();
            for message in &messages {
                black_box(Message::decode(message, &SESSION).is_ok());
            }
            let decode = start.elapsed();
            for message in &messages {
                if let Ok(Message::Update(update)) = Message::decode(message, &SESSION) {
                    rib.update(PeerId(feeder), update);
                }
            }
            // Every feeder is on a connected network.
            while let Some((address, wanted)) = rib.next_watch_change() {
                if wanted {
                    rib.next_hop(address, Some(0));
                }
            }
            while rib.work(65536) {}
            spent.decode += decode;
            spent.update += start.elapsed().saturating_sub(decode * 2);
        }
        let start = Instant::now();
        out.clear();
        let more = rib.pack(sink, &SESSION, &mut out, 65536);
        spent.octets += out.len();
        spent.pack += start.elapsed();
        if idle && !more {
            return spent;
        }
    }
}

fn peer(number: u32, export: Policy) -> PeerRib {
    let address = Ipv4Addr::from(0x0a00_0001 + number);
    PeerRib {
        external: true,
        asn: 65001 + number,
        local_asn: 65000,
        router_id: address,
        address: address.into(),
        families: FamilySet { ipv4: true, ipv6: false },
        next_hop_self: NextHopSelf { ipv4: Some(NextHop::V4(Ipv4Addr::new(10, 0, 0, 254))), ipv6: None },
        scope: None,
        import: Arc::new(Policy::all()),
        export: Arc::new(export),
        allow_own_as: 0,
        install: false,
        max_prefixes_out: None,
    }
}

fn prefix(load: &Load, number: u32) -> Ipv4Net {
    let address = 0x1000_0000 + (number << (32 - load.length));
    Ipv4Net::new(address.into(), load.length).unwrap()
}

fn announcements(load: &Load, feeder: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let writer = UpdateWriter::new(&SESSION);
    let next_hop = NextHop::V4((0x0a00_0001 + feeder).into());
    let context =
        EncodeContext { four_octet_as: true, external: true, prepend: Some(65001 + feeder), send_med: false };
    let all: Vec<Ipv4Net> = (0..load.prefixes).map(|number| prefix(load, number)).collect();
    let bundle = if load.per_update == 0 { all.len() } else { load.per_update };
    for (number, prefixes) in (0u32..).zip(all.chunks(bundle)) {
        // Paths of one bundle differ between feeders, in length and content.
        let random = (number ^ (feeder << 24)).wrapping_mul(2_654_435_761);
        let hops = 2 + (random >> 8) % 4;
        let path: Vec<u32> = (0..hops).map(|hop| 1000 + random.rotate_left(hop * 7) % 60000).collect();
        let mut attributes = Attributes::new(Origin::Igp, AsPath::from_sequence(&path), next_hop);
        attributes.set_communities(vec![Community::new(65001, (number % 1000) as u16), Community(number)]);
        let block = attributes.encode(&context);
        let mut prefixes = prefixes.iter().copied().peekable();
        while prefixes.peek().is_some() {
            writer.announce_v4(&mut out, &block, next_hop, &mut prefixes).unwrap();
        }
    }
    out
}

fn withdrawals(load: &Load) -> Vec<u8> {
    let mut out = Vec::new();
    let mut prefixes = (0..load.prefixes).map(|number| prefix(load, number)).peekable();
    while prefixes.peek().is_some() {
        UpdateWriter::new(&SESSION).withdraw_v4(&mut out, &mut prefixes);
    }
    out
}

fn mib(octets: usize) -> f64 {
    octets as f64 / f64::from(1 << 20)
}

//! How long nftables takes through the engine: one element, a chain's rules, ten thousand elements and their dump.
//!
//! Works in a network namespace of its own; needs root. `cargo bench -p petiole-fib --bench nft`.

use std::{
    sync::mpsc::{self, Receiver},
    time::{Duration, Instant},
};

use petiole_fib::{
    kernel::{Handle, spawn},
    model::{
        Chain, ChainType, Command, Concern, Condition, Data, ElementKey, Elements, Event, Expr, Field, Hook,
        HookPoint, NftFamily, Ns, Object, Op, Rule, Set, SetKind, TableItem, TableRef, Verdict,
    },
    owner::Owner,
};

const MANY: u32 = 10_000;
const ROUNDS: usize = 1000;

struct Engine {
    handle: Handle,
    events: Receiver<Event>,
}

fn main() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root to make a network namespace");
        return;
    }
    #[allow(deprecated, reason = "its replacement is unsafe for flags that are not used here")]
    rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNET).expect("a network namespace");
    let (sender, events) = mpsc::channel();
    let handle = spawn(Owner::default(), move |event| drop(sender.send(event))).expect("the engine");
    let engine = Engine { handle, events };
    engine.dump();

    let kinds: [(&str, &[Field], bool, SetKind); 4] = [
        ("addresses (hash)", &[Field::Ip4Source], false, SetKind::Set),
        (
            "published ports (hash, map)",
            &[Field::Ip4Destination, Field::L4Proto, Field::DestinationPort],
            false,
            SetKind::Destinations4,
        ),
        ("prefixes to verdicts (tree)", &[Field::Ip4Source], true, SetKind::Verdicts),
        ("two prefixes (pipapo)", &[Field::Ip4Source, Field::Ip4Destination], true, SetKind::Set),
    ];
    println!(
        "{:<28} {:>14} {:>14} {:>14} {:>14} {:>14}",
        "", "first: p50 µs", "10k: load ms", "then: p50 µs", "p99 µs", "dump ms"
    );
    for (name, key, interval, kind) in kinds {
        engine.must(vec![Op::Create(Object::Table(table()))]);
        let set = Set {
            key: key.to_vec(),
            elements: if interval { Elements::Ranges } else { Elements::Values },
            kind,
            counted: false,
        };
        engine.must(vec![Op::Create(Object::Set(item("s"), set.clone()))]);
        let few = engine.one_by_one(&set);
        let load: Vec<_> = (0..MANY).map(|n| Op::Create(element(&set, n))).collect();
        let load = engine.must(load);
        let many = engine.one_by_one(&set);
        let dump = engine.dump();
        println!(
            "{name:<28} {:>14.1} {:>14.1} {:>14.1} {:>14.1} {:>14.1}",
            few.0,
            ms(load),
            many.0,
            many.1,
            ms(dump)
        );
        engine.must(vec![Op::Delete(petiole_fib::model::Key::Table(table()))]);
    }

    let hook = Hook { kind: ChainType::Filter, point: HookPoint::Forward, priority: 0 };
    engine.must(vec![Op::Create(Object::Table(table()))]);
    let chain = |n: u8| {
        let source = Condition::Equal(Field::Ip4Source, vec![10, 0, 0, n]);
        let rules = vec![Rule(vec![Expr::Match(source), Expr::Verdict(Verdict::Drop)])];
        Object::Chain(item("forward"), Chain { hook: Some(hook), rules })
    };
    engine.must(vec![Op::Create(chain(0))]);
    let mut times: Vec<_> = (0..ROUNDS).map(|n| engine.must(vec![Op::Change(chain(n as u8))])).collect();
    println!(
        "\na chain of one rule changed: p50 {:.1} µs, p99 {:.1} µs",
        us(&mut times, 50),
        us(&mut times, 99)
    );
}

impl Engine {
    fn must(&self, ops: Vec<Op>) -> Duration {
        let start = Instant::now();
        self.handle.send(Command::Apply { batch: 0, ops }).expect("the engine");
        loop {
            if let Event::Applied { results, .. } = self.events.recv().expect("an answer") {
                let took = start.elapsed();
                for (key, result) in results {
                    assert!(result.is_ok(), "{key:?}: {result:?}");
                }
                return took;
            }
        }
    }

    fn dump(&self) -> Duration {
        let start = Instant::now();
        self.handle.send(Command::Dump(Ns::HOST, Concern::Nft)).expect("the engine");
        while !matches!(self.events.recv().expect("an answer"), Event::Dump { last: true, .. }) {}
        start.elapsed()
    }

    /// Adds one element at a time, each in a transaction of its own, and takes it away again.
    fn one_by_one(&self, set: &Set) -> (f64, f64) {
        let mut times = Vec::new();
        for n in 0..ROUNDS as u32 {
            let one = element(set, MANY + n);
            times.push(self.must(vec![Op::Create(one.clone())]));
            self.must(vec![Op::Delete(one.key())]);
        }
        (us(&mut times, 50), us(&mut times, 99))
    }
}

fn table() -> TableRef {
    TableRef { family: NftFamily::Inet, name: Owner::NFT_TABLE.into() }
}

fn item(name: &str) -> TableItem {
    TableItem { table: table(), name: name.into() }
}

fn element(set: &Set, n: u32) -> Object {
    let [_, b, c, d] = n.to_be_bytes();
    let mut first = Vec::new();
    let mut last = Vec::new();
    for field in &set.key {
        match field.octets() {
            4 if set.elements.have_last() => {
                first.extend([10 + b, c, d, 0]);
                last.extend([10 + b, c, d, 255]);
            }
            4 => first.extend([10, b, c, d]),
            2 => first.extend([c, d]),
            _ => first.push(6),
        }
    }
    let data = match set.kind {
        SetKind::Set => None,
        SetKind::Verdicts => Some(Data::Verdict(Verdict::Drop)),
        SetKind::Numbers(count) => Some(Data::Numbers(vec![[0; 4]; usize::from(count)].into())),
        SetKind::Destinations4 | SetKind::Destinations6 => Some(Data::Destination([10, b, c, d].into(), 80)),
    };
    let last = set.elements.have_last().then(|| last.into());
    Object::Element(item("s"), ElementKey { first: first.into(), last }, data)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn us(times: &mut [Duration], percent: usize) -> f64 {
    times.sort_unstable();
    times[times.len() * percent / 100].as_secs_f64() * 1e6
}

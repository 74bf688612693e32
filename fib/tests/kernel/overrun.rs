//! Lost news.

use std::sync::{Arc, Condvar, Mutex, mpsc};

use petiole_fib::{
    kernel::{Options, spawn_with},
    model::{Command, Concern, Event, Ns, Op},
    owner::Owner,
};

use crate::{
    lab::{bridge_batch, by, ip, ip_batch, private, run_until_done, uplink},
    nft::nft,
};

#[test]
fn a_full_buffer_is_told_and_foreign_routes_are_known_again_afterwards() {
    private(|| {
        uplink("eth1", "50.1.1.1/24");
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let (sender, events) = mpsc::channel();
        let handle = spawn_with(Owner::default(), Options { receive_buffer: 1 }, {
            let gate = gate.clone();
            move |event| {
                // the thread is held up at its first answer until the flood is over
                let (open, opened) = &*gate;
                drop(opened.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
                drop(sender.send(event));
            }
        })
        .unwrap();
        handle.send(Command::Apply { batch: 1, ops: vec![] }).unwrap();
        let line = |n| format!("route add 10.9.{}.{} via 50.1.1.9 metric 52 proto static", n >> 8, n & 255);
        ip_batch(&(0..2000).map(line).collect::<Vec<_>>().join("\n"));
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
        let overrun = |event: &Event| matches!(event, Event::Overrun(Concern::Routes));
        while !overrun(&events.recv_timeout(std::time::Duration::from_secs(20)).unwrap()) {}

        let change = Op::Change(by("10.9.7.100/32", "eth1", "50.1.1.2"));
        handle.send(Command::Apply { batch: 2, ops: vec![change] }).unwrap();
        let results = loop {
            let event = events.recv_timeout(std::time::Duration::from_secs(20)).unwrap();
            if let Event::Applied { batch: 2, results } = event {
                break results;
            }
        };
        assert_eq!(results[0].1.as_ref().unwrap_err().errno.0, libc::EEXIST);
        handle.stop().unwrap();
    });
}

#[test]
fn lost_news_of_forwarding_entries_is_told_and_learned_ones_cannot_fill_the_buffer() {
    private(|| {
        ip("link add br0 up type bridge");
        uplink("eth1", "50.1.1.1/24");
        ip("link set eth1 master br0");
        // not before the port forwards
        run_until_done("bridge fdb add 02:00:00:00:ff:ff dev eth1 master dynamic");
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let (sender, events) = mpsc::channel();
        let handle = spawn_with(Owner::default(), Options { receive_buffer: 1 }, {
            let gate = gate.clone();
            move |event| {
                let (open, opened) = &*gate;
                drop(opened.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
                drop(sender.send(event));
            }
        })
        .unwrap();
        let open = |how: bool| {
            *gate.0.lock().unwrap() = how;
            gate.1.notify_all();
        };
        let flood = |kind: &str| {
            let line =
                |n| format!("fdb add 02:00:00:00:{:02x}:{:02x} dev eth1 master {kind}", n >> 8, n & 255);
            bridge_batch(&(0..2000).map(line).collect::<Vec<_>>().join("\n"));
        };
        // told up to the answer to a command given now
        let mut batch = 0;
        let mut lost = || {
            batch += 1;
            let mut lost = false;
            handle.send(Command::Apply { batch, ops: vec![] }).unwrap();
            loop {
                match events.recv_timeout(std::time::Duration::from_secs(20)).unwrap() {
                    Event::Applied { batch: of, .. } if of == batch => return lost,
                    Event::Overrun(Concern::Fdb) => lost = true,
                    _ => {}
                }
            }
        };
        open(true);
        lost();
        open(false);
        handle.send(Command::Apply { batch: 0, ops: vec![] }).unwrap();
        flood("dynamic");
        open(true);
        assert!(!lost(), "learned entries are dropped before they take up room");
        ip("link set eth1 nomaster");
        ip("link set eth1 master br0");
        lost();
        open(false);
        handle.send(Command::Apply { batch: 0, ops: vec![] }).unwrap();
        flood("static");
        open(true);
        assert!(lost());
        handle.stop().unwrap();
    });
}

#[test]
fn more_transactions_of_others_than_the_buffer_holds_are_an_overrun() {
    private(|| {
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let (sender, events) = mpsc::channel();
        let (arrived, arrival) = mpsc::channel();
        let handle = spawn_with(Owner::default(), Options { receive_buffer: 1 }, {
            let gate = gate.clone();
            move |event| {
                let _ = arrived.send(());
                let (open, opened) = &*gate;
                drop(opened.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
                drop(sender.send(event));
            }
        })
        .unwrap();
        // With its first use nftables is listened to; the thread is held up at the answer.
        handle.send(Command::Dump(Ns::HOST, Concern::Nft)).unwrap();
        arrival.recv().unwrap();
        nft("add table inet others; add set inet others s { type ipv4_addr; }");
        let elements: Vec<_> = (0..2000).map(|n| format!("10.9.{}.{}", n >> 8, n & 255)).collect();
        nft(&format!("add element inet others s {{ {} }}", elements.join(", ")));
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
        let overrun = |event: &Event| matches!(event, Event::Overrun(Concern::Nft));
        while !overrun(&events.recv_timeout(std::time::Duration::from_secs(20)).unwrap()) {}
        handle.stop().unwrap();
    });
}

//! Packets through the limits, in both directions: how many pass, what becomes of the others.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use petiole_fib::model::{Ns, Object, Op, Qdisc, TokenBucket};

use crate::{
    bridges::veth,
    lab::{Lab, addr, lab, name, net},
    tc::{SLOW, limits, tc},
    traffic::inside,
};

/// What a datagram has around it: Ethernet, IPv4 and UDP headers.
const HEADERS: u64 = 14 + 20 + 8;
const PAYLOAD: usize = 1400;
const FRAME: u64 = PAYLOAD as u64 + HEADERS;
/// More than burst and queue together, and less than the queue of a CPU takes.
const DATAGRAMS: u64 = 120;

/// Which way, and the link whose bucket it passes.
const WAYS: [(bool, &str); 2] = [(true, "pt-web"), (false, "pi-web")];

/// The host has 10.0.0.1, the container behind `pt-web` 10.0.0.2.
fn wired(body: impl FnOnce(&Lab) + Send + 'static) {
    lab(|lab| {
        let web = lab.namespace(1, "web");
        let (inside, outside) = veth(web, "eth0", "pt-web");
        lab.must(vec![
            Op::Create(inside),
            Op::Change(outside),
            Op::Create(Object::Address(Ns::HOST, name("pt-web"), net("10.0.0.1/24"))),
            Op::Create(Object::Address(web, name("eth0"), net("10.0.0.2/24"))),
        ]);
        body(lab);
    });
}

fn at(into: bool, port: u16) -> SocketAddr {
    SocketAddr::new(addr(if into { "10.0.0.2" } else { "10.0.0.1" }), port)
}

/// Does something on the container's side, or on the host's.
fn on<T: Send + 'static>(container: bool, body: impl FnOnce() -> T + Send + 'static) -> T {
    if container { inside("web", body).join().unwrap() } else { body() }
}

/// Octets sent, packets dropped and octets waiting at a link's bucket.
fn figures(link: &str) -> [u64; 3] {
    let all = tc(&format!("-s qdisc show dev {link}"));
    let bucket = all.iter().find(|seen| seen["kind"] == "tbf").unwrap();
    ["bytes", "drops", "backlog"].map(|what| bucket[what].as_u64().unwrap())
}

/// Sends so many datagrams at once, of which the last ones may be lost. How many arrived, and how long it took to send
/// them.
fn flood(into: bool, datagrams: u64, drained: impl Fn() -> bool) -> (u64, Duration) {
    let to = at(into, 0);
    let receiver = on(into, move || UdpSocket::bind(to).unwrap());
    rustix::net::sockopt::set_socket_recv_buffer_size_force(&receiver, 1 << 20).unwrap();
    let from = at(!into, 0);
    let sender = on(!into, move || UdpSocket::bind(from).unwrap());
    sender.connect(receiver.local_addr().unwrap()).unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut buffer = [0; 2 * PAYLOAD];
    // Ethernet addresses are found first.
    sender.send(b"hello").unwrap();
    assert_eq!(receiver.recv(&mut buffer).unwrap(), 5);
    let start = Instant::now();
    for _ in 0..datagrams {
        sender.send(&[0; PAYLOAD]).unwrap();
    }
    let elapsed = start.elapsed();
    while !drained() {
        std::thread::yield_now();
    }
    receiver.set_nonblocking(true).unwrap();
    let mut arrived = 0;
    while receiver.recv(&mut buffer).is_ok() {
        arrived += 1;
    }
    (arrived, elapsed)
}

#[test]
fn a_burst_passes_some_frames_wait_and_the_rest_is_dropped_in_both_directions() {
    wired(|lab| {
        lab.must(limits(SLOW).into_iter().map(Op::Create).collect());
        for (into, link) in WAYS {
            let bucket = TokenBucket::new(SLOW, 80 << 10, 1450);
            let before = figures(link);
            let (arrived, elapsed) = flood(into, DATAGRAMS, || figures(link)[2] == 0);
            let [sent, drops, _] = figures(link);
            let at_once = bucket.burst_octets() + u64::from(bucket.queue);
            // ARP and the first datagram pass too; a queue has no room for half a frame.
            let least = (at_once - 3 * FRAME) / FRAME;
            let most = (at_once + SLOW * elapsed.as_millis() as u64 / 1000) / FRAME + 1;
            assert!((least..=most).contains(&arrived), "{link}: {arrived}, not {least} to {most}");
            assert_eq!(drops - before[1], DATAGRAMS - arrived, "{link}");
            assert!((sent - before[0]).abs_diff(arrived * FRAME) < FRAME, "{link}");
        }
    });
}

#[test]
fn another_limit_holds_at_once_and_without_one_everything_passes() {
    wired(|lab| {
        lab.must(limits(SLOW).into_iter().map(Op::Create).collect());
        // Enough for all.
        let change = limits(100 * SLOW).into_iter().filter(|object| matches!(object, Object::Qdisc(..)));
        let large = change.map(|object| {
            let Object::Qdisc(link, _) = object else { unreachable!() };
            Object::Qdisc(link, Qdisc::Bucket(TokenBucket::new(SLOW, 300_000, 1450)))
        });
        lab.must(large.map(Op::Change).collect());
        for (into, link) in WAYS {
            assert_eq!(flood(into, DATAGRAMS, || figures(link)[2] == 0).0, DATAGRAMS);
        }
        lab.must(limits(SLOW).iter().rev().map(|object| Op::Delete(object.key())).collect());
        for (into, _) in WAYS {
            assert_eq!(flood(into, DATAGRAMS, || true).0, DATAGRAMS);
        }
    });
}

#[test]
fn a_stream_of_large_packets_gets_through_at_the_rate() {
    const OCTETS: usize = 160_000;
    wired(|lab| {
        lab.must(limits(SLOW).into_iter().map(Op::Create).collect());
        for (into, link) in WAYS {
            let to = at(into, 8080);
            let listener = on(into, move || TcpListener::bind(to).unwrap());
            let mut ours = on(!into, move || TcpStream::connect(to).unwrap());
            let (mut theirs, _) = listener.accept().unwrap();
            let start = Instant::now();
            let sending = std::thread::spawn(move || {
                ours.write_all(&vec![7; OCTETS]).unwrap();
            });
            let mut heard = Vec::new();
            theirs.read_to_end(&mut heard).unwrap();
            let elapsed = start.elapsed();
            sending.join().unwrap();
            assert_eq!(heard.len(), OCTETS, "{link}");
            let least = Duration::from_millis((OCTETS as u64 - (80 << 10)) * 1000 / SLOW);
            assert!((least..least * 3).contains(&elapsed), "{link}: {elapsed:?}, at least {least:?}");
        }
    });
}

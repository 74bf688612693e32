//! Packets and connections: what the nftables objects do to them, and that connections are forgotten.

use std::{
    fs::File,
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd,
    thread::JoinHandle,
};

use petiole_fib::model::{
    Chain, ChainType, Command, Condition, Data, ElementKey, Elements, Expr, Field, Hook, HookPoint,
    NftFamily, Ns, Object, Op, Operand, Rule, Set, SetKind, TableItem, TableRef, Verdict,
};

use crate::{
    lab::{Lab, addr, ip, lab},
    nft::nft,
};

const FAMILIES: [bool; 2] = [false, true];

fn address(network: u8, host: u8, v6: bool) -> IpAddr {
    addr(&if v6 { format!("2001:db8:{network}::{host}") } else { format!("10.{network}.0.{host}") })
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

/// Runs `body` on a thread of its own in a namespace.
pub(crate) fn inside<T: Send + 'static>(
    ns: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let file = File::open(format!("/run/netns/{ns}")).unwrap();
    std::thread::spawn(move || {
        use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        body()
    })
}

fn item(name: &str) -> TableItem {
    TableItem { table: TableRef { family: NftFamily::Inet, name: "petiole".into() }, name: name.into() }
}

fn base(name: &str, kind: ChainType, point: HookPoint, priority: i32, rules: Vec<Vec<Expr>>) -> Object {
    let rules = rules.into_iter().map(Rule).collect();
    Object::Chain(item(name), Chain { hook: Some(Hook { kind, point, priority }), rules })
}

/// Makes this a host between two containers: `client` has .2 of the first network, `server` that of the second.
pub(crate) fn host(lab: &Lab) {
    for (number, name, network) in [(1, "client", 1u8), (2, "server", 2)] {
        lab.namespace(number, name);
        ip(&format!("link add v{name} type veth peer name eth0 netns {name}"));
        ip(&format!("link set v{name} up"));
        ip(&format!("-n {name} link set lo up"));
        ip(&format!("-n {name} link set eth0 up"));
        for (v6, bits) in [(false, 24), (true, 64)] {
            let nodad = if v6 { "nodad" } else { "" };
            let (host, guest) = (address(network, 1, v6), address(network, 2, v6));
            ip(&format!("addr add {host}/{bits} dev v{name} {nodad}"));
            ip(&format!("-n {name} addr add {guest}/{bits} dev eth0 {nodad}"));
            ip(&format!("-n {name} route add default via {host}"));
        }
    }
    for name in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
        lab.must(vec![Op::Change(Object::Sysctl(Ns::HOST, name.into(), "1".into()))]);
    }
    let maps = FAMILIES.map(|v6| {
        let kind = if v6 { SetKind::Destinations6 } else { SetKind::Destinations4 };
        let set = Set { key: key(v6), elements: Elements::Values, kind, counted: false };
        Object::Set(item(map(v6)), set)
    });
    let destination = |v6| {
        vec![Expr::DestinationMap {
            key: key(v6).into_iter().map(Operand::Field).collect(),
            map: map(v6).into(),
            ipv6: v6,
        }]
    };
    let mut ops = vec![Object::Table(item("").table)];
    ops.extend(maps);
    for (name, point) in [("pre", HookPoint::Prerouting), ("out", HookPoint::Output)] {
        ops.push(base(name, ChainType::Nat, point, -100, FAMILIES.map(destination).to_vec()));
    }
    for v6 in FAMILIES {
        let octets = [&octets(address(1, 1, v6))[..], &[6, 0, 80]].concat();
        let published = ElementKey { first: octets.into(), last: None };
        let to = Data::Destination(address(2, 2, v6), 8080);
        ops.push(Object::Element(item(map(v6)), published, Some(to)));
    }
    lab.must(ops.into_iter().map(Op::Create).collect());
}

/// A connection of the client's to the port published on the host; what the server takes for its source.
fn connect(v6: bool) -> (TcpStream, TcpStream, IpAddr) {
    let at = SocketAddr::new(address(2, 2, v6), 8080);
    let listener = inside("server", move || TcpListener::bind(at).unwrap()).join().unwrap();
    let to = SocketAddr::new(address(1, 1, v6), 80);
    let mut ours = inside("client", move || TcpStream::connect(to).unwrap()).join().unwrap();
    let (mut theirs, from) = listener.accept().unwrap();
    ours.write_all(b"ping").unwrap();
    let mut heard = [0; 4];
    theirs.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"ping");
    (ours, theirs, from.ip())
}

fn map(v6: bool) -> &'static str {
    if v6 { "publish6" } else { "publish4" }
}

fn key(v6: bool) -> Vec<Field> {
    let address = if v6 { Field::Ip6Destination } else { Field::Ip4Destination };
    vec![address, Field::L4Proto, Field::DestinationPort]
}

/// The tracked connections of this namespace that the address is part of.
fn tracked(address: IpAddr) -> usize {
    let text = std::fs::read_to_string("/proc/thread-self/net/nf_conntrack").unwrap();
    let written = match address {
        IpAddr::V4(a) => a.to_string(),
        // without abbreviation
        IpAddr::V6(a) => a.segments().map(|s| format!("{s:04x}")).join(":"),
    };
    text.lines()
        .filter(|line| {
            line.split_whitespace()
                .any(|word| word == format!("src={written}") || word == format!("dst={written}"))
        })
        .count()
}

#[test]
fn a_published_port_leads_to_the_container_with_its_own_source_or_the_hosts() {
    lab(|lab| {
        host(lab);
        for v6 in FAMILIES {
            assert_eq!(connect(v6).2, address(1, 2, v6));
        }
        let translated = Expr::Match(Condition::AnyBit(Field::CtStatus, 0x20));
        let masquerade = vec![vec![translated, Expr::Masquerade]];
        let post = base("post", ChainType::Nat, HookPoint::Postrouting, 100, masquerade);
        lab.must(vec![Op::Create(post)]);
        for v6 in FAMILIES {
            assert_eq!(connect(v6).2, address(2, 1, v6));
        }
    });
}

#[test]
fn what_one_tenant_sends_to_another_ends_in_its_chain() {
    lab(|lab| {
        host(lab);
        let mut ops = Vec::new();
        let mut dispatch = Vec::new();
        for v6 in FAMILIES {
            let (source, destination, n) = if v6 {
                (Field::Ip6Source, Field::Ip6Destination, 6)
            } else {
                (Field::Ip4Source, Field::Ip4Destination, 4)
            };
            let range = |network, v6| {
                let first = octets(address(network, 0, v6));
                let mut last = first.clone();
                *last.last_mut().unwrap() = 0xff;
                ElementKey { first: first.into(), last: Some(last.into()) }
            };
            let set = |key, kind| Set { key: vec![key], elements: Elements::Ranges, kind, counted: false };
            let (sources, others) = (format!("sources{n}"), format!("others{n}"));
            ops.push(Object::Set(item(&sources), set(source, SetKind::Verdicts)));
            ops.push(Object::Set(item(&others), set(destination, SetKind::Set)));
            let is_other = Condition::In(vec![destination.into()], others.as_str().into());
            let rules = vec![Rule(vec![Expr::Match(is_other), Expr::Counter, Expr::Verdict(Verdict::Drop)])];
            ops.push(Object::Chain(item(&format!("blue{n}")), Chain { hook: None, rules }));
            let to_chain = Data::Verdict(Verdict::Jump(format!("blue{n}").into()));
            ops.push(Object::Element(item(&sources), range(1, v6), Some(to_chain)));
            ops.push(Object::Element(item(&others), range(2, v6), None));
            dispatch.push(vec![Expr::VerdictMap { key: vec![source.into()], map: sources.as_str().into() }]);
        }
        ops.push(base("forward", ChainType::Filter, HookPoint::Forward, 0, dispatch));
        lab.must(ops.into_iter().map(Op::Create).collect());
        for (v6, chain) in [(false, "blue4"), (true, "blue6")] {
            let (from, to) = (address(1, 2, v6), address(2, 2, v6));
            let sender = inside("client", move || {
                UdpSocket::bind((from, 0)).unwrap().send_to(b"x", (to, 9)).unwrap();
            });
            sender.join().unwrap();
            let dropped = || nft(&format!("list chain inet petiole {chain}")).contains("counter packets 1 ");
            while !dropped() {
                std::thread::yield_now();
            }
        }
    });
}

#[test]
fn connections_of_an_address_are_forgotten_from_whichever_side_and_no_others() {
    lab(|lab| {
        host(lab);
        // A late acknowledgement does not bring a forgotten connection back.
        let loose = Object::Sysctl(Ns::HOST, "net/netfilter/nf_conntrack_tcp_loose".into(), "0".into());
        lab.must(vec![Op::Change(loose)]);
        for v6 in FAMILIES {
            let by = UdpSocket::bind((address(1, 1, v6), 0)).unwrap();
            // The client's own address, the container's behind the published port, the host's as the client sees it.
            for (network, host) in [(1, 2), (2, 2), (1, 1)] {
                let _kept = connect(v6);
                by.send_to(b"x", (address(2, 1, v6), 9)).unwrap();
                let meant = address(network, host, v6);
                assert!(tracked(meant) > 0);
                let other = tracked(address(2, 1, v6));
                assert!(other > 0);
                lab.send(Command::FlushConnections(vec![addr("10.9.9.9"), meant]));
                while tracked(meant) > 0 {
                    std::thread::yield_now();
                }
                if (network, host) != (1, 1) {
                    assert_eq!(tracked(address(2, 1, v6)), other, "{meant}");
                }
            }
        }
    });
}

#[test]
fn of_thousands_of_connections_those_of_the_address_go_before_somebody_else_gets_it_and_no_others() {
    lab(|lab| {
        host(lab);
        let from = UdpSocket::bind((address(1, 1, false), 0)).unwrap();
        for n in 0..2000u16 {
            let to = if n % 2 == 0 { address(2, 2, false) } else { address(1, 2, false) };
            from.send_to(b"x", (to, 1000 + n)).unwrap();
        }
        assert_eq!((tracked(address(2, 2, false)), tracked(address(1, 2, false))), (1000, 1000));
        lab.send(Command::FlushConnections(vec![address(2, 2, false)]));
        let next = Object::Address(Ns::HOST, crate::lab::name("lo"), address(2, 2, false).into());
        lab.must(vec![Op::Create(next)]);
        assert_eq!((tracked(address(2, 2, false)), tracked(address(1, 2, false))), (0, 1000));
    });
}

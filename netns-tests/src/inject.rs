//! Packets made by hand, sent out of a container, and which of them the host lets through.
//!
//! A foreign nftables table behind everybody else's notes every packet that has come that far, and ends it there. So
//! no packet is part of a connection, and each is judged by itself.

use std::{
    collections::BTreeSet,
    fs::File,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, OwnedFd},
    path::Path,
    process::Command,
    time::Duration,
};

use rustix::{
    net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket},
    thread::{CpuSet, LinkNameSpaceType, move_into_link_name_space, sched_setaffinity},
};

use crate::{LabError, holds, wait_until};

/// Behind all chains that judge.
const PRIORITY: i32 = 10;
const PATIENCE: Duration = Duration::from_secs(20);
/// The number of the packet that comes last.
const LAST: u16 = u16::MAX;
/// What that one is: UDP to the discard port.
const DISCARD: (u8, [u8; 2]) = (17, [0, 9]);

/// A packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// From; need not be the container's own.
    pub source: IpAddr,
    /// To; of the same family.
    pub destination: IpAddr,
    /// `IPPROTO_*`.
    pub protocol: u8,
    /// Destination port, or type and code of ICMP and ICMPv6.
    pub detail: [u8; 2],
}

/// Sends packets, and sees which pass.
#[derive(Debug)]
pub struct Injector {
    v4: OwnedFd,
    v6: OwnedFd,
    strangers: [[IpAddr; 2]; 2],
}

impl Injector {
    /// Of packets that come out of the network namespace at `from` and into the calling thread's by the link `by`.
    /// `strangers`: two addresses of each family that nobody judges, which the host has routes for. The calling thread
    /// stays on one processor from now on: what one sends stays in order.
    pub fn new(from: &Path, by: &str, strangers: [[IpAddr; 2]; 2]) -> Result<Self, LabError> {
        let mut processor = CpuSet::new();
        processor.set(0);
        sched_setaffinity(None, &processor).map_err(|e| failed("staying on a processor", e))?;
        nft("add table inet probe")?;
        nft("add set inet probe seen4 { typeof ip id; size 65535; flags dynamic; }")?;
        nft("add set inet probe seen6 { typeof ip6 flowlabel; size 65535; flags dynamic; }")?;
        nft(&format!("add chain inet probe c {{ type filter hook forward priority {PRIORITY}; }}"))?;
        for seen in [
            "meta nfproto ipv4 update @seen4 { ip id } drop",
            "meta nfproto ipv6 update @seen6 { ip6 flowlabel } drop",
        ] {
            nft(&format!("add rule inet probe c iifname {by} {seen}"))?;
        }
        let file = File::open(from).map_err(|e| failed(&from.display().to_string(), e))?;
        let open = move || -> std::io::Result<[OwnedFd; 2]> {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
            let raw = |family| socket(family, SocketType::RAW, Some(ipproto::RAW));
            Ok([raw(AddressFamily::INET)?, raw(AddressFamily::INET6)?])
        };
        let opened = std::thread::spawn(open).join();
        let opened = opened.unwrap_or_else(|_| Err(std::io::Error::other("the thread panicked")));
        let [v4, v6] = opened.map_err(|e| failed("opening raw sockets", e))?;
        Ok(Self { v4, v6, strangers })
    }

    /// Sends a packet under a number, from 1 to 65534.
    pub fn send(&self, number: u16, packet: &Packet) -> Result<(), LabError> {
        let [a, b] = number.to_be_bytes();
        let (header, socket) = match (packet.source, packet.destination) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let start = [0x45, 0, 0, 40, a, b, 0, 0, 64, packet.protocol, 0, 0];
                ([&start[..], &from.octets(), &to.octets()].concat(), &self.v4)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let start = [0x60, 0, a, b, 0, 20, packet.protocol, 64];
                ([&start[..], &from.octets(), &to.octets()].concat(), &self.v6)
            }
            _ => return Err(failed("a packet", std::io::Error::other("it is of two families"))),
        };
        let [c, d] = packet.detail;
        let mut transport = match packet.protocol {
            1 | 58 => vec![c, d, 0, 0],
            _ => vec![0x12, 0x34, c, d],
        };
        transport.resize(20, 0);
        let octets = [header, transport].concat();
        let to = SocketAddr::new(packet.destination, 0);
        sendto(socket, &octets, SendFlags::empty(), &to).map_err(|e| failed("sending", e))?;
        Ok(())
    }

    /// The numbers of the packets of a family that have passed since the last time.
    pub fn passed(&self, v6: bool) -> Result<BTreeSet<u16>, LabError> {
        let [source, destination] = self.strangers[usize::from(v6)];
        let (protocol, detail) = DISCARD;
        self.send(LAST, &Packet { source, destination, protocol, detail })?;
        let set = if v6 { "seen6" } else { "seen4" };
        let mut passed = BTreeSet::new();
        wait_until("the last packet", PATIENCE, || {
            let text = nft(&format!("list set inet probe {set}")).unwrap_or_default();
            passed = numbers(&text);
            holds(passed.remove(&LAST), text)
        })?;
        nft(&format!("flush set inet probe {set}"))?;
        Ok(passed)
    }
}

/// The elements of a listed set, decimal or hexadecimal.
fn numbers(text: &str) -> BTreeSet<u16> {
    let list = text.split_once("elements = {").map_or("", |(_, rest)| rest);
    let words = list.split(|c: char| !c.is_ascii_hexdigit() && c != 'x').filter(|word| !word.is_empty());
    words
        .filter_map(|word| match word.strip_prefix("0x") {
            Some(hex) => u16::from_str_radix(hex, 16).ok(),
            None => word.parse().ok(),
        })
        .collect()
}

fn nft(line: &str) -> Result<String, LabError> {
    let output = Command::new("nft").arg(line).output().map_err(|e| failed("starting nft", e))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(LabError::Command {
        place: "here".into(),
        command: format!("nft {line}"),
        status: output.status.to_string(),
        output: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

fn failed(what: &str, source: impl Into<std::io::Error>) -> LabError {
    LabError::System { what: what.to_owned(), source: source.into() }
}

//! Who holds a local port: a port that is published must not be taken away from a process of the host.
//!
//! Knows `/proc/net` and `/proc/PID/fd`. Must not know endpoints. A picture of the moment: processes and sockets may
//! be gone while it is taken, and that is no error.

use std::{
    fmt, fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
    path::Path,
};

use petiole_config::model::Protocol;

/// `TCP_LISTEN` in `net/tcp_states.h`.
const LISTEN: u8 = 10;

/// `TCP_CLOSE`: what an unconnected UDP socket shows as its state. A connected one is a client of somebody; packets
/// for a published port do not reach it.
const UNCONNECTED: u8 = 7;

/// Who holds a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// A process; the first that was found, if several share the socket.
    Process { pid: u32, name: String },
    /// No process that can be seen from here: the kernel itself (a tunnel device's UDP port, NFS), or a process of
    /// which `/proc` does not tell.
    Kernel,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { pid, name } => write!(f, "{name} (pid {pid})"),
            Self::Kernel => f.write_str("the kernel"),
        }
    }
}

/// Who, other than this process, holds one of the `ports` in this process's network namespace, so that packets to
/// `address` (`None`: any address of the host; unspecified: any of that family) would be its own: the lowest such
/// port. An error is one of reading `/proc`.
pub(crate) fn who_uses(
    protocol: Protocol,
    address: Option<IpAddr>,
    ports: RangeInclusive<u16>,
) -> io::Result<Option<(u16, Holder)>> {
    who_else_uses(protocol, address, ports, std::process::id())
}

/// The same in words, for whoever wanted the port. What cannot be read is not held against it.
pub(crate) fn taken(
    protocol: Protocol,
    address: Option<IpAddr>,
    ports: RangeInclusive<u16>,
) -> Option<String> {
    match who_uses(protocol, address, ports) {
        Ok(holder) => holder.map(|(port, holder)| format!("port {port}/{protocol} is used by {holder}")),
        Err(error) => {
            tracing::warn!(%error, "cannot see who uses which port");
            None
        }
    }
}

fn who_else_uses(
    protocol: Protocol,
    address: Option<IpAddr>,
    ports: RangeInclusive<u16>,
    own: u32,
) -> io::Result<Option<(u16, Holder)>> {
    let mut held: Vec<Bound> = Vec::new();
    for table in tables(protocol) {
        match fs::read_to_string(table) {
            Ok(text) => held.extend(text.lines().filter_map(|line| parse(protocol, line)).flatten()),
            // IPv6 is off, or SCTP is not loaded: nobody holds anything there.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    held.retain(|bound| ports.contains(&bound.port) && overlaps(bound.address, address));
    held.sort_unstable_by_key(|bound| bound.port);
    if held.is_empty() {
        return Ok(None);
    }
    let own = sockets(own);
    let Some(bound) = held.into_iter().find(|bound| !own.contains(&bound.inode)) else { return Ok(None) };
    Ok(Some((bound.port, holder(bound.inode)?)))
}

/// A socket that is bound to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bound {
    address: IpAddr,
    port: u16,
    /// 0 when the socket has none, as those of the kernel may.
    inode: u64,
}

fn tables(protocol: Protocol) -> &'static [&'static str] {
    match protocol {
        Protocol::Tcp => &["/proc/self/net/tcp", "/proc/self/net/tcp6"],
        Protocol::Udp => &["/proc/self/net/udp", "/proc/self/net/udp6"],
        Protocol::Sctp => &["/proc/self/net/sctp/eps"],
    }
}

/// A line of a table; nothing for the heading and for sockets in other states. An SCTP endpoint has several addresses.
fn parse(protocol: Protocol, line: &str) -> Option<Vec<Bound>> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let state = match protocol {
        Protocol::Tcp => LISTEN,
        Protocol::Udp => UNCONNECTED,
        Protocol::Sctp => return parse_sctp(&fields),
    };
    // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode … (proc_pid_net(5))
    let (address, port) = fields.get(1)?.split_once(':')?;
    if u8::from_str_radix(fields.get(3)?, 16).ok()? != state {
        return None;
    }
    let bound = Bound {
        address: parse_address(address)?,
        port: u16::from_str_radix(port, 16).ok()?,
        inode: fields.get(9)?.parse().ok()?,
    };
    Some(vec![bound])
}

/// ENDPT SOCK STY SST HBKT LPORT UID INODE LADDRS (`net/sctp/proc.c`).
fn parse_sctp(fields: &[&str]) -> Option<Vec<Bound>> {
    let port = fields.get(5)?.parse().ok()?;
    let inode = fields.get(7)?.parse().ok()?;
    let addresses = fields.get(8..)?.iter().filter_map(|a| a.parse().ok());
    Some(addresses.map(|address| Bound { address, port, inode }).collect())
}

/// An address as hexadecimal words of 32 bits, each in the order of the machine.
fn parse_address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(text.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (n, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(n * 8)?);
            }
            Some(Ipv6Addr::from(bytes).to_canonical())
        }
        _ => None,
    }
}

/// Whether packets to `wanted` would reach a socket that is bound to `bound`.
fn overlaps(bound: IpAddr, wanted: Option<IpAddr>) -> bool {
    let Some(wanted) = wanted else { return true };
    if bound.is_ipv4() == wanted.is_ipv4() {
        bound == wanted || bound.is_unspecified() || wanted.is_unspecified()
    } else {
        // An IPv6 socket bound to :: takes IPv4 too, unless IPV6_V6ONLY is set, which `/proc` does not tell.
        bound == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    }
}

/// The first process that has the socket open.
fn holder(inode: u64) -> io::Result<Holder> {
    if inode != 0 {
        let processes =
            fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        for pid in processes {
            if sockets(pid).contains(&inode) {
                let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                return Ok(Holder::Process { pid, name: name.trim_end().to_owned() });
            }
        }
    }
    Ok(Holder::Kernel)
}

/// The inodes of a process's sockets; none of one that is gone or not ours to look at.
fn sockets(pid: u32) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    entries.filter_map(|entry| socket_inode(&fs::read_link(entry.ok()?.path()).ok()?)).collect()
}

/// `socket:[12345]`.
fn socket_inode(link: &Path) -> Option<u64> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;

    /// Nobody: so that this test's own sockets count as somebody else's.
    const NOBODY: u32 = 0;

    fn me() -> Holder {
        let name = fs::read_to_string("/proc/self/comm").unwrap();
        Holder::Process { pid: std::process::id(), name: name.trim_end().to_owned() }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_listening_tcp_socket_is_named_with_its_process_but_our_own_is_nobody() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ask = |own| who_else_uses(Protocol::Tcp, None, port..=port, own).unwrap();
        assert_eq!(ask(NOBODY), Some((port, me())));
        assert_eq!(ask(std::process::id()), None);
        assert_eq!(who_uses(Protocol::Tcp, None, port..=port).unwrap(), None);
        drop(listener);
        // A child that another test is starting has all descriptors until it runs its program.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while ask(NOBODY).is_some() {
            assert!(std::time::Instant::now() < deadline, "still held");
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_lowest_held_port_of_a_range_is_told() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let found = who_else_uses(Protocol::Udp, None, port.saturating_sub(1)..=port, NOBODY).unwrap();
        assert!(found.is_some_and(|(p, _)| p <= port));
        assert_eq!(who_else_uses(Protocol::Udp, None, port..=port, NOBODY).unwrap(), Some((port, me())));
    }

    #[test]
    fn the_port_of_a_client_is_not_held() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let port = client.local_addr().unwrap().port();
        assert_eq!(who_else_uses(Protocol::Tcp, None, port..=port, NOBODY).unwrap(), None);
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(server.local_addr().unwrap()).unwrap();
        let port = client.local_addr().unwrap().port();
        assert_eq!(who_else_uses(Protocol::Udp, None, port..=port, NOBODY).unwrap(), None);
    }

    #[test]
    fn a_socket_on_another_address_is_in_nobodys_way() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let clash =
            |address| who_else_uses(Protocol::Tcp, Some(ip(address)), port..=port, NOBODY).unwrap().is_some();
        assert!(clash("127.0.0.1") && clash("0.0.0.0"));
        assert!(!clash("127.0.0.2") && !clash("::") && !clash("::1"));
    }

    #[test]
    fn an_ipv6_socket_bound_to_all_takes_ipv4_too() {
        assert!(overlaps(ip("::"), Some(ip("192.0.2.1"))));
        assert!(overlaps(ip("::"), Some(ip("2001:db8::1"))));
        assert!(!overlaps(ip("0.0.0.0"), Some(ip("::"))));
        assert!(!overlaps(ip("2001:db8::1"), Some(ip("192.0.2.1"))));
    }

    #[test]
    fn lines_of_the_kernels_tables_are_understood_and_others_passed_over() {
        let heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
        assert_eq!(parse(Protocol::Tcp, heading), None);
        let vxlan = "  812: 00000000:12B5 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 0 2 0 0";
        let bound = Bound { address: ip("0.0.0.0"), port: 4789, inode: 0 };
        assert_eq!(parse(Protocol::Udp, vxlan), Some(vec![bound]));
        assert_eq!(holder(0).unwrap(), Holder::Kernel);
        let eps = " f00 f01 2   10  27  36412  0 51234 10.0.0.1 2001:db8::1 ";
        let at = |a| Bound { address: ip(a), port: 36412, inode: 51234 };
        assert_eq!(parse(Protocol::Sctp, eps), Some(vec![at("10.0.0.1"), at("2001:db8::1")]));
        assert_eq!(parse(Protocol::Sctp, " ENDPT     SOCK   STY SST HBKT LPORT   UID INODE LADDRS"), None);
        for broken in [
            "",
            "x",
            "1: 0",
            "1: 0:0 0:0 07",
            "1: 0000000G:0000 0:0 07 0 0 0 0 0 0",
            "1: ü:0 0:0 07 0 0 0 0 0 0",
        ] {
            assert_eq!(parse(Protocol::Udp, broken), None, "{broken}");
        }
    }

    #[test]
    fn processes_that_are_gone_have_no_sockets() {
        assert!(sockets(u32::MAX).is_empty());
        assert_eq!(holder(u64::MAX).unwrap(), Holder::Kernel);
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn addresses_are_words_in_the_order_of_the_machine() {
        assert_eq!(parse_address("0100007F"), Some(ip("127.0.0.1")));
        assert_eq!(parse_address("B80D0120000000000000000001000000"), Some(ip("2001:db8::1")));
        assert_eq!(parse_address("0000000000000000FFFF00000100007F"), Some(ip("127.0.0.1")), "mapped");
    }
}

//! Who has a UDP port, for an error message: a VXLAN device that cannot be brought up should not leave its owner with
//! `EADDRINUSE` alone.
//!
//! Knows `/proc/net/udp` and how to find a socket's process. Says what it can: sockets come and go, and processes of
//! others may not be looked into.

use std::{
    fs, io,
    path::Path,
    time::{Duration, Instant},
};

/// The search among all processes' files ends after this time: the thread has more to do than to explain.
const PATIENCE: Duration = Duration::from_millis(20);

/// What has the port in the calling thread's network namespace. `None`: nothing any more.
pub(super) fn holder(port: u16) -> Option<String> {
    let tables = ["/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"];
    let sockets = tables.iter().filter_map(|table| fs::read_to_string(table).ok());
    let inode = sockets.filter_map(|table| inode_in(&table, port)).max()?;
    if inode == 0 {
        return Some("a tunnel device with other settings, or another service of the kernel".into());
    }
    let process = process_of(inode, Instant::now() + PATIENCE).ok().flatten();
    Some(process.unwrap_or_else(|| "another process".into()))
}

/// The inode of a socket with this local port, in the text of `/proc/net/udp`; 0 for the kernel's own.
fn inode_in(table: &str, port: u16) -> Option<u64> {
    let lines = table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (_, local) = fields.nth(1)?.rsplit_once(':')?;
        let inode = fields.nth(7)?.parse().ok()?;
        (u16::from_str_radix(local, 16).ok()? == port).then_some(inode)
    });
    lines.max()
}

/// The process that has the socket open, if it is found before the deadline.
fn process_of(inode: u64, deadline: Instant) -> io::Result<Option<String>> {
    let wanted = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc")?.flatten() {
        let pid = process.file_name();
        let Some(pid) = pid.to_str().filter(|name| name.bytes().all(|b| b.is_ascii_digit())) else {
            continue;
        };
        if Instant::now() > deadline {
            break;
        }
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        let is_wanted = |file: &Path| fs::read_link(file).is_ok_and(|to| to.as_os_str() == wanted.as_str());
        if files.flatten().any(|file| is_wanted(&file.path())) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Ok(Some(format!("process {pid} ({})", name.trim_end())));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  712: 00000000:12B5 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 0
  713: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 42 2 0000000000000000 0
  714: 00000000:2118 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 0 2 0000000000000000 0
";

    #[test]
    fn a_port_is_found_with_its_sockets_inode() {
        assert_eq!(inode_in(TABLE, 4789), Some(4711));
        assert_eq!(inode_in(TABLE, 53), Some(42));
        assert_eq!(inode_in(TABLE, 8472), Some(0), "the kernel's own");
        assert_eq!(inode_in(TABLE, 4790), None);
    }

    #[test]
    fn a_socket_of_this_process_is_told_as_such() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let told = holder(socket.local_addr().unwrap().port()).unwrap();
        let me = format!("process {} (", std::process::id());
        assert!(told.starts_with(&me) || told == "another process", "{told}");
    }
}

//! What is said, and what counts as an answer.

use petiole_netns_tests::{Question, Service};

/// A packet that is longer is none of ours.
pub(super) const LONGEST: usize = 2048;

const QUESTION: u8 = b'?';
const ANSWER: u8 = b'!';
/// The first two bytes of a packet of another protocol: as GRE, one of the version that has no sessions.
const OTHER: [u8; 2] = [0, 0];

/// Echo request and reply, of ICMP and of ICMPv6.
const ECHO: [[u8; 2]; 2] = [[8, 0], [128, 129]];
/// Chunks of SCTP (RFC 9260).
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
/// The first of the ports that questions come from.
const SCTP_PORTS: u16 = 40_000;
/// Tells our echoes from those of others in the same place.
fn process() -> u16 {
    // The lower half is what differs.
    std::process::id() as u16
}

pub(super) fn question(question: Question, token: u16) -> Vec<u8> {
    match question.service {
        Service::Tcp(_) => Vec::new(),
        Service::Udp(_) => vec![QUESTION],
        Service::Icmp if question.to.is_ipv4() => {
            let mut echo = echo(ECHO[0][0], token);
            let sum = internet_checksum(&echo);
            echo[2..4].copy_from_slice(&sum.to_be_bytes());
            echo
        }
        // The kernel knows the addresses that the checksum is over.
        Service::Icmp => echo(ECHO[1][0], token),
        Service::Sctp(port) => sctp([sctp_port(token), port], 0, INIT, token),
        Service::Protocol(_) => other(QUESTION, token).to_vec(),
    }
}

pub(super) fn is_answer(question: Question, token: u16, packet: &[u8]) -> bool {
    let raw = !matches!(question.service, Service::Udp(_) | Service::Tcp(_));
    let packet = if raw && question.to.is_ipv4() { behind_ip(packet) } else { packet };
    match question.service {
        Service::Tcp(_) => false,
        Service::Udp(_) => packet == [QUESTION],
        Service::Icmp => {
            let reply = ECHO[usize::from(question.to.is_ipv6())][1];
            packet.first() == Some(&reply) && packet.get(4..) == echo(0, token).get(4..)
        }
        Service::Sctp(port) => {
            packet.get(..4) == Some(&ports([port, sctp_port(token)])) && packet.get(12) == Some(&INIT_ACK)
        }
        Service::Protocol(_) => packet == other(ANSWER, token),
    }
}

/// The answer to a packet of SCTP or of a protocol without ports.
pub(super) fn answer(service: Service, ipv4: bool, packet: &[u8]) -> Option<Vec<u8>> {
    let packet = if ipv4 { behind_ip(packet) } else { packet };
    if let Service::Sctp(port) = service {
        let from = u16::from_be_bytes(packet.get(..2)?.try_into().ok()?);
        let is_init = packet.get(2..4)? == port.to_be_bytes() && *packet.get(12)? == INIT;
        let tag = u32::from_be_bytes(packet.get(16..20)?.try_into().ok()?);
        return is_init.then(|| sctp([port, from], tag, INIT_ACK, 1));
    }
    let token = u16::from_be_bytes(packet.get(3..5)?.try_into().ok()?);
    (packet == other(QUESTION, token)).then(|| other(ANSWER, token).to_vec())
}

/// What a raw socket of IPv4 gives begins with the IP header.
fn behind_ip(packet: &[u8]) -> &[u8] {
    let length = packet.first().map_or(0, |first| usize::from(first & 15) * 4);
    packet.get(length..).unwrap_or_default()
}

fn other(what: u8, token: u16) -> [u8; 5] {
    let [high, low] = token.to_be_bytes();
    [OTHER[0], OTHER[1], what, high, low]
}

fn echo(kind: u8, token: u16) -> Vec<u8> {
    let [[id0, id1], [seq0, seq1]] = [process(), token].map(u16::to_be_bytes);
    vec![kind, 0, 0, 0, id0, id1, seq0, seq1]
}

fn ports(ports: [u16; 2]) -> [u8; 4] {
    let [[a, b], [c, d]] = ports.map(u16::to_be_bytes);
    [a, b, c, d]
}

fn sctp_port(token: u16) -> u16 {
    // Two processes that follow each other do not use the same ports soon.
    SCTP_PORTS + (process().wrapping_mul(97).wrapping_add(token)) % 20_000
}

/// A packet with one chunk that opens an association.
fn sctp(of: [u16; 2], tag: u32, chunk: u8, token: u16) -> Vec<u8> {
    let mut packet = ports(of).to_vec();
    packet.extend(tag.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend([chunk, 0, 0, 20]);
    packet.extend((u32::from(token) | 1 << 16).to_be_bytes());
    // Window, streams out and in, first sequence number.
    packet.extend([0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
    let sum = crc32c(&packet);
    packet[8..12].copy_from_slice(&sum.to_le_bytes());
    packet
}

/// RFC 1071.
fn internet_checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum = words.sum::<u32>();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

/// RFC 9260, appendix A.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksums_are_those_of_the_standards() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(internet_checksum(&[0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }

    #[test]
    fn what_a_responder_says_is_an_answer() {
        for service in [Service::Sctp(8000), Service::Protocol(47)] {
            let asked = Question { service, to: "2001:db8::1".parse().unwrap() };
            let said = answer(service, false, &question(asked, 7)).unwrap();
            assert!(is_answer(asked, 7, &said) && !is_answer(asked, 8, &said));
            assert_eq!(answer(service, false, &said), None);
        }
    }
}

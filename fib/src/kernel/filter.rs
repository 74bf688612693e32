//! Filters on our sockets: what the kernel announces and nobody here wants to hear is dropped before it takes up room
//! in a buffer or wakes the thread.
//!
//! Programs of the classic BPF machine (linux/filter.h). It loads in network byte order what netlink writes in the
//! host's.

use super::{
    fdb,
    sys::Instruction,
    uapi::{AF_BRIDGE, NUD_PERMANENT, RTM_NEWNEIGH},
};

/// `BPF_STMT` and `BPF_JUMP` of linux/filter.h.
const fn statement(code: u32, k: u32) -> Instruction {
    Instruction { code: code as u16, jt: 0, jf: 0, k }
}

const fn jump_if_equal(k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, jt, jf, k }
}

const LOAD_WORD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const LOAD_HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
const DROP: Instruction = statement(libc::BPF_RET | libc::BPF_K, 0);
const PASS: Instruction = statement(libc::BPF_RET | libc::BPF_K, u32::MAX);

/// Drops what `port` caused.
pub(super) fn echo_filter(port: u32) -> [Instruction; 4] {
    [
        statement(LOAD_WORD, 12), // nlmsg_pid
        jump_if_equal(port.to_be(), 0, 1),
        DROP,
        PASS,
    ]
}

const LOAD_BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
/// Offsets of `nlmsg_type`, `ndm_family` and `ndm_state` in an announcement about a neighbour.
const TYPE: u32 = 4;
const FAMILY: u32 = 16;
const STATE: u32 = 16 + 8;

fn jump_if_set(bits: u16, jt: u8, jf: u8) -> Instruction {
    let k = u32::from(bits.to_be());
    Instruction { code: (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16, jt, jf, k }
}

/// As [`echo_filter`], and without forwarding entries, which come by the same group; of neighbours that come only the
/// permanent ones: the kernel's own cache has no end of changes. Those that go pass, as they have lost the flag by then.
pub(super) fn neighbour_filter(port: u32) -> [Instruction; 10] {
    [
        statement(LOAD_WORD, 12), // nlmsg_pid
        jump_if_equal(port.to_be(), 6, 0),
        statement(LOAD_BYTE, FAMILY),
        jump_if_equal(u32::from(AF_BRIDGE), 4, 0),
        statement(LOAD_HALF, TYPE),
        jump_if_equal(u32::from(RTM_NEWNEIGH.to_be()), 0, 3),
        statement(LOAD_HALF, STATE),
        jump_if_set(NUD_PERMANENT, 1, 0),
        DROP,
        PASS,
    ]
}

/// Of all that comes by the group of neighbours, the forwarding entries that somebody has put there. Learned ones come
/// and go with the traffic of every bridge: they must not so much as wake the thread.
pub(super) fn fdb_filter() -> [Instruction; 6] {
    [
        statement(LOAD_BYTE, FAMILY),
        jump_if_equal(u32::from(AF_BRIDGE), 0, 2),
        statement(LOAD_HALF, STATE),
        jump_if_set(fdb::LASTING, 1, 0),
        DROP,
        PASS,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::uapi::{AF_INET, NUD_NOARP, RTM_DELNEIGH};

    /// Enough of the BPF machine for the filters here: what does the program return for these bytes?
    fn run(program: &[Instruction], bytes: &[u8]) -> u32 {
        let (mut accumulator, mut at) = (0u32, 0usize);
        loop {
            let i = program[at];
            let load =
                |size: usize| bytes[i.k as usize..].iter().take(size).fold(0, |n, b| n << 8 | u32::from(*b));
            at += 1;
            match u32::from(i.code) {
                LOAD_WORD => accumulator = load(4),
                LOAD_HALF => accumulator = load(2),
                LOAD_BYTE => accumulator = load(1),
                code if code & 7 == libc::BPF_RET => return i.k,
                code => {
                    let holds = if code & 0x70 == libc::BPF_JSET {
                        accumulator & i.k != 0
                    } else {
                        accumulator == i.k
                    };
                    at += usize::from(if holds { i.jt } else { i.jf });
                }
            }
        }
    }

    fn announcement(kind: u16, port: u32, state: u16) -> Vec<u8> {
        of_family(AF_INET, kind, port, state)
    }

    fn of_family(family: u8, kind: u16, port: u32, state: u16) -> Vec<u8> {
        let mut bytes = vec![28, 0, 0, 0];
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&[0; 6]);
        bytes.extend_from_slice(&port.to_ne_bytes());
        bytes.extend_from_slice(&[family, 0, 0, 0, 9, 0, 0, 0]);
        bytes.extend_from_slice(&state.to_ne_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes
    }

    #[test]
    fn what_our_socket_caused_is_dropped_and_nothing_else() {
        for port in [1, 4711, 0x8000_0001, u32::MAX] {
            assert_eq!(run(&echo_filter(port), &announcement(24, port, 0)), 0);
            assert_ne!(run(&echo_filter(port), &announcement(24, 0, 0)), 0);
            assert_ne!(run(&echo_filter(port), &announcement(24, port ^ 1, 0)), 0);
        }
    }

    #[test]
    fn of_new_neighbours_only_permanent_ones_pass_of_those_that_go_all() {
        let passes = |kind, port, state| run(&neighbour_filter(77), &announcement(kind, port, state)) != 0;
        assert!(passes(RTM_NEWNEIGH, 0, NUD_PERMANENT));
        assert!(!passes(RTM_NEWNEIGH, 0, 0x02));
        assert!(!passes(RTM_NEWNEIGH, 77, NUD_PERMANENT));
        assert!(passes(RTM_DELNEIGH, 0, 0x20));
        assert!(!passes(RTM_DELNEIGH, 77, 0x20));
        for kind in [RTM_NEWNEIGH, RTM_DELNEIGH] {
            assert_eq!(run(&neighbour_filter(77), &of_family(AF_BRIDGE, kind, 0, NUD_PERMANENT)), 0);
        }
    }

    #[test]
    fn of_forwarding_entries_only_lasting_ones_pass_whether_they_come_or_go() {
        let passes = |family, state| {
            let [come, go] = [RTM_NEWNEIGH, RTM_DELNEIGH]
                .map(|kind| run(&fdb_filter(), &of_family(family, kind, 0, state)) != 0);
            assert_eq!(come, go);
            come
        };
        assert!(passes(AF_BRIDGE, NUD_PERMANENT));
        assert!(passes(AF_BRIDGE, NUD_NOARP));
        // NUD_REACHABLE, NUD_STALE: learned
        assert!(!passes(AF_BRIDGE, 0x02));
        assert!(!passes(AF_BRIDGE, 0x04));
        assert!(!passes(AF_INET, NUD_PERMANENT));
    }
}

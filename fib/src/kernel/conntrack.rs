//! Connection tracking: forgetting the connections of an address (`linux/netfilter/nfnetlink_conntrack.h`).
//!
//! A request to delete that names no connection deletes all of them, and a kernel that does not know an attribute
//! ignores it. So nothing is ever deleted by description: entries are read, each is looked at here, and those
//! that are meant are deleted one by one, by their own tuple and id. A filter in the request to read only saves time.

use std::net::IpAddr;

use super::{
    batch::Batch,
    channel::Channel,
    codec::{Message, Writer, address_of, attributes, attributes_after},
    engine::Engine,
    netfilter::{self, FIXED},
    uapi::{AF_INET, AF_INET6, NLA_F_NESTED},
};
use crate::model::KernelError;

/// `NFNL_SUBSYS_CTNETLINK`.
const SUBSYSTEM: u8 = 1;
const IPCTNL_MSG_CT_NEW: u8 = 0;
const IPCTNL_MSG_CT_GET: u8 = 1;
const IPCTNL_MSG_CT_DELETE: u8 = 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
/// Linux 5.8.
const CTA_FILTER: u16 = 25;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
const CTA_FILTER_REPLY_FLAGS: u16 = 2;

/// One tracked connection.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    family: u8,
    /// `CTA_TUPLE_ORIG` as the kernel wrote it. It names addresses and a protocol.
    tuple: Vec<u8>,
    zone: Option<Vec<u8>>,
    id: Option<Vec<u8>>,
    /// Source and destination of the first packet, then those that the answer to it has.
    ends: [IpAddr; 4],
}

/// Which of an entry's [`Entry::ends`] is looked for.
const ENDS: [usize; 4] = [0, 1, 2, 3];

impl Engine {
    /// Deletes the tracked connections from, to, or by way of these addresses.
    pub(super) fn flush_connections(&mut self, addresses: &[IpAddr]) {
        let outcome = self.netfilter().and_then(|channel| {
            addresses.iter().try_fold(0, |count, address| Ok(count + flush(channel, *address)?))
        });
        match outcome {
            Ok(count) => tracing::debug!(count, ?addresses, "connections forgotten"),
            Err(error) => {
                tracing::warn!(%error, ?addresses, "tracked connections cannot be deleted: whoever gets the address next may be taken for the former");
            }
        }
    }
}

/// Deletes one address's connections and says how many there were.
fn flush(channel: &mut Channel, address: IpAddr) -> Result<usize, KernelError> {
    let mut meant: Vec<Entry> = Vec::new();
    for end in ENDS {
        let mut filtered = true;
        let found = channel.dump(
            |w, seq, flags| dump(w, seq, flags, address, end),
            |message| {
                let entry = decode(message)?;
                filtered &= entry.ends.get(end) == Some(&address);
                entry.ends.contains(&address).then_some(entry)
            },
        )?;
        meant.extend(found);
        if !filtered {
            // A kernel without filters: what it told is all there is.
            break;
        }
    }
    meant.sort_by(|a, b| (&a.tuple, &a.zone).cmp(&(&b.tuple, &b.zone)));
    meant.dedup();
    let mut results = vec![Ok(()); meant.len()];
    let mut batch = Batch::default();
    for (number, entry) in meant.iter().enumerate() {
        if batch.is_full() {
            batch.send(channel, &mut results);
        }
        batch.push(number, |w, seq| delete(w, seq, entry));
    }
    batch.send(channel, &mut results);
    // It may have ended meanwhile.
    let failed = results.into_iter().filter_map(Result::err).find(|error| error.errno.0 != libc::ENOENT);
    failed.map_or(Ok(meant.len()), Err)
}

/// Appends a request for the connections that have the address at that end, which older kernels take for one for all
/// of its family.
fn dump(w: &mut Writer, seq: u32, flags: u16, address: IpAddr, end: usize) {
    let (tuple, filter) = if end < 2 {
        (CTA_TUPLE_ORIG, CTA_FILTER_ORIG_FLAGS)
    } else {
        (CTA_TUPLE_REPLY, CTA_FILTER_REPLY_FLAGS)
    };
    let destination = end % 2 == 1;
    let (family, attribute) = match (address.is_ipv4(), destination) {
        (true, false) => (AF_INET, CTA_IP_V4_SRC),
        (true, true) => (AF_INET, CTA_IP_V4_DST),
        (false, false) => (AF_INET6, CTA_IP_V6_SRC),
        (false, true) => (AF_INET6, CTA_IP_V6_DST),
    };
    netfilter::request(w, (SUBSYSTEM, IPCTNL_MSG_CT_GET), family, flags, seq, |w| {
        w.nested(tuple, |w| w.nested(CTA_TUPLE_IP, |w| w.address(attribute, address)));
        // CTA_FILTER_FLAG(CTA_IP_SRC), CTA_FILTER_FLAG(CTA_IP_DST); in host order, as an exception
        w.nested(CTA_FILTER, |w| w.u32(filter, if destination { 2 } else { 1 }));
    });
}

/// Appends a request to delete this entry and no other.
fn delete(w: &mut Writer, seq: u32, entry: &Entry) {
    netfilter::request(w, (SUBSYSTEM, IPCTNL_MSG_CT_DELETE), entry.family, 0, seq, |w| {
        w.attribute(CTA_TUPLE_ORIG | NLA_F_NESTED, &entry.tuple);
        for (kind, value) in [(CTA_ZONE, &entry.zone), (CTA_ID, &entry.id)] {
            if let Some(value) = value {
                w.attribute(kind, value);
            }
        }
    });
}

/// Reads an entry. `None` when it is not complete: such a one is never deleted.
fn decode(message: Message<'_>) -> Option<Entry> {
    if message.kind != u16::from_be_bytes([SUBSYSTEM, IPCTNL_MSG_CT_NEW]) {
        return None;
    }
    let family = *message.body.first()?;
    let (mut tuple, mut original, mut reply, mut zone, mut id) = (None, None, None, None, None);
    for (number, payload) in attributes_after(message.body, FIXED) {
        match number {
            CTA_TUPLE_ORIG => {
                original = ends_of(payload);
                tuple = Some(payload.to_vec());
            }
            CTA_TUPLE_REPLY => reply = ends_of(payload),
            CTA_ZONE => zone = Some(payload.to_vec()),
            CTA_ID => id = Some(payload.to_vec()),
            _ => {}
        }
    }
    let ((source, destination), (answerer, asker)) = (original?, reply?);
    Some(Entry { family, tuple: tuple?, zone, id, ends: [source, destination, answerer, asker] })
}

/// Source and destination of a tuple that names a protocol, too.
fn ends_of(tuple: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let (mut source, mut destination, mut protocol) = (None, None, false);
    for (number, payload) in attributes(tuple) {
        match number {
            CTA_TUPLE_IP => {
                for (number, address) in attributes(payload) {
                    match number {
                        CTA_IP_V4_SRC | CTA_IP_V6_SRC => source = address_of(address),
                        CTA_IP_V4_DST | CTA_IP_V6_DST => destination = address_of(address),
                        _ => {}
                    }
                }
            }
            CTA_TUPLE_PROTO => protocol = attributes(payload).next().is_some(),
            _ => {}
        }
    }
    source.zip(destination).filter(|_| protocol)
}

//! Connection tracking: forgetting the connections of an address, and those that would not be let through any more
//! (`linux/netfilter/nfnetlink_conntrack.h`).
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
    netfilter::{self, FIXED, be32_of},
    sysctl,
    uapi::{AF_INET, AF_INET6, NLA_F_NESTED},
};
use crate::{
    acl::{AclTable, CONDEMNED, Flow, Scope, Service},
    model::{Event, KernelError, OpResult},
};

/// `NFNL_SUBSYS_CTNETLINK`.
const SUBSYSTEM: u8 = 1;
const IPCTNL_MSG_CT_NEW: u8 = 0;
const IPCTNL_MSG_CT_GET: u8 = 1;
const IPCTNL_MSG_CT_DELETE: u8 = 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_STATUS: u16 = 3;
const CTA_TIMEOUT: u16 = 7;
const CTA_MARK: u16 = 8;
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
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_ICMP_TYPE: u16 = 5;
const CTA_PROTO_ICMP_CODE: u16 = 6;
const CTA_PROTO_ICMPV6_TYPE: u16 = 8;
const CTA_PROTO_ICMPV6_CODE: u16 = 9;
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
    /// What it is for: a port as the answerer sees it.
    service: Service,
    /// The connection's own mark.
    mark: u32,
    /// `IPS_*` of linux/netfilter/nf_conntrack_common.h.
    status: u32,
}

impl Entry {
    /// Its first packet, as it was when it was judged: where the destination was translated, with the new one.
    fn first_packet(&self, scope: Scope) -> Flow {
        let [source, _, destination, _] = self.ends;
        Flow { scope, source, destination, service: self.service, mark: self.mark }
    }

    fn zone(&self) -> u16 {
        self.zone.as_deref().and_then(|zone| zone.try_into().ok()).map_or(0, u16::from_be_bytes)
    }

    /// Whether the table would drop its first packet now. Where nothing says which bridge it passed, any that has one of
    /// its ends as a member counts: two such bridges with the same addresses have zones.
    fn is_forbidden(&self, table: &AclTable) -> bool {
        let judged = |scope| table.judge(&self.first_packet(scope));
        let zone = self.zone();
        let named =
            table.zones.iter().find(|(_, of)| **of == zone).and_then(|(link, _)| table.scopes.get(link));
        if let Some(scope) = named {
            return judged(*scope).is_some_and(|decision| decision.drop);
        }
        let mut scopes = std::iter::once(Scope::ROUTED).chain(table.scopes.values().copied());
        scopes.find_map(judged).is_some_and(|decision| decision.drop)
    }
}

/// How often it is tried to condemn a connection that changes.
const LOOKS: usize = 4;
/// How long a condemned connection is remembered: longer than TCP says again what was not heard (`tcp_retries2` gives up
/// after some 924 seconds). Nobody misses it: what begins it anew is forbidden, until the tables say otherwise.
const LAST_SECONDS: u32 = 1000;
/// The most addresses that are asked for one by one.
const FILTERS: usize = 4;
/// How many connections are sooner read than the whole table is walked once more for each end of an address.
const FEW: u64 = 16 << 10;
/// How many connections the network namespace has.
const COUNT: &str = "net/netfilter/nf_conntrack_count";
/// Which of an entry's [`Entry::ends`] is looked for.
const ENDS: [usize; 4] = [0, 1, 2, 3];

impl Engine {
    /// Ends what the table forbids, and says so.
    pub(super) fn end_connections(&mut self, table: &AclTable) {
        let none = sysctl::read(COUNT).is_ok_and(|count| &*count == "0");
        let outcome = if none { Ok(0) } else { self.netfilter().and_then(|channel| end(channel, table)) };
        if let Err(error) = &outcome {
            tracing::error!(%error, "connections that are forbidden now cannot be ended");
        }
        self.tell(Event::ConnectionsEnded(outcome.unwrap_or(0)));
    }

    /// Deletes the tracked connections from, to, or by way of the addresses that have been given back.
    pub(super) fn flush_connections(&mut self) {
        let addresses = &std::mem::take(&mut self.given_back);
        // A walk over the table takes as long when it is empty.
        let connections = sysctl::read(COUNT).ok().and_then(|count| count.parse().ok()).unwrap_or(u64::MAX);
        if addresses.is_empty() || connections == 0 {
            return;
        }
        let outcome = self.netfilter().and_then(|channel| flush(channel, addresses, connections));
        match outcome {
            Ok(count) => tracing::debug!(count, ?addresses, "connections forgotten"),
            Err(error) => {
                tracing::warn!(%error, ?addresses, "tracked connections cannot be deleted: whoever gets the address next may be taken for the former");
            }
        }
    }
}

/// Condemns the connections that the table would not let come to be: whatever belongs to one is dropped, both ways, until it
/// is gone. Without its entry, an answer that is on its way would begin a connection in the other direction, which
/// nothing forbids, and the next question would be an answer to that.
fn end(channel: &mut Channel, table: &AclTable) -> Result<usize, KernelError> {
    let mut ended = 0;
    // What changes in between is looked at again.
    for _ in 0..LOOKS {
        let (mut meant, mut forgiven) = (Vec::new(), Vec::new());
        for family in [AF_INET, AF_INET6] {
            read(channel, family, None, |entry| {
                match (entry.status & CONDEMNED != 0, entry.is_forbidden(table)) {
                    (false, true) => meant.push(entry),
                    (true, false) => forgiven.push(entry),
                    _ => {}
                }
            })?;
        }
        delete_all(channel, &forgiven)?;
        let results = all(channel, &meant, condemn);
        let failed: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
        ended += meant.len() - failed.len();
        if let Some(error) = failed.iter().find(|error| ![libc::ENOENT, libc::EBUSY].contains(&error.errno.0))
        {
            return Err((*error).clone());
        }
        if failed.is_empty() {
            break;
        }
    }
    Ok(ended)
}

/// Deletes the connections and says how many there were, of `all` that are tracked.
fn flush(channel: &mut Channel, addresses: &[IpAddr], all: u64) -> Result<usize, KernelError> {
    let mut meant: Vec<Entry> = Vec::new();
    let (v4, v6): (Vec<_>, Vec<_>) = addresses.iter().copied().partition(IpAddr::is_ipv4);
    // A filter spares copying, not the walk over all connections: of many addresses none is asked for by itself.
    let mut trusted = v4.len() <= FILTERS && all > FEW * v4.len() as u64;
    for (address, end) in v4.iter().flat_map(|address| ENDS.map(|end| (*address, end))) {
        if trusted {
            read(channel, AF_INET, Some((address, end)), |entry| {
                trusted &= entry.ends.get(end) == Some(&address);
                meant.extend(Some(entry).filter(|entry| entry.ends.contains(&address)));
            })?;
        }
    }
    // Kernels compare IPv6 addresses the wrong way round, and tell all but those that were asked for (seen on 6.18).
    for (family, addresses, asked) in [(AF_INET, v4, trusted), (AF_INET6, v6, false)] {
        if !asked && !addresses.is_empty() {
            read(channel, family, None, |entry| {
                meant
                    .extend(Some(entry).filter(|entry| entry.ends.iter().any(|end| addresses.contains(end))));
            })?;
        }
    }
    meant.sort_by(|a, b| (&a.tuple, &a.zone).cmp(&(&b.tuple, &b.zone)));
    meant.dedup();
    delete_all(channel, &meant)
}

/// Deletes them and says how many there were.
fn delete_all(channel: &mut Channel, meant: &[Entry]) -> Result<usize, KernelError> {
    // It may have ended meanwhile.
    let mut failed = all(channel, meant, delete).into_iter().filter_map(Result::err);
    failed.find(|error| error.errno.0 != libc::ENOENT).map_or(Ok(meant.len()), Err)
}

/// Has the same done to all of them, and returns what came of it.
fn all(channel: &mut Channel, meant: &[Entry], request: impl Fn(&mut Writer, u32, &Entry)) -> Vec<OpResult> {
    let mut results = vec![Ok(()); meant.len()];
    let mut batch = Batch::default();
    for (number, entry) in meant.iter().enumerate() {
        if batch.is_full() {
            batch.send(channel, &mut results);
        }
        batch.push(number, |w, seq| request(w, seq, entry));
    }
    batch.send(channel, &mut results);
    results
}

/// Reads a family's connections, those that have an address at an end or all. Kernels before 5.8 tell all in any case.
fn read(
    channel: &mut Channel,
    family: u8,
    only: Option<(IpAddr, usize)>,
    mut each: impl FnMut(Entry),
) -> Result<(), KernelError> {
    channel.dump(
        |w, seq, flags| dump(w, seq, flags, family, only),
        |message| {
            decode(message).map(&mut each);
            None::<()>
        },
    )?;
    Ok(())
}

fn dump(w: &mut Writer, seq: u32, flags: u16, family: u8, only: Option<(IpAddr, usize)>) {
    netfilter::request(w, (SUBSYSTEM, IPCTNL_MSG_CT_GET), family, flags, seq, |w| {
        if let Some((address, end)) = only {
            filter(w, address, end);
        }
    });
}

fn filter(w: &mut Writer, address: IpAddr, end: usize) {
    let (tuple, filter) = if end < 2 {
        (CTA_TUPLE_ORIG, CTA_FILTER_ORIG_FLAGS)
    } else {
        (CTA_TUPLE_REPLY, CTA_FILTER_REPLY_FLAGS)
    };
    let destination = end % 2 == 1;
    let attribute = match (address.is_ipv4(), destination) {
        (true, false) => CTA_IP_V4_SRC,
        (true, true) => CTA_IP_V4_DST,
        (false, false) => CTA_IP_V6_SRC,
        (false, true) => CTA_IP_V6_DST,
    };
    w.nested(tuple, |w| w.nested(CTA_TUPLE_IP, |w| w.address(attribute, address)));
    // CTA_FILTER_FLAG(CTA_IP_SRC), CTA_FILTER_FLAG(CTA_IP_DST); in host order, as an exception
    w.nested(CTA_FILTER, |w| w.u32(filter, if destination { 2 } else { 1 }));
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

/// Appends a request that condemns this entry. It ends some time later, or when it is forgiven.
fn condemn(w: &mut Writer, seq: u32, entry: &Entry) {
    netfilter::request(w, (SUBSYSTEM, IPCTNL_MSG_CT_NEW), entry.family, 0, seq, |w| {
        w.attribute(CTA_TUPLE_ORIG | NLA_F_NESTED, &entry.tuple);
        if let Some(zone) = &entry.zone {
            w.attribute(CTA_ZONE, zone);
        }
        // In this order: what is fixed cannot be changed.
        netfilter::be32(w, CTA_TIMEOUT, LAST_SECONDS);
        netfilter::be32(w, CTA_STATUS, entry.status | CONDEMNED);
    });
}

/// Reads an entry. `None` when it is not complete: such a one is never deleted.
fn decode(message: Message<'_>) -> Option<Entry> {
    if message.kind != u16::from_be_bytes([SUBSYSTEM, IPCTNL_MSG_CT_NEW]) {
        return None;
    }
    let family = *message.body.first()?;
    let (mut tuple, mut original, mut reply, mut zone, mut id) = (None, None, None, None, None);
    let (mut service, mut mark, mut status) = ([None, None], 0, 0);
    for (number, payload) in attributes_after(message.body, FIXED) {
        match number {
            CTA_TUPLE_ORIG => {
                original = ends_of(payload);
                service[0] = service_of(payload);
                tuple = Some(payload.to_vec());
            }
            CTA_TUPLE_REPLY => {
                reply = ends_of(payload);
                service[1] = service_of(payload);
            }
            CTA_STATUS => status = be32_of(payload).unwrap_or(0),
            CTA_MARK => mark = payload.try_into().map_or(0, u32::from_be_bytes),
            CTA_ZONE => zone = Some(payload.to_vec()),
            CTA_ID => id = Some(payload.to_vec()),
            _ => {}
        }
    }
    let ((source, destination), (answerer, asker)) = (original?, reply?);
    // Of types and codes the question's count, of ports that which the answer comes from.
    let [asked, answered] = service;
    let service = asked.filter(|service| ICMP.contains(&service.protocol())).or(answered)?;
    let ends = [source, destination, answerer, asker];
    Some(Entry { family, tuple: tuple?, zone, id, ends, service, mark, status })
}

/// `IPPROTO_ICMP`, `IPPROTO_ICMPV6`.
const ICMP: [u8; 2] = [1, 58];

/// Protocol, and the port that a tuple comes from or its type and code.
fn service_of(tuple: &[u8]) -> Option<Service> {
    let (mut protocol, mut port, mut icmp) = (None, 0, [0; 2]);
    let (_, parts) = attributes(tuple).find(|(number, _)| *number == CTA_TUPLE_PROTO)?;
    for (number, payload) in attributes(parts) {
        match number {
            CTA_PROTO_NUM => protocol = payload.first().copied(),
            CTA_PROTO_SRC_PORT => port = payload.try_into().map_or(0, u16::from_be_bytes),
            CTA_PROTO_ICMP_TYPE | CTA_PROTO_ICMPV6_TYPE => icmp[0] = *payload.first()?,
            CTA_PROTO_ICMP_CODE | CTA_PROTO_ICMPV6_CODE => icmp[1] = *payload.first()?,
            _ => {}
        }
    }
    let protocol = protocol?;
    let [kind, code] = icmp;
    let has_types = ICMP.contains(&protocol);
    Some(if has_types { Service::icmp(protocol, kind, code) } else { Service::port(protocol, port) })
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::codec::messages;

    /// An entry as the kernel tells it, with what `tuple` writes in place of the original tuple.
    fn told(tuple: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let ends = |w: &mut Writer| {
            w.nested(CTA_TUPLE_IP, |w| {
                w.attribute(CTA_IP_V4_SRC, &[10, 0, 0, 2]);
                w.attribute(CTA_IP_V4_DST, &[10, 0, 0, 1]);
            });
            w.nested(CTA_TUPLE_PROTO, |w| w.u8(1, 6));
        };
        let mut w = Writer::default();
        netfilter::request(&mut w, (SUBSYSTEM, IPCTNL_MSG_CT_NEW), AF_INET, 0, 1, |w| {
            w.nested(CTA_TUPLE_ORIG, tuple);
            w.nested(CTA_TUPLE_REPLY, ends);
            w.attribute(CTA_ZONE, &[0, 7]);
            w.attribute(CTA_ID, &[1, 2, 3, 4]);
        });
        w.as_slice().to_vec()
    }

    fn original(w: &mut Writer) {
        w.nested(CTA_TUPLE_IP, |w| {
            w.attribute(CTA_IP_V4_SRC, &[10, 0, 0, 1]);
            w.attribute(CTA_IP_V4_DST, &[10, 0, 0, 2]);
        });
        w.nested(CTA_TUPLE_PROTO, |w| w.u8(1, 6));
    }

    #[test]
    fn a_deletion_names_the_very_entry_that_was_read() {
        let bytes = told(original);
        let entry = messages(&bytes).find_map(decode).unwrap();
        let mut w = Writer::default();
        delete(&mut w, 9, &entry);
        let message = messages(w.as_slice()).next().unwrap();
        assert_eq!((message.kind, message.body[0]), (0x0102, AF_INET));
        let attributes: Vec<_> = attributes_after(message.body, FIXED).collect();
        assert_eq!(
            attributes,
            [(CTA_TUPLE_ORIG, &entry.tuple[..]), (CTA_ZONE, &[0, 7]), (CTA_ID, &[1, 2, 3, 4])]
        );
        assert_eq!(ends_of(attributes[0].1).map(|ends| ends.0), Some(IpAddr::from([10, 0, 0, 1])));
    }

    #[test]
    fn what_is_condemned_keeps_its_status() {
        let bytes = told(original);
        let mut entry = messages(&bytes).find_map(decode).unwrap();
        entry.status = 0b1110;
        let mut w = Writer::default();
        condemn(&mut w, 9, &entry);
        let message = messages(w.as_slice()).next().unwrap();
        assert_eq!(message.kind, 0x0100);
        let attributes: Vec<_> = attributes_after(message.body, FIXED).map(|(kind, _)| kind).collect();
        assert_eq!(attributes, [CTA_TUPLE_ORIG, CTA_ZONE, CTA_TIMEOUT, CTA_STATUS]);
        let status = attributes_after(message.body, FIXED).last().and_then(|(_, payload)| be32_of(payload));
        assert_eq!(status, Some(0b1110 | 1 << 10));
    }

    #[test]
    fn an_entry_without_a_whole_tuple_is_never_deleted() {
        let none = |_: &mut Writer| {};
        let no_protocol = |w: &mut Writer| {
            w.nested(CTA_TUPLE_IP, |w| {
                w.attribute(CTA_IP_V4_SRC, &[10, 0, 0, 1]);
                w.attribute(CTA_IP_V4_DST, &[10, 0, 0, 2]);
            });
        };
        let no_addresses = |w: &mut Writer| w.nested(CTA_TUPLE_PROTO, |w| w.u8(1, 6));
        for bytes in [told(none), told(no_protocol), told(no_addresses)] {
            assert_eq!(messages(&bytes).find_map(decode), None);
        }
    }

    proptest! {
        #[test]
        fn noise_is_survived(at: prop::sample::Index, byte: u8, end: prop::sample::Index) {
            let mut bytes = told(original);
            let place = at.index(bytes.len());
            bytes[place] = byte;
            bytes.truncate(end.index(bytes.len()) + 1);
            for entry in messages(&bytes).filter_map(decode) {
                prop_assert!(ends_of(&entry.tuple).is_some());
            }
        }
    }
}

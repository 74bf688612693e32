//! The dirty set of an Adj-RIB-Out → UPDATE messages.
//!
//! Knows how routes are bundled into messages: what was marked is looked at in chunks, judged ([`export`]), compared
//! with what was sent, and what differs is written, withdrawals first, then announcements grouped by attribute set.
//! Attribute blocks are encoded once for all peers of a kind ([`blocks`]). Must not know sockets: it is called when
//! there is room for the outcome, and does no more than that room asks for. What does not fit stays marked.

mod blocks;
mod export;

use bytes::BytesMut;
use ipnet::{Ipv4Net, Ipv6Net};

use crate::rib::internals::{AdjRibOut, FamilyPrefix, LocRib, Peer, Sent, Shared, Slot};
use crate::wire::{
    EncodeContext, EncodedAttributes, Family, Message, NextHop, NotAdvertisable, RouteRefresh,
    RouteRefreshKind, Session, UpdateWriter,
};
use blocks::Blocks;
use export::Export;

/// Destinations looked at in one call, whether anything is written for them or not.
const LOOKS: usize = 16_384;

/// Destinations of a chunk, at most: what is sorted by attributes together.
const CHUNK: usize = 4096;

/// Octets of output that a prefix is guessed to take, to choose the size of a chunk.
const OCTETS_PER_PREFIX: usize = 16;

/// Working space, and the encoded attributes that peers share.
#[derive(Debug, Default)]
pub(crate) struct Packing {
    chunk: Vec<u32>,
    withdrawn: Vec<u32>,
    announced: Vec<(Sent, u32)>,
    export: Export,
    blocks: Blocks,
}

impl Packing {
    /// Prepares for one peer. `budget` is the number of octets after which no further message is begun.
    pub(crate) fn begin<'a>(
        &'a mut self,
        shared: &'a mut Shared,
        slot: Slot,
        session: Session,
        out: &'a mut BytesMut,
        budget: usize,
    ) -> Run<'a> {
        let peer = shared.peers.get_mut(slot);
        let external = peer.config.external;
        let context = EncodeContext {
            four_octet_as: session.four_octet_as,
            external,
            prepend: external.then_some(peer.config.local_asn),
            send_med: false,
        };
        peer.packed = Some((session, context));
        let peers = &shared.peers;
        let alike = |other: &Slot| {
            *other != slot && peers.get(*other).packed.is_some_and(|(_, other)| other == context)
        };
        let share = peers.up().iter().any(alike);
        let end = out.len().saturating_add(budget.max(1));
        Run { packing: self, shared, slot, session, context, share, out, end, looks: LOOKS }
    }

    /// Drops the shared blocks: nobody is about to need them.
    pub(crate) fn forget(&mut self, shared: &mut Shared) {
        self.blocks.clear(shared);
    }
}

/// Packing for one peer, once.
pub(crate) struct Run<'a> {
    packing: &'a mut Packing,
    shared: &'a mut Shared,
    slot: Slot,
    session: Session,
    context: EncodeContext,
    /// Other peers want the same blocks.
    share: bool,
    out: &'a mut BytesMut,
    end: usize,
    looks: usize,
}

impl Run<'_> {
    /// Packs one family.
    pub(crate) fn pack<P: Packable>(&mut self, loc_rib: &mut LocRib<P>) {
        let peer = self.shared.peers.get(self.slot);
        if !peer.config.families.contains(P::FAMILY) || !self.session.families.contains(P::FAMILY) {
            return;
        }
        while self.has_room() && self.rib(P::FAMILY).is_pending() {
            if std::mem::take(&mut self.rib(P::FAMILY).markers.begin_refresh) {
                self.demarcate(P::FAMILY, RouteRefreshKind::Begin);
            }
            let behind = self.collect::<P>();
            self.judge(loc_rib);
            self.withdraw(loc_rib);
            self.announce(loc_rib);
            // What could not be announced after all, but was before.
            self.withdraw(loc_rib);
            self.packing.export.release(self.shared);
            if self.has_room() {
                self.rib(P::FAMILY).cursor = behind;
            }
            if self.rib(P::FAMILY).forced_done() {
                self.mark_ends(P::FAMILY);
            }
        }
    }

    fn rib(&mut self, family: Family) -> &mut AdjRibOut {
        &mut self.shared.peers.get_mut(self.slot).family_mut(family).sent
    }

    fn has_room(&self) -> bool {
        self.out.len() < self.end && self.looks > 0
    }

    /// Takes the next chunk of marked destinations; returns the place behind it.
    fn collect<P: Packable>(&mut self) -> u32 {
        let room = self.end.saturating_sub(self.out.len());
        let limit = (room / OCTETS_PER_PREFIX).clamp(64, CHUNK).min(self.looks);
        let mut chunk = std::mem::take(&mut self.packing.chunk);
        chunk.clear();
        let behind = self.rib(P::FAMILY).next_marked(limit, &mut chunk);
        self.looks -= chunk.len();
        self.packing.chunk = chunk;
        behind
    }

    /// Decides what has to be withdrawn and announced of the chunk, and is done with the rest.
    fn judge<P: Packable>(&mut self, loc_rib: &mut LocRib<P>) {
        let Packing { chunk, withdrawn, announced, export, .. } = &mut *self.packing;
        withdrawn.clear();
        announced.clear();
        export.begin(self.shared.peers.get(self.slot));
        let limit = self.shared.peers.get(self.slot).config.max_prefixes_out;
        let mut new = 0;
        for &id in &*chunk {
            let best = loc_rib.settle(self.shared, id);
            let wanted = best.and_then(|best| {
                let prefix = loc_rib.table.get(id)?.prefix;
                export.wanted(self.shared, self.slot, self.session, &best, prefix)
            });
            let rib = &mut self.shared.peers.get_mut(self.slot).family_mut(P::FAMILY).sent;
            rib.unhold(id);
            match (rib.sent(id), wanted) {
                (None, None) => rib.clear(id),
                (Some(_), None) => withdrawn.push(id),
                (Some(sent), Some(wanted)) if sent == wanted && !rib.is_forced(id) => rib.clear(id),
                (Some(_), Some(wanted)) => announced.push((wanted, id)),
                (None, Some(_)) if limit.is_some_and(|limit| rib.count() + new >= limit) => {
                    rib.clear(id);
                    rib.hold(id);
                }
                (None, Some(wanted)) => {
                    new += 1;
                    announced.push((wanted, id));
                }
            }
        }
        announced.sort_unstable();
    }

    fn withdraw<P: Packable>(&mut self, loc_rib: &mut LocRib<P>) {
        let writer = UpdateWriter::new(&self.session);
        let mut done = 0;
        let withdrawn = std::mem::take(&mut self.packing.withdrawn);
        while done < withdrawn.len() && self.out.len() < self.end {
            let rest = &withdrawn[done..];
            let mut prefixes = rest.iter().map(|id| loc_rib.table.destination(*id).prefix);
            let count = P::withdraw(writer, self.out, &mut prefixes);
            for id in &rest[..count] {
                let rib = self.rib(P::FAMILY);
                rib.clear(*id);
                let before = rib.replace(*id, None);
                loc_rib.forget_sent(self.shared, *id, before.map(Sent::attributes));
            }
            done += count;
        }
        self.packing.withdrawn = withdrawn;
        self.packing.withdrawn.clear();
        if self.shared.peers.get(self.slot).config.max_prefixes_out.is_some() {
            self.rib(P::FAMILY).mark_held(done as u32);
        }
    }

    fn announce<P: Packable>(&mut self, loc_rib: &mut LocRib<P>) {
        let announced = std::mem::take(&mut self.packing.announced);
        let mut scratch = EncodedAttributes::default();
        for group in announced.chunk_by(|(a, _), (b, _)| a == b) {
            if self.out.len() >= self.end {
                break;
            }
            let Some(&(sent, _)) = group.first() else { continue };
            if self.announce_group(loc_rib, sent, group, &mut scratch).is_err() {
                // Not advertisable with these attributes (RFC 4271 section 9.2): the route is withdrawn if the peer
                // has an older version of it, and else left alone.
                for (_, id) in group {
                    let rib = self.rib(P::FAMILY);
                    if rib.sent(*id).is_some() {
                        self.packing.withdrawn.push(*id);
                    } else {
                        rib.clear(*id);
                    }
                }
            }
        }
        self.packing.announced = announced;
    }

    fn announce_group<P: Packable>(
        &mut self,
        loc_rib: &mut LocRib<P>,
        sent: Sent,
        group: &[(Sent, u32)],
        scratch: &mut EncodedAttributes,
    ) -> Result<(), NotAdvertisable> {
        let peer = self.shared.peers.get(self.slot);
        let attributes = self.shared.attributes.get(sent.attributes());
        let Some(next_hop) = export::next_hop(attributes, &peer.config, self.session, P::FAMILY) else {
            return Err(NotAdvertisable::NextHopFamily(attributes.next_hop()));
        };
        let context = EncodeContext { send_med: sent.med(), ..self.context };
        let writer = UpdateWriter::new(&self.session);
        let block = if self.share {
            self.packing.blocks.get(self.shared, sent, &context)
        } else {
            attributes.encode_into(&context, scratch);
            scratch
        };
        let mut rest = group;
        while !rest.is_empty() && self.out.len() < self.end {
            let mut prefixes = rest.iter().map(|(_, id)| loc_rib.table.destination(*id).prefix);
            let count = P::announce(writer, self.out, block, next_hop, &mut prefixes)?;
            let (written, left) = rest.split_at(count);
            for (_, id) in written {
                let rib = &mut self.shared.peers.get_mut(self.slot).family_mut(P::FAMILY).sent;
                rib.clear(*id);
                let before = rib.replace(*id, Some(sent));
                if before != Some(sent) {
                    loc_rib.remember_sent(self.shared, *id, before.map(Sent::attributes), sent.attributes());
                }
            }
            rest = left;
        }
        Ok(())
    }

    /// Writes what ends an initial table or a refresh.
    fn mark_ends(&mut self, family: Family) {
        let markers = std::mem::take(&mut self.rib(family).markers);
        if markers.end_of_rib {
            UpdateWriter::new(&self.session).end_of_rib(self.out, family);
        }
        if markers.begin_refresh {
            self.demarcate(family, RouteRefreshKind::Begin);
        }
        if markers.end_refresh {
            self.demarcate(family, RouteRefreshKind::End);
        }
    }

    fn demarcate(&mut self, family: Family, kind: RouteRefreshKind) {
        RouteRefresh { family, kind }.encode(self.out);
    }
}

/// What was written for a destination, as the peer reads it: encoded and decoded again.
pub(crate) fn as_sent<P: Packable>(
    shared: &Shared,
    peer: &Peer,
    sent: Sent,
    prefix: P,
) -> Option<crate::wire::Attributes> {
    let (session, context) = peer.packed?;
    let attributes = shared.attributes.get(sent.attributes());
    let next_hop = export::next_hop(attributes, &peer.config, session, P::FAMILY)?;
    let block = attributes.encode(&EncodeContext { send_med: sent.med(), ..context });
    let mut out = BytesMut::new();
    P::announce(UpdateWriter::new(&session), &mut out, &block, next_hop, &mut std::iter::once(prefix))
        .ok()?;
    match Message::decode(&out, &session) {
        Ok(Message::Update(update)) => update.attributes().cloned(),
        _ => None,
    }
}

/// A family that messages can be written for.
pub(crate) trait Packable: FamilyPrefix {
    /// Writes one UPDATE, see [`UpdateWriter::announce_v4`].
    fn announce(
        writer: UpdateWriter,
        out: &mut BytesMut,
        attributes: &EncodedAttributes,
        next_hop: NextHop,
        prefixes: &mut impl Iterator<Item = Self>,
    ) -> Result<usize, NotAdvertisable>;

    /// Writes one UPDATE, see [`UpdateWriter::withdraw_v4`].
    fn withdraw(writer: UpdateWriter, out: &mut BytesMut, prefixes: &mut impl Iterator<Item = Self>)
    -> usize;
}

impl Packable for Ipv4Net {
    fn announce(
        writer: UpdateWriter,
        out: &mut BytesMut,
        attributes: &EncodedAttributes,
        next_hop: NextHop,
        prefixes: &mut impl Iterator<Item = Self>,
    ) -> Result<usize, NotAdvertisable> {
        writer.announce_v4(out, attributes, next_hop, prefixes)
    }

    fn withdraw(
        writer: UpdateWriter,
        out: &mut BytesMut,
        prefixes: &mut impl Iterator<Item = Self>,
    ) -> usize {
        writer.withdraw_v4(out, prefixes)
    }
}

impl Packable for Ipv6Net {
    fn announce(
        writer: UpdateWriter,
        out: &mut BytesMut,
        attributes: &EncodedAttributes,
        next_hop: NextHop,
        prefixes: &mut impl Iterator<Item = Self>,
    ) -> Result<usize, NotAdvertisable> {
        writer.announce_v6(out, attributes, next_hop, prefixes)
    }

    fn withdraw(
        writer: UpdateWriter,
        out: &mut BytesMut,
        prefixes: &mut impl Iterator<Item = Self>,
    ) -> usize {
        writer.withdraw_v6(out, prefixes)
    }
}

//! Input: whole messages from a connection's buffer to the state machine and the tables.

use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};

use super::{
    PeerEventKind, Speaker,
    peer::{Mark, Repeat},
};
use crate::{
    fsm::{Cease, ConnId, Event, Received},
    rib::{PeerId, UpdateOutcome},
    wire::{self, Family, Message, Notification, RouteRefresh, RouteRefreshKind, Update},
};

/// How many octets of messages one call handles, before others get their turn.
const SLICE: usize = 256 * 1024;

/// How long a peer may take to repeat its routes, after which those that it has not repeated go (RFC 7313 section 4,
/// RFC 4724 section 4.2).
pub(super) const REPEAT_LIMIT: Duration = Duration::from_mins(10);

/// How often UPDATE errors of one peer are reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

impl Speaker {
    /// Takes whole messages from the front of `buf` and leaves the rest. Returns whether it stopped only to let others have
    /// their turn: call again, even when nothing more arrives.
    ///
    /// After the connection was given up, `buf` is emptied.
    pub fn receive(&mut self, conn: ConnId, buf: &mut BytesMut, now: Instant) -> bool {
        let mut slice = SLICE;
        loop {
            let Some(peer) = self.peer_of_conn(conn).map(|(peer, _)| peer.id) else {
                buf.clear();
                return false;
            };
            match wire::frame(buf, wire::MAX_EXTENDED_MESSAGE_LEN) {
                Ok(Some(_)) if slice == 0 => return true,
                Ok(Some(length)) => {
                    self.message(peer, conn, buf.get(..length).unwrap_or_default(), now);
                    buf.advance(length);
                    slice = slice.saturating_sub(length);
                }
                Ok(None) => return false,
                Err(notification) => self.malformed(peer, conn, notification, now),
            }
        }
    }

    fn message(&mut self, id: PeerId, conn: ConnId, frame: &[u8], now: Instant) {
        let Some(peer) = self.find_mut(id) else { return };
        if let Some(kind) = Message::type_of(frame) {
            peer.record.messages.received.count(kind);
        }
        let session = peer.fsm.session(conn);
        let received = |speaker: &mut Self, message| {
            speaker.drive(id, Event::Received(conn, message), now);
            let peer = speaker.find(id)?;
            (peer.fsm.established()?.conn == conn).then_some(())
        };
        match Message::decode(frame, &session) {
            Ok(Message::Update(update)) => {
                // Only a session that is, or by this message becomes, Established has use for it.
                if received(self, Received::Update).is_some() {
                    self.update(id, update, now);
                }
            }
            Ok(Message::Keepalive) => drop(received(self, Received::Keepalive)),
            Ok(Message::Open(open)) => drop(received(self, Received::Open(Box::new(open)))),
            Ok(Message::Notification(n)) => drop(received(self, Received::Notification(n))),
            Ok(Message::RouteRefresh(refresh)) => {
                if received(self, Received::RouteRefresh).is_some() {
                    self.route_refresh(id, refresh, now);
                }
            }
            // RFC 2918 section 4, RFC 7313 section 5: ignored, though it is a sign of life.
            Ok(Message::UnknownRouteRefresh(_)) => drop(received(self, Received::RouteRefresh)),
            Err(notification) => self.malformed(id, conn, notification, now),
        }
    }

    fn malformed(&mut self, id: PeerId, conn: ConnId, notification: Notification, now: Instant) {
        self.drive(id, Event::Malformed(conn, notification), now);
    }

    fn update(&mut self, id: PeerId, update: Update<'_>, now: Instant) {
        if let Some(error) = update.treat_as_withdraw() {
            self.update_error(id, error.to_string(), now);
        }
        if let Some(first) = update.discarded().first().first() {
            self.update_error(id, first.to_string(), now);
        }
        let end_of_rib = update.end_of_rib();
        let outcome = self.rib.update(id, update);
        if let Some(family) = end_of_rib {
            self.repeated(id, family, Mark::EndOfRib);
            self.event(id, PeerEventKind::EndOfRib(family));
        }
        self.limit_prefixes(id, outcome, now);
    }

    fn limit_prefixes(&mut self, id: PeerId, outcome: UpdateOutcome, now: Instant) {
        let Some(limit) = self.find(id).and_then(|peer| peer.config.max_prefixes) else { return };
        let exceeded = [(Family::Ipv4, outcome.ipv4_accepted), (Family::Ipv6, outcome.ipv6_accepted)]
            .into_iter()
            .find(|(_, accepted)| *accepted > limit);
        if let Some((family, _)) = exceeded {
            self.event(id, PeerEventKind::PrefixLimit { family, limit });
            self.drive(id, Event::Suspend(Cease::MaxPrefixes { family, limit }), now);
        }
    }

    fn update_error(&mut self, id: PeerId, text: String, now: Instant) {
        let Some(peer) = self.find_mut(id) else { return };
        peer.record.update_errors += 1;
        let suppressed = match &mut peer.record.last_report {
            Some((at, suppressed)) if now.saturating_duration_since(*at) < REPORT_INTERVAL => {
                *suppressed += 1;
                return;
            }
            Some((_, suppressed)) => *suppressed,
            None => 0,
        };
        peer.record.last_report = Some((now, 0));
        self.event(id, PeerEventKind::UpdateError { text, suppressed });
    }

    fn route_refresh(&mut self, id: PeerId, RouteRefresh { family, kind }: RouteRefresh, now: Instant) {
        let Some((peer, rib)) = self.find_with_rib(id) else { return };
        let Some(established) = peer.fsm.established() else { return };
        let negotiated = &established.negotiated;
        // RFC 2918 section 4: a family that was not negotiated is ignored.
        if !negotiated.session.families.contains(family) {
            return;
        }
        let repeat = &mut peer.repeats[family as usize];
        match kind {
            RouteRefreshKind::Request => {
                rib.refresh_out(id, family, negotiated.enhanced_refresh);
            }
            // RFC 7313 section 4: not before the End-of-RIB of a restart.
            RouteRefreshKind::Begin if repeat.is_some_and(|repeat| repeat.mark == Mark::EndOfRib) => {}
            RouteRefreshKind::Begin if negotiated.enhanced_refresh => {
                *repeat = Some(Repeat { mark: Mark::EndOfRefresh, until: now + REPEAT_LIMIT });
                rib.begin_refresh(id, family);
            }
            RouteRefreshKind::Begin => {}
            // Without a beginning, an end is ignored.
            RouteRefreshKind::End => self.repeated(id, family, Mark::EndOfRefresh),
        }
    }

    /// The peer has repeated its routes, if it was about to.
    fn repeated(&mut self, id: PeerId, family: Family, mark: Mark) {
        let Some((peer, rib)) = self.find_with_rib(id) else { return };
        if peer.repeats[family as usize].take_if(|repeat| repeat.mark == mark).is_some() {
            rib.end_refresh(id, family);
        }
    }
}

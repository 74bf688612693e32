//! Output, on demand: control messages, then what the Adj-RIB-Out has to say.

use std::time::Instant;

use bytes::BytesMut;

use super::{MessageCounts, Speaker};
use crate::fsm::{ConnId, Event};

impl Speaker {
    /// Appends about `budget` octets of messages to `out`, control messages in any case, and returns whether there is
    /// more. That may be so even when nothing was written, because the number of routes looked at is bounded too: write what
    /// there is and call again.
    ///
    /// Call it when everything that it produced before has been written to the socket.
    pub fn transmit(&mut self, id: ConnId, out: &mut BytesMut, budget: usize, now: Instant) -> bool {
        let Some((peer, rib)) = self.peer_of_conn(id) else { return false };
        let start = out.len();
        let session = peer.fsm.established().filter(|e| e.conn == id).map(|e| e.negotiated.session);
        let peer_id = peer.id;
        let Some(conn) = peer.conn(id) else { return false };
        conn.control.write(out);

        let room = budget.saturating_sub(out.len() - start);
        let more = match session {
            Some(session) if room > 0 => rib.pack(peer_id, &session, out, room),
            Some(_) => rib.has_pending(peer_id),
            None => false,
        };
        conn.announced = more;
        let written = out.get(start..).unwrap_or_default();
        if !written.is_empty() {
            count_sent(written, &mut peer.record.messages.sent);
            self.drive(peer_id, Event::Sent(id), now);
        }
        more
    }
}

/// Counts the messages in octets that we have written ourselves.
pub(super) fn count_sent(mut octets: &[u8], counts: &mut MessageCounts) {
    while let Some(&[high, low, kind]) = octets.get(16..19) {
        counts.count(kind);
        let length = usize::from(u16::from_be_bytes([high, low])).max(19);
        octets = octets.get(length..).unwrap_or_default();
    }
}

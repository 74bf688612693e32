//! Adj-RIB-Out: what one peer has been sent in one family, and what has to be looked at again.
//!
//! Knows, for each destination, the attributes that were sent, as the export policy left them (usually the very set
//! of the Loc-RIB); what eBGP does to them is done when they are encoded. And a set of dirty destinations: marking one
//! is setting a bit, however often it changes, so a slow reader costs no memory. Must not know why something is dirty.

use super::attribute_store::AttributesId;
use super::id_set::IdSet;

/// Destinations of a page.
const PAGE_BITS: u32 = 10;
const PAGE: usize = 1 << PAGE_BITS;

/// What was sent for a destination: an attribute set, and whether its MED was sent to the neighbour AS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Sent(std::num::NonZeroU32);

impl Sent {
    const MED: u32 = 1 << 31;

    /// Names a set; `med`: its MED is meant for an external peer.
    pub(crate) fn new(attributes: AttributesId, med: bool) -> Self {
        let bits = (attributes.0 + 1) | if med { Self::MED } else { 0 };
        Self(std::num::NonZeroU32::new(bits).unwrap_or(std::num::NonZeroU32::MIN))
    }

    /// The attribute set.
    pub(crate) fn attributes(self) -> AttributesId {
        AttributesId((self.0.get() & !Self::MED) - 1)
    }

    /// Its MED goes to an external peer.
    pub(crate) fn med(self) -> bool {
        self.0.get() & Self::MED != 0
    }
}

/// What ends when every destination that was forced has been looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Markers {
    /// BoRR is to be written (RFC 7313).
    pub(crate) begin_refresh: bool,
    /// End-of-RIB follows the initial table (RFC 4724 section 3).
    pub(crate) end_of_rib: bool,
    /// EoRR follows (RFC 7313).
    pub(crate) end_refresh: bool,
}

impl Markers {
    pub(crate) fn any(self) -> bool {
        self != Self::default()
    }
}

/// See the module's description.
#[derive(Debug, Default)]
pub(crate) struct AdjRibOut {
    pages: Vec<Option<Box<Page>>>,
    count: u32,
    dirty: IdSet,
    /// Dirty destinations that are sent even if nothing has changed.
    forced: IdSet,
    /// Routes that wait for room under the limit.
    held: IdSet,
    /// Where the walk over `dirty` goes on: it goes round, so nothing waits for ever.
    pub(crate) cursor: u32,
    pub(crate) markers: Markers,
}

#[derive(Debug)]
struct Page {
    used: u32,
    sent: [Option<Sent>; PAGE],
}

impl AdjRibOut {
    /// What was sent for a destination.
    pub(crate) fn sent(&self, destination: u32) -> Option<Sent> {
        let page = self.pages.get((destination >> PAGE_BITS) as usize)?.as_ref()?;
        page.sent[destination as usize % PAGE]
    }

    /// Notes what has been sent; returns what was there before. The caller keeps count of references and pins.
    pub(crate) fn replace(&mut self, destination: u32, sent: Option<Sent>) -> Option<Sent> {
        let number = (destination >> PAGE_BITS) as usize;
        if number >= self.pages.len() {
            sent?;
            self.pages.resize_with(number + 1, || None);
        }
        let slot = &mut self.pages[number];
        if slot.is_none() && sent.is_none() {
            return None;
        }
        let page = slot.get_or_insert_with(|| Box::new(Page { used: 0, sent: [None; PAGE] }));
        let before = std::mem::replace(&mut page.sent[destination as usize % PAGE], sent);
        match (before, sent) {
            (None, Some(_)) => (page.used, self.count) = (page.used + 1, self.count + 1),
            (Some(_), None) => (page.used, self.count) = (page.used - 1, self.count - 1),
            _ => {}
        }
        if page.used == 0 {
            *slot = None;
            while self.pages.last().is_some_and(Option::is_none) {
                self.pages.pop();
            }
        }
        before
    }

    /// The first destination from this one on that something was sent for.
    pub(crate) fn next_sent(&self, from: u32) -> Option<(u32, Sent)> {
        let mut at = from as usize;
        while let Some(page) = self.pages.get(at >> PAGE_BITS) {
            let base = at & !(PAGE - 1);
            if let Some(page) = page {
                let found = (at % PAGE..PAGE).find_map(|slot| Some((slot, page.sent[slot]?)));
                if let Some((slot, sent)) = found {
                    return Some(((base + slot) as u32, sent));
                }
            }
            at = base + PAGE;
        }
        None
    }

    /// Routes sent and not withdrawn.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// A destination has to be looked at again.
    pub(crate) fn mark(&mut self, destination: u32) {
        self.dirty.insert(destination);
    }

    /// All destinations in the range have to be looked at again; `forced`: what was sent is sent again.
    pub(crate) fn mark_range(&mut self, from: u32, to: u32, forced: bool) {
        self.dirty.insert_range(from, to);
        if forced {
            self.forced.insert_range(from, to);
        }
    }

    /// All that was sent, and all that waits for room, has to be looked at again.
    pub(crate) fn mark_all(&mut self, forced: bool) {
        let mut from = 0;
        while let Some((destination, _)) = self.next_sent(from) {
            self.mark_range(destination, destination + 1, forced);
            from = destination + 1;
        }
        self.mark_held(u32::MAX);
    }

    /// Must it be sent even if nothing has changed?
    pub(crate) fn is_forced(&self, destination: u32) -> bool {
        self.forced.contains(destination)
    }

    /// A destination has been dealt with.
    pub(crate) fn clear(&mut self, destination: u32) {
        self.dirty.remove(destination);
        self.forced.remove(destination);
    }

    /// The next marked destinations, at most `limit`, and the cursor behind them.
    pub(crate) fn next_marked(&self, limit: usize, chunk: &mut Vec<u32>) -> u32 {
        let mut at = self.cursor;
        let mut wrapped = false;
        while chunk.len() < limit {
            match self.dirty.next_from(at) {
                Some(id) if wrapped && id >= self.cursor => break,
                Some(id) => {
                    chunk.push(id);
                    at = id + 1;
                }
                None if wrapped || self.cursor == 0 => break,
                None => (at, wrapped) = (0, true),
            }
        }
        at
    }

    /// The route has to wait for room.
    pub(crate) fn hold(&mut self, destination: u32) {
        self.held.insert(destination);
    }

    /// Does it wait for room?
    pub(crate) fn is_held(&self, destination: u32) -> bool {
        self.held.contains(destination)
    }

    /// The route need not wait any more.
    pub(crate) fn unhold(&mut self, destination: u32) {
        self.held.remove(destination);
    }

    /// Room for some of those that wait.
    pub(crate) fn mark_held(&mut self, room: u32) {
        for _ in 0..room {
            let Some(id) = self.held.first() else { break };
            self.held.remove(id);
            self.dirty.insert(id);
        }
    }

    /// Routes that wait for room.
    pub(crate) fn held_back(&self) -> u32 {
        self.held.len()
    }

    /// Is every forced destination done, so that an end may be marked?
    pub(crate) fn forced_done(&self) -> bool {
        self.forced.is_empty()
    }

    /// Is there anything to do?
    pub(crate) fn is_pending(&self) -> bool {
        !self.dirty.is_empty() || self.markers.any()
    }
}

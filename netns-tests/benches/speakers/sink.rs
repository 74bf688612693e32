//! The sink: which of the load's prefixes has the speaker announced, and has it done a speaker's work on them?

use std::{
    io,
    time::{Duration, Instant},
};

use rustix::net::sockopt::set_tcp_quickack;

use crate::{
    load::Load,
    message::{Update, kind, prefixes},
    scene,
    session::Session,
};

/// The sink's session, and what has come out of it.
#[derive(Debug)]
pub(crate) struct Sink {
    session: Session,
    load: &'static Load,
    delayed_ack: bool,
    present: Vec<bool>,
    count: u32,
    announcements: u64,
    withdrawals: u64,
    last: Option<Instant>,
}

impl Sink {
    /// Takes the session over. Unless told `delayed_ack`, it acknowledges at once whatever comes.
    pub(crate) fn new(session: Session, load: &'static Load, delayed_ack: bool) -> Self {
        let present = vec![false; load.prefixes as usize];
        Self { session, load, delayed_ack, present, count: 0, announcements: 0, withdrawals: 0, last: None }
    }

    /// How many prefixes stand announced.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// How many prefixes have been announced so far, and how many withdrawn, each as often as it was.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        (self.announcements, self.withdrawals)
    }

    /// When routes last came, announced or withdrawn.
    pub(crate) fn last(&self) -> Option<Instant> {
        self.last
    }

    /// Receives until so many prefixes stand announced, and returns when that was.
    pub(crate) fn until(&mut self, count: u32, deadline: Instant) -> Result<Instant, String> {
        loop {
            if self.count == count {
                return Ok(Instant::now());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("timeout: {} prefixes at the sink where {count} were due", self.count));
            }
            self.receive(left)?;
        }
    }

    /// Receives for as long as `window`, and returns whether nothing came.
    pub(crate) fn silent(&mut self, window: Duration) -> Result<bool, String> {
        let end = Instant::now() + window;
        let mut silent = true;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(silent);
            }
            silent &= !self.receive(left)?;
        }
    }

    /// Reads once, if something comes in time, and takes what it is into account. Whether routes were among it.
    fn receive(&mut self, patience: Duration) -> Result<bool, String> {
        let Session { stream, frames } = &mut self.session;
        stream.set_read_timeout(Some(patience)).map_err(|e| format!("sink: {e}"))?;
        match frames.fill(stream) {
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Ok(false);
            }
            other => other.map_err(|e| format!("sink: {e}"))?,
        }
        let now = Instant::now();
        if !self.delayed_ack {
            // Sends an acknowledgement that was put off. Has to be said again and again (tcp(7)).
            set_tcp_quickack(&*stream, true).map_err(|e| format!("sink: {e}"))?;
        }
        let mut updates = false;
        while let Some(message) = self.session.frames.next()? {
            if message.kind != kind::UPDATE {
                continue;
            }
            let update = Update::parse(message.body).ok_or("sink: malformed UPDATE")?;
            let (announced, withdrawn) = tally(&update, self.load, &mut self.present, &mut self.count)?;
            self.announcements += announced;
            self.withdrawals += withdrawn;
            if announced + withdrawn > 0 {
                updates = true;
                self.last = Some(now);
            }
        }
        Ok(updates)
    }
}

/// Takes an UPDATE into account; returns how many prefixes it announces and withdraws.
fn tally(
    update: &Update<'_>,
    load: &Load,
    present: &mut [bool],
    count: &mut u32,
) -> Result<(u64, u64), String> {
    let mut mark = |list: &[u8], state: bool| {
        let mut length = 0;
        for prefix in prefixes(list) {
            let (address, bits) = prefix.ok_or("sink: malformed prefix")?;
            let slot = load.index(address, bits).and_then(|index| present.get_mut(index as usize));
            let slot =
                slot.ok_or_else(|| format!("sink: {address:#010x}/{bits} was announced by no feeder"))?;
            if *slot != state {
                *slot = state;
                *count = if state { *count + 1 } else { *count - 1 };
            }
            length += 1;
        }
        Ok::<u64, String>(length)
    };
    let seen = update.seen().ok_or("sink: malformed attributes")?;
    let withdrawn = mark(update.withdrawn, false)? + mark(seen.unreached, false)?;
    let announced = mark(update.nlri, true)? + mark(seen.reached, true)?;
    // A speaker that saves itself the work of eBGP would be fast for nothing.
    let right =
        seen.first_as == Some(scene::ASN) && seen.next_hop == Some(scene::DRAIN.1) && seen.communities == 2;
    if announced > 0 && !right {
        return Err(format!(
            "sink: an UPDATE with AS {:?} first, next hop {:?} and {} communities; AS {}, {} and 2 were due",
            seen.first_as,
            seen.next_hop,
            seen.communities,
            scene::ASN,
            scene::DRAIN.1,
        ));
    }
    Ok((announced, withdrawn))
}

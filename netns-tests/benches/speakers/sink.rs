//! The sink: which of the load's prefixes has the speaker announced, and has it done a speaker's work on them?

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use rustix::net::sockopt::set_tcp_quickack;

use crate::{
    load::Load,
    message::{Update, kind, prefixes},
    scene,
    session::Session,
};

/// How often the sink looks up from an empty socket.
const LOOK_UP: Duration = Duration::from_millis(500);

/// The sink's session, and what has come out of it.
#[derive(Debug)]
pub(crate) struct Sink {
    session: Session,
    load: &'static Load,
    delayed_ack: bool,
    /// For each prefix the hops of its path; 0 when it is not announced.
    hops: Vec<u8>,
    count: usize,
    announcements: u64,
    withdrawals: u64,
    last: Option<Instant>,
}

impl Sink {
    /// Takes the session over. Unless told `delayed_ack`, it acknowledges at once whatever comes.
    pub(crate) fn new(session: Session, load: &'static Load, delayed_ack: bool) -> Self {
        let hops = vec![0; load.prefixes as usize];
        Self { session, load, delayed_ack, hops, count: 0, announcements: 0, withdrawals: 0, last: None }
    }

    /// How many prefixes have been announced so far, and how many withdrawn, each as often as it was.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        (self.announcements, self.withdrawals)
    }

    /// Whether what stands announced is what has to: each prefix with a path of as many hops as `shortest` has for it,
    /// and the speaker's own AS; no other prefix.
    pub(crate) fn compare(&self, shortest: &[u8]) -> Result<(), String> {
        if self.count != shortest.len() {
            return Err(format!(
                "{} prefixes at the sink in the end, where {} were due",
                self.count,
                shortest.len()
            ));
        }
        let detours = self.hops.iter().zip(shortest).filter(|(hops, best)| **hops != **best + 1).count();
        if detours > 0 {
            return Err(format!("{detours} prefixes at the sink with another path than the shortest"));
        }
        Ok(())
    }

    /// When routes last came, announced or withdrawn.
    pub(crate) fn last(&self) -> Option<Instant> {
        self.last
    }

    /// Receives until so many prefixes stand announced, and returns when that was.
    ///
    /// Gives up at the deadline, and soon after `failed` says that there is nothing more to come.
    pub(crate) fn until(
        &mut self,
        count: usize,
        deadline: Instant,
        failed: &AtomicBool,
    ) -> Result<Instant, String> {
        loop {
            if self.count == count {
                return Ok(Instant::now());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || failed.load(Ordering::Relaxed) {
                return Err(format!("timeout: {} prefixes at the sink where {count} were due", self.count));
            }
            self.receive(left.min(LOOK_UP))?;
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
            let (announced, withdrawn) = tally(&update, self.load, &mut self.hops, &mut self.count)?;
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
fn tally(update: &Update<'_>, load: &Load, hops: &mut [u8], count: &mut usize) -> Result<(u64, u64), String> {
    let mut mark = |list: &[u8], state: u8| {
        let mut length = 0;
        for prefix in prefixes(list) {
            let (address, bits) = prefix.ok_or("sink: malformed prefix")?;
            let slot = load.index(address, bits).and_then(|index| hops.get_mut(index as usize));
            let slot =
                slot.ok_or_else(|| format!("sink: {address:#010x}/{bits} was announced by no feeder"))?;
            match (*slot, state) {
                (0, 1..) => *count += 1,
                (1.., 0) => *count -= 1,
                _ => {}
            }
            *slot = state;
            length += 1;
        }
        Ok::<u64, String>(length)
    };
    let seen = update.seen().ok_or("sink: malformed attributes")?;
    let withdrawn = mark(update.withdrawn, 0)? + mark(seen.unreached, 0)?;
    // An empty path is none of a feeder's and is refused below.
    let announced = mark(update.nlri, seen.hops.max(1))? + mark(seen.reached, seen.hops.max(1))?;
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

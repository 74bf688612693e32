//! A feeder: sends bytes that were encoded before, and looks whether the speaker objects.

use std::{
    io::{self, Write},
    time::Instant,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{
    message::{keepalive, kind},
    session::Session,
};

/// A feeder's session.
#[derive(Debug)]
pub(crate) struct Feeder(Session);

impl Feeder {
    /// Takes the session over.
    pub(crate) fn new(session: Session) -> Result<Self, String> {
        session.stream.set_nonblocking(true).map_err(|e| format!("feeder: {e}"))?;
        Ok(Self(session))
    }

    /// Sends all of it, as fast as the speaker takes it, and a KEEPALIVE behind.
    pub(crate) fn send(&mut self, bytes: &[u8], deadline: Instant) -> Result<(), String> {
        for part in [bytes, &keepalive()] {
            let mut rest = part;
            while !rest.is_empty() {
                let sent = self.step(rest, deadline)?;
                rest = rest.get(sent..).unwrap_or_default();
            }
        }
        Ok(())
    }

    /// Waits until something can be sent or received, and does that.
    fn step(&mut self, bytes: &[u8], deadline: Instant) -> Result<usize, String> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err("the speaker did not take everything that a feeder had".into());
        }
        let mut fds = [PollFd::new(&self.0.stream, PollFlags::IN | PollFlags::OUT)];
        let ready = poll(&mut fds, Timespec::try_from(left).ok().as_ref());
        let [fd] = fds;
        match ready {
            Err(rustix::io::Errno::INTR) => return Ok(0),
            other => other.map_err(|e| format!("feeder: {e}"))?,
        };
        let events = fd.revents();
        if events.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            self.listen()?;
        }
        if !events.contains(PollFlags::OUT) {
            return Ok(0);
        }
        match self.0.stream.write(bytes) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(0),
            other => other.map_err(|e| format!("feeder: {e}")),
        }
    }

    /// Reads what the speaker has to say. It exports nothing to feeders, so an UPDATE can only be End-of-RIB.
    fn listen(&mut self) -> Result<(), String> {
        match self.0.frames.fill(&mut self.0.stream) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            other => other.map_err(|e| format!("feeder: {e}"))?,
        }
        while let Some(message) = self.0.frames.next()? {
            if message.kind == kind::UPDATE && message.body.len() > 4 {
                return Err("the speaker sent routes to a feeder".into());
            }
        }
        Ok(())
    }
}

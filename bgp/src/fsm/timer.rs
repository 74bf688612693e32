//! The timer table of one peer: a fixed slot per timer, no allocation, no clock of its own.

use std::time::Instant;

/// Which of the two connections that may exist side by side: the one we opened, or the one the peer opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// We dialled.
    Dialled,
    /// The peer dialled, we accepted.
    Accepted,
}

impl Side {
    /// Both, in the order that loops visit them.
    pub const BOTH: [Self; 2] = [Self::Dialled, Self::Accepted];

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Dialled => Self::Accepted,
            Self::Accepted => Self::Dialled,
        }
    }
}

/// The timers of RFC 4271 section 8.1.3 (DelayOpenTimer is not used), RFC 9687's, and one of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timer {
    /// ConnectRetryTimer: when to dial, and how long to wait for a dial.
    ConnectRetry,
    /// IdleHoldTimer (DampPeerOscillations): how long to stay Idle.
    IdleHold,
    /// How long a connection that could be Established waits for one that would win a collision.
    Collision,
    /// HoldTimer of a connection.
    Hold(Side),
    /// KeepaliveTimer of a connection.
    Keepalive(Side),
    /// SendHoldTimer (RFC 9687) of the Established connection.
    SendHold,
}

impl Timer {
    /// Every timer there is.
    pub const ALL: [Self; 8] = [
        Self::ConnectRetry,
        Self::IdleHold,
        Self::Collision,
        Self::Hold(Side::Dialled),
        Self::Hold(Side::Accepted),
        Self::Keepalive(Side::Dialled),
        Self::Keepalive(Side::Accepted),
        Self::SendHold,
    ];

    fn slot(self) -> usize {
        match self {
            Self::ConnectRetry => 0,
            Self::IdleHold => 1,
            Self::Collision => 2,
            Self::Hold(Side::Dialled) => 3,
            Self::Hold(Side::Accepted) => 4,
            Self::Keepalive(Side::Dialled) => 5,
            Self::Keepalive(Side::Accepted) => 6,
            Self::SendHold => 7,
        }
    }
}

/// When each [`Timer`] goes off.
#[derive(Clone, Debug, Default)]
pub(super) struct Timers([Option<Instant>; Timer::ALL.len()]);

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        self.0[timer.slot()] = Some(at);
    }

    pub(super) fn stop(&mut self, timer: Timer) {
        self.0[timer.slot()] = None;
    }

    pub(super) fn stop_all(&mut self) {
        *self = Self::default();
    }

    pub(super) fn get(&self, timer: Timer) -> Option<Instant> {
        self.0[timer.slot()]
    }

    /// When the table must be looked at next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }

    /// Takes the timer that is due longest, and stops it.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Timer> {
        let (due, timer) = Timer::ALL
            .into_iter()
            .filter_map(|timer| self.get(timer).map(|at| (at, timer)))
            .min_by_key(|(at, _)| *at)?;
        (due <= now).then(|| self.stop(timer)).map(|()| timer)
    }
}

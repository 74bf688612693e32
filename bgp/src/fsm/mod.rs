//! One peer's session: the state machine of RFC 4271 section 8, without I/O.
//!
//! It knows the six states, the timers, the OPEN exchange and connection collisions. It must not know sockets, bytes,
//! routes or the other peers. Time comes in with every event; what is to be done comes out of [`Fsm::poll`].
//!
//! ```text
//!            Start                    accepted / dialled                    KEEPALIVE
//!   Idle ────────────► Connect, Active ────────────────► OpenSent ─► OpenConfirm ─────► Established
//!    ▲                     (seeking: at most two connections)                               │
//!    └───────────── IdleHold, then Active ◄──────────── any failure ────────────────────────┘
//! ```
//!
//! The RFC runs one machine per connection and lets them kill each other. Here one machine holds both connections that
//! a peer can have before it is Established, one per direction, so that "two Established connections for one peer"
//! cannot be written down. [`Fsm::state`] is the state of the one that is further along.
//!
//! # Collisions
//!
//! The connection that survives (section 6.8, RFC 6286 section 2.3) is the one opened by the side with the higher
//! identifier. Closing the other one at the wrong moment loses both: each side has closed what the other one kept.
//! Two rules prevent that:
//!
//! 1. The loser is closed when the winner has received an OPEN, never earlier: only then the peer has committed to it.
//! 2. The loser does not become Established while the winner is open. Its KEEPALIVE is remembered; it becomes
//!    Established when the winner dies, when the peer shows by an UPDATE that it has chosen the loser,
//!    or after [`COLLISION_WAIT`].
//!
//! A connection that arrives in Established is refused, unless the peer restarts gracefully: then it replaces the old one
//! (RFC 4724 section 5). Because a refused one may mean, too, that the peer restarted and the old
//! connection is dead, a KEEPALIVE is sent on the old one at once: if it is dead, the peer's kernel says so.
//!
//! # Back-off
//!
//! After a session ended, the peer is given the chance to dial first: the machine listens for about a second before it dials
//! (two sides that dial at once after a restart would only collide). Dials that fail double the pause up to
//! `connect_retry`. Sessions that fail again and again without having been stable for [`STABLE`] are held Idle
//! for a time that doubles up to [`MAX_IDLE_HOLD`] (DampPeerOscillations, section 8.1.1).

mod cease;
mod established;
mod event;
mod negotiate;
mod random;
mod seeking;
#[cfg(test)]
mod tests;
mod timer;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

pub use cease::Cease;
pub use established::Established;
pub use event::{Cause, ConnId, Event, Output, Received, Refused, State};
pub use negotiate::{Negotiated, RemoteAs, Settings};
pub use random::Random;
pub use timer::{Side, Timer};

use crate::wire::{
    Notification, Session,
    iana::{error_code, fsm_error, message_type},
};
use seeking::Seeking;
use timer::Timers;

/// The hold time before the OPEN exchange, "4 minutes is suggested" (RFC 4271 section 8.2.2).
pub const LARGE_HOLD: Duration = Duration::from_mins(4);
/// The least SendHoldTime (RFC 9687 section 4): the larger of this and twice the hold time is used.
pub const SEND_HOLD: Duration = Duration::from_mins(8);
/// How long a connection that could be Established waits for the winner of a collision.
pub const COLLISION_WAIT: Duration = Duration::from_secs(5);
/// The first pause between two dials; also the time that a restarted peer is given to dial first.
pub const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest time that a failing session is held Idle.
pub const MAX_IDLE_HOLD: Duration = Duration::from_mins(1);
/// A session that lived this long is not held against the peer.
pub const STABLE: Duration = Duration::from_mins(1);

/// The state machine of one peer.
#[derive(Clone, Debug)]
pub struct Fsm {
    settings: Settings,
    phase: Phase,
    timers: Timers,
    random: Random,
    outputs: VecDeque<Output>,
    next_conn: ConnId,
    /// Dials that failed since the last session, for the pause between dials.
    dials_failed: u32,
    /// Sessions and OPEN exchanges that failed since the last stable session, for the time held Idle.
    failures: u32,
    /// All dials ever.
    dials: u64,
}

/// The states, grouped by the data they own.
#[derive(Clone, Debug)]
enum Phase {
    Idle(Idle),
    /// Connect, Active, OpenSent, OpenConfirm.
    Seeking(Seeking),
    Established(Box<Established>),
}

/// Why we are Idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Until ManualStart.
    Stopped,
    /// Until IdleHoldTimer expires.
    Held,
    /// Prefix limit exceeded: until IdleHoldTimer expires, if it runs at all, or a restart.
    Suspended,
}

impl Fsm {
    /// A session that is stopped. `first` and the numbers after it name this peer's connections.
    pub fn new(settings: Settings, first: ConnId, seed: u64) -> Self {
        Self {
            settings,
            phase: Phase::Idle(Idle::Stopped),
            timers: Timers::default(),
            random: Random::new(seed),
            outputs: VecDeque::new(),
            next_conn: first,
            dials_failed: 0,
            failures: 0,
            dials: 0,
        }
    }

    /// The state, of the connection that is further along when there are two.
    pub fn state(&self) -> State {
        match &self.phase {
            Phase::Idle(_) => State::Idle,
            Phase::Seeking(seeking) => seeking.state(),
            Phase::Established(_) => State::Established,
        }
    }

    /// Why Idle, when it is.
    pub fn idle(&self) -> Option<Idle> {
        match self.phase {
            Phase::Idle(idle) => Some(idle),
            _ => None,
        }
    }

    /// The session, when there is one.
    pub fn established(&self) -> Option<&Established> {
        match &self.phase {
            Phase::Established(established) => Some(established),
            _ => None,
        }
    }

    /// Whether the connection is one of this session's, and not given up.
    pub fn owns(&self, conn: ConnId) -> bool {
        match &self.phase {
            Phase::Idle(_) => false,
            Phase::Seeking(seeking) => seeking.side_of(conn).is_some(),
            Phase::Established(established) => established.conn == conn,
        }
    }

    /// What the codec must know of a connection: what its OPENs agreed on, once both are there.
    pub fn session(&self, conn: ConnId) -> Session {
        let negotiated = match &self.phase {
            Phase::Idle(_) => None,
            Phase::Seeking(seeking) => seeking.negotiated(conn),
            Phase::Established(established) => (established.conn == conn).then_some(&established.negotiated),
        };
        negotiated.map_or_else(Session::before_open, |negotiated| negotiated.session)
    }

    /// The next thing to be done.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] must be called.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// When the next dial or the end of an idle hold is due.
    pub fn next_retry(&self) -> Option<Instant> {
        self.timers.get(Timer::IdleHold).or_else(|| self.timers.get(Timer::ConnectRetry))
    }

    /// How often this session has dialled.
    pub fn dials(&self) -> u64 {
        self.dials
    }

    /// What the session was configured with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// New settings. They count from the next OPEN and the next dial on, `keepalive` and `passive` at once; a session
    /// that must change altogether needs [`Event::Restart`].
    pub fn configure(&mut self, settings: Settings, now: Instant) {
        self.settings = settings;
        match &mut self.phase {
            Phase::Idle(_) => {}
            Phase::Seeking(seeking) => {
                // One that was passive has no dial ahead of it.
                if seeking.state() == State::Active && self.timers.get(Timer::ConnectRetry).is_none() {
                    self.schedule_dial(now);
                }
            }
            Phase::Established(established) => {
                let negotiated = &mut established.negotiated;
                negotiated.keepalive = self.settings.keepalive(negotiated.hold_time);
            }
        }
    }

    /// Handles the timers that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.expire(now) {
            self.handle(Event::Expired(timer), now);
        }
    }

    /// 17, TcpConnectionConfirmed: the peer dialled.
    pub fn accept(&mut self, now: Instant) -> Result<ConnId, Refused> {
        // An idle hold that ended this very moment must not refuse anybody.
        self.handle_timeout(now);
        self.give_way();
        match self.phase {
            Phase::Idle(idle) => Err(Refused::Idle(idle)),
            Phase::Established(_) => {
                self.probe(now);
                Err(Refused::Collision)
            }
            Phase::Seeking(_) => {
                let conn = self.new_conn();
                self.accepted(conn, now);
                Ok(conn)
            }
        }
    }

    /// Everything but 17.
    pub fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Start => self.start(now),
            Event::Stop(cease) => {
                self.end_all(&cease);
                self.go_idle(Idle::Stopped);
            }
            Event::Restart(cease) => {
                self.end_all(&cease);
                if !matches!(self.phase, Phase::Idle(Idle::Stopped)) {
                    self.go_idle(Idle::Stopped);
                    self.start(now);
                }
            }
            Event::Suspend(cease) => {
                // A session that is Idle has nothing to suspend.
                if !matches!(self.phase, Phase::Idle(_)) {
                    self.end_all(&cease);
                    self.go_idle(Idle::Suspended);
                    if let Some(pause) = self.settings.prefix_limit_restart {
                        self.timers.set(Timer::IdleHold, now + pause);
                    }
                }
            }
            Event::Abort(cease) => {
                if !matches!(self.phase, Phase::Idle(_)) {
                    self.judge_stability(now);
                    self.end_all(&cease);
                    self.hold_idle(now, true);
                }
            }
            Event::Expired(Timer::IdleHold) => {
                if matches!(self.phase, Phase::Idle(Idle::Held | Idle::Suspended)) {
                    self.listen(now);
                }
            }
            event => match self.phase {
                // Idle ignores everything else (RFC 4271 section 8.2.2).
                Phase::Idle(_) => {}
                Phase::Seeking(_) => self.handle_seeking(event, now),
                Phase::Established(_) => self.handle_established(event, now),
            },
        }
    }

    /// ManualStart in Idle: dials at once; is ignored elsewhere.
    fn start(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Idle(_)) {
            return;
        }
        self.dials_failed = 0;
        self.failures = 0;
        self.timers.stop_all();
        self.phase = Phase::Seeking(Seeking::default());
        if !self.settings.passive {
            self.dial(now);
        }
    }

    /// AutomaticStart with DampPeerOscillations and PassiveTcpEstablishment (7): listens before it dials.
    fn listen(&mut self, now: Instant) {
        self.timers.stop_all();
        self.phase = Phase::Seeking(Seeking::default());
        self.schedule_dial(now);
    }

    /// Ends every connection with a Cease, without changing the phase.
    fn end_all(&mut self, cease: &Cease) {
        let notification = cease.notification();
        match &self.phase {
            Phase::Idle(_) => {}
            Phase::Seeking(seeking) => {
                for (conn, is_open) in seeking.connections() {
                    self.outputs.push_back(Output::Close(conn, is_open.then(|| notification.clone())));
                    if is_open {
                        self.outputs.push_back(Output::Attempt(Cause::Sent(notification.clone())));
                    }
                }
            }
            Phase::Established(established) => {
                self.outputs.push_back(Output::Close(established.conn, Some(notification.clone())));
                self.outputs.push_back(Output::Down(Cause::Sent(notification)));
            }
        }
    }

    fn go_idle(&mut self, idle: Idle) {
        self.timers.stop_all();
        self.phase = Phase::Idle(idle);
    }

    /// Idle after the last connection ended by itself. `failure`: counts towards the damping.
    fn hold_idle(&mut self, now: Instant, failure: bool) {
        self.failures = self.failures.saturating_add(u32::from(failure));
        self.go_idle(Idle::Held);
        let hold = self.random.jitter(idle_hold(self.failures));
        self.timers.set(Timer::IdleHold, now + hold);
    }

    /// Forgives earlier failures when the session that ends was a long one.
    fn judge_stability(&mut self, now: Instant) {
        if self.established().is_some_and(|e| now.saturating_duration_since(e.since) >= STABLE) {
            self.failures = 0;
        }
    }

    fn new_conn(&mut self) -> ConnId {
        let conn = self.next_conn;
        self.next_conn.0 += 1;
        conn
    }

    fn set_keepalive(&mut self, side: Side, interval: Duration, now: Instant) {
        if !interval.is_zero() {
            let interval = self.random.jitter(interval);
            self.timers.set(Timer::Keepalive(side), now + interval);
        }
    }

    fn set_hold(&mut self, side: Side, seconds: u16, now: Instant) {
        if seconds == 0 {
            self.timers.stop(Timer::Hold(side));
        } else {
            self.timers.set(Timer::Hold(side), now + Duration::from_secs(u64::from(seconds)));
        }
    }
}

/// How long to stay Idle after so many failures in a row: the first is free, then 1 s, doubled each time.
fn idle_hold(failures: u32) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        n => Duration::from_secs(1 << (n - 2).min(16)).min(MAX_IDLE_HOLD),
    }
}

/// RFC 6608: a message that was not expected in this state.
fn unexpected(state: State, message: &Received) -> Notification {
    let subcode = match state {
        State::OpenSent => fsm_error::UNEXPECTED_IN_OPEN_SENT,
        State::OpenConfirm => fsm_error::UNEXPECTED_IN_OPEN_CONFIRM,
        State::Established => fsm_error::UNEXPECTED_IN_ESTABLISHED,
        State::Idle | State::Connect | State::Active => fsm_error::UNSPECIFIED,
    };
    let kind = match message {
        Received::Open(_) => message_type::OPEN,
        Received::Update => message_type::UPDATE,
        Received::Notification(_) => message_type::NOTIFICATION,
        Received::Keepalive => message_type::KEEPALIVE,
        Received::RouteRefresh => message_type::ROUTE_REFRESH,
    };
    Notification::fsm(subcode, kind)
}

/// RFC 9687 section 3.
fn send_hold_timer_expired() -> Notification {
    Notification::new(error_code::SEND_HOLD_TIMER_EXPIRED, 0, &[])
}

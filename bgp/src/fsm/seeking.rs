//! Connect, Active, OpenSent and OpenConfirm: one connection, or two that have not been decided yet.

use std::time::Instant;

use super::{
    COLLISION_WAIT, Cause, Cease, ConnId, Event, FIRST_RETRY, Fsm, LARGE_HOLD, Negotiated, Output, Phase,
    Received, Side, State, Timer, unexpected,
};
use crate::wire::{Notification, Open};

/// At most one connection per direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Seeking {
    dialled: Option<Link>,
    accepted: Option<Link>,
}

/// A connection on its way to Established.
#[derive(Clone, Debug)]
struct Link {
    conn: ConnId,
    stage: Stage,
}

#[derive(Clone, Debug)]
enum Stage {
    /// TCP is not there yet.
    Dialling,
    /// Our OPEN is out.
    OpenSent,
    /// The peer's OPEN is in, our KEEPALIVE is out.
    OpenConfirm {
        negotiated: Box<Negotiated>,
        /// The peer's KEEPALIVE is in too, but a connection that would win a collision is open.
        ready: bool,
    },
}

impl Link {
    fn state(&self) -> State {
        match self.stage {
            Stage::Dialling => State::Connect,
            Stage::OpenSent => State::OpenSent,
            Stage::OpenConfirm { .. } => State::OpenConfirm,
        }
    }

    fn is_open(&self) -> bool {
        !matches!(self.stage, Stage::Dialling)
    }

    fn peer(&self) -> Option<&Open> {
        match &self.stage {
            Stage::OpenConfirm { negotiated, .. } => Some(&negotiated.open),
            _ => None,
        }
    }
}

impl Seeking {
    pub(super) fn state(&self) -> State {
        let furthest = [&self.dialled, &self.accepted].into_iter().flatten().map(Link::state).max();
        // A dial beside nothing is Connect, which the RFC puts before Active.
        furthest.unwrap_or(State::Active)
    }

    pub(super) fn side_of(&self, conn: ConnId) -> Option<Side> {
        Side::BOTH.into_iter().find(|&side| self.link(side).is_some_and(|link| link.conn == conn))
    }

    /// The connections, and whether TCP is up.
    pub(super) fn connections(&self) -> impl Iterator<Item = (ConnId, bool)> + use<'_> {
        Side::BOTH.into_iter().filter_map(|side| self.link(side)).map(|link| (link.conn, link.is_open()))
    }

    /// What the OPENs of a connection agreed on, once both are there.
    pub(super) fn negotiated(&self, conn: ConnId) -> Option<&Negotiated> {
        match &self.link(self.side_of(conn)?)?.stage {
            Stage::OpenConfirm { negotiated, .. } => Some(negotiated),
            Stage::Dialling | Stage::OpenSent => None,
        }
    }

    fn link(&self, side: Side) -> Option<&Link> {
        match side {
            Side::Dialled => self.dialled.as_ref(),
            Side::Accepted => self.accepted.as_ref(),
        }
    }

    fn slot(&mut self, side: Side) -> &mut Option<Link> {
        match side {
            Side::Dialled => &mut self.dialled,
            Side::Accepted => &mut self.accepted,
        }
    }

    fn any_open(&self) -> bool {
        self.connections().any(|(_, open)| open)
    }
}

impl Fsm {
    /// Opens a connection; ConnectRetryTimer limits how long that may take.
    pub(super) fn dial(&mut self, now: Instant) {
        let conn = self.new_conn();
        let limit = self.random.jitter(self.settings.connect_retry.max(FIRST_RETRY));
        let Phase::Seeking(seeking) = &mut self.phase else { return };
        seeking.dialled = Some(Link { conn, stage: Stage::Dialling });
        self.timers.set(Timer::ConnectRetry, now + limit);
        self.dials += 1;
        self.outputs.push_back(Output::Dial(conn));
    }

    /// Sets ConnectRetryTimer for the next dial, later and later the more of them failed.
    pub(super) fn schedule_dial(&mut self, now: Instant) {
        if self.settings.passive {
            return;
        }
        let pause = FIRST_RETRY * (1 << self.dials_failed.min(16));
        let pause = pause.min(self.settings.connect_retry.max(FIRST_RETRY));
        let pause = self.random.jitter(pause);
        self.timers.set(Timer::ConnectRetry, now + pause);
    }

    /// The peer dialled.
    pub(super) fn accepted(&mut self, conn: ConnId, now: Instant) {
        // A peer that dials again has given up its earlier dial, whatever we still think of it.
        if self.link(Side::Accepted).is_some() {
            self.drop_link(Side::Accepted, Cause::Sent(Cease::ConnectionCollision.notification()));
        }
        // Nor does it need a second one unless ours is lost: a KEEPALIVE finds out, as in Established.
        if let Some(Link { conn, stage: Stage::OpenConfirm { .. } }) = self.link(Side::Dialled) {
            self.outputs.push_back(Output::SendKeepalive(*conn));
        }
        self.open_link(Side::Accepted, conn, now);
    }

    pub(super) fn handle_seeking(&mut self, event: Event, now: Instant) {
        match event {
            Event::Expired(Timer::ConnectRetry) => self.connect_retry_expired(now),
            Event::Expired(Timer::Collision) => {
                if let Some(side) = Side::BOTH.into_iter().find(|&side| self.is_ready(side)) {
                    self.promote(side, now);
                }
            }
            Event::Expired(Timer::Hold(side)) if self.link(side).is_some_and(Link::is_open) => {
                self.give_up(side, Cause::Sent(Notification::hold_timer_expired()), now);
            }
            Event::Expired(Timer::Keepalive(side)) => {
                if let Some(Link { conn, stage: Stage::OpenConfirm { negotiated, .. } }) = self.link(side) {
                    let (conn, interval) = (*conn, negotiated.keepalive);
                    self.outputs.push_back(Output::SendKeepalive(conn));
                    self.set_keepalive(side, interval, now);
                }
            }
            Event::Dialled(conn)
                if self.link(Side::Dialled).is_some_and(|link| link.conn == conn && !link.is_open()) =>
            {
                self.open_link(Side::Dialled, conn, now);
            }
            Event::Failed(conn, reason) => {
                if let Some(side) = self.side_of(conn) {
                    self.transport_failed(side, reason, now);
                }
            }
            Event::Malformed(conn, notification) => {
                if let Some(side) = self.side_of(conn) {
                    self.give_up(side, Cause::Sent(notification), now);
                }
            }
            Event::Received(conn, received) => {
                if let Some(side) = self.side_of(conn) {
                    self.received(side, received, now);
                }
            }
            // Timers of Established, and events that `handle` has dealt with.
            _ => {}
        }
    }

    fn received(&mut self, side: Side, received: Received, now: Instant) {
        let Some(link) = self.link(side) else { return };
        let state = link.state();
        match (received, &link.stage) {
            (Received::Notification(n), _) => {
                let cause = Cause::Received(n);
                if cause.is_rejection() {
                    self.fall_back(side, cause, now);
                } else {
                    self.give_up(side, cause, now);
                }
            }
            (Received::Open(open), Stage::OpenSent) => match self.settings.negotiate(*open) {
                Ok(negotiated) => self.open_received(side, negotiated, now),
                Err(notification) => self.give_up(side, Cause::Sent(notification), now),
            },
            (Received::Keepalive, Stage::OpenConfirm { .. }) => self.keepalive_received(side, now),
            // The peer is Established on this connection, so the other one has lost.
            (Received::Update | Received::RouteRefresh, Stage::OpenConfirm { ready: true, .. }) => {
                self.promote(side, now);
            }
            (other, _) => self.give_up(side, Cause::Sent(unexpected(state, &other)), now),
        }
    }

    fn open_received(&mut self, side: Side, negotiated: Negotiated, now: Instant) {
        let winner = self.winner(&negotiated.open);
        let other = side.other();
        if self.link(other).is_some_and(Link::is_open) {
            let collision = Cause::Sent(Cease::ConnectionCollision.notification());
            if winner == side {
                self.drop_link(other, collision);
            } else if self.link(other).is_some_and(|link| link.peer().is_some()) {
                self.drop_link(side, collision);
                return;
            }
        }
        let (hold_time, keepalive) = (negotiated.hold_time, negotiated.keepalive);
        let Phase::Seeking(seeking) = &mut self.phase else { return };
        let Some(link) = seeking.slot(side) else { return };
        link.stage = Stage::OpenConfirm { negotiated: Box::new(negotiated), ready: false };
        self.outputs.push_back(Output::SendKeepalive(link.conn));
        // With a hold time of zero the large one goes on until the KEEPALIVE: nothing else would notice a dead peer here.
        if hold_time != 0 {
            self.set_hold(side, hold_time, now);
        }
        self.set_keepalive(side, keepalive, now);
    }

    fn keepalive_received(&mut self, side: Side, now: Instant) {
        let Some(Link { stage: Stage::OpenConfirm { negotiated, .. }, .. }) = self.link(side) else { return };
        let hold_time = negotiated.hold_time;
        let loses = self.winner(&negotiated.open) != side;
        if !loses || !self.link(side.other()).is_some_and(Link::is_open) {
            self.promote(side, now);
            return;
        }
        if hold_time != 0 {
            self.set_hold(side, hold_time, now);
        }
        let Phase::Seeking(seeking) = &mut self.phase else { return };
        let Some(Link { stage: Stage::OpenConfirm { ready, .. }, .. }) = seeking.slot(side) else { return };
        if !*ready {
            *ready = true;
            self.timers.set(Timer::Collision, now + COLLISION_WAIT);
        }
    }

    /// Makes a connection in OpenConfirm the session.
    fn promote(&mut self, side: Side, now: Instant) {
        if self.link(side.other()).is_some() {
            self.drop_link(side.other(), Cause::Sent(Cease::ConnectionCollision.notification()));
        }
        let Phase::Seeking(seeking) = &mut self.phase else { return };
        match seeking.slot(side).take() {
            Some(Link { conn, stage: Stage::OpenConfirm { negotiated, .. } }) => {
                self.establish(conn, side, *negotiated, now);
            }
            link => *seeking.slot(side) = link,
        }
    }

    /// RFC 4271 section 6.8, RFC 6286 section 2.3: who dialled the connection that stays.
    fn winner(&self, peer: &Open) -> Side {
        let ours = (self.settings.router_id, self.settings.local_as);
        if ours > (peer.router_id, peer.asn) { Side::Dialled } else { Side::Accepted }
    }

    /// TCP is up: OPEN goes out.
    fn open_link(&mut self, side: Side, conn: ConnId, now: Instant) {
        let open = Box::new(self.settings.open());
        let Phase::Seeking(seeking) = &mut self.phase else { return };
        *seeking.slot(side) = Some(Link { conn, stage: Stage::OpenSent });
        // While a dial is under way the timer limits it.
        if seeking.dialled.as_ref().is_none_or(Link::is_open) {
            self.timers.stop(Timer::ConnectRetry);
        }
        self.outputs.push_back(Output::SendOpen(conn, open));
        self.timers.set(Timer::Hold(side), now + LARGE_HOLD);
    }

    fn connect_retry_expired(&mut self, now: Instant) {
        let Phase::Seeking(seeking) = &mut self.phase else { return };
        let connected = seeking.any_open();
        if let Some(link) = seeking.dialled.take_if(|link| !link.is_open()) {
            self.outputs.push_back(Output::Close(link.conn, None));
            self.outputs.push_back(Output::Attempt(Cause::Transport("no answer".into())));
            self.dials_failed = self.dials_failed.saturating_add(1);
        }
        if !connected && !self.settings.passive {
            self.dial(now);
        }
    }

    /// 18, TcpConnectionFails.
    fn transport_failed(&mut self, side: Side, reason: String, now: Instant) {
        if self.link(side).map(Link::state) == Some(State::OpenConfirm) {
            self.give_up(side, Cause::Transport(reason), now);
        } else {
            self.fall_back(side, Cause::Transport(reason), now);
        }
    }

    /// Ends a connection that did not get far, and listens when it was the last one.
    fn fall_back(&mut self, side: Side, cause: Cause, now: Instant) {
        self.dials_failed = self.dials_failed.saturating_add(1);
        // Connect goes to Idle by the letter of the RFC, where nobody may connect to us;
        // as everybody else we listen, as OpenSent does by the letter too.
        self.drop_link(side, cause);
        if !self.carry_on(now) && self.is_alone() {
            self.listen(now);
        }
    }

    /// Ends a connection, and goes Idle when it was the last one.
    fn give_up(&mut self, side: Side, cause: Cause, now: Instant) {
        // Losing a collision is no failure.
        let collided = cause.is_collision();
        self.drop_link(side, cause);
        if !self.carry_on(now) && self.is_alone() {
            self.hold_idle(now, !collided);
        }
    }

    /// After a connection is gone: the other one may have waited for that.
    fn carry_on(&mut self, now: Instant) -> bool {
        let ready = Side::BOTH.into_iter().find(|&side| self.is_ready(side));
        if let Some(side) = ready {
            self.promote(side, now);
        }
        ready.is_some()
    }

    fn drop_link(&mut self, side: Side, cause: Cause) {
        let Phase::Seeking(seeking) = &mut self.phase else { return };
        let Some(link) = seeking.slot(side).take() else { return };
        for timer in [Timer::Hold(side), Timer::Keepalive(side), Timer::Collision] {
            self.timers.stop(timer);
        }
        if !link.is_open() {
            self.timers.stop(Timer::ConnectRetry);
        }
        if !link.is_open() && !matches!(cause, Cause::Transport(_)) {
            // A dial that is no longer needed is nobody's failure.
            self.outputs.push_back(Output::Close(link.conn, None));
            return;
        }
        if !matches!(cause, Cause::Transport(_)) {
            self.outputs.push_back(Output::Close(link.conn, cause.farewell()));
        }
        self.outputs.push_back(Output::Attempt(cause));
    }

    fn is_ready(&self, side: Side) -> bool {
        matches!(self.link(side), Some(Link { stage: Stage::OpenConfirm { ready: true, .. }, .. }))
    }

    fn link(&self, side: Side) -> Option<&Link> {
        match &self.phase {
            Phase::Seeking(seeking) => seeking.link(side),
            _ => None,
        }
    }

    /// No connection is left.
    fn is_alone(&self) -> bool {
        Side::BOTH.into_iter().all(|side| self.link(side).is_none())
    }

    fn side_of(&self, conn: ConnId) -> Option<Side> {
        match &self.phase {
            Phase::Seeking(seeking) => seeking.side_of(conn),
            _ => None,
        }
    }
}

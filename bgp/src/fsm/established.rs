//! The Established state.

use std::time::{Duration, Instant};

use super::{
    Cause, ConnId, Event, Fsm, Negotiated, Output, Phase, Received, SEND_HOLD, Side, State, Timer,
    seeking::Seeking, send_hold_timer_expired, unexpected,
};
use crate::wire::{FamilySet, Notification};

/// A session that is up.
#[derive(Clone, Debug)]
pub struct Established {
    /// The connection that carries it.
    pub conn: ConnId,
    /// Who opened the connection.
    pub side: Side,
    /// Since when it is up.
    pub since: Instant,
    /// What the OPENs agreed on.
    pub negotiated: Negotiated,
}

impl Fsm {
    /// Enters Established.
    pub(super) fn establish(&mut self, conn: ConnId, side: Side, negotiated: Negotiated, now: Instant) {
        self.dials_failed = 0;
        self.timers.stop(Timer::ConnectRetry);
        self.timers.stop(Timer::Collision);
        self.set_hold(side, negotiated.hold_time, now);
        self.phase = Phase::Established(Box::new(Established { conn, side, since: now, negotiated }));
        self.restart_send_hold(now);
        self.outputs.push_back(Output::Up(conn));
    }

    /// A second connection arrived. If the first one is dead, a KEEPALIVE on it finds out.
    pub(super) fn probe(&mut self, now: Instant) {
        if let Some(&Established { conn, side, ref negotiated, .. }) = self.established() {
            // With a hold time of zero no KEEPALIVE may be sent periodically; this one is not periodic.
            let interval = negotiated.keepalive;
            self.outputs.push_back(Output::SendKeepalive(conn));
            self.set_keepalive(side, interval, now);
        }
    }

    /// RFC 4724 section 5: the new connection of a peer that restarts gracefully means that the old one is gone, which
    /// is then ended here as if it had failed.
    pub(super) fn give_way(&mut self) {
        let Phase::Established(established) = &self.phase else { return };
        if self.settings.graceful_restart && established.negotiated.restartable() != FamilySet::NONE {
            self.outputs.push_back(Output::Close(established.conn, None));
            self.outputs.push_back(Output::Down(Cause::Transport("the peer has restarted".into())));
            self.timers.stop_all();
            self.phase = Phase::Seeking(Seeking::default());
        }
    }

    pub(super) fn handle_established(&mut self, event: Event, now: Instant) {
        let Phase::Established(established) = &self.phase else { return };
        let &Established { conn, side, ref negotiated, .. } = &**established;
        let (hold_time, keepalive) = (negotiated.hold_time, negotiated.keepalive);
        match event {
            Event::Received(from, received) if from == conn => match received {
                Received::Keepalive | Received::Update | Received::RouteRefresh => {
                    self.set_hold(side, hold_time, now);
                }
                Received::Notification(n) => self.down(Cause::Received(n), now),
                message @ Received::Open(_) => {
                    self.down(Cause::Sent(unexpected(State::Established, &message)), now);
                }
            },
            Event::Malformed(from, n) if from == conn => self.down(Cause::Sent(n), now),
            Event::Failed(from, reason) if from == conn => self.down(Cause::Transport(reason), now),
            Event::Sent(on) if on == conn => self.restart_send_hold(now),
            Event::Expired(Timer::Hold(of)) if of == side => {
                self.down(Cause::Sent(Notification::hold_timer_expired()), now);
            }
            Event::Expired(Timer::SendHold) => self.down(Cause::Sent(send_hold_timer_expired()), now),
            Event::Expired(Timer::Keepalive(of)) if of == side => {
                self.outputs.push_back(Output::SendKeepalive(conn));
                self.set_keepalive(side, keepalive, now);
            }
            // Another connection's, or a timer that belongs to another state.
            _ => {}
        }
    }

    /// RFC 9687: as long as KEEPALIVEs are due, a connection that takes nothing for this long is dead.
    fn restart_send_hold(&mut self, now: Instant) {
        if let Some(Established { negotiated, .. }) = self.established()
            && negotiated.hold_time != 0
        {
            let twice = Duration::from_secs(u64::from(negotiated.hold_time) * 2);
            self.timers.set(Timer::SendHold, now + SEND_HOLD.max(twice));
        }
    }

    fn down(&mut self, cause: Cause, now: Instant) {
        let Some(&Established { conn, .. }) = self.established() else { return };
        self.judge_stability(now);
        if !matches!(cause, Cause::Transport(_)) {
            self.outputs.push_back(Output::Close(conn, cause.farewell()));
        }
        self.outputs.push_back(Output::Down(cause));
        self.hold_idle(now, true);
    }
}

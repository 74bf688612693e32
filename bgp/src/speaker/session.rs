//! From the state machine's outputs to the tables and the I/O layer.

use std::time::Instant;

use bytes::BytesMut;

use super::{
    Action, PeerEvent, PeerEventKind, Speaker,
    peer::{Conn, Mark, Repeat, Restart},
    receive::REPEAT_LIMIT,
    transmit::count_sent,
};
use crate::{
    fsm::{Cause, ConnId, Event, Output},
    rib::PeerId,
    wire::{FamilySet, Notification},
};

impl Speaker {
    /// Gives an event to a peer's state machine and does what that asks for.
    pub(super) fn drive(&mut self, id: PeerId, event: Event, now: Instant) {
        if let Some(peer) = self.find_mut(id) {
            let given_up = matches!(event, Event::Stop(_) | Event::Restart(_) | Event::Suspend(_));
            peer.fsm.handle(event, now);
            self.carry_out(id, now);
            if given_up {
                self.restart_over(id);
            }
        }
    }

    /// Does what a peer's state machine asks for.
    pub(super) fn carry_out(&mut self, id: PeerId, now: Instant) {
        while let Some(output) = self.find_mut(id).and_then(|peer| peer.fsm.poll()) {
            match output {
                Output::Dial(conn) => self.dial(id, conn),
                Output::SendOpen(conn, open) => {
                    if let Some(conn) = self.conn_mut(conn) {
                        conn.control.open = Some(open);
                    }
                    self.wake(conn);
                }
                Output::SendKeepalive(conn) => {
                    if let Some(conn) = self.conn_mut(conn) {
                        conn.control.keepalive = true;
                    }
                    self.wake(conn);
                }
                Output::Close(conn, notification) => self.close(id, conn, notification),
                Output::Up(conn) => self.session_up(id, conn, now),
                Output::Down(cause) => self.session_down(id, cause, now),
                Output::Attempt(cause) => {
                    if let Some(peer) = self.find_mut(id) {
                        peer.record.last_error = Some((now, cause.clone()));
                        // A collision is no error: the other connection lives, or has told its own story.
                        if !cause.is_collision() {
                            self.event(id, PeerEventKind::AttemptFailed(cause));
                        }
                    }
                }
            }
        }
        debug_assert!(
            self.find(id).is_none_or(|peer| peer.conns.iter().all(|conn| peer.fsm.owns(conn.id))),
            "a connection that the state machine has forgotten"
        );
    }

    /// Tells the I/O layer that there is something to transmit, once.
    pub(super) fn wake(&mut self, id: ConnId) {
        let Some(conn) = self.conn_mut(id) else { return };
        if !std::mem::replace(&mut conn.announced, true) {
            self.actions.push_back(Action::Writable { conn: id });
        }
    }

    pub(super) fn event(&mut self, id: PeerId, kind: PeerEventKind) {
        if let Some(peer) = self.find(id) {
            let event = PeerEvent { peer: id, name: peer.name.clone(), kind };
            self.actions.push_back(Action::Event(event));
        }
    }

    fn dial(&mut self, id: PeerId, conn: ConnId) {
        let Some(peer) = self.find_mut(id) else { return };
        peer.conns.push(Conn::new(conn));
        let transport = peer.config.transport.clone();
        let remote = peer.config.address.socket(transport.port);
        self.actions.push_back(Action::Connect { peer: id, conn, remote, transport });
    }

    fn close(&mut self, id: PeerId, conn: ConnId, notification: Option<Notification>) {
        let Some(peer) = self.find_mut(id) else { return };
        let Some(index) = peer.conns.iter().position(|c| c.id == conn) else { return };
        let mut closing = peer.conns.swap_remove(index);
        let mut farewell = BytesMut::new();
        if let Some(notification) = notification {
            // What was pending goes first: a NOTIFICATION says more to a peer that has seen our OPEN.
            closing.control.write(&mut farewell);
            notification.encode(&mut farewell);
            count_sent(&farewell, &mut peer.record.messages.sent);
        }
        self.actions.push_back(Action::Close { conn, farewell: farewell.freeze() });
    }

    fn session_up(&mut self, id: PeerId, conn: ConnId, now: Instant) {
        let Some(peer) = self.find_mut(id) else { return };
        let (Some(established), Some(config), Some((local, remote))) =
            (peer.fsm.established(), peer.rib_config(), peer.established_conn().and_then(|c| c.ends))
        else {
            return;
        };
        let negotiated = Box::new(established.negotiated.clone());
        let preserved = established.negotiated.preserved();
        let families = established.negotiated.session.families;
        let restartable = established.negotiated.restartable();
        let restart_time = established.negotiated.restart_time();
        peer.record.since = Some(now);
        peer.record.established_count += 1;
        let next = if peer.config.graceful_restart && restartable != FamilySet::NONE {
            Restart::Possible(restartable, restart_time)
        } else {
            Restart::No
        };
        let before = std::mem::replace(&mut peer.restart, next);
        self.rib.peer_up(id, config);
        if let Restart::UnderWay(kept, _) = before {
            self.back_again(id, kept.intersection(families), preserved, now);
        }
        self.event(id, PeerEventKind::Up { negotiated, local, remote });
        self.wake(conn);
    }

    fn session_down(&mut self, id: PeerId, cause: Cause, now: Instant) {
        let Some(peer) = self.find_mut(id) else { return };
        peer.record.since = Some(now);
        peer.record.flaps += 1;
        peer.record.last_error = Some((now, cause.clone()));
        peer.repeats = [None; 2];
        // A NOTIFICATION, from whom it may be, says that nothing is to be kept.
        if let (Restart::Possible(families, time), Cause::Transport(_)) = (peer.restart, &cause) {
            peer.restart = Restart::UnderWay(families, now + time);
            self.rib.peer_restarting(id, families);
        } else {
            peer.restart = Restart::No;
            self.rib.peer_down(id);
        }
        self.event(id, PeerEventKind::Down(cause));
    }

    /// A peer whose routes were kept is back. What it has not preserved itself goes at once, the rest when it has
    /// repeated its routes.
    fn back_again(&mut self, id: PeerId, kept: FamilySet, preserved: FamilySet, now: Instant) {
        let Some((peer, rib)) = self.find_with_rib(id) else { return };
        for family in kept.iter() {
            if preserved.contains(family) {
                let repeat = Repeat { mark: Mark::EndOfRib, until: now + REPEAT_LIMIT };
                peer.repeats[family as usize] = Some(repeat);
            } else {
                rib.end_refresh(id, family);
            }
        }
    }

    /// A peer whose routes are kept will not be back in time.
    pub(super) fn restart_over(&mut self, id: PeerId) {
        let Some((peer, rib)) = self.find_with_rib(id) else { return };
        if matches!(peer.restart, Restart::UnderWay(..)) {
            peer.restart = Restart::No;
            rib.peer_down(id);
        }
    }
}

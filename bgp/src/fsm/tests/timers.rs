//! What each timer is set to, and what time alone makes the machine do.

use super::*;

fn seconds(s: u64) -> Duration {
    Duration::from_secs(s)
}

#[track_caller]
fn assert_jittered(actual: Duration, whole: Duration) {
    assert!(
        actual <= whole && actual >= whole.mul_f64(0.75),
        "{actual:?} is not 0.75 to 1.0 times {whole:?}"
    );
}

#[test]
fn a_peer_that_is_not_there_is_dialled_at_doubling_intervals_up_to_connect_retry() {
    let (mut bench, mut conn) = Bench::connect();
    for expected in [2, 4, 8, 16, 30, 30, 30] {
        bench.handle(Event::Failed(conn, "refused".into()));
        assert_eq!(bench.fsm.state(), State::Active);
        let pause = bench.pause();
        assert_jittered(pause, seconds(expected));
        bench.advance(pause);
        conn = bench.dialling();
    }
    assert_eq!(bench.fsm.dials(), 8);
}

#[test]
fn a_dial_without_an_answer_is_given_up_after_connect_retry() {
    let (mut bench, conn) = Bench::connect();
    assert_jittered(bench.pause(), seconds(30));
    bench.advance(seconds(30));
    let outputs = bench.outputs();
    assert_eq!(outputs[0], Output::Close(conn, None));
    assert!(matches!(outputs[2], Output::Dial(again) if again != conn), "{outputs:?}");
}

#[test]
fn a_passive_peer_is_never_dialled() {
    let mut bench = Bench::new(Settings { passive: true, ..settings() });
    bench.handle(Event::Start);
    bench.advance(seconds(100_000));
    assert_eq!((bench.outputs(), bench.fsm.state(), bench.fsm.next_timeout()), (vec![], State::Active, None));
    let conn = bench.accept();
    bench.receive(conn, open());
    bench.receive(conn, Received::Keepalive);
    bench.handle(Event::Failed(conn, "reset".into()));
    bench.outputs();
    bench.advance(seconds(100_000));
    assert_eq!((bench.outputs(), bench.fsm.state()), (vec![], State::Active));
}

#[test]
fn a_connection_without_an_open_lasts_four_minutes() {
    let (mut bench, conn) = Bench::connect();
    bench.handle(Event::Dialled(conn));
    bench.outputs();
    bench.advance(seconds(239));
    assert_eq!(bench.fsm.state(), State::OpenSent);
    bench.advance(seconds(1));
    assert_eq!(bench.outputs()[0], Output::Close(conn, Some(Notification::hold_timer_expired())));
}

#[test]
fn a_silent_peer_is_given_up_after_the_hold_time_and_each_message_starts_it_again() {
    let (mut bench, conn) = Bench::established();
    for message in [Received::Update, Received::Keepalive, Received::RouteRefresh] {
        bench.advance(seconds(8));
        bench.receive(conn, message);
    }
    bench.advance(Duration::from_millis(8_999));
    assert_eq!(bench.fsm.state(), State::Established);
    bench.outputs();
    bench.now += Duration::from_millis(1);
    bench.fsm.handle_timeout(bench.now);
    let notification = Notification::hold_timer_expired();
    assert_eq!(
        bench.outputs(),
        [Output::Close(conn, Some(notification.clone())), Output::Down(Cause::Sent(notification))]
    );
}

#[test]
fn keepalives_go_out_every_third_of_the_hold_time_with_jitter() {
    let (mut bench, conn) = Bench::established();
    let mut last = bench.now;
    for _ in 0..20 {
        while bench.outputs().is_empty() {
            bench.receive(conn, Received::Keepalive);
            let step = bench.fsm.next_timeout().unwrap() - bench.now;
            bench.advance(step);
        }
        assert_jittered(bench.now - last, seconds(3));
        last = bench.now;
    }
}

#[test]
fn a_hold_time_of_zero_runs_no_timer_at_all() {
    let mut bench = Bench::new(Settings { hold_time: 0, ..settings() });
    bench.handle(Event::Start);
    let conn = bench.dialling();
    bench.handle(Event::Dialled(conn));
    bench.receive(conn, open());
    bench.receive(conn, Received::Keepalive);
    bench.receive(conn, Received::Update);
    bench.handle(Event::Sent(conn));
    assert_eq!((bench.fsm.state(), bench.fsm.next_timeout()), (State::Established, None));
}

#[test]
fn even_with_a_hold_time_of_zero_a_keepalive_is_not_waited_for_for_ever() {
    let mut bench = Bench::new(Settings { hold_time: 0, ..settings() });
    bench.handle(Event::Start);
    let conn = bench.dialling();
    bench.handle(Event::Dialled(conn));
    bench.receive(conn, open());
    bench.advance(LARGE_HOLD);
    assert!(!bench.fsm.owns(conn));
}

#[test]
fn a_socket_that_takes_nothing_for_eight_minutes_ends_the_session() {
    let (mut bench, conn) = Bench::established();
    let talk = |bench: &mut Bench, time: u64| {
        for _ in 0..time {
            bench.advance(seconds(1));
            bench.receive(conn, Received::Keepalive);
        }
        bench.fsm.state()
    };
    assert_eq!(talk(&mut bench, 479), State::Established);
    bench.handle(Event::Sent(conn));
    assert_eq!(talk(&mut bench, 479), State::Established);
    bench.outputs();
    bench.advance(seconds(1));
    let down = Output::Down(Cause::Sent(send_hold_timer_expired()));
    assert!(bench.outputs().contains(&down));
}

#[test]
fn the_first_failure_is_free_and_the_following_are_held_idle_longer_and_longer() {
    let (mut bench, mut conn) = Bench::connect();
    for expected in [0, 1, 2, 4, 8, 16, 32, 60, 60] {
        bench.handle(Event::Dialled(conn));
        bench.receive(conn, Received::Open(Box::new(Open { asn: 65002, ..peer_open() })));
        assert_eq!((bench.fsm.state(), bench.fsm.idle()), (State::Idle, Some(Idle::Held)));
        let pause = bench.pause();
        assert_jittered(pause, seconds(expected));
        bench.advance(pause);
        assert_eq!(bench.fsm.state(), State::Active, "the peer may dial first");
        let pause = bench.pause();
        assert_jittered(pause, FIRST_RETRY);
        bench.advance(pause);
        conn = bench.dialling();
    }
}

#[test]
fn a_stable_session_makes_up_for_earlier_failures() {
    let (mut bench, conn) = Bench::established();
    bench.fsm.failures = 7;
    for _ in 0..60 {
        bench.advance(seconds(1));
        bench.receive(conn, Received::Keepalive);
    }
    bench.handle(Event::Failed(conn, "reset".into()));
    assert_eq!(bench.pause(), Duration::ZERO);
}

#[test]
fn a_restarted_peer_can_connect_before_we_dial() {
    let (mut bench, conn) = Bench::established();
    bench.handle(Event::Failed(conn, "reset".into()));
    let second = bench.fsm.accept(bench.now).expect("the idle hold is over at once");
    assert!(bench.outputs().iter().all(|output| !matches!(output, Output::Dial(_))));
    assert!(bench.fsm.owns(second));
}

#[test]
fn the_prefix_limit_keeps_a_session_down_until_its_time_has_come() {
    let mut bench = Bench::new(Settings { prefix_limit_restart: Some(seconds(600)), ..settings() });
    bench.handle(Event::Start);
    bench.handle(Event::Suspend(Cease::MaxPrefixes { family: Family::Ipv4, limit: 1 }));
    bench.advance(seconds(599));
    assert_eq!(bench.fsm.idle(), Some(Idle::Suspended));
    bench.advance(seconds(1));
    assert_eq!(bench.fsm.state(), State::Active);
}

#[test]
fn a_session_that_is_no_longer_passive_dials() {
    let mut bench = Bench::new(Settings { passive: true, ..settings() });
    bench.handle(Event::Start);
    bench.fsm.configure(settings(), bench.now);
    bench.advance(FIRST_RETRY);
    bench.dialling();
}

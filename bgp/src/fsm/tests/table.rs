//! Every state times every event, against `table.txt`.

use super::*;

/// A state in which nothing but the event under test matters.
fn arrange(state: &str) -> (Bench, ConnId) {
    let (mut bench, conn) = Bench::connect();
    match state {
        "Idle, stopped" => bench.handle(Event::Stop(Cease::PeerDeconfigured)),
        "Idle, held" => {
            bench.handle(Event::Abort(Cease::OutOfResources));
            bench.handle(Event::Expired(Timer::IdleHold));
            bench.handle(Event::Abort(Cease::OutOfResources));
        }
        "Idle, suspended" => bench.handle(Event::Suspend(Cease::OutOfResources)),
        "Connect" => {}
        "Active" => bench.handle(Event::Failed(conn, "refused".into())),
        "OpenSent" => bench.handle(Event::Dialled(conn)),
        "OpenConfirm" => {
            bench.handle(Event::Dialled(conn));
            bench.receive(conn, open());
        }
        "Established" => (bench, _) = Bench::established(),
        other => panic!("unknown state {other}"),
    }
    bench.outputs();
    (bench, conn)
}

/// Makes the event happen on the connection that the state is about.
fn act(event: &str, bench: &mut Bench, conn: ConnId) -> Option<Refused> {
    let side = Side::Dialled;
    let received = |message| Event::Received(conn, message);
    let event = match event {
        "1 ManualStart" => Event::Start,
        "2 ManualStop" => Event::Stop(Cease::AdminShutdown(String::new())),
        "2+1 Restart" => Event::Restart(Cease::AdminReset(String::new())),
        "8 prefix limit" => Event::Suspend(Cease::MaxPrefixes { family: Family::Ipv4, limit: 1 }),
        "8 AutomaticStop" => Event::Abort(Cease::OutOfResources),
        "9 ConnectRetryTimer" => Event::Expired(Timer::ConnectRetry),
        "10 HoldTimer" => Event::Expired(Timer::Hold(side)),
        "11 KeepaliveTimer" => Event::Expired(Timer::Keepalive(side)),
        "13 IdleHoldTimer" => Event::Expired(Timer::IdleHold),
        "16 dialled" => Event::Dialled(conn),
        "17 accepted" => return bench.fsm.accept(bench.now).err(),
        "18 TcpConnectionFails" => Event::Failed(conn, "reset".into()),
        "19 BGPOpen" => received(open()),
        "19 BGPOpen, bad AS" => received(Received::Open(Box::new(Open { asn: 65002, ..peer_open() }))),
        "21 BGPHeaderErr" => Event::Malformed(conn, Notification { code: 1, subcode: 1, data: vec![] }),
        "22 BGPOpenMsgErr" => Event::Malformed(conn, Notification { code: 2, subcode: 1, data: vec![] }),
        "23 OpenCollisionDump" => {
            // Only a second connection can cause it: the peer's dial, which wins when its OPEN comes.
            let peer = Open { router_id: Ipv4Addr::new(10, 0, 0, 3), ..peer_open() };
            return match bench.fsm.accept(bench.now) {
                Ok(second) => {
                    bench.outputs();
                    bench.receive(second, Received::Open(Box::new(peer)));
                    None
                }
                Err(refused) => Some(refused),
            };
        }
        "24 NotifMsgVerErr" => {
            received(Received::Notification(Notification { code: 2, subcode: 1, data: vec![0, 4] }))
        }
        "25 NotifMsg" => received(Received::Notification(Notification { code: 6, subcode: 4, data: vec![] })),
        "25 NotifMsg, rejected" => received(Received::Notification(Cease::ConnectionRejected.notification())),
        "26 KeepAliveMsg" => received(Received::Keepalive),
        "27 UpdateMsg" => received(Received::Update),
        "27 RouteRefreshMsg" => received(Received::RouteRefresh),
        "28 UpdateMsgErr" => Event::Malformed(conn, Notification { code: 3, subcode: 1, data: vec![] }),
        "29 SendHoldTimer" => Event::Expired(Timer::SendHold),
        "another's message" => Event::Received(ConnId(99), Received::Update),
        other => panic!("unknown event {other}"),
    };
    bench.handle(event);
    None
}

const EVENTS: [&str; 26] = [
    "1 ManualStart",
    "2 ManualStop",
    "2+1 Restart",
    "8 prefix limit",
    "8 AutomaticStop",
    "9 ConnectRetryTimer",
    "10 HoldTimer",
    "11 KeepaliveTimer",
    "13 IdleHoldTimer",
    "16 dialled",
    "17 accepted",
    "18 TcpConnectionFails",
    "19 BGPOpen",
    "19 BGPOpen, bad AS",
    "21 BGPHeaderErr",
    "22 BGPOpenMsgErr",
    "23 OpenCollisionDump",
    "24 NotifMsgVerErr",
    "25 NotifMsg",
    "25 NotifMsg, rejected",
    "26 KeepAliveMsg",
    "27 UpdateMsg",
    "27 RouteRefreshMsg",
    "28 UpdateMsgErr",
    "29 SendHoldTimer",
    "another's message",
];

const STATES: [&str; 8] = [
    "Idle, stopped",
    "Idle, held",
    "Idle, suspended",
    "Connect",
    "Active",
    "OpenSent",
    "OpenConfirm",
    "Established",
];

fn describe(bench: &mut Bench, refused: Option<Refused>) -> String {
    let mut words: Vec<String> = bench
        .outputs()
        .into_iter()
        .map(|output| match output {
            Output::Dial(_) => "dial".into(),
            Output::SendOpen(..) => "OPEN".into(),
            Output::SendKeepalive(_) => "KEEPALIVE".into(),
            Output::Close(_, None) => "close".into(),
            Output::Close(_, Some(n)) => format!("NOTIFICATION {}/{}, close", n.code, n.subcode),
            Output::Up(_) => "up".into(),
            Output::Down(_) => "down".into(),
            Output::Attempt(_) => "failed".into(),
        })
        .collect();
    words.extend(refused.map(|refused| match refused.cease() {
        Some(cease) => format!("refuse {}", cease.notification().subcode),
        None => "refuse".into(),
    }));
    let idle = bench.fsm.idle().map(|idle| format!(", {idle:?}").to_lowercase()).unwrap_or_default();
    let timers: Vec<_> = Timer::ALL
        .into_iter()
        .filter(|timer| bench.fsm.timers.get(*timer).is_some())
        .map(|timer| match timer {
            Timer::ConnectRetry => "retry",
            Timer::IdleHold => "idle",
            Timer::Collision => "collision",
            Timer::Hold(Side::Dialled) => "hold",
            Timer::Hold(Side::Accepted) => "hold2",
            Timer::Keepalive(Side::Dialled) => "keepalive",
            Timer::Keepalive(Side::Accepted) => "keepalive2",
            Timer::SendHold => "send",
        })
        .collect();
    format!("{}{idle} | {} | {}", bench.fsm.state(), words.join(", "), timers.join(" "))
}

/// The table as it is, in the form of the file.
fn actual() -> Vec<String> {
    let mut lines = Vec::new();
    for state in STATES {
        for event in EVENTS {
            let (mut bench, conn) = arrange(state);
            let refused = act(event, &mut bench, conn);
            lines.push(format!("{state} | {event} | {}", describe(&mut bench, refused)));
        }
    }
    lines
}

#[test]
fn every_state_handles_every_event_as_the_table_says() {
    let squeeze = |line: &str| line.split('|').map(str::trim).collect::<Vec<_>>().join(" | ");
    let mut expected = std::collections::BTreeMap::new();
    let mut state = "";
    for line in include_str!("table.txt").lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix("== ") {
            state = name;
        } else if let Some((event, outcome)) = line.split_once('|') {
            let event = event.trim();
            let earlier = expected.insert(format!("{state} | {event}"), squeeze(outcome));
            assert!(earlier.is_none(), "twice in the table: {state} | {event}");
        }
    }
    let mut wrong = Vec::new();
    for line in actual() {
        let (state, rest) = line.split_once(" | ").unwrap();
        let (event, outcome) = rest.split_once(" | ").unwrap();
        let outcome = squeeze(outcome);
        match expected.remove(&format!("{state} | {event}")) {
            Some(said) if said == outcome => {}
            said => wrong.push(format!("{state} | {event}\n  table: {said:?}\n  code:  {outcome:?}")),
        }
    }
    wrong.extend(expected.keys().map(|key| format!("only in the table: {key}")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

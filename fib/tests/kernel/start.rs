//! Starting and stopping.

use petiole_fib::{
    kernel::{Options, SpawnError, spawn},
    model::{Command, Event, Op},
    owner::Owner,
};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use crate::lab::{Lab, by, private, shown, uplink};

#[test]
fn without_the_right_to_configure_the_namespace_the_start_is_refused_with_that_reason() {
    private(|| {
        let mut sets = capabilities(None).unwrap();
        sets.effective.remove(CapabilitySet::NET_ADMIN);
        set_capabilities(None, sets).unwrap();
        let error = spawn(Owner::default(), |_| {}).err();
        assert!(matches!(error, Some(SpawnError::NotPermitted)), "{error:?}");
        assert_eq!(
            error.map(|e| e.to_string()).as_deref(),
            Some("no CAP_NET_ADMIN in this network namespace")
        );
    });
}

#[test]
fn a_stop_comes_after_all_that_was_asked_for() {
    private(|| {
        uplink("eth1", "50.1.1.1/24");
        let lab = Lab::start(Options::default());
        for n in 0..50 {
            let ops = vec![Op::Create(by(&format!("10.9.0.{n}/32"), "eth1", "50.1.1.2"))];
            lab.send(Command::Apply { batch: n, ops });
        }
        let events = lab.stop();
        let answers = events.iter().filter(|event| matches!(event, Event::Applied { .. })).count();
        assert_eq!((answers, shown("route show proto 112").len()), (50, 50));
    });
}

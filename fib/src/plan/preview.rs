//! What would be done: the same tracker, run against itself.

use std::{collections::BTreeSet, time::Instant};

use crate::{
    model::{Command, Event, Key, Ns, Object, Observed, Op},
    owner::Owner,
};

use super::{Fib, Scope, asking, objects::Reading, observe::concern_of};

/// All operations in order that bring a kernel with these objects to what is desired. What is ours and not desired
/// goes. Sysctls that `actual` does not tell count as different.
pub fn plan(
    desired: impl IntoIterator<Item = Object>,
    actual: impl IntoIterator<Item = Observed>,
    owner: &Owner,
    now: Instant,
) -> Vec<Op> {
    let mut fib = Fib::new(owner.clone());
    fib.sweep(Scope::Learned);
    fib.sweep(Scope::Local);
    let mut namespaces = BTreeSet::from([Ns::HOST]);
    for object in desired {
        namespaces.insert(object.key().ns());
        fib.want(object);
    }
    let actual: Vec<(Key, Observed)> = actual.into_iter().map(|o| (key_of(&o), o)).collect();
    namespaces.extend(actual.iter().map(|(key, _)| key.ns()));
    for ns in &namespaces {
        fib.watch_ns(*ns);
    }
    for (_, sysctl) in actual.iter().filter(|(key, _)| matches!(key, Key::Sysctl(..))) {
        fib.observe(Event::Object(sysctl.clone()), now);
    }
    for ns in namespaces {
        for &concern in asking::concerns(ns) {
            let of_concern = |(key, _): &&(Key, Observed)| key.ns() == ns && concern_of(key) == Some(concern);
            let objects = actual.iter().filter(of_concern).map(|(_, o)| o.clone()).collect();
            fib.observe(Event::Dump { ns, concern, objects, last: true }, now);
        }
    }
    fib.preview(usize::MAX, now)
}

fn key_of(observed: &Observed) -> Key {
    match observed {
        Observed::Link(state) => Key::Link(state.ns, state.name.clone()),
        Observed::Object { object, .. } => object.key(),
        Observed::Chain { chain, .. } => Key::Chain(chain.clone()),
    }
}

impl Fib {
    /// All operations that would follow now if each succeeded, at most `limit`; nothing is changed. Costs a copy of
    /// the tracker.
    pub fn preview(&self, limit: usize, now: Instant) -> Vec<Op> {
        let mut fib = self.clone();
        let mut all = Vec::new();
        fib.go_unanswered();
        while all.len() < limit {
            let ops = fib.plan(limit - all.len(), now);
            if ops.is_empty() && !fib.go_unanswered() {
                break;
            }
            fib.applied(ops.iter().map(|op| (op.key(), Ok(()))).collect(), now);
            all.extend(ops);
        }
        all
    }

    /// Nobody answers here: sysctls that were asked for count as unknown. Whether there were any.
    fn go_unanswered(&mut self) -> bool {
        let mut any = false;
        for request in self.take_requests() {
            let Command::ReadSysctls(ns, paths) = request else { continue };
            for key in paths.into_iter().map(|path| Key::Sysctl(ns, path)) {
                if self.objects.at(&key).is_some_and(|cell| cell.reading == Reading::Asked) {
                    any = true;
                    self.gone(&key);
                }
            }
        }
        any
    }
}

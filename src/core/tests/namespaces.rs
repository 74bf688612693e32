//! The kernel thread's view of namespaces: the core numbers them as it enters them, the kernel in memory by what they
//! are. One namespace may have several numbers, and a number means another one after a restart.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use petiole_fib::model::{Command, Concern, Event, Key, Ns, Object, Observed, Op};

/// A namespace that is not there.
const NOWHERE: Ns = Ns(u32::MAX);

/// What stands for what, and who asked.
#[derive(Debug, Default)]
pub(super) struct Namespaces {
    real: BTreeMap<Ns, Ns>,
    dumps: BTreeMap<(Ns, Concern), VecDeque<Ns>>,
    sysctls: BTreeMap<(Ns, Arc<str>), VecDeque<Ns>>,
    batches: BTreeMap<u64, Vec<Key>>,
}

impl Namespaces {
    /// The core enters a namespace.
    pub(super) fn enter(&mut self, number: Ns, real: Option<Ns>) {
        self.real.insert(number, real.unwrap_or(NOWHERE));
    }

    fn real(&self, number: Ns) -> Ns {
        if number == Ns::HOST { number } else { self.real.get(&number).copied().unwrap_or(NOWHERE) }
    }

    /// A command in the kernel's numbers.
    pub(super) fn command(&mut self, command: Command) -> Command {
        match command {
            Command::Apply { batch, ops } => {
                self.batches.insert(batch, ops.iter().map(Op::key).collect());
                Command::Apply { batch, ops: ops.into_iter().map(|op| self.op(op)).collect() }
            }
            Command::Dump(number, concern) => {
                let ns = self.real(number);
                self.dumps.entry((ns, concern)).or_default().push_back(number);
                Command::Dump(ns, concern)
            }
            Command::ReadSysctls(number, paths) => {
                let ns = self.real(number);
                for path in &paths {
                    self.sysctls.entry((ns, path.clone())).or_default().push_back(number);
                }
                Command::ReadSysctls(ns, paths)
            }
            other => other,
        }
    }

    fn op(&self, op: Op) -> Op {
        match op {
            Op::Create(object) => Op::Create(renumbered(object, |ns| self.real(ns))),
            Op::Change(object) => Op::Change(renumbered(object, |ns| self.real(ns))),
            Op::Delete(key) => Op::Delete(renumbered_key(key, |ns| self.real(ns))),
        }
    }

    /// An event in the core's numbers. `None`: nobody asked.
    pub(super) fn event(&mut self, event: Event) -> Option<Event> {
        Some(match event {
            Event::Applied { batch, results } => {
                let keys = self.batches.remove(&batch)?;
                let results = results.into_iter().zip(keys).map(|((_, result), key)| (key, result));
                Event::Applied { batch, results: results.collect() }
            }
            Event::Dump { ns, concern, objects, last } => {
                let waiting = self.dumps.get_mut(&(ns, concern))?;
                let number = if last { waiting.pop_front()? } else { *waiting.front()? };
                let objects = objects.into_iter().map(|o| observed(o, number)).collect();
                Event::Dump { ns: number, concern, objects, last }
            }
            Event::NamespaceLost(ns, why) => {
                let number = self
                    .dumps
                    .iter_mut()
                    .find_map(|((real, _), waiting)| if *real == ns { waiting.pop_front() } else { None })?;
                Event::NamespaceLost(number, why)
            }
            Event::Object(Observed::Object { object: Object::Sysctl(ns, path, value), protocol }) => {
                let number = self.sysctls.get_mut(&(ns, path.clone()))?.pop_front()?;
                Event::Object(Observed::Object { object: Object::Sysctl(number, path, value), protocol })
            }
            Event::Gone(Key::Sysctl(ns, path)) => {
                let number = self.sysctls.get_mut(&(ns, path.clone()))?.pop_front()?;
                Event::Gone(Key::Sysctl(number, path))
            }
            other => other,
        })
    }
}

fn observed(seen: Observed, number: Ns) -> Observed {
    match seen {
        Observed::Link(mut link) => {
            link.ns = number;
            Observed::Link(link)
        }
        Observed::Object { object, protocol } => {
            Observed::Object { object: renumbered(object, |_| number), protocol }
        }
        chain @ Observed::Chain { .. } => chain,
    }
}

fn renumbered(object: Object, of: impl Fn(Ns) -> Ns) -> Object {
    match object {
        Object::Sysctl(ns, path, value) => Object::Sysctl(of(ns), path, value),
        Object::Link(ns, name, link) => Object::Link(of(ns), name, link),
        Object::Address(ns, link, address) => Object::Address(of(ns), link, address),
        Object::Neighbour(ns, link, address, mac) => Object::Neighbour(of(ns), link, address, mac),
        Object::Route(mut key, route) => {
            key.ns = of(key.ns);
            Object::Route(key, route)
        }
        other => other,
    }
}

fn renumbered_key(key: Key, of: impl Fn(Ns) -> Ns) -> Key {
    match key {
        Key::Sysctl(ns, path) => Key::Sysctl(of(ns), path),
        Key::Link(ns, name) => Key::Link(of(ns), name),
        Key::Address(ns, link, address) => Key::Address(of(ns), link, address),
        Key::Neighbour(ns, link, address) => Key::Neighbour(of(ns), link, address),
        Key::Route(mut route) => {
            route.ns = of(route.ns);
            Key::Route(route)
        }
        other => other,
    }
}

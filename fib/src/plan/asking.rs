//! What the tracker has to ask the kernel: which dumps are wanted, under way, and wanted again.

use std::{collections::BTreeSet, sync::Arc};

use hashbrown::HashMap;

use crate::model::{Command, Concern, Ns};

use super::queues::Item;

/// Links come first: whose an address is may depend on whose its link is.
const HOST: [Concern; 8] = [
    Concern::Links,
    Concern::Addresses,
    Concern::Neighbours,
    Concern::Fdb,
    Concern::Tc,
    Concern::NextHops,
    Concern::Routes,
    Concern::Nft,
];
const OTHER: [Concern; 4] = [Concern::Links, Concern::Addresses, Concern::Neighbours, Concern::Routes];

/// What there is to know of a namespace.
pub(super) fn concerns(ns: Ns) -> &'static [Concern] {
    if ns == Ns::HOST { &HOST } else { &OTHER }
}

/// Questions to the kernel.
#[derive(Clone, Debug, Default)]
pub(super) struct Asking {
    queue: Vec<Command>,
    /// In the queue.
    wanted: BTreeSet<(Ns, Concern)>,
    /// Sent, and not fully answered.
    sent: BTreeSet<(Ns, Concern)>,
    /// A reason to ask came up after the question was sent: the answer may be older than the reason.
    again: BTreeSet<(Ns, Concern)>,
    /// Answers of which the first part is in.
    arriving: BTreeSet<(Ns, Concern)>,
    /// Answered at least once.
    known: HashMap<Ns, BTreeSet<Concern>>,
    /// Those who wait for the answer to the question that is to be sent, or was sent when they came.
    doubts: HashMap<(Ns, Concern), Vec<Item>>,
    /// Those who came after the question was sent: for them it has to be asked again.
    late_doubts: HashMap<(Ns, Concern), Vec<Item>>,
}

impl Asking {
    /// Everything of a namespace has to be learned anew.
    pub(super) fn watch(&mut self, ns: Ns) {
        self.known.insert(ns, BTreeSet::new());
        for concern in concerns(ns) {
            self.dump(ns, *concern);
        }
    }

    /// Nothing of a namespace matters any more; those who waited for an answer.
    pub(super) fn forget(&mut self, ns: Ns) -> Vec<Item> {
        self.known.remove(&ns);
        let other = |(n, _): &(Ns, Concern)| *n != ns;
        self.wanted.retain(other);
        self.sent.retain(other);
        self.again.retain(other);
        self.arriving.retain(other);
        self.queue.retain(|command| match command {
            Command::Dump(n, _) | Command::ReadSysctls(n, _) => *n != ns,
            _ => true,
        });
        let mut waiting = Vec::new();
        for doubts in [&mut self.doubts, &mut self.late_doubts] {
            doubts.retain(|(of, _), items| {
                if *of == ns {
                    waiting.append(items);
                }
                *of != ns
            });
        }
        waiting
    }

    /// Whether the namespace is of interest.
    pub(super) fn is_watched(&self, ns: Ns) -> bool {
        self.known.contains_key(&ns)
    }

    /// Whether all that there is to know of a namespace has been learned once.
    pub(super) fn is_ready(&self, ns: Ns) -> bool {
        self.known.get(&ns).is_some_and(|known| concerns(ns).iter().all(|c| known.contains(c)))
    }

    /// Whether this has been learned once.
    pub(super) fn is_known(&self, ns: Ns, concern: Concern) -> bool {
        self.known.get(&ns).is_some_and(|known| known.contains(&concern))
    }

    /// Asks for a dump.
    pub(super) fn dump(&mut self, ns: Ns, concern: Concern) {
        if !self.is_watched(ns) {
            return;
        }
        if self.sent.contains(&(ns, concern)) {
            self.again.insert((ns, concern));
        } else if self.wanted.insert((ns, concern)) {
            self.queue.push(Command::Dump(ns, concern));
        }
    }

    /// Asks for a dump, and has `item` woken when it is in.
    pub(super) fn doubt(&mut self, ns: Ns, concern: Concern, item: Item) {
        self.dump(ns, concern);
        let late = self.again.contains(&(ns, concern));
        let doubts = if late { &mut self.late_doubts } else { &mut self.doubts };
        doubts.entry((ns, concern)).or_default().push(item);
    }

    /// Asks for a sysctl's value.
    pub(super) fn read(&mut self, ns: Ns, path: &Arc<str>) {
        if let Some(Command::ReadSysctls(last, paths)) = self.queue.last_mut()
            && *last == ns
        {
            paths.push(path.clone());
        } else {
            self.queue.push(Command::ReadSysctls(ns, vec![path.clone()]));
        }
    }

    /// The questions to send now.
    pub(super) fn take(&mut self) -> Vec<Command> {
        self.sent.append(&mut self.wanted);
        std::mem::take(&mut self.queue)
    }

    /// A part of an answer; whether it is the first.
    pub(super) fn arrives(&mut self, ns: Ns, concern: Concern) -> bool {
        self.arriving.insert((ns, concern))
    }

    /// The answer is complete. Gives those who waited for it.
    pub(super) fn answered(&mut self, ns: Ns, concern: Concern) -> Vec<Item> {
        let about = (ns, concern);
        self.arriving.remove(&about);
        self.sent.remove(&about);
        if let Some(known) = self.known.get_mut(&ns) {
            known.insert(concern);
        }
        if self.again.remove(&about) {
            self.dump(ns, concern);
        }
        let answered = self.doubts.remove(&about).unwrap_or_default();
        if let Some(late) = self.late_doubts.remove(&about) {
            self.doubts.insert(about, late);
        }
        answered
    }

    /// Whether no answer is outstanding.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.sent.is_empty()
    }
}

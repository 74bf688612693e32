//! What the kernel refused, how often, and when it is tried again.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use hashbrown::HashMap;

use crate::model::KernelError;

use super::queues::Item;

/// The first wait. Most refusals are races that are over by then.
const FIRST: Duration = Duration::from_millis(20);
/// The longest wait: what is wrong for long is repaired by somebody, and he should not wait long either.
const LONGEST: Duration = Duration::from_secs(30);

/// The last refusal of one item.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) error: Arc<KernelError>,
    pub(super) attempts: u32,
    pub(super) retry: Instant,
}

/// All that fails at present.
#[derive(Clone, Debug, Default)]
pub(super) struct Failures {
    items: HashMap<Item, Failure>,
    timers: BTreeSet<(Instant, Item)>,
    /// A thousand routes fail for one reason, and its text is kept once.
    last: Option<Arc<KernelError>>,
}

impl Failures {
    /// One more refusal in a row; how many that makes. The wait doubles each time.
    pub(super) fn add(&mut self, item: Item, error: &KernelError, now: Instant) -> u32 {
        let error = match &self.last {
            Some(last) if **last == *error => last.clone(),
            _ => self.last.insert(Arc::new(error.clone())).clone(),
        };
        let before = self.items.get(&item).map(|f| (f.attempts, f.retry));
        if let Some((_, retry)) = before {
            self.timers.remove(&(retry, item));
        }
        let attempts = before.map_or(0, |(n, _)| n).saturating_add(1);
        let wait = FIRST.saturating_mul(1 << (attempts - 1).min(16)).min(LONGEST);
        let retry = now.checked_add(wait).unwrap_or(now);
        self.timers.insert((retry, item));
        self.items.insert(item, Failure { error, attempts, retry });
        attempts
    }

    /// It is as it should be, or nobody cares any more; whether it had failed before.
    pub(super) fn clear(&mut self, item: Item) -> bool {
        let Some(failure) = self.items.remove(&item) else { return false };
        self.timers.remove(&(failure.retry, item));
        true
    }

    /// It need not wait any longer: something that may have been the cause has changed.
    pub(super) fn hurry(&mut self, item: Item) {
        if let Some(failure) = self.items.get(&item) {
            self.timers.remove(&(failure.retry, item));
        }
    }

    /// How many refusals in a row there were.
    pub(super) fn attempts(&self, item: Item) -> u32 {
        self.items.get(&item).map_or(0, |failure| failure.attempts)
    }

    /// Those whose time has come.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Item> {
        let mut due = Vec::new();
        while let Some(first) = self.timers.first().copied()
            && first.0 <= now
        {
            self.timers.remove(&first);
            due.push(first.1);
        }
        due
    }

    /// When the next one's time comes.
    pub(super) fn next(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Item, &Failure)> {
        self.items.iter().map(|(item, failure)| (*item, failure))
    }
}

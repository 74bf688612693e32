//! The next step for an nftables object.
//!
//! All of them change in one transaction, so what matters is only that each operation is possible after those before
//! it; no packet sees what is in between. Therefore, other than for most objects, the next operation does not wait for
//! the answer to the last one: what is expected counts.
//!
//! A set or a base chain is made anew when it is to have another shape or hook. Chains that look something up in such a
//! set are emptied first and filled again afterwards.

use std::sync::Arc;

use crate::model::{Chain, Hook, Key, Object, TableItem};

use super::{
    Fib,
    objects::{Cell, Held, Support, nft_used_by},
    queues::Tier,
    step::Step,
};

impl Fib {
    pub(super) fn step_nft(&self, key: &Key, cell: &Cell) -> Step {
        let step = match key {
            Key::Table(_) => step_table(cell),
            _ if is_right(cell) => Step::Clean,
            // All in it goes with it, or waits for it.
            Key::Set(item) | Key::Chain(item) | Key::Element(item, _) if !self.is_table_there(item) => {
                Step::Wait
            }
            Key::Set(item) => self.step_set(cell, item),
            Key::Chain(item) => self.step_chain(cell, item),
            Key::Element(set, _) => self.step_element(cell, set),
            _ => Step::Clean,
        };
        match step {
            // The answer gives it its turn again.
            Step::Clean | Step::Wait if !cell.flights.is_empty() => Step::Busy,
            step => step,
        }
    }

    fn step_set(&self, cell: &Cell, item: &TableItem) -> Step {
        let (wanted, held) = (cell.desired.as_ref(), cell.expected());
        match (wanted, held) {
            (None, None) => Step::Clean,
            (Some(wanted), None) => Step::create(Tier::NftSet, wanted.clone()),
            (_, Some(held)) => match self.user_of(item, &Key::Set(item.clone())) {
                Some(user) => Step::After(user),
                None => Step::delete(Tier::NftDropSet, held),
            },
        }
    }

    fn step_chain(&self, cell: &Cell, item: &TableItem) -> Step {
        let (wanted, held) = (cell.desired.as_ref(), cell.expected());
        let (Some(wanted), Some(held)) = (wanted, held) else {
            return match (wanted, held) {
                (Some(wanted), _) if self.is_nft_possible(wanted) => {
                    Step::create(Tier::NftChain, wanted.clone())
                }
                (Some(_), _) => Step::Wait,
                (None, Some(held)) => self.step_chain_away(item, held),
                (None, None) => Step::Clean,
            };
        };
        if hook(&held.object) != hook(wanted) {
            return self.step_chain_away(item, held);
        }
        if self.uses_another_shape(wanted) {
            empty(item, held).unwrap_or(Step::Wait)
        } else if held.is(wanted) {
            Step::Clean
        } else if self.is_nft_possible(wanted) {
            Step::change(Tier::NftChain, wanted.clone())
        } else if self.uses_another_shape(&held.object) {
            empty(item, held).unwrap_or(Step::Wait)
        } else {
            Step::Wait
        }
    }

    /// Rules that are not known may jump to others that are to go too, and round in a circle: they are removed first.
    fn step_chain_away(&self, item: &TableItem, held: &Held) -> Step {
        if held.unknown.is_some()
            && let Some(step) = empty(item, held)
        {
            return step;
        }
        match self.user_of(item, &Key::Chain(item.clone())) {
            Some(user) => Step::After(user),
            None => Step::delete(Tier::NftDropChain, held),
        }
    }

    fn step_element(&self, cell: &Cell, set: &TableItem) -> Step {
        let there = |slot: u32| self.objects.cell(slot).is_some_and(|c| c.expected().is_some());
        let in_set = self.objects.find(&Key::Set(set.clone()));
        match (cell.desired.as_ref(), cell.expected()) {
            (None, Some(held)) if in_set.is_some_and(there) => Step::delete(Tier::NftDropElement, held),
            (Some(wanted), held) if self.is_there(&Key::Set(set.clone())) && self.is_nft_possible(wanted) => {
                match held {
                    Some(_) => Step::change(Tier::NftElement, wanted.clone()),
                    None => Step::create(Tier::NftElement, wanted.clone()),
                }
            }
            _ => Step::Wait,
        }
    }

    fn is_table_there(&self, item: &TableItem) -> bool {
        self.is_there(&Key::Table(item.table.clone()))
    }

    fn is_there(&self, key: &Key) -> bool {
        self.objects.find(key).is_some_and(|slot| self.objects.facts(slot).present)
    }

    /// Whether all is there that a chain or an element uses.
    fn is_nft_possible(&self, object: &Object) -> bool {
        nft_used_by(object).all(|key| self.is_there(&key))
    }

    /// Whether a chain uses a set that is to be made anew.
    fn uses_another_shape(&self, chain: &Object) -> bool {
        nft_used_by(chain).any(|key| {
            let set = self.objects.at(&key).filter(|_| matches!(key, Key::Set(_)));
            match set.map(|set| (set.desired.as_deref(), set.expected())) {
                Some((Some(wanted), Some(held))) => !held.is(wanted),
                _ => false,
            }
        })
    }

    /// A chain or an element in the kernel, and not on its way out, that uses this set or chain, or may do so.
    fn user_of(&self, item: &TableItem, target: &Key) -> Option<u32> {
        let uses = |slot: &u32| {
            let held = self.objects.cell(*slot).and_then(Cell::expected);
            held.is_some_and(|held| nft_used_by(&held.object).any(|key| key == *target))
        };
        let users = self.objects.hanging_on(&Support::Nft(target.clone()));
        users.into_iter().find(uses).or_else(|| {
            let may_use = |slot: &u32| match self.objects.get(*slot) {
                Some((key, cell)) => key != target && cell.expected().is_some_and(|h| h.unknown.is_some()),
                None => false,
            };
            let beside = self.objects.hanging_on(&Support::Within(Key::Table(item.table.clone())));
            beside.into_iter().find(may_use)
        })
    }
}

/// With a table goes all that is in it; so one thing at a time.
fn step_table(cell: &Cell) -> Step {
    match (cell.desired.as_ref(), cell.expected()) {
        _ if !cell.flights.is_empty() => Step::Busy,
        (Some(wanted), None) => Step::create(Tier::NftTable, wanted.clone()),
        (None, Some(held)) if goes(cell, held) => Step::delete(Tier::NftTable, held),
        _ => Step::Clean,
    }
}

/// Whether it is as it should be, as far as can be seen from it alone.
fn is_right(cell: &Cell) -> bool {
    match (cell.desired.as_ref(), cell.expected()) {
        (None, None) => true,
        (None, Some(held)) => !goes(cell, held),
        (Some(wanted), Some(held)) => held.is(wanted) && !matches!(**wanted, Object::Chain(..)),
        (Some(_), None) => false,
    }
}

/// Whether what nobody wants is to be removed.
fn goes(cell: &Cell, held: &Held) -> bool {
    held.ours && !cell.stale
}

fn hook(object: &Object) -> Option<Hook> {
    match object {
        Object::Chain(_, chain) => chain.hook,
        _ => None,
    }
}

/// Takes a chain's rules away, if it has any.
fn empty(item: &TableItem, held: &Held) -> Option<Step> {
    let Object::Chain(_, chain) = &*held.object else { return None };
    let has_rules = held.unknown.is_some() || !chain.rules.is_empty();
    let without = Chain { hook: chain.hook, rules: Vec::new() };
    has_rules.then(|| Step::change(Tier::NftChain, Arc::new(Object::Chain(item.clone(), without))))
}

//! nftables as the kernel keeps it: what may be removed while what uses it, and transactions that are done as a whole
//! or not at all.

use std::{collections::BTreeMap, sync::Arc};

use super::{FakeKernel, refuse};
use crate::model::{
    Chain, Concern, Condition, Data, ElementKey, Event, Expr, Hook, Key, Object, Observed, OpResult, Operand,
    Rule, Set, SetKind, TableItem, TableRef, Verdict,
};

/// All tables of the host's namespace.
pub(super) type Ruleset = BTreeMap<TableRef, FakeTable>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FakeTable {
    pub(super) chains: BTreeMap<Arc<str>, FakeChain>,
    pub(super) sets: BTreeMap<Arc<str>, FakeSet>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FakeChain {
    pub(super) hook: Option<Hook>,
    pub(super) rules: Vec<FakeRule>,
}

/// A rule, and whether it bears our fingerprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FakeRule {
    pub(super) rule: Rule,
    pub(super) marked: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FakeSet {
    pub(super) set: Set,
    pub(super) elements: BTreeMap<ElementKey, Option<Data>>,
}

impl FakeTable {
    /// Whether a rule or an element leads to the chain.
    fn jumps_to(&self, name: &str) -> bool {
        let by_rule = |rule: &FakeRule| targets(&rule.rule).any(|target| **target == *name);
        let by_element = |data: &Option<Data>| matches!(data, Some(Data::Verdict(v)) if v.chain().is_some_and(|c| **c == *name));
        self.chains.values().flat_map(|chain| &chain.rules).any(by_rule)
            || self.sets.values().flat_map(|set| set.elements.values()).any(by_element)
    }

    /// Whether a rule looks something up in the set.
    fn looks_up(&self, name: &str) -> bool {
        let rules = self.chains.values().flat_map(|chain| &chain.rules);
        rules.flat_map(|rule| lookups(&rule.rule)).any(|(set, ..)| **set == *name)
    }

    fn check_verdict(&self, verdict: &Verdict) -> OpResult {
        match verdict.chain().map(|chain| self.chains.get(chain)) {
            Some(None) => refuse(libc::ENOENT, "no such chain"),
            Some(Some(FakeChain { hook: Some(_), .. })) => refuse(libc::EOPNOTSUPP, "a base chain"),
            Some(Some(_)) | None => Ok(()),
        }
    }

    fn check_rule(&self, rule: &Rule) -> OpResult {
        for expr in &rule.0 {
            if let Expr::Verdict(verdict) = expr {
                self.check_verdict(verdict)?;
            }
        }
        for (name, fields, kind) in lookups(rule) {
            let Some(FakeSet { set, .. }) = self.sets.get(name) else {
                return refuse(libc::ENOENT, "no such set");
            };
            // To the kernel, octets are octets.
            let wanted = fields.iter().map(|operand| operand.field().octets());
            let same_kind = match (set.kind, kind) {
                (SetKind::Numbers(_), SetKind::Numbers(_)) => true,
                (a, b) => a == b,
            };
            if !wanted.eq(set.key.iter().map(|field| field.octets())) || !same_kind {
                return refuse(libc::EINVAL, "the set is of another type");
            }
        }
        Ok(())
    }

    fn put_rules(&mut self, name: &Arc<str>, chain: &Chain) -> OpResult {
        for rule in &chain.rules {
            if targets(rule).any(|target| target == name) {
                return refuse(libc::ELOOP, "");
            }
            self.check_rule(rule)?;
        }
        let rules = chain.rules.iter().map(|rule| FakeRule { rule: rule.clone(), marked: true }).collect();
        self.chains.insert(name.clone(), FakeChain { hook: chain.hook, rules });
        Ok(())
    }
}

/// The chains that a rule leads to by itself.
fn targets(rule: &Rule) -> impl Iterator<Item = &Arc<str>> {
    rule.0.iter().filter_map(|expr| match expr {
        Expr::Verdict(verdict) => verdict.chain(),
        _ => None,
    })
}

/// What a rule looks up: name, fields, and what it expects there.
fn lookups(rule: &Rule) -> impl Iterator<Item = (&Arc<str>, &[Operand], SetKind)> {
    rule.0.iter().filter_map(|expr| match expr {
        Expr::Match(Condition::In(fields, set) | Condition::NotIn(fields, set)) => {
            Some((set, fields.as_slice(), SetKind::Set))
        }
        Expr::VerdictMap { key, map } => Some((map, key, SetKind::Verdicts)),
        Expr::DestinationMap { key, map, ipv6: false } => Some((map, key, SetKind::Destinations4)),
        Expr::DestinationMap { key, map, ipv6: true } => Some((map, key, SetKind::Destinations6)),
        // As many as the map leads to.
        Expr::Lookup { key, map, .. } => Some((map, key, SetKind::Numbers(1))),
        _ => None,
    })
}

fn is_element_of(set: &Set, key: &ElementKey, data: Option<&Data>) -> bool {
    let octets: usize = set.key.iter().map(|field| field.octets()).sum();
    let length = key.first.len() == octets && key.last.as_ref().is_none_or(|last| last.len() == octets);
    let kind = match data {
        None => set.kind == SetKind::Set,
        Some(Data::Verdict(_)) => set.kind == SetKind::Verdicts,
        Some(Data::Destination(to, _)) if to.is_ipv4() => set.kind == SetKind::Destinations4,
        Some(Data::Destination(..)) => set.kind == SetKind::Destinations6,
        Some(Data::Numbers(numbers)) => set.kind == SetKind::Numbers(numbers.len() as u8),
    };
    kind && (key.is_any_other() || (length && key.last.is_some() == set.elements.have_last()))
}

impl FakeKernel {
    pub(super) fn write_nft(&mut self, object: &Object, create: bool) -> OpResult {
        let (table, item) = match object {
            Object::Table(table) if create => {
                return match self.ruleset.insert(table.clone(), FakeTable::default()) {
                    None => Ok(()),
                    Some(there) => {
                        self.ruleset.insert(table.clone(), there);
                        refuse(libc::EEXIST, "")
                    }
                };
            }
            Object::Chain(item, _) | Object::Set(item, _) | Object::Element(item, ..) => (&item.table, item),
            _ => return refuse(libc::EOPNOTSUPP, ""),
        };
        let Some(table) = self.ruleset.get_mut(table) else { return refuse(libc::ENOENT, "no such table") };
        match object {
            Object::Chain(_, chain) => match (create, table.chains.get(&item.name)) {
                (true, Some(_)) => refuse(libc::EEXIST, ""),
                (false, None) => refuse(libc::ENOENT, ""),
                (false, Some(held)) if held.hook != chain.hook => refuse(libc::EEXIST, "another hook"),
                _ => table.put_rules(&item.name, chain),
            },
            Object::Set(_, set) => match (create, table.sets.contains_key(&item.name)) {
                (true, false) => {
                    let set = FakeSet { set: set.clone(), elements: BTreeMap::new() };
                    table.sets.insert(item.name.clone(), set);
                    Ok(())
                }
                _ => refuse(libc::EEXIST, ""),
            },
            Object::Element(_, key, data) => {
                if let Some(Data::Verdict(verdict)) = data {
                    table.check_verdict(verdict)?;
                }
                let Some(set) = table.sets.get_mut(&item.name) else {
                    return refuse(libc::ENOENT, "no such set");
                };
                if !is_element_of(&set.set, key, data.as_ref()) {
                    return refuse(libc::EINVAL, "an element of another type");
                }
                match (create, set.elements.contains_key(key)) {
                    (true, true) => refuse(libc::EEXIST, ""),
                    (false, false) => refuse(libc::ENOENT, ""),
                    _ => {
                        set.elements.insert(key.clone(), data.clone());
                        Ok(())
                    }
                }
            }
            _ => refuse(libc::EOPNOTSUPP, ""),
        }
    }

    pub(super) fn delete_nft(&mut self, key: &Key) -> OpResult {
        let item = match key {
            Key::Table(table) => {
                return match self.ruleset.remove(table) {
                    Some(_) => Ok(()),
                    None => refuse(libc::ENOENT, ""),
                };
            }
            Key::Chain(item) | Key::Set(item) | Key::Element(item, _) => item,
            _ => return refuse(libc::EOPNOTSUPP, ""),
        };
        let Some(table) = self.ruleset.get_mut(&item.table) else {
            return refuse(libc::ENOENT, "no such table");
        };
        let gone = match key {
            Key::Chain(_) if table.jumps_to(&item.name) => return refuse(libc::EBUSY, ""),
            Key::Set(_) if table.looks_up(&item.name) => return refuse(libc::EBUSY, ""),
            Key::Chain(_) => table.chains.remove(&item.name).is_some(),
            Key::Set(_) => table.sets.remove(&item.name).is_some(),
            Key::Element(_, element) => {
                table.sets.get_mut(&item.name).is_some_and(|set| set.elements.remove(element).is_some())
            }
            _ => false,
        };
        if gone { Ok(()) } else { refuse(libc::ENOENT, "") }
    }

    /// What a dump shows: tables of the owner's name.
    pub(super) fn dump_nft(&self) -> Vec<Observed> {
        let mut all = Vec::new();
        let mut see = |object| all.push(Observed::Object { object, protocol: 0 });
        let ours = || self.ruleset.iter().filter(|(table, _)| self.owner.owns_table(table));
        for (table, content) in ours() {
            see(Object::Table(table.clone()));
            for (name, set) in &content.sets {
                let item = TableItem { table: table.clone(), name: name.clone() };
                see(Object::Set(item.clone(), set.set.clone()));
                for (key, data) in &set.elements {
                    see(Object::Element(item.clone(), key.clone(), data.clone()));
                }
            }
        }
        for (table, content) in ours() {
            for (name, FakeChain { hook, rules }) in &content.chains {
                let chain = TableItem { table: table.clone(), name: name.clone() };
                let fingerprint = |rule: &FakeRule| rule.marked.then(|| rule.rule.fingerprint());
                let rules = rules.iter().map(fingerprint).collect();
                all.push(Observed::Chain { chain, hook: *hook, rules });
            }
        }
        all
    }

    /// Somebody flushes the whole ruleset.
    pub fn flush_ruleset(&mut self) {
        self.ruleset.clear();
        self.announce_nft();
    }

    /// Somebody makes a table.
    pub fn add_table(&mut self, table: TableRef) {
        self.ruleset.entry(table).or_default();
        self.announce_nft();
    }

    /// Somebody adds a rule at the end of a chain, if the chain is there.
    pub fn add_rule(&mut self, item: &TableItem, rule: Rule) {
        if let Some(table) = self.ruleset.get_mut(&item.table)
            && table.check_rule(&rule).is_ok()
            && let Some(chain) = table.chains.get_mut(&item.name)
        {
            chain.rules.push(FakeRule { rule, marked: false });
            self.announce_nft();
        }
    }

    /// Somebody makes a chain, set or element, if the kernel lets him; rules with our fingerprint.
    pub fn add_nft(&mut self, object: &Object) {
        let before = self.ruleset.clone();
        if self.write_nft(object, true).is_err() {
            self.ruleset = before;
        }
        self.announce_nft();
    }

    /// Somebody removes it, if the kernel lets him.
    pub(super) fn take_nft_away(&mut self, key: &Key) {
        if self.delete_nft(key).is_ok() {
            self.announce_nft();
        }
    }

    /// Of nftables, the kernel thread only says that something has happened.
    fn announce_nft(&mut self) {
        self.events.push_back(Event::Overrun(Concern::Nft));
    }

    /// One line for each object.
    pub(super) fn nft_lines(&self, mut line: impl FnMut(bool, Key, String)) {
        for (table, content) in &self.ruleset {
            let ours = self.owner.owns_table(table);
            let item = |name: &Arc<str>| TableItem { table: table.clone(), name: name.clone() };
            line(ours, Key::Table(table.clone()), String::new());
            for (name, chain) in &content.chains {
                line(ours, Key::Chain(item(name)), format!("{:?} {:?}", chain.hook, chain.rules));
            }
            for (name, set) in &content.sets {
                line(ours, Key::Set(item(name)), format!("{:?}", set.set));
                for (key, data) in &set.elements {
                    line(ours, Key::Element(item(name), key.clone()), format!("{data:?}"));
                }
            }
        }
    }
}

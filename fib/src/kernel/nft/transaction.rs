//! Operations → one transaction of the kernel's.
//!
//! The kernel works a transaction off to its end even when something in it has failed, tells every failure, and then
//! undoes all of it. So what failed is known after one attempt, and the rest is tried again without: one bad object
//! does not hold up the others. A transaction is only cut where the socket cannot take it in one piece.

use std::collections::HashMap;

use super::{
    super::{
        channel::{Channel, reserve},
        codec::Writer,
        refused,
        uapi::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL},
    },
    chain, check_name, check_target,
    culprit::{self, Part},
    element::{self, Verb},
    rule, set,
    uapi::{NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END, NFNL_SUBSYS_NFTABLES},
};
use crate::model::{Chain, Data, ElementKey, KernelError, Key, Object, Op, OpResult, Set, TableItem};

/// How often the rest is tried again. Each attempt takes out all that failed in it, so that nearly always the second one
/// succeeds.
const ATTEMPTS: usize = 5;

/// Shapes of sets by name.
pub(super) type Shapes = HashMap<TableItem, Set>;

/// Applies the operations of `ops` that are numbered `numbers` together, and notes the failures in `results`.
pub(super) fn apply(
    channel: &mut Channel,
    shapes: &mut Shapes,
    ops: &[Op],
    mut numbers: Vec<usize>,
    results: &mut [OpResult],
) {
    for _ in 0..ATTEMPTS {
        let chosen: Vec<(usize, &Op)> = numbers.iter().filter_map(|n| Some((*n, ops.get(*n)?))).collect();
        let mut attempt = Attempt::new(channel, shapes, &chosen);
        for (number, op) in chosen {
            if let Err(error) = attempt.write(number, op) {
                note(results, number, error);
            }
        }
        let outcome = attempt.send(results);
        numbers.retain(|number| results.get(*number).is_some_and(Result::is_ok));
        match outcome {
            Outcome::Committed => return,
            Outcome::Refused => {}
            Outcome::TooLarge if numbers.len() > 1 => {
                tracing::info!(operations = numbers.len(), "too much for one nftables transaction");
                let rest = numbers.split_off(numbers.len() / 2);
                apply(channel, shapes, ops, numbers, results);
                return apply(channel, shapes, ops, rest, results);
            }
            Outcome::TooLarge => {
                return note_all(results, &numbers, &refused(libc::EMSGSIZE, "too large for the socket"));
            }
            Outcome::Failed(error) => return note_all(results, &numbers, &error),
        }
    }
    note_all(results, &numbers, &refused(libc::ECANCELED, "other changes of the same transaction failed"));
}

fn note(results: &mut [OpResult], number: usize, error: KernelError) {
    if let Some(result @ Ok(())) = results.get_mut(number) {
        *result = Err(error);
    }
}

/// Notes the failure of a transaction as a whole.
pub(super) fn note_all(results: &mut [OpResult], numbers: &[usize], error: &KernelError) {
    for number in numbers {
        note(results, *number, error.clone());
    }
}

/// What became of a transaction.
enum Outcome {
    /// All of it is done.
    Committed,
    /// Nothing is done, because of what has been noted.
    Refused,
    /// The socket cannot take it.
    TooLarge,
    /// Nothing is done, or what is done is not known.
    Failed(KernelError),
}

/// One request in the transaction.
struct Request {
    operation: usize,
    part: Part,
    start: usize,
}

/// One transaction.
struct Attempt<'a> {
    channel: &'a mut Channel,
    /// Of sets as they were before.
    shapes: &'a mut Shapes,
    /// Of sets that come (or go: `None`) with this transaction.
    changed: HashMap<TableItem, Option<Set>>,
    writer: Writer,
    first: u32,
    requests: Vec<Request>,
}

impl<'a> Attempt<'a> {
    fn new(channel: &'a mut Channel, shapes: &'a mut Shapes, ops: &[(usize, &Op)]) -> Self {
        let most: usize = ops.iter().map(|(_, op)| most_requests(op)).sum();
        let begin = reserve((most + 2) as u32);
        let mut writer = Writer::default();
        frame(&mut writer, NFNL_MSG_BATCH_BEGIN, begin);
        let first = begin.wrapping_add(1);
        Self { channel, shapes, changed: HashMap::new(), writer, first, requests: Vec::new() }
    }

    /// Adds an operation; nothing of it when it is refused.
    fn write(&mut self, number: usize, op: &Op) -> OpResult {
        let (length, requests) = (self.writer.len(), self.requests.len());
        self.operation(number, op).inspect_err(|_| {
            self.writer.truncate(length);
            self.requests.truncate(requests);
        })
    }

    fn operation(&mut self, number: usize, op: &Op) -> OpResult {
        match op {
            Op::Create(Object::Table(table)) => {
                check_name(&table.name)?;
                self.push(number, Part::Whole, |w, seq| chain::create_table(w, seq, table));
            }
            Op::Delete(Key::Table(table)) => {
                check_name(&table.name)?;
                let gone: Vec<_> = self.shapes.keys().filter(|set| set.table == *table).cloned().collect();
                self.changed.extend(gone.into_iter().map(|set| (set, None)));
                self.push(number, Part::Whole, |w, seq| chain::delete_table(w, seq, table));
            }
            Op::Create(Object::Chain(item, chain)) => {
                check_item(item)?;
                self.push(number, Part::Chain(chain.hook), |w, seq| {
                    chain::put(w, seq, NLM_F_CREATE | NLM_F_EXCL, item, chain.hook.as_ref());
                });
                self.rules(number, item, chain)?;
            }
            Op::Change(Object::Chain(item, chain)) => {
                check_item(item)?;
                // First, as it is what fails when there is no such chain; the next would make one.
                self.push(number, Part::Whole, |w, seq| rule::flush(w, seq, item));
                self.push(number, Part::Chain(chain.hook), |w, seq| {
                    chain::put(w, seq, 0, item, chain.hook.as_ref());
                });
                self.rules(number, item, chain)?;
            }
            Op::Delete(Key::Chain(item)) => {
                check_item(item)?;
                self.push(number, Part::Whole, |w, seq| rule::flush(w, seq, item));
                self.push(number, Part::Whole, |w, seq| chain::delete(w, seq, item));
            }
            Op::Create(Object::Set(item, shape)) => {
                check_item(item)?;
                set::check(shape)?;
                self.changed.insert(item.clone(), Some(shape.clone()));
                self.push(number, Part::Whole, |w, seq| set::create(w, seq, item, shape, seq));
            }
            Op::Delete(Key::Set(item)) => {
                check_item(item)?;
                self.changed.insert(item.clone(), None);
                self.push(number, Part::Whole, |w, seq| set::delete(w, seq, item));
            }
            Op::Create(Object::Element(set, key, data)) => {
                self.element(number, &[Verb::Create], set, key, data.as_ref())?;
            }
            // What an element leads to cannot be changed in place; for packets the two are one.
            Op::Change(Object::Element(set, key, data)) => {
                self.element(number, &[Verb::Delete, Verb::Create], set, key, data.as_ref())?;
            }
            Op::Delete(Key::Element(set, key)) => self.remove(number, set, key)?,
            Op::Change(Object::Table(_) | Object::Set(..)) => {
                return Err(refused(libc::EOPNOTSUPP, "it has nothing that could be changed in place"));
            }
            Op::Create(_) | Op::Change(_) | Op::Delete(_) => {
                return Err(refused(libc::EINVAL, "no object of nftables"));
            }
        }
        Ok(())
    }

    fn rules(&mut self, number: usize, item: &TableItem, chain: &Chain) -> OpResult {
        for (at, rule) in chain.rules.iter().enumerate() {
            let mut written = Ok(());
            self.push(number, Part::Rule(at), |w, seq| written = rule::append(w, seq, item, rule));
            written.map_err(|error| culprit::in_rule(at, error))?;
        }
        Ok(())
    }

    fn element(
        &mut self,
        number: usize,
        verbs: &[Verb],
        item: &TableItem,
        key: &ElementKey,
        data: Option<&Data>,
    ) -> OpResult {
        check_item(item)?;
        if let Some(Data::Verdict(verdict)) = data {
            check_target(verdict)?;
        }
        let shape = self.shape(item)?;
        element::check_data(&shape, data)?;
        let place = element::place(&shape, key)?;
        for verb in verbs {
            let data = data.filter(|_| *verb == Verb::Create);
            self.push(number, Part::Whole, |w, seq| element::write(w, seq, *verb, item, &place, data));
        }
        Ok(())
    }

    fn remove(&mut self, number: usize, item: &TableItem, key: &ElementKey) -> OpResult {
        check_item(item)?;
        let place = element::place(&self.shape(item)?, key)?;
        self.push(number, Part::Whole, |w, seq| element::write(w, seq, Verb::Delete, item, &place, None));
        Ok(())
    }

    /// The set's shape, as it is at this point of the transaction.
    fn shape(&mut self, item: &TableItem) -> Result<Set, KernelError> {
        let none = || refused(libc::ENOENT, format!("no set {item}"));
        if let Some(changed) = self.changed.get(item) {
            return changed.clone().ok_or_else(none);
        }
        if let Some(known) = self.shapes.get(item) {
            return Ok(known.clone());
        }
        let mut seen = None;
        let ask = |w: &mut Writer, seq, flags| set::get(w, seq, flags, item);
        self.channel
            .request(ask, |message| seen = set::decode(message))
            .map_err(|error| if error.errno.0 == libc::ENOENT { none() } else { error })?;
        let shape = seen.filter(|seen| seen.item == *item).and_then(|seen| seen.shape);
        let shape = shape.ok_or_else(|| refused(libc::EINVAL, format!("{item} is no set of ours")))?;
        self.shapes.insert(item.clone(), shape.clone());
        Ok(shape)
    }

    fn push(&mut self, operation: usize, part: Part, encode: impl FnOnce(&mut Writer, u32)) {
        let seq = self.first.wrapping_add(self.requests.len() as u32);
        self.requests.push(Request { operation, part, start: self.writer.len() });
        encode(&mut self.writer, seq);
    }

    /// Has it done, and notes what was refused.
    fn send(mut self, results: &mut [OpResult]) -> Outcome {
        let Some(last) = self.requests.last() else { return Outcome::Committed };
        self.writer.add_flags(last.start, NLM_F_ACK);
        let end = self.first.wrapping_add(self.requests.len() as u32);
        frame(&mut self.writer, NFNL_MSG_BATCH_END, end);
        let (bytes, requests, first) = (self.writer.as_slice(), &self.requests, self.first);
        self.channel.make_room(bytes.len());
        let mut refused = false;
        let outcome = self.channel.transact(bytes, first, end.wrapping_sub(1), |seq, error, at| {
            if let Some(request) = requests.get(seq.wrapping_sub(first) as usize) {
                refused = true;
                let message = bytes.get(request.start..).unwrap_or_default();
                note(results, request.operation, culprit::explain(error, request.part, message, at));
            }
        });
        match outcome {
            Err(error) if error.errno.0 == libc::EMSGSIZE => Outcome::TooLarge,
            Err(error) => Outcome::Failed(culprit::of_all(error)),
            Ok(()) if refused => Outcome::Refused,
            Ok(()) => {
                for (item, shape) in self.changed {
                    match shape {
                        Some(shape) => self.shapes.insert(item, shape),
                        None => self.shapes.remove(&item),
                    };
                }
                Outcome::Committed
            }
        }
    }
}

/// The most requests that an operation becomes.
fn most_requests(op: &Op) -> usize {
    match op {
        Op::Create(Object::Chain(_, chain)) | Op::Change(Object::Chain(_, chain)) => 2 + chain.rules.len(),
        _ => 2,
    }
}

fn check_item(item: &TableItem) -> OpResult {
    check_name(&item.table.name)?;
    check_name(&item.name)
}

/// The beginning or the end of a transaction: `res_id` names the subsystem.
fn frame(w: &mut Writer, kind: u16, seq: u32) {
    w.request(kind, 0, seq, |w| w.raw(&[0, 0, 0, NFNL_SUBSYS_NFTABLES]));
}

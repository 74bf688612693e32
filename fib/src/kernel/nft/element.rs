//! Elements of sets and maps.
//!
//! The kernel keeps a range in one of two ways: with several fields an element has a second key, its end; with one
//! field it is two elements, of which the second, marked so, is the first value *behind* the range (none where the
//! range goes up to the last value). That is hidden here.

use std::sync::Arc;

use super::{
    super::{
        codec::{Message, Writer, attributes, attributes_after},
        netfilter::{FIXED, be32, be32_of},
        refused,
        uapi::{NLM_F_CREATE, NLM_F_EXCL},
    },
    data_value, field, read_data, request, table_of,
    uapi::{
        NFT_MSG_DELSETELEM, NFT_MSG_GETSETELEM, NFT_MSG_NEWSETELEM, NFT_SET_ELEM_CATCHALL,
        NFT_SET_ELEM_INTERVAL_END, NFTA_COUNTER_BYTES, NFTA_COUNTER_PACKETS, NFTA_DATA_VALUE, NFTA_EXPR_DATA,
        NFTA_LIST_ELEM, NFTA_SET_ELEM_DATA, NFTA_SET_ELEM_EXPR, NFTA_SET_ELEM_FLAGS, NFTA_SET_ELEM_KEY,
        NFTA_SET_ELEM_KEY_END, NFTA_SET_ELEM_LIST_ELEMENTS, NFTA_SET_ELEM_LIST_SET, NFTA_TABLE,
    },
    write_data,
};
use crate::model::{Count, Data, ElementKey, Elements, Field, KernelError, Set, SetKind, TableItem};

/// Which request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// It must not be there.
    Create,
    /// It must be there.
    Delete,
}

/// An element's key as the kernel keeps it in the set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// One value.
    Value(Vec<u8>),
    /// From and to.
    Range(Vec<u8>, Vec<u8>),
    /// From, and the first value behind.
    Pair(Vec<u8>, Option<Vec<u8>>),
    /// What no other element has.
    Rest,
}

/// Where the element is in a set of that shape. `EINVAL` when the key is none of such a set.
pub(super) fn place(set: &Set, key: &ElementKey) -> Result<Place, KernelError> {
    let lay = |octets: &[u8]| lay_out(&set.key, octets);
    if key.is_any_other() {
        return Ok(Place::Rest);
    }
    let Some(last) = &key.last else {
        return match set.elements {
            Elements::Values => Ok(Place::Value(lay(&key.first)?)),
            Elements::Ranges | Elements::Spans => {
                Err(refused(libc::EINVAL, "a value where the set has ranges"))
            }
        };
    };
    let (from, to) = (lay(&key.first)?, lay(last)?);
    let (in_order, joined) = match set.elements {
        Elements::Values => return Err(refused(libc::EINVAL, "a range where the set has values")),
        Elements::Ranges => (ordered(&set.key, &key.first, last), set.key.len() == 1),
        Elements::Spans => (key.first <= *last, true),
    };
    if !in_order {
        return Err(refused(libc::EINVAL, "a range ends before it begins"));
    }
    Ok(if joined { Place::Pair(from, behind(&to)) } else { Place::Range(from, to) })
}

/// Whether such a map leads to such data.
pub(super) fn check_data(set: &Set, data: Option<&Data>) -> Result<(), KernelError> {
    let fits = match (set.kind, data) {
        (SetKind::Set, None) | (SetKind::Verdicts, Some(Data::Verdict(_))) => true,
        (SetKind::Destinations4, Some(Data::Destination(address, _))) => address.is_ipv4(),
        (SetKind::Destinations6, Some(Data::Destination(address, _))) => address.is_ipv6(),
        (SetKind::Numbers(count), Some(Data::Numbers(numbers))) => numbers.len() == usize::from(count),
        _ => false,
    };
    if fits { Ok(()) } else { Err(refused(libc::EINVAL, "not what elements of this map lead to")) }
}

/// Appends a request for one element.
pub(super) fn write(
    w: &mut Writer,
    seq: u32,
    verb: Verb,
    set: &TableItem,
    place: &Place,
    data: Option<&Data>,
) {
    let (message, flags) = match verb {
        Verb::Create => (NFT_MSG_NEWSETELEM, NLM_F_CREATE | NLM_F_EXCL),
        Verb::Delete => (NFT_MSG_DELSETELEM, 0),
    };
    let (key, last, end) = match place {
        Place::Value(key) => (Some(key), None, None),
        Place::Range(key, last) => (Some(key), Some(last), None),
        Place::Pair(key, end) => (Some(key), None, end.as_ref()),
        Place::Rest => (None, None, None),
    };
    request(w, message, set.table.family, flags, seq, |w| {
        w.text(NFTA_TABLE, &set.table.name);
        w.text(NFTA_SET_ELEM_LIST_SET, &set.name);
        w.nested(NFTA_SET_ELEM_LIST_ELEMENTS, |w| {
            w.nested(NFTA_LIST_ELEM, |w| {
                match key {
                    Some(key) => data_value(w, NFTA_SET_ELEM_KEY, key),
                    None => be32(w, NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_CATCHALL),
                }
                if let Some(last) = last {
                    data_value(w, NFTA_SET_ELEM_KEY_END, last);
                }
                if let Some(data) = data {
                    w.nested(NFTA_SET_ELEM_DATA, |w| write_data(w, data));
                }
            });
            if let Some(end) = end {
                w.nested(NFTA_LIST_ELEM, |w| {
                    data_value(w, NFTA_SET_ELEM_KEY, end);
                    be32(w, NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
                });
            }
        });
    });
}

/// Appends a request for all elements of a set.
pub(super) fn dump(w: &mut Writer, seq: u32, flags: u16, set: &TableItem) {
    request(w, NFT_MSG_GETSETELEM, set.table.family, flags, seq, |w| {
        w.text(NFTA_TABLE, &set.table.name);
        w.text(NFTA_SET_ELEM_LIST_SET, &set.name);
    });
}

/// What makes the elements of a set unfit to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// One was told twice, so that another may have been left out: the kernel walks a hash table by the number of
    /// elements passed, and does not notice when the table grows meanwhile.
    Twice,
    /// One is of a kind that we never make.
    Strange,
}

/// Gathers the elements of one set from the messages of a dump.
#[derive(Debug)]
pub(super) struct Gather<'a> {
    set: &'a Set,
    found: Vec<(ElementKey, Option<Data>)>,
    /// Beginnings (with data) and ends of ranges.
    bounds: Vec<(Vec<u8>, Bound)>,
    strange: bool,
}

/// The order matters: where one range ends and the next begins, the end comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Bound {
    End,
    Begin(Option<Data>),
}

impl<'a> Gather<'a> {
    /// Of a set of that shape.
    pub(super) fn new(set: &'a Set) -> Self {
        Self { set, found: Vec::new(), bounds: Vec::new(), strange: false }
    }

    /// Takes what one message tells.
    pub(super) fn read(&mut self, message: Message<'_>) {
        if table_of(message, NFT_MSG_NEWSETELEM).is_none() {
            return;
        }
        for (number, list) in attributes_after(message.body, FIXED) {
            if number == NFTA_SET_ELEM_LIST_ELEMENTS {
                for (_, element) in attributes(list) {
                    self.strange |= self.element(element).is_none();
                }
            }
        }
    }

    /// Takes the counters out of one message. Of sets with values only.
    pub(super) fn count(&mut self, message: Message<'_>, counts: &mut Vec<(ElementKey, Count)>) {
        if table_of(message, NFT_MSG_NEWSETELEM).is_none() {
            return;
        }
        let lists = attributes_after(message.body, FIXED).filter(|(n, _)| *n == NFTA_SET_ELEM_LIST_ELEMENTS);
        for (_, element) in lists.flat_map(|(_, list)| attributes(list)) {
            let counter = attributes(element).find(|(number, _)| *number == NFTA_SET_ELEM_EXPR);
            if let Some(count) = counter.and_then(|(_, expression)| counter_of(expression))
                && self.element(element).is_some()
                && let Some((key, _)) = self.found.pop()
            {
                counts.push((key, count));
            }
        }
    }

    fn element(&mut self, element: &[u8]) -> Option<()> {
        let (mut key, mut last, mut data, mut flags) = (None, None, None, 0);
        for (number, payload) in attributes(element) {
            match number {
                NFTA_SET_ELEM_KEY => key = Some(value_of(payload)?),
                NFTA_SET_ELEM_KEY_END => last = Some(value_of(payload)?),
                NFTA_SET_ELEM_DATA => data = Some(read_data(payload, self.set.kind)?),
                NFTA_SET_ELEM_FLAGS => flags = be32_of(payload)?,
                _ => {}
            }
        }
        let end = flags & NFT_SET_ELEM_INTERVAL_END != 0;
        if data.is_none() && !end && self.set.kind != SetKind::Set {
            return None;
        }
        if flags == NFT_SET_ELEM_CATCHALL {
            self.found.push((ElementKey::any_other(), data));
            return Some(());
        }
        let key = key?;
        if flags & !NFT_SET_ELEM_INTERVAL_END != 0 {
            return None;
        }
        let ranges = self.set.elements.have_last();
        if last.is_some() && !ranges {
            return None;
        }
        if self.set.elements == Elements::Spans || (ranges && self.set.key.len() == 1) {
            if key.len() != field::key_octets(&self.set.key) {
                return None;
            }
            self.bounds.push((key.to_vec(), if end { Bound::End } else { Bound::Begin(data) }));
            return Some(());
        }
        let first = take_in(&self.set.key, key)?;
        let last = match last {
            Some(last) => Some(take_in(&self.set.key, last)?),
            None => ranges.then(|| first.clone()),
        };
        self.found.push((ElementKey { first, last }, data));
        Some(())
    }

    /// All elements, sorted by key.
    pub(super) fn finish(mut self) -> Result<Vec<(ElementKey, Option<Data>)>, Unfit> {
        if self.strange {
            return Err(Unfit::Strange);
        }
        self.join()?;
        self.found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        if self.found.windows(2).any(|pair| matches!(pair, [a, b] if a.0 == b.0)) {
            return Err(Unfit::Twice);
        }
        Ok(self.found)
    }

    /// Makes ranges of their beginnings and ends. One that the next range, or nothing, follows without an end goes as
    /// far as it can; an end without a beginning says nothing.
    fn join(&mut self) -> Result<(), Unfit> {
        let key = &self.set.key;
        let range = |first: &[u8], last: &[u8]| -> Result<ElementKey, Unfit> {
            let first = take_in(key, first).ok_or(Unfit::Strange)?;
            Ok(ElementKey { first, last: Some(take_in(key, last).ok_or(Unfit::Strange)?) })
        };
        self.bounds.sort_by(|a, b| {
            a.0.cmp(&b.0).then_with(|| matches!(a.1, Bound::Begin(_)).cmp(&matches!(b.1, Bound::Begin(_))))
        });
        let mut open: Option<(Vec<u8>, Option<Data>)> = None;
        for (value, bound) in std::mem::take(&mut self.bounds) {
            if let Some((first, data)) = open.take() {
                // The value is not zero: something lies before it, at it only what is told twice.
                let last = before(&value).unwrap_or_else(|| value.clone());
                self.found.push((range(&first, &last)?, data));
            }
            if let Bound::Begin(data) = bound {
                open = Some((value, data));
            }
        }
        if let Some((first, data)) = open {
            let last = vec![0xff; first.len()];
            self.found.push((range(&first, &last)?, data));
        }
        Ok(())
    }
}

/// What a counter holds.
fn counter_of(expression: &[u8]) -> Option<Count> {
    let (_, data) = attributes(expression).find(|(number, _)| *number == NFTA_EXPR_DATA)?;
    let mut count = Count::default();
    for (number, payload) in attributes(data) {
        let value = payload.try_into().map_or(0, u64::from_be_bytes);
        match number {
            NFTA_COUNTER_PACKETS => count.packets = value,
            NFTA_COUNTER_BYTES => count.octets = value,
            _ => {}
        }
    }
    Some(count)
}

/// The value in `NFTA_DATA_VALUE`.
fn value_of(payload: &[u8]) -> Option<&[u8]> {
    attributes(payload).find(|(number, _)| *number == NFTA_DATA_VALUE).map(|(_, value)| value)
}

/// A key's fields as they stand in registers.
fn lay_out(fields: &[Field], octets: &[u8]) -> Result<Vec<u8>, KernelError> {
    let wanted: usize = fields.iter().map(|field| field.octets()).sum();
    if octets.len() != wanted {
        return Err(refused(
            libc::EINVAL,
            format!("a key of this set has {wanted} octets, not {}", octets.len()),
        ));
    }
    if fields.len() == 1 {
        return Ok(octets.to_vec());
    }
    let mut laid = Vec::with_capacity(field::key_octets(fields));
    let mut rest = octets;
    for part in fields {
        let (value, tail) = rest.split_at_checked(part.octets()).unwrap_or((rest, &[]));
        laid.extend_from_slice(value);
        laid.resize(laid.len().next_multiple_of(4), 0);
        rest = tail;
    }
    Ok(laid)
}

/// The reverse of [`lay_out`]. `None` when the length is another.
fn take_in(fields: &[Field], laid: &[u8]) -> Option<Arc<[u8]>> {
    if laid.len() != field::key_octets(fields) {
        return None;
    }
    if fields.len() == 1 {
        return Some(laid.into());
    }
    let mut octets = Vec::with_capacity(laid.len());
    let mut rest = laid;
    for part in fields {
        let (value, tail) = rest.split_at_checked(field::slot(*part))?;
        octets.extend_from_slice(value.get(..part.octets())?);
        rest = tail;
    }
    Some(octets.into())
}

/// Whether each field's range begins before it ends.
fn ordered(fields: &[Field], first: &[u8], last: &[u8]) -> bool {
    let mut at = 0;
    fields.iter().all(|part| {
        let here = at..at + part.octets();
        at = here.end;
        first.get(here.clone()) <= last.get(here)
    })
}

/// The next number; `None` behind the last.
fn behind(value: &[u8]) -> Option<Vec<u8>> {
    let mut next = value.to_vec();
    for octet in next.iter_mut().rev() {
        *octet = octet.wrapping_add(1);
        if *octet != 0 {
            return Some(next);
        }
    }
    None
}

/// The number before; `None` before zero.
fn before(value: &[u8]) -> Option<Vec<u8>> {
    let mut previous = value.to_vec();
    for octet in previous.iter_mut().rev() {
        *octet = octet.wrapping_sub(1);
        if *octet != 0xff {
            return Some(previous);
        }
    }
    None
}

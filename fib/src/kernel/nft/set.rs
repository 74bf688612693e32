//! Sets and maps, without their elements.

use super::{
    super::{
        codec::{Message, Writer, attributes, attributes_after, text_of},
        netfilter::{FIXED, be32, be32_of},
        refused,
        uapi::{NLM_F_CREATE, NLM_F_EXCL},
    },
    field::{self, MAX_FIELDS},
    mark, named_expression, request, table_of,
    uapi::{
        NFT_DATA_VERDICT, NFT_MSG_DELSET, NFT_MSG_GETSET, NFT_MSG_NEWSET, NFT_SET_ANONYMOUS, NFT_SET_CONCAT,
        NFT_SET_INTERVAL, NFT_SET_MAP, NFTA_LIST_ELEM, NFTA_SET_DATA_LEN, NFTA_SET_DATA_TYPE, NFTA_SET_DESC,
        NFTA_SET_DESC_CONCAT, NFTA_SET_EXPR, NFTA_SET_FIELD_LEN, NFTA_SET_FLAGS, NFTA_SET_ID,
        NFTA_SET_KEY_LEN, NFTA_SET_KEY_TYPE, NFTA_SET_NAME, NFTA_SET_USERDATA, NFTA_TABLE,
    },
};
use crate::model::{Elements, Field, OpResult, Set, SetKind, TableItem, TableRef};

/// Between the names of the fields in a set's comment.
const BETWEEN: &str = " . ";
/// Behind them, where elements are spans.
const SPANS: &str = " in one";

/// A set as the kernel shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) item: TableItem,
    /// Part of a rule, and gone with it.
    pub(super) anonymous: bool,
    /// `None`: of a shape that we never make.
    pub(super) shape: Option<Set>,
}

/// What is told of a set that cannot be told as it is: it has no key, and so differs from every set that is wanted.
pub(super) const STRANGE: Set =
    Set { key: Vec::new(), elements: Elements::Values, kind: SetKind::Set, counted: false };

/// Whether a set can be of that shape.
pub(super) fn check(set: &Set) -> OpResult {
    if set.key.is_empty() || set.key.len() > MAX_FIELDS {
        return Err(refused(libc::EINVAL, format!("a key has one to {MAX_FIELDS} fields")));
    }
    match set.key.iter().find(|field| field::host_order(**field)) {
        Some(field) if set.elements.have_last() => {
            Err(refused(libc::EINVAL, format!("{} has no ranges", field::name(*field))))
        }
        _ if set.elements == Elements::Spans && set.key.len() == 1 => {
            Err(refused(libc::EINVAL, "spans of one field are ranges"))
        }
        _ => match set.kind {
            SetKind::Numbers(0 | 4..) => Err(refused(libc::EINVAL, "a map leads to one to 3 numbers")),
            _ => Ok(()),
        },
    }
}

/// Appends a request for a new set. The number must be unlike that of other new sets in the transaction.
pub(super) fn create(w: &mut Writer, seq: u32, item: &TableItem, set: &Set, number: u32) {
    request(w, NFT_MSG_NEWSET, item.table.family, NLM_F_CREATE | NLM_F_EXCL, seq, |w| {
        w.text(NFTA_TABLE, &item.table.name);
        w.text(NFTA_SET_NAME, &item.name);
        be32(w, NFTA_SET_FLAGS, flags_of(set));
        be32(w, NFTA_SET_KEY_TYPE, key_type(set.elements, &set.key));
        be32(w, NFTA_SET_KEY_LEN, field::key_octets(&set.key) as u32);
        if let Some((kind, octets)) = data_of(set.kind) {
            be32(w, NFTA_SET_DATA_TYPE, kind);
            if let Some(octets) = octets {
                be32(w, NFTA_SET_DATA_LEN, octets);
            }
        }
        be32(w, NFTA_SET_ID, number);
        if described(set) {
            w.nested(NFTA_SET_DESC, |w| {
                w.nested(NFTA_SET_DESC_CONCAT, |w| {
                    for part in &set.key {
                        w.nested(NFTA_LIST_ELEM, |w| be32(w, NFTA_SET_FIELD_LEN, part.octets() as u32));
                    }
                });
            });
        }
        if set.counted {
            w.nested(NFTA_SET_EXPR, |w| named_expression(w, "counter", |_| {}));
        }
        // The kernel knows the lengths of the fields, not which ones they are.
        let names: Vec<_> = set.key.iter().copied().map(field::name).collect();
        let mut text = names.join(BETWEEN);
        if set.elements == Elements::Spans {
            text.push_str(SPANS);
        }
        let mut data = mark::write(mark::SET_COMMENT, &text);
        if let [one] = set.key[..] {
            // Or the `nft` program shows names of links as noise.
            data.extend(mark::byte_order(field::host_order(one) || field::is_name(one)));
        }
        w.attribute(NFTA_SET_USERDATA, &data);
    });
}

/// Appends a request to delete the set with its elements.
pub(super) fn delete(w: &mut Writer, seq: u32, item: &TableItem) {
    request(w, NFT_MSG_DELSET, item.table.family, 0, seq, |w| name(w, item));
}

/// Appends a request for the set.
pub(super) fn get(w: &mut Writer, seq: u32, flags: u16, item: &TableItem) {
    request(w, NFT_MSG_GETSET, item.table.family, flags, seq, |w| name(w, item));
}

/// Appends a request for all sets of a table.
pub(super) fn dump(w: &mut Writer, seq: u32, flags: u16, table: &TableRef) {
    request(w, NFT_MSG_GETSET, table.family, flags, seq, |w| w.text(NFTA_TABLE, &table.name));
}

fn name(w: &mut Writer, item: &TableItem) {
    w.text(NFTA_TABLE, &item.table.name);
    w.text(NFTA_SET_NAME, &item.name);
}

/// Reads a set.
pub(super) fn decode(message: Message<'_>) -> Option<Seen> {
    let table = table_of(message, NFT_MSG_NEWSET)?;
    let (mut named, mut flags, mut key_type, mut key_octets) = (None, 0, 0, 0);
    let (mut data, mut fields, mut comment, mut counted) = ((0, 0), Vec::new(), None, false);
    for (number, payload) in attributes_after(message.body, FIXED) {
        let value = be32_of(payload).unwrap_or(0);
        match number {
            NFTA_SET_NAME => named = text_of(payload),
            NFTA_SET_FLAGS => flags = value,
            NFTA_SET_KEY_TYPE => key_type = value,
            NFTA_SET_KEY_LEN => key_octets = value,
            NFTA_SET_DATA_TYPE => data.0 = value,
            NFTA_SET_DATA_LEN => data.1 = value,
            NFTA_SET_DESC => fields = field_octets(payload),
            NFTA_SET_EXPR => counted = true,
            NFTA_SET_USERDATA => comment = mark::read(mark::SET_COMMENT, payload),
            _ => {}
        }
    }
    let item = TableItem { table, name: named?.into() };
    let spans = comment.is_some_and(|text| text.ends_with(SPANS));
    let comment = comment.map(|text| text.strip_suffix(SPANS).unwrap_or(text));
    let said = comment.and_then(|text| text.split(BETWEEN).map(field::named).collect::<Option<Vec<_>>>());
    let kind = kind_of(flags, data);
    let elements = match flags & NFT_SET_INTERVAL {
        0 => Elements::Values,
        _ if spans => Elements::Spans,
        _ => Elements::Ranges,
    };
    let key = said.filter(|key| self::key_type(elements, key) == key_type);
    let key = key.or_else(|| field::of_datatype(key_type));
    let shape = key.zip(kind).map(|(key, kind)| Set { key, elements, kind, counted });
    let shape = shape.filter(|set| {
        check(set).is_ok()
            && flags == flags_of(set)
            && key_octets as usize == field::key_octets(&set.key)
            && (!described(set) || fields.iter().copied().eq(set.key.iter().map(|f| f.octets() as u32)))
    });
    Some(Seen { item, anonymous: flags & NFT_SET_ANONYMOUS != 0, shape })
}

/// What the key looks like to the `nft` program. It takes a key of several types in a set with ranges for one with a
/// range in each, and ends when it is not.
fn key_type(elements: Elements, key: &[Field]) -> u32 {
    if elements == Elements::Spans { field::INTEGER } else { field::datatype_of(key) }
}

fn field_octets(description: &[u8]) -> Vec<u32> {
    let lists = attributes(description).filter(|(kind, _)| *kind == NFTA_SET_DESC_CONCAT);
    let fields = lists.flat_map(|(_, list)| attributes(list));
    fields
        .filter_map(|(_, field)| attributes(field).find(|(kind, _)| *kind == NFTA_SET_FIELD_LEN))
        .filter_map(|(_, payload)| be32_of(payload))
        .collect()
}

fn flags_of(set: &Set) -> u32 {
    let mut flags = 0;
    if set.elements.have_last() {
        flags |= NFT_SET_INTERVAL;
    }
    if set.kind != SetKind::Set {
        flags |= NFT_SET_MAP;
    }
    if described(set) {
        flags |= NFT_SET_CONCAT;
    }
    flags
}

/// Whether the kernel must know where the fields are: for ranges in each. Other keys are one value to it.
fn described(set: &Set) -> bool {
    set.elements == Elements::Ranges && set.key.len() > 1
}

/// Type and octets of what a map leads to.
fn data_of(kind: SetKind) -> Option<(u32, Option<u32>)> {
    match kind {
        SetKind::Set => None,
        // its length is the kernel's affair
        SetKind::Verdicts => Some((NFT_DATA_VERDICT, None)),
        SetKind::Destinations4 => Some((field::datatype_of(&DESTINATION4), Some(8))),
        SetKind::Destinations6 => Some((field::datatype_of(&DESTINATION6), Some(20))),
        SetKind::Numbers(count) => {
            let numbers = vec![Field::Number; usize::from(count) + 1];
            Some((field::datatype_of(&numbers), Some(4 * (u32::from(count) + 1))))
        }
    }
}

const DESTINATION4: [Field; 2] = [Field::Ip4Destination, Field::DestinationPort];
const DESTINATION6: [Field; 2] = [Field::Ip6Destination, Field::DestinationPort];

fn kind_of(flags: u32, (kind, octets): (u32, u32)) -> Option<SetKind> {
    if flags & NFT_SET_MAP == 0 {
        return Some(SetKind::Set);
    }
    let all = [SetKind::Verdicts, SetKind::Destinations4, SetKind::Destinations6];
    all.into_iter().chain((1..=3).map(SetKind::Numbers)).find(|candidate| {
        data_of(*candidate).is_some_and(|(k, o)| k == kind && o.is_none_or(|o| o == octets))
    })
}

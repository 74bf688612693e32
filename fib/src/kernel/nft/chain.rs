//! Tables, and chains without their rules.

use super::{
    super::{
        codec::{Message, Writer, attributes, attributes_after, text_of},
        netfilter::{FIXED, be32, be32_of},
        uapi::{NLM_F_CREATE, NLM_F_EXCL},
    },
    request, table_of,
    uapi::{
        NF_ACCEPT, NF_DROP, NFT_MSG_DELCHAIN, NFT_MSG_DELTABLE, NFT_MSG_GETCHAIN, NFT_MSG_GETTABLE,
        NFT_MSG_NEWCHAIN, NFT_MSG_NEWTABLE, NFTA_CHAIN_HOOK, NFTA_CHAIN_NAME, NFTA_CHAIN_POLICY,
        NFTA_CHAIN_TYPE, NFTA_HOOK_HOOKNUM, NFTA_HOOK_PRIORITY, NFTA_TABLE,
    },
};
use crate::model::{ChainType, Hook, HookPoint, NftFamily, TableItem, TableRef};

/// Hooks by their numbers: `NF_INET_*` (linux/netfilter.h), and the same in `NF_BR_*` (linux/netfilter_bridge.h).
const POINTS: [(HookPoint, u32); 5] = [
    (HookPoint::Prerouting, 0),
    (HookPoint::Input, 1),
    (HookPoint::Forward, 2),
    (HookPoint::Output, 3),
    (HookPoint::Postrouting, 4),
];
const TYPES: [(ChainType, &str); 2] = [(ChainType::Filter, "filter"), (ChainType::Nat, "nat")];

/// A chain as the kernel shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) item: TableItem,
    pub(super) hook: Option<Hook>,
    /// It has a hook, but not as we would have made it: of another type, or with a policy other than accept.
    pub(super) strange: bool,
}

/// Appends a request for a new table.
pub(super) fn create_table(w: &mut Writer, seq: u32, table: &TableRef) {
    // Without an owner (`NFT_TABLE_F_OWNER`): it outlives the daemon, as all that it has made.
    request(w, NFT_MSG_NEWTABLE, table.family, NLM_F_CREATE | NLM_F_EXCL, seq, |w| {
        w.text(NFTA_TABLE, &table.name);
    });
}

/// Appends a request to delete a table and all that is in it.
pub(super) fn delete_table(w: &mut Writer, seq: u32, table: &TableRef) {
    request(w, NFT_MSG_DELTABLE, table.family, 0, seq, |w| w.text(NFTA_TABLE, &table.name));
}

/// Appends a request for all tables of a family.
pub(super) fn dump_tables(w: &mut Writer, seq: u32, flags: u16, family: NftFamily) {
    request(w, NFT_MSG_GETTABLE, family, flags, seq, |_| {});
}

/// Reads which table a message is about.
pub(super) fn decode_table(message: Message<'_>) -> Option<TableRef> {
    table_of(message, NFT_MSG_NEWTABLE)
}

/// Appends a request for a chain: a new one (`NLM_F_CREATE`, `NLM_F_EXCL`), or one that has this hook already.
pub(super) fn put(w: &mut Writer, seq: u32, flags: u16, item: &TableItem, hook: Option<&Hook>) {
    request(w, NFT_MSG_NEWCHAIN, item.table.family, flags, seq, |w| {
        name(w, item);
        let Some(hook) = hook else { return };
        w.nested(NFTA_CHAIN_HOOK, |w| {
            be32(w, NFTA_HOOK_HOOKNUM, number_of(hook.point));
            be32(w, NFTA_HOOK_PRIORITY, hook.priority.cast_unsigned());
        });
        be32(w, NFTA_CHAIN_POLICY, NF_ACCEPT);
        w.text(NFTA_CHAIN_TYPE, type_of(hook.kind));
    });
}

/// Appends a request to delete a chain.
pub(super) fn delete(w: &mut Writer, seq: u32, item: &TableItem) {
    request(w, NFT_MSG_DELCHAIN, item.table.family, 0, seq, |w| name(w, item));
}

/// Appends a request for all chains of a family: the kernel cannot be asked for those of one table.
pub(super) fn dump(w: &mut Writer, seq: u32, flags: u16, family: NftFamily) {
    request(w, NFT_MSG_GETCHAIN, family, flags, seq, |_| {});
}

fn name(w: &mut Writer, item: &TableItem) {
    w.text(NFTA_TABLE, &item.table.name);
    w.text(NFTA_CHAIN_NAME, &item.name);
}

/// Reads a chain.
pub(super) fn decode(message: Message<'_>) -> Option<Seen> {
    let table = table_of(message, NFT_MSG_NEWCHAIN)?;
    let (mut named, mut kind, mut place, mut policy) = (None, None, None, NF_ACCEPT);
    for (number, payload) in attributes_after(message.body, FIXED) {
        match number {
            NFTA_CHAIN_NAME => named = text_of(payload),
            NFTA_CHAIN_TYPE => kind = text_of(payload),
            NFTA_CHAIN_POLICY => policy = be32_of(payload).unwrap_or(NF_DROP),
            NFTA_CHAIN_HOOK => place = Some(read_hook(payload)),
            _ => {}
        }
    }
    let kind = kind.and_then(|text| TYPES.iter().find(|(_, name)| *name == text)).map(|(kind, _)| *kind);
    let based = place.is_some();
    let hook = place.flatten().zip(kind).map(|((point, priority), kind)| Hook { kind, point, priority });
    let strange = based && (hook.is_none() || policy != NF_ACCEPT);
    Some(Seen { item: TableItem { table, name: named?.into() }, hook, strange })
}

fn read_hook(payload: &[u8]) -> Option<(HookPoint, i32)> {
    let (mut point, mut priority) = (None, None);
    for (number, value) in attributes(payload) {
        match number {
            NFTA_HOOK_HOOKNUM => point = be32_of(value),
            NFTA_HOOK_PRIORITY => priority = be32_of(value),
            _ => {}
        }
    }
    let point = POINTS.iter().find(|(_, number)| Some(*number) == point).map(|(point, _)| *point);
    Some((point?, priority?.cast_signed()))
}

fn number_of(point: HookPoint) -> u32 {
    POINTS.iter().find(|(known, _)| *known == point).map_or(0, |(_, number)| *number)
}

/// The kernel's name of the type.
pub(super) fn type_of(kind: ChainType) -> &'static str {
    TYPES.iter().find(|(known, _)| *known == kind).map_or("filter", |(_, name)| name)
}

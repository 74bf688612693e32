//! nftables, by netlink: `linux/netfilter/nf_tables.h`.
//!
//! What is in a table of our name is ours, whoever put it there; other tables are not even looked at. Every change goes
//! through a transaction of the kernel's: all or nothing, and a packet sees the old rules or the new ones.
//!
//! Knows how objects of [`crate::model`] look in nftables. Must not know which rules are wanted.
//!
//! | module | knows |
//! |---|---|
//! | `uapi` | numbers |
//! | `field`, `rule` | what the kernel runs for a rule |
//! | `chain`, `set`, `element` | one kind of object: encode, decode |
//! | `mark` | what is kept with rules and sets to know them again |
//! | `transaction`, `culprit` | operations → one transaction, which of them fail it, and why |
//! | `dump` | all that is in our tables |
//! | `watch` | that others change them |

#[cfg(test)]
mod tests;

mod chain;
mod culprit;
mod dump;
mod element;
mod field;
mod mark;
mod rule;
mod set;
mod transaction;
mod uapi;
mod watch;

use std::net::IpAddr;

use transaction::Shapes;
use uapi::{
    NF_ACCEPT, NF_DROP, NFNL_SUBSYS_NFTABLES, NFPROTO_BRIDGE, NFPROTO_INET, NFT_GOTO, NFT_JUMP, NFT_RETURN,
    NFTA_DATA_VALUE, NFTA_DATA_VERDICT, NFTA_EXPR_DATA, NFTA_EXPR_NAME, NFTA_LIST_ELEM, NFTA_TABLE,
    NFTA_VERDICT_CHAIN, NFTA_VERDICT_CODE,
};

use super::{
    channel::Channel,
    codec::{Message, Writer, address_of, attributes, attributes_after, text_of, u16_at},
    engine::Engine,
    netfilter::{self, FIXED, be32, be32_of},
    refused,
};
use crate::model::{Data, KernelError, Key, NftFamily, Object, Op, OpResult, SetKind, TableRef, Verdict};

/// `NFT_NAME_MAXLEN` less the terminator.
const MAX_NAME: usize = 255;

/// What is kept between commands.
#[derive(Debug, Default)]
pub(super) struct Nft {
    /// The shapes of our sets, as far as they are known: an element cannot be written without.
    shapes: Shapes,
    /// The news is read.
    watched: bool,
    /// Somebody else's transaction, whose end has not been read yet, is about a table of ours.
    touched: bool,
}

impl Nft {
    /// What was known may no longer be so: others have been at work, or news was lost.
    pub(super) fn forget(&mut self) {
        self.shapes.clear();
        self.touched = false;
    }
}

impl Engine {
    /// Applies consecutive operations on nftables, those of `ops` numbered `numbers`, as one.
    pub(super) fn apply_nft(&mut self, ops: &[Op], numbers: Vec<usize>, results: &mut [OpResult]) {
        let mut shapes = std::mem::take(&mut self.nft.shapes);
        match self.nft_channel() {
            Ok(channel) => transaction::apply(channel, &mut shapes, ops, numbers, results),
            Err(error) => transaction::note_all(results, &numbers, &culprit::of_all(error)),
        }
        self.nft.shapes = shapes;
    }
}

/// Whether the operation is on an object of nftables.
pub(super) fn concerns(op: &Op) -> bool {
    match op {
        Op::Create(object) | Op::Change(object) => {
            matches!(object, Object::Table(_) | Object::Chain(..) | Object::Set(..) | Object::Element(..))
        }
        Op::Delete(key) => {
            matches!(key, Key::Table(_) | Key::Chain(_) | Key::Set(_) | Key::Element(..))
        }
    }
}

/// The kernel's number of a family.
fn number_of(family: NftFamily) -> u8 {
    match family {
        NftFamily::Inet => NFPROTO_INET,
        NftFamily::Bridge => NFPROTO_BRIDGE,
    }
}

/// Appends a request to nftables.
fn request(
    w: &mut Writer,
    message: u8,
    family: NftFamily,
    flags: u16,
    seq: u32,
    body: impl FnOnce(&mut Writer),
) {
    netfilter::request(w, (NFNL_SUBSYS_NFTABLES, message), number_of(family), flags, seq, body);
}

/// The table that a message of that kind is about; `None` for other kinds, and for families that we have no tables in.
fn table_of(message: Message<'_>, kind: u8) -> Option<TableRef> {
    if message.kind != u16::from_be_bytes([NFNL_SUBSYS_NFTABLES, kind]) {
        return None;
    }
    let (family, name) = named_table(message)?;
    Some(TableRef { family, name: name.into() })
}

/// The table that any message about an object names.
fn named_table(message: Message<'_>) -> Option<(NftFamily, &str)> {
    let family = match *message.body.first()? {
        NFPROTO_INET => NftFamily::Inet,
        NFPROTO_BRIDGE => NftFamily::Bridge,
        _ => return None,
    };
    let (_, name) = attributes_after(message.body, FIXED).find(|(number, _)| *number == NFTA_TABLE)?;
    Some((family, text_of(name)?))
}

/// The kernel ends names at a zero octet, and has room for so much.
fn check_name(name: &str) -> OpResult {
    if name.is_empty() || name.len() > MAX_NAME || name.bytes().any(|octet| octet == 0) {
        return Err(refused(libc::EINVAL, format!("{name:?} cannot be a name in nftables")));
    }
    Ok(())
}

/// As [`check_name`], of the chain that a verdict leads to.
fn check_target(verdict: &Verdict) -> OpResult {
    match verdict {
        Verdict::Jump(chain) | Verdict::Goto(chain) => check_name(chain),
        Verdict::Accept | Verdict::Drop | Verdict::Return => Ok(()),
    }
}

/// Appends one expression of a rule.
fn expression(w: &mut Writer, name: &str, body: impl FnOnce(&mut Writer)) {
    w.nested(NFTA_LIST_ELEM, |w| named_expression(w, name, body));
}

/// What an expression is made of.
fn named_expression(w: &mut Writer, name: &str, body: impl FnOnce(&mut Writer)) {
    w.text(NFTA_EXPR_NAME, name);
    w.nested(NFTA_EXPR_DATA, body);
}

/// An attribute that holds a value for registers.
fn data_value(w: &mut Writer, kind: u16, value: &[u8]) {
    w.nested(kind, |w| w.attribute(NFTA_DATA_VALUE, value));
}

fn write_verdict(w: &mut Writer, verdict: &Verdict) {
    w.nested(NFTA_DATA_VERDICT, |w| {
        let (code, chain) = match verdict {
            Verdict::Accept => (NF_ACCEPT, None),
            Verdict::Drop => (NF_DROP, None),
            Verdict::Return => (NFT_RETURN, None),
            Verdict::Jump(chain) => (NFT_JUMP, Some(chain)),
            Verdict::Goto(chain) => (NFT_GOTO, Some(chain)),
        };
        be32(w, NFTA_VERDICT_CODE, code);
        if let Some(chain) = chain {
            w.text(NFTA_VERDICT_CHAIN, chain);
        }
    });
}

fn read_verdict(payload: &[u8]) -> Option<Verdict> {
    let (mut code, mut chain) = (None, None);
    for (number, value) in attributes(payload) {
        match number {
            NFTA_VERDICT_CODE => code = be32_of(value),
            NFTA_VERDICT_CHAIN => chain = text_of(value),
            _ => {}
        }
    }
    Some(match code? {
        NF_ACCEPT => Verdict::Accept,
        NF_DROP => Verdict::Drop,
        NFT_RETURN => Verdict::Return,
        NFT_JUMP => Verdict::Jump(chain?.into()),
        NFT_GOTO => Verdict::Goto(chain?.into()),
        _ => return None,
    })
}

/// What an element leads to.
fn write_data(w: &mut Writer, data: &Data) {
    match data {
        Data::Verdict(verdict) => write_verdict(w, verdict),
        Data::Destination(address, port) => {
            let mut value = match address {
                IpAddr::V4(a) => a.octets().to_vec(),
                IpAddr::V6(a) => a.octets().to_vec(),
            };
            value.extend_from_slice(&port.to_be_bytes());
            value.extend_from_slice(&[0; 2]);
            w.attribute(NFTA_DATA_VALUE, &value);
        }
        // Behind a number that means nothing: see `rule`.
        Data::Numbers(numbers) => {
            w.attribute(NFTA_DATA_VALUE, &[&[0; 4], numbers.as_flattened()].concat());
        }
    }
}

/// The reverse, in a map of that kind. `None` for what we never write.
fn read_data(payload: &[u8], kind: SetKind) -> Option<Data> {
    let (number, value) = attributes(payload).next()?;
    match (kind, number) {
        (SetKind::Verdicts, NFTA_DATA_VERDICT) => read_verdict(value).map(Data::Verdict),
        (SetKind::Destinations4 | SetKind::Destinations6, NFTA_DATA_VALUE) => {
            let octets = if kind == SetKind::Destinations4 { 4 } else { 16 };
            let (address, rest) = value.split_at_checked(octets)?;
            Some(Data::Destination(address_of(address)?, u16_at(rest, 0).map(u16::from_be)?))
        }
        (SetKind::Numbers(count), NFTA_DATA_VALUE) => {
            let (numbers, rest) = value.as_chunks();
            let (_, numbers) = numbers.split_first()?;
            (rest.is_empty() && numbers.len() == usize::from(count)).then(|| Data::Numbers(numbers.into()))
        }
        _ => None,
    }
}

/// A kernel without nftables has neither tables nor ways to make some: how it says so, for a request of its own and
/// for a transaction (`nfnetlink_rcv_msg`, `nfnetlink_rcv_batch`), or when even the family of netlink is missing.
fn is_missing(error: &KernelError) -> bool {
    [libc::EINVAL, libc::EOPNOTSUPP, libc::EPROTONOSUPPORT].contains(&error.errno.0)
}

/// Asks for the number that every transaction raises, of whichever table.
fn generation(channel: &mut Channel) -> Result<Option<u32>, KernelError> {
    let mut generation = None;
    channel.request(
        |w, seq, flags| {
            netfilter::request(w, (NFNL_SUBSYS_NFTABLES, uapi::NFT_MSG_GETGEN), 0, flags, seq, |_| {});
        },
        |message| {
            generation = attributes_after(message.body, FIXED)
                .find(|(number, _)| *number == uapi::NFTA_GEN_ID)
                .and_then(|(_, payload)| be32_of(payload));
        },
    )?;
    Ok(generation)
}

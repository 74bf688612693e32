//! Rules: expressions → what the kernel's virtual machine runs, and the fingerprint by which one is known again.
//!
//! The `nft` program must be able to show our rules: versions that are in use end at a key with a part that came out of
//! a map (its `map` expressions have no length, which it asserts). It follows registers by their first one only. So what a
//! map leads to begins with a number that means nothing, in the register before the word, and the words themselves have
//! been filled with a packet's mark at the beginning of the rule: that is what it shows.
//!
//! Knows the registers. Must not know what is in the sets that rules look up.

use super::{
    super::{
        codec::{Message, Writer, attributes_after, text_of},
        netfilter::{FIXED, be32},
        refused,
        uapi::NLM_F_CREATE,
    },
    check_name, check_target, data_value, expression,
    field::{self, Needs},
    mark, request, table_of,
    uapi::{
        NFPROTO_IPV4, NFPROTO_IPV6, NFT_CMP_EQ, NFT_CMP_NEQ, NFT_CT_MARK, NFT_CT_ZONE, NFT_LOOKUP_F_INV,
        NFT_META_MARK, NFT_MSG_DELRULE, NFT_MSG_GETRULE, NFT_MSG_NEWRULE, NFT_NAT_DNAT,
        NFT_PAYLOAD_CSUM_INET, NFT_PAYLOAD_NETWORK_HEADER, NFT_REG_VERDICT, NFT_REG32_00, NFT_REG32_COUNT,
        NFTA_BITWISE_DREG, NFTA_BITWISE_LEN, NFTA_BITWISE_MASK, NFTA_BITWISE_SREG, NFTA_BITWISE_XOR,
        NFTA_CMP_DATA, NFTA_CMP_OP, NFTA_CMP_SREG, NFTA_CT_KEY, NFTA_CT_SREG, NFTA_IMMEDIATE_DATA,
        NFTA_IMMEDIATE_DREG, NFTA_LIMIT_BURST, NFTA_LIMIT_RATE, NFTA_LIMIT_UNIT, NFTA_LOG_PREFIX,
        NFTA_LOOKUP_DREG, NFTA_LOOKUP_FLAGS, NFTA_LOOKUP_SET, NFTA_LOOKUP_SREG, NFTA_META_KEY,
        NFTA_META_SREG, NFTA_NAT_FAMILY, NFTA_NAT_REG_ADDR_MIN, NFTA_NAT_REG_PROTO_MIN, NFTA_NAT_TYPE,
        NFTA_PAYLOAD_BASE, NFTA_PAYLOAD_CSUM_OFFSET, NFTA_PAYLOAD_CSUM_TYPE, NFTA_PAYLOAD_LEN,
        NFTA_PAYLOAD_OFFSET, NFTA_PAYLOAD_SREG, NFTA_RULE_CHAIN, NFTA_RULE_EXPRESSIONS, NFTA_RULE_USERDATA,
        NFTA_TABLE, NLM_F_APPEND,
    },
    write_verdict,
};
use crate::model::{
    Condition, Expr, Field, KernelError, NftFamily, OpResult, Operand, Rule, TableItem, TableRef, Word,
};

/// Appends a request that puts the rule behind the last one of the chain.
pub(super) fn append(w: &mut Writer, seq: u32, chain: &TableItem, rule: &Rule) -> OpResult {
    let mut outcome = Ok(());
    request(w, NFT_MSG_NEWRULE, chain.table.family, NLM_F_CREATE | NLM_F_APPEND, seq, |w| {
        w.text(NFTA_TABLE, &chain.table.name);
        w.text(NFTA_RULE_CHAIN, &chain.name);
        w.nested(NFTA_RULE_EXPRESSIONS, |w| outcome = write_expressions(w, chain.table.family, rule));
        let mark = format!("{:016x}", rule.fingerprint());
        w.attribute(NFTA_RULE_USERDATA, &mark::write(mark::RULE_COMMENT, &mark));
    });
    outcome
}

/// Appends a request that removes all rules of the chain.
pub(super) fn flush(w: &mut Writer, seq: u32, chain: &TableItem) {
    request(w, NFT_MSG_DELRULE, chain.table.family, 0, seq, |w| {
        w.text(NFTA_TABLE, &chain.table.name);
        w.text(NFTA_RULE_CHAIN, &chain.name);
    });
}

/// Appends a request for all rules of a table.
pub(super) fn dump(w: &mut Writer, seq: u32, flags: u16, table: &TableRef) {
    request(w, NFT_MSG_GETRULE, table.family, flags, seq, |w| w.text(NFTA_TABLE, &table.name));
}

/// Reads which chain a rule is in, and its fingerprint if it is ours. Rules of a chain come in their order.
pub(super) fn decode(message: Message<'_>) -> Option<(TableItem, Option<u64>)> {
    let table = table_of(message, NFT_MSG_NEWRULE)?;
    let (mut chain, mut fingerprint) = (None, None);
    for (number, payload) in attributes_after(message.body, FIXED) {
        match number {
            NFTA_RULE_CHAIN => chain = text_of(payload),
            NFTA_RULE_USERDATA => {
                fingerprint = mark::read(mark::RULE_COMMENT, payload)
                    .and_then(|text| u64::from_str_radix(text, 16).ok());
            }
            _ => {}
        }
    }
    Some((TableItem { table, name: chain?.into() }, fingerprint))
}

fn write_expressions(w: &mut Writer, family: NftFamily, rule: &Rule) -> OpResult {
    let mut on =
        Program { w, family, version: None, transport: false, filled: 0, key_registers: NFT_REG32_COUNT };
    if rule.0.iter().any(|expr| matches!(expr, Expr::Lookup { .. })) {
        on.key_registers = KEY_REGISTERS;
    }
    for word in rule.0.iter().flat_map(words) {
        if on.filled & 1 << word.get() == 0 {
            on.filled |= 1 << word.get();
            field::load(on.w, Field::Mark, register(word));
        }
    }
    on.filled = 0;
    let mut exprs = rule.0.iter().peekable();
    while let Some(expr) = exprs.next() {
        on.write(expr)?;
        if !expr.goes_on() && exprs.peek().is_some() {
            return Err(invalid("what stands behind a verdict or a map in a rule is never reached"));
        }
    }
    Ok(())
}

/// The words that an expression reads.
fn words(expr: &Expr) -> Vec<Word> {
    let of_key = |key: &[Operand]| {
        let word = |operand: &Operand| match operand {
            Operand::Word(word) => Some(*word),
            Operand::Field(_) | Operand::Value(..) => None,
        };
        key.iter().filter_map(word).collect()
    };
    match expr {
        Expr::Lookup { key, .. } | Expr::VerdictMap { key, .. } | Expr::DestinationMap { key, .. } => {
            of_key(key)
        }
        Expr::Match(Condition::In(key, _) | Condition::NotIn(key, _)) => of_key(key),
        Expr::SetMark(word) | Expr::SetZone(word) => vec![*word],
        _ => Vec::new(),
    }
}

/// A rule as far as it has been written, and what is certain about a packet that has come so far.
struct Program<'a> {
    w: &'a mut Writer,
    family: NftFamily,
    version: Option<u8>,
    transport: bool,
    /// The words that something has been kept in, as bits.
    filled: u32,
    key_registers: u32,
}

/// The register of a word. Keys are put together in the registers below.
fn register(word: Word) -> u32 {
    NFT_REG32_00 + KEY_REGISTERS + u32::from(word.get())
}

/// How many registers there are for a key, in a rule that keeps something in words. Otherwise all are.
const KEY_REGISTERS: u32 = NFT_REG32_COUNT - Word::COUNT as u32;

impl Program<'_> {
    fn write(&mut self, expr: &Expr) -> OpResult {
        match expr {
            Expr::Match(condition) => self.condition(condition)?,
            Expr::Lookup { key, map, into } => {
                self.load(key)?;
                lookup(self.w, map, Some(register(*into) - 1), 0)?;
                self.transport |= key.contains(&Operand::Field(Field::L4Proto));
                // How many numbers the map leads to is not known here. The kernel refuses what has not been filled.
                self.filled |= u32::MAX << into.get();
            }
            Expr::VerdictMap { key, map } => {
                self.load(key)?;
                lookup(self.w, map, Some(NFT_REG_VERDICT), 0)?;
            }
            Expr::DestinationMap { key, map, ipv6 } => self.destination(key, map, *ipv6)?,
            Expr::Masquerade => expression(self.w, "masq", |_| {}),
            Expr::SetMark(word) => {
                let word = self.word(*word)?;
                self.set_mark(word);
            }
            Expr::ClearMark => {
                value(self.w, NFT_REG32_00, &[0; 4]);
                self.set_mark(NFT_REG32_00);
            }
            Expr::KeepMark => {
                field::load(self.w, Field::Mark, NFT_REG32_00);
                expression(self.w, "ct", |w| {
                    be32(w, NFTA_CT_KEY, NFT_CT_MARK);
                    be32(w, NFTA_CT_SREG, NFT_REG32_00);
                });
            }
            Expr::SetZone(word) => {
                let word = self.word(*word)?;
                expression(self.w, "ct", |w| {
                    be32(w, NFTA_CT_KEY, NFT_CT_ZONE);
                    be32(w, NFTA_CT_SREG, word);
                });
            }
            Expr::SetDscp(dscp) => self.dscp(*dscp)?,
            Expr::Log { prefix, per_second } => {
                expression(self.w, "limit", |w| {
                    w.attribute(NFTA_LIMIT_RATE, &u64::from(*per_second).to_be_bytes());
                    w.attribute(NFTA_LIMIT_UNIT, &1_u64.to_be_bytes());
                    be32(w, NFTA_LIMIT_BURST, *per_second);
                });
                expression(self.w, "log", |w| w.text(NFTA_LOG_PREFIX, prefix));
            }
            Expr::Counter => expression(self.w, "counter", |_| {}),
            Expr::Verdict(verdict) => {
                check_target(verdict)?;
                expression(self.w, "immediate", |w| {
                    be32(w, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
                    w.nested(NFTA_IMMEDIATE_DATA, |w| write_verdict(w, verdict));
                });
            }
        }
        Ok(())
    }

    fn condition(&mut self, condition: &Condition) -> OpResult {
        match condition {
            Condition::Equal(field, value) => {
                self.compare(*field, NFT_CMP_EQ, value)?;
                match (field, &value[..]) {
                    (Field::NfProto, [version]) if self.family == NftFamily::Inet => {
                        self.version = Some(*version);
                    }
                    (Field::L4Proto, _) => self.transport = true,
                    _ => {}
                }
            }
            Condition::NotEqual(field, value) => self.compare(*field, NFT_CMP_NEQ, value)?,
            Condition::AnyBit(field, bits) => {
                if !field::host_order(*field) {
                    return Err(invalid(format!("{} has no bits of its own", field::name(*field))));
                }
                self.load(&[Operand::Field(*field)])?;
                bitwise(self.w, (NFT_REG32_00, NFT_REG32_00), &bits.to_ne_bytes(), &[0; 4]);
                cmp(self.w, NFT_CMP_NEQ, &[0; 4]);
            }
            Condition::In(fields, set) => {
                self.load(fields)?;
                lookup(self.w, set, None, 0)?;
                self.transport |= fields.contains(&Operand::Field(Field::L4Proto));
            }
            Condition::NotIn(fields, set) => {
                self.load(fields)?;
                lookup(self.w, set, None, NFT_LOOKUP_F_INV)?;
            }
        }
        Ok(())
    }

    fn compare(&mut self, field: Field, op: u32, value: &[u8]) -> OpResult {
        if value.len() != field.octets() {
            let text = format!("{} has {} octets, not {}", field::name(field), field.octets(), value.len());
            return Err(invalid(text));
        }
        self.load(&[Operand::Field(field)])?;
        cmp(self.w, op, value);
        Ok(())
    }

    /// Sets the six upper bits of the IPv4 type of service, or of the IPv6 traffic class.
    fn dscp(&mut self, dscp: u8) -> OpResult {
        // The traffic class begins in the middle of the first octet of IPv6 (RFC 8200 section 3).
        let (mask, bits) = match self.version {
            Some(NFPROTO_IPV4) => ([0xff, 0x03], u16::from(dscp) << 2),
            Some(NFPROTO_IPV6) => ([0xf0, 0x3f], u16::from(dscp) << 6),
            _ => return Err(invalid("match the IP version before: a code point stands elsewhere in IPv6")),
        };
        if dscp > 63 {
            return Err(invalid("code points go from 0 to 63"));
        }
        field::load_header(self.w, 0, 2, NFT_REG32_00);
        bitwise(self.w, (NFT_REG32_00, NFT_REG32_00), &mask, &bits.to_be_bytes());
        let version = self.version;
        expression(self.w, "payload", |w| {
            be32(w, NFTA_PAYLOAD_SREG, NFT_REG32_00);
            be32(w, NFTA_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER);
            be32(w, NFTA_PAYLOAD_OFFSET, 0);
            be32(w, NFTA_PAYLOAD_LEN, 2);
            if version == Some(NFPROTO_IPV4) {
                be32(w, NFTA_PAYLOAD_CSUM_TYPE, NFT_PAYLOAD_CSUM_INET);
                be32(w, NFTA_PAYLOAD_CSUM_OFFSET, 10);
            }
        });
        Ok(())
    }

    fn set_mark(&mut self, register: u32) {
        expression(self.w, "meta", |w| {
            be32(w, NFTA_META_KEY, NFT_META_MARK);
            be32(w, NFTA_META_SREG, register);
        });
    }

    /// The register of a word that has been filled.
    fn word(&self, word: Word) -> Result<u32, KernelError> {
        if self.filled & 1 << word.get() == 0 {
            return Err(invalid("nothing has been looked up for this word"));
        }
        Ok(register(word))
    }

    fn destination(&mut self, fields: &[Operand], map: &str, ipv6: bool) -> OpResult {
        self.load(fields)?;
        lookup(self.w, map, Some(NFT_REG32_00), 0)?;
        let (family, port) =
            if ipv6 { (NFPROTO_IPV6, NFT_REG32_00 + 4) } else { (NFPROTO_IPV4, NFT_REG32_00 + 1) };
        expression(self.w, "nat", |w| {
            be32(w, NFTA_NAT_TYPE, NFT_NAT_DNAT);
            be32(w, NFTA_NAT_FAMILY, u32::from(family));
            be32(w, NFTA_NAT_REG_ADDR_MIN, NFT_REG32_00);
            be32(w, NFTA_NAT_REG_PROTO_MIN, port);
        });
        Ok(())
    }

    /// Loads the operands into consecutive registers, once it is certain that the packet has them.
    fn load(&mut self, key: &[Operand]) -> OpResult {
        if key.is_empty() || key.len() > field::MAX_FIELDS {
            return Err(invalid(format!("a key has one to {} fields", field::MAX_FIELDS)));
        }
        let slots: usize = key.iter().map(|operand| field::slot(operand.field())).sum();
        if slots > 4 * self.key_registers as usize {
            return Err(invalid("the key is too long"));
        }
        for operand in key {
            let Operand::Field(needed) = operand else { continue };
            match field::needs(*needed) {
                Needs::Nothing => {}
                Needs::Network(version) => self.network(version)?,
                Needs::Transport if self.transport || key.contains(&Operand::Field(Field::L4Proto)) => {}
                Needs::Transport => {
                    let text =
                        "a port says nothing without its protocol: match that before, or in the same key";
                    return Err(invalid(text));
                }
            }
        }
        let mut register = NFT_REG32_00;
        for operand in key {
            match operand {
                Operand::Field(Field::Number) => return Err(invalid("no packet has a number")),
                Operand::Field(field) => field::load(self.w, *field, register),
                // nftables has no move between registers; this is as fast.
                Operand::Word(word) => {
                    let from = self.word(*word)?;
                    bitwise(self.w, (from, register), &[0xff; 4], &[0; 4]);
                }
                Operand::Value(field, octets) if octets.len() == field.octets() => {
                    value(self.w, register, octets);
                }
                Operand::Value(field, _) => {
                    return Err(invalid(format!("{} has {} octets", field::name(*field), field.octets())));
                }
            }
            register += (field::slot(operand.field()) / 4) as u32;
        }
        Ok(())
    }

    /// Goes on only with packets of the IP version.
    fn network(&mut self, version: u8) -> OpResult {
        match self.version {
            Some(known) if known == version => Ok(()),
            Some(_) => Err(invalid("no packet is both IPv4 and IPv6")),
            None => {
                let value = field::load_version(self.w, self.family, version, NFT_REG32_00);
                cmp(self.w, NFT_CMP_EQ, &value);
                self.version = Some(version);
                Ok(())
            }
        }
    }
}

fn cmp(w: &mut Writer, op: u32, value: &[u8]) {
    expression(w, "cmp", |w| {
        be32(w, NFTA_CMP_SREG, NFT_REG32_00);
        be32(w, NFTA_CMP_OP, op);
        data_value(w, NFTA_CMP_DATA, value);
    });
}

/// `(from & mask) ^ bits` into the other register.
fn bitwise(w: &mut Writer, (from, to): (u32, u32), mask: &[u8], bits: &[u8]) {
    expression(w, "bitwise", |w| {
        be32(w, NFTA_BITWISE_SREG, from);
        be32(w, NFTA_BITWISE_DREG, to);
        be32(w, NFTA_BITWISE_LEN, mask.len() as u32);
        data_value(w, NFTA_BITWISE_MASK, mask);
        data_value(w, NFTA_BITWISE_XOR, bits);
    });
}

/// Puts the octets into the register.
fn value(w: &mut Writer, register: u32, octets: &[u8]) {
    expression(w, "immediate", |w| {
        be32(w, NFTA_IMMEDIATE_DREG, register);
        data_value(w, NFTA_IMMEDIATE_DATA, octets);
    });
}

fn lookup(w: &mut Writer, set: &str, target: Option<u32>, flags: u32) -> OpResult {
    check_name(set)?;
    expression(w, "lookup", |w| {
        w.text(NFTA_LOOKUP_SET, set);
        be32(w, NFTA_LOOKUP_SREG, NFT_REG32_00);
        if let Some(register) = target {
            be32(w, NFTA_LOOKUP_DREG, register);
        }
        if flags != 0 {
            be32(w, NFTA_LOOKUP_FLAGS, flags);
        }
    });
    Ok(())
}

fn invalid(text: impl Into<String>) -> KernelError {
    refused(libc::EINVAL, text)
}

//! Rules: expressions → what the kernel's virtual machine runs, and the fingerprint by which one is known again.
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
        NFPROTO_IPV4, NFPROTO_IPV6, NFT_CMP_EQ, NFT_CMP_NEQ, NFT_LOOKUP_F_INV, NFT_MSG_DELRULE,
        NFT_MSG_GETRULE, NFT_MSG_NEWRULE, NFT_NAT_DNAT, NFT_REG_VERDICT, NFT_REG32_00, NFTA_BITWISE_DREG,
        NFTA_BITWISE_LEN, NFTA_BITWISE_MASK, NFTA_BITWISE_SREG, NFTA_BITWISE_XOR, NFTA_CMP_DATA, NFTA_CMP_OP,
        NFTA_CMP_SREG, NFTA_IMMEDIATE_DATA, NFTA_IMMEDIATE_DREG, NFTA_LOOKUP_DREG, NFTA_LOOKUP_FLAGS,
        NFTA_LOOKUP_SET, NFTA_LOOKUP_SREG, NFTA_NAT_FAMILY, NFTA_NAT_REG_ADDR_MIN, NFTA_NAT_REG_PROTO_MIN,
        NFTA_NAT_TYPE, NFTA_RULE_CHAIN, NFTA_RULE_EXPRESSIONS, NFTA_RULE_USERDATA, NFTA_TABLE, NLM_F_APPEND,
    },
    write_verdict,
};
use crate::model::{Condition, Expr, Field, KernelError, NftFamily, OpResult, Rule, TableItem, TableRef};

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
    let mut on = Program { w, family, version: None, transport: false };
    let mut exprs = rule.0.iter().peekable();
    while let Some(expr) = exprs.next() {
        on.write(expr)?;
        let last = !matches!(expr, Expr::Match(_) | Expr::Counter);
        if last && exprs.peek().is_some() {
            // Found or not found, the kernel ends a rule at a map of verdicts (`NFT_BREAK`).
            return Err(invalid("what stands behind a verdict or a map in a rule is never reached"));
        }
    }
    Ok(())
}

/// A rule as far as it has been written, and what is certain about a packet that has come so far.
struct Program<'a> {
    w: &'a mut Writer,
    family: NftFamily,
    version: Option<u8>,
    transport: bool,
}

impl Program<'_> {
    fn write(&mut self, expr: &Expr) -> OpResult {
        match expr {
            Expr::Match(condition) => self.condition(condition)?,
            Expr::VerdictMap { fields, map } => {
                self.load(fields)?;
                lookup(self.w, map, Some(NFT_REG_VERDICT), 0)?;
            }
            Expr::DestinationMap { fields, map, ipv6 } => self.destination(fields, map, *ipv6)?,
            Expr::Masquerade => expression(self.w, "masq", |_| {}),
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
                self.load(&[*field])?;
                expression(self.w, "bitwise", |w| {
                    be32(w, NFTA_BITWISE_SREG, NFT_REG32_00);
                    be32(w, NFTA_BITWISE_DREG, NFT_REG32_00);
                    be32(w, NFTA_BITWISE_LEN, 4);
                    data_value(w, NFTA_BITWISE_MASK, &bits.to_ne_bytes());
                    data_value(w, NFTA_BITWISE_XOR, &[0; 4]);
                });
                cmp(self.w, NFT_CMP_NEQ, &[0; 4]);
            }
            Condition::In(fields, set) => {
                self.load(fields)?;
                lookup(self.w, set, None, 0)?;
                self.transport |= fields.contains(&Field::L4Proto);
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
        self.load(&[field])?;
        cmp(self.w, op, value);
        Ok(())
    }

    fn destination(&mut self, fields: &[Field], map: &str, ipv6: bool) -> OpResult {
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

    /// Loads the fields into consecutive registers, once it is certain that the packet has them.
    fn load(&mut self, fields: &[Field]) -> OpResult {
        if fields.is_empty() || fields.len() > field::MAX_FIELDS {
            return Err(invalid(format!("a key has one to {} fields", field::MAX_FIELDS)));
        }
        for needed in fields {
            match field::needs(*needed) {
                Needs::Nothing => {}
                Needs::Network(version) => self.network(version)?,
                Needs::Transport if self.transport || fields.contains(&Field::L4Proto) => {}
                Needs::Transport => {
                    let text =
                        "a port says nothing without its protocol: match that before, or in the same key";
                    return Err(invalid(text));
                }
            }
        }
        let mut register = NFT_REG32_00;
        for loaded in fields {
            field::load(self.w, *loaded, register);
            register += (field::slot(*loaded) / 4) as u32;
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

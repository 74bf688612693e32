//! nftables objects: tables, chains with rules, sets and maps with elements.
//!
//! Rules are made of a closed set of expressions, as many as the daemon uses: how they look on the wire is the kernel
//! engine's affair. What changes often (an endpoint, a published port) is an element, what changes with the
//! configuration a chain.

use std::{
    fmt,
    hash::{Hash, Hasher},
    net::IpAddr,
    sync::Arc,
};

/// A table. The name is our mark: a table of this name is ours, whoever made it (`owner::Owner::nft_table`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableRef {
    /// Family.
    pub family: NftFamily,
    /// Name.
    pub name: Arc<str>,
}

/// Families of tables (`NFPROTO_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NftFamily {
    /// IPv4 and IPv6 (`NFPROTO_INET`).
    Inet,
    /// Frames on bridges (`NFPROTO_BRIDGE`).
    Bridge,
}

/// A chain, set or map in a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableItem {
    /// The table.
    pub table: TableRef,
    /// The name in the table; chains on one side and sets and maps on the other have name spaces of their own.
    pub name: Arc<str>,
}

/// A chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Where the kernel calls it; `None`: it is only jumped to. Another hook is another chain.
    pub hook: Option<Hook>,
    /// The rules, in order.
    pub rules: Vec<Rule>,
}

impl Chain {
    /// Names of the sets and maps that its rules look something up in.
    pub fn sets(&self) -> impl Iterator<Item = &Arc<str>> {
        self.rules.iter().flat_map(|rule| &rule.0).filter_map(|expr| match expr {
            Expr::Match(Condition::In(_, set) | Condition::NotIn(_, set))
            | Expr::Lookup { map: set, .. }
            | Expr::VerdictMap { map: set, .. }
            | Expr::DestinationMap { map: set, .. } => Some(set),
            _ => None,
        })
    }

    /// Names of the chains that its rules jump to, those by way of a map not counted: these are the map's elements'.
    pub fn jumps(&self) -> impl Iterator<Item = &Arc<str>> {
        self.rules.iter().flat_map(|rule| &rule.0).filter_map(|expr| match expr {
            Expr::Verdict(verdict) => verdict.chain(),
            _ => None,
        })
    }
}

/// Where and when the kernel calls a chain. The policy is always accept: what we do not know is not ours to drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hook {
    /// `NFTA_CHAIN_TYPE`.
    pub kind: ChainType,
    /// `NFTA_HOOK_HOOKNUM`.
    pub point: HookPoint,
    /// `NFTA_HOOK_PRIORITY`: lower ones see the packet earlier.
    pub priority: i32,
}

/// Types of base chains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChainType {
    /// `filter`.
    Filter,
    /// `nat`: sees the first packet of a connection.
    Nat,
}

/// Netfilter hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HookPoint {
    /// Before the routing decision.
    Prerouting,
    /// To the host itself.
    Input,
    /// Through the host.
    Forward,
    /// From the host itself.
    Output,
    /// Before a packet leaves.
    Postrouting,
}

/// One rule: expressions from left to right, each of which may end it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule(pub Vec<Expr>);

impl Rule {
    /// A number that tells rules apart, the same in every process: kept in the rule's user data (`NFTA_RULE_USERDATA`),
    /// it answers "is this the rule that I want?". A rule cannot be changed in place without losing it.
    pub fn fingerprint(&self) -> u64 {
        let mut fnv = Fnv(0xcbf2_9ce4_8422_2325);
        self.hash(&mut fnv);
        fnv.finish()
    }
}

/// FNV-1a: stable over processes and platforms of one byte order, which is all that is asked of it.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// An expression of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Expr {
    /// Goes on only if this holds.
    Match(Condition),
    /// Looks the operands, concatenated, up in a map of numbers, and keeps what it leads to for what comes later in the
    /// rule. The rule ends if there is nothing. What was kept in the word before the first one is lost.
    Lookup {
        /// The operands of the key.
        key: Vec<Operand>,
        /// The map; its data are [`Data::Numbers`].
        map: Arc<str>,
        /// Where the first of the numbers is kept; the others follow it.
        into: Word,
    },
    /// Looks the operands, concatenated, up in a map of verdicts; goes on if there is none.
    VerdictMap {
        /// The operands of the key.
        key: Vec<Operand>,
        /// The map.
        map: Arc<str>,
    },
    /// Looks the operands up in a map of address and port, and sends the connection there (`nat` chains). Goes on if
    /// there is none.
    DestinationMap {
        /// The operands of the key.
        key: Vec<Operand>,
        /// The map; its data are [`Data::Destination`] of the family.
        map: Arc<str>,
        /// IPv6 rather than IPv4.
        ipv6: bool,
    },
    /// Gives the connection the source address of the outgoing link (`nat`, postrouting).
    Masquerade,
    /// Sets the packet's mark to a number that was looked up, as it stands in the map (host order).
    SetMark(Word),
    /// Sets the packet's mark to 0.
    ClearMark,
    /// Gives the connection the packet's mark.
    KeepMark,
    /// Puts the connection into the zone that was looked up: the number's first two octets, in host order
    /// (`filter`, prerouting before connection tracking, `NF_IP_PRI_RAW`).
    SetZone(Word),
    /// Sets the code point (RFC 2474) of an IPv4 or IPv6 packet, 0 to 63. Goes on.
    SetDscp(u8),
    /// Writes the packet to the kernel's log, at most so many times a second.
    Log {
        /// What the line begins with, at most 127 octets.
        prefix: Arc<str>,
        /// How often, at most.
        per_second: u32,
    },
    /// Counts packets and bytes that come this far.
    Counter,
    /// Ends here.
    Verdict(Verdict),
}

impl Expr {
    /// Whether the rule goes on behind it: the kernel ends a rule at a map of verdicts, found or not (`NFT_BREAK`).
    pub fn goes_on(&self) -> bool {
        !matches!(
            self,
            Self::Verdict(_) | Self::VerdictMap { .. } | Self::DestinationMap { .. } | Self::Masquerade
        )
    }
}

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// The field has this value, in the octets of the packet (numbers of the kernel's own, as marks and connection
    /// states, in host order).
    Equal(Field, Vec<u8>),
    /// The field has another value.
    NotEqual(Field, Vec<u8>),
    /// One of these bits is set (host order).
    AnyBit(Field, u32),
    /// The operands, concatenated, are in the set.
    In(Vec<Operand>, Arc<str>),
    /// They are not.
    NotIn(Vec<Operand>, Arc<str>),
}

/// A part of a key that a rule looks up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    /// A field of the packet.
    Field(Field),
    /// A number that the rule has looked up before.
    Word(Word),
    /// Always the same, in the place of that field.
    Value(Field, Vec<u8>),
}

impl Operand {
    /// Which field of a set's key it is for.
    pub fn field(&self) -> Field {
        match self {
            Self::Field(field) | Self::Value(field, _) => *field,
            Self::Word(_) => Field::Number,
        }
    }
}

impl From<Field> for Operand {
    fn from(field: Field) -> Self {
        Self::Field(field)
    }
}

/// One of the places where a rule keeps numbers that it has looked up. They are empty when the rule begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Word(u8);

impl Word {
    /// How many there are.
    pub const COUNT: u8 = 11;

    /// The place of that number, which is below [`Word::COUNT`].
    ///
    /// # Panics
    ///
    /// If it is not.
    pub const fn new(number: u8) -> Self {
        assert!(number < Self::COUNT, "there are only so many");
        Self(number)
    }

    /// Its number.
    pub fn get(self) -> u8 {
        self.0
    }
}

/// Fields of a packet and of what the kernel knows about it. Those of one protocol can only be met by packets of that
/// protocol: the engine adds the check where the table's family needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// `meta nfproto`, one octet.
    NfProto,
    /// `meta l4proto`, one octet.
    L4Proto,
    /// `meta iifname`, 16 octets, filled with zeros.
    IifName,
    /// `meta oifname`, 16 octets, filled with zeros.
    OifName,
    /// `meta iifgroup`: `IFLA_GROUP` of the incoming link, four octets in host order. Links that we make have ours.
    IifGroup,
    /// `meta oifgroup`, the same of the outgoing link.
    OifGroup,
    /// `ip saddr`.
    Ip4Source,
    /// `ip daddr`.
    Ip4Destination,
    /// `ip6 saddr`.
    Ip6Source,
    /// `ip6 daddr`.
    Ip6Destination,
    /// `th sport`, two octets.
    SourcePort,
    /// `th dport`, two octets.
    DestinationPort,
    /// `fib daddr type`: `RTN_LOCAL` (2) …, four octets in host order.
    DestinationType,
    /// `fib saddr . iif oif`: index of the link that leads to the source, looked up from the incoming link; 0: none.
    /// Four octets in host order.
    ReversePath,
    /// `ct state`, four octets in host order.
    CtState,
    /// `ct status`, four octets in host order.
    CtStatus,
    /// `meta mark`, four octets in host order.
    Mark,
    /// `th icmp type . icmp code`: the first two octets of ICMP and ICMPv6, type and code.
    IcmpTypeCode,
    /// A number that a map has led to, four octets as they stand in the map ([`Operand::Word`]).
    Number,
}

impl Field {
    /// Octets of the field, without the padding to four that it gets in a concatenation.
    pub fn octets(self) -> usize {
        match self {
            Self::NfProto | Self::L4Proto => 1,
            Self::SourcePort | Self::DestinationPort | Self::IcmpTypeCode => 2,
            Self::Ip4Source
            | Self::Ip4Destination
            | Self::IifGroup
            | Self::OifGroup
            | Self::DestinationType
            | Self::ReversePath
            | Self::CtState
            | Self::CtStatus
            | Self::Mark
            | Self::Number => 4,
            Self::IifName | Self::OifName | Self::Ip6Source | Self::Ip6Destination => 16,
        }
    }
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It may go on, to the next chain of the hook.
    Accept,
    /// It ends here.
    Drop,
    /// Back to where the chain was jumped to from; at the end of a base chain: accept.
    Return,
    /// On in a chain of the same table, and back afterwards.
    Jump(Arc<str>),
    /// On in a chain of the same table, and not back.
    Goto(Arc<str>),
}

/// The shape of a set or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// The fields that its keys are made of: what is looked up in it.
    pub key: Vec<Field>,
    /// What the keys of its elements are.
    pub elements: Elements,
    /// A set, or a map to what.
    pub kind: SetKind,
    /// Every element counts the packets and octets that it was found for. Not in two sets of otherwise the same shape:
    /// the counters are no part of what an element is.
    pub counted: bool,
}

/// What the keys of a set's elements are. Elements never overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elements {
    /// Values.
    Values,
    /// In each field a range.
    Ranges,
    /// A range of what the fields are one behind the other, as one number: from one value of all fields to another one,
    /// in lexical order. Changing one is cheap in a large set, other than with [`Elements::Ranges`], where the kernel
    /// copies the whole set. With at least two fields; with one it is the same as ranges.
    Spans,
}

impl Elements {
    /// Whether every [`ElementKey`] has a `last`.
    pub fn have_last(self) -> bool {
        self != Self::Values
    }
}

/// What elements of a set lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetKind {
    /// Nothing: a set.
    Set,
    /// Verdicts.
    Verdicts,
    /// IPv4 address and port.
    Destinations4,
    /// IPv6 address and port.
    Destinations6,
    /// Numbers, so many.
    Numbers(u8),
}

/// The key of an element: its fields one behind the other, each as it stands in the packet and **without** padding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ElementKey {
    /// The value, or the lower end.
    pub first: Arc<[u8]>,
    /// The upper end, included. `Some` exactly where elements are ranges or spans.
    pub last: Option<Arc<[u8]>>,
}

impl ElementKey {
    /// The element that is found when no other one is (`NFT_SET_ELEM_CATCHALL`), in a set of any shape.
    pub fn any_other() -> Self {
        Self { first: Arc::from([]), last: None }
    }

    /// Whether it is that one.
    pub fn is_any_other(&self) -> bool {
        self.first.is_empty()
    }
}

/// What an element of a map leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// A verdict.
    Verdict(Verdict),
    /// An address and a port.
    Destination(IpAddr, u16),
    /// Numbers, four octets each, as they will stand in keys ([`Operand::Word`]).
    Numbers(Arc<[[u8; 4]]>),
}

impl Verdict {
    /// The chain that it leads to.
    pub fn chain(&self) -> Option<&Arc<str>> {
        match self {
            Self::Jump(chain) | Self::Goto(chain) => Some(chain),
            Self::Accept | Self::Drop | Self::Return => None,
        }
    }
}

impl fmt::Display for NftFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inet => "inet",
            Self::Bridge => "bridge",
        })
    }
}

impl fmt::Display for TableRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.family, self.name)
    }
}

impl fmt::Display for TableItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.table, self.name)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::Return => f.write_str("return"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
        }
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verdict(verdict) => verdict.fmt(f),
            Self::Destination(IpAddr::V4(a), port) => write!(f, "{a}:{port}"),
            Self::Destination(IpAddr::V6(a), port) => write!(f, "[{a}]:{port}"),
            Self::Numbers(numbers) => {
                for (at, number) in numbers.iter().enumerate() {
                    let sep = if at == 0 { "" } else { " " };
                    write!(f, "{sep}{:08x}", u32::from_be_bytes(*number))?;
                }
                Ok(())
            }
        }
    }
}

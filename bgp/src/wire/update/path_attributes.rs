//! The path attributes field: a table of what each attribute must look like, and the consequence when it does not
//! (RFC 7606 section 7 and the RFCs of the attributes).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::as4::{self, As4};
use super::decode::is_valid_list;
use super::{MpReach, MpUnreach};
use crate::wire::attributes::PartialBit;
use crate::wire::community::CommunityList;
use crate::wire::error::{DiscardedList, Fault, UpdateError};
use crate::wire::iana::{attribute_code as code, attribute_flag as flag, update_error};
use crate::wire::{
    Aggregator, AsPath, Attributes, Community, ExtendedCommunity, Family, LargeCommunity, NextHop,
    Notification, Origin, Session, UnknownAttribute,
};

/// The flags that a type code asks for, of [`CATEGORY`].
const WELL_KNOWN: u8 = flag::TRANSITIVE;
const OPTIONAL_TRANSITIVE: u8 = flag::OPTIONAL | flag::TRANSITIVE;
const OPTIONAL_NON_TRANSITIVE: u8 = flag::OPTIONAL;
/// The flags that tell an attribute's category.
const CATEGORY: u8 = flag::OPTIONAL | flag::TRANSITIVE;

/// The category of the attributes that this speaker knows.
#[inline]
fn category(code: u8) -> Option<u8> {
    Some(match code {
        code::ORIGIN | code::AS_PATH | code::NEXT_HOP | code::LOCAL_PREF | code::ATOMIC_AGGREGATE => {
            WELL_KNOWN
        }
        code::MULTI_EXIT_DISC
        | code::ORIGINATOR_ID
        | code::CLUSTER_LIST
        | code::MP_REACH_NLRI
        | code::MP_UNREACH_NLRI => OPTIONAL_NON_TRANSITIVE,
        code::AGGREGATOR
        | code::COMMUNITIES
        | code::EXTENDED_COMMUNITIES
        | code::AS4_PATH
        | code::AS4_AGGREGATOR
        | code::LARGE_COMMUNITY => OPTIONAL_TRANSITIVE,
        _ => return None,
    })
}

/// One attribute as it stands in the message.
#[derive(Clone, Copy)]
pub(super) struct Raw<'a> {
    flags: u8,
    code: u8,
    value: &'a [u8],
    /// Type, length and value: what a NOTIFICATION about it shows (RFC 4271 section 6.3).
    octets: &'a [u8],
}

/// Splits the first attribute off. `Err` is the type code where the attribute does not fit (RFC 7606 section 4), 0
/// where even that is missing.
#[inline]
fn split_first(list: &[u8]) -> Result<(Raw<'_>, &[u8]), u8> {
    let code = list.get(1).copied().unwrap_or(0);
    let (flags, len, value) = match *list {
        [flags, _, high, low, ref rest @ ..] if flags & flag::EXTENDED_LENGTH != 0 => {
            (flags, usize::from(u16::from_be_bytes([high, low])), rest)
        }
        [flags, _, len, ref rest @ ..] if flags & flag::EXTENDED_LENGTH == 0 => {
            (flags, usize::from(len), rest)
        }
        _ => return Err(code),
    };
    let (value, rest) = value.split_at_checked(len).ok_or(code)?;
    let octets = list.get(..list.len() - rest.len()).unwrap_or(list);
    Ok((Raw { flags, code, value, octets }, rest))
}

/// A set of type codes.
#[derive(Default)]
pub(super) struct Seen([u64; 4]);

impl Seen {
    #[inline]
    pub(super) fn contains(&self, code: u8) -> bool {
        self.0[usize::from(code >> 6)] & (1 << (code & 63)) != 0
    }

    #[inline]
    fn insert(&mut self, code: u8) {
        self.0[usize::from(code >> 6)] |= 1 << (code & 63);
    }
}

/// What one attribute leads to.
enum Outcome {
    /// Nothing is wrong.
    Taken,
    /// The whole message counts as a withdrawal.
    TreatAsWithdraw(Fault),
    /// The attribute is ignored.
    Discard(Fault),
    /// The session ends, with this UPDATE Message Error subcode and the attribute as data.
    Reset(u8),
}

/// The path attributes field, parsed as far as it can be.
pub(super) struct PathAttributes<'a> {
    /// As far as they were correct; see `seen` for what is set.
    pub(super) attributes: Attributes,
    pub(super) seen: Seen,
    pub(super) mp_reach: Option<MpReach<'a>>,
    pub(super) mp_unreach: Option<MpUnreach<'a>>,
    /// An MP_REACH_NLRI with prefixes is there, of whatever family.
    pub(super) announces: bool,
    /// Something other than MP_UNREACH_NLRI is there.
    pub(super) other_than_unreach: bool,
    /// The first error that asks for treat-as-withdraw, and the attribute at fault.
    pub(super) error: Option<(UpdateError, &'a [u8])>,
    pub(super) discarded: DiscardedList,
    as4: As4,
    unknown: Vec<UnknownAttribute>,
}

impl<'a> PathAttributes<'a> {
    /// Parses the whole field; an error in one attribute does not keep the others from being looked at, for the
    /// strongest consequence counts (RFC 7606 section 3 h).
    #[inline]
    pub(super) fn parse(mut list: &'a [u8], session: Session) -> Result<Self, Notification> {
        let nowhere = NextHop::V4(Ipv4Addr::UNSPECIFIED);
        let mut parsed = Self {
            attributes: Attributes::new(Origin::Incomplete, AsPath::new(), nowhere),
            seen: Seen::default(),
            mp_reach: None,
            mp_unreach: None,
            announces: false,
            other_than_unreach: false,
            error: None,
            discarded: DiscardedList::EMPTY,
            as4: As4::default(),
            unknown: Vec::new(),
        };
        while !list.is_empty() {
            match split_first(list) {
                Ok((raw, rest)) => {
                    parsed.take(raw, session)?;
                    list = rest;
                }
                // Prefixes are in there that cannot be read: no withdrawing them (RFC 7606 section 3 j).
                Err(code::MP_REACH_NLRI | code::MP_UNREACH_NLRI) => {
                    return Err(Notification::update(update_error::OPTIONAL_ATTRIBUTE, list));
                }
                Err(code) => {
                    parsed.other_than_unreach = true;
                    parsed.fail(code, Fault::Overrun, list);
                    break;
                }
            }
        }
        Ok(parsed)
    }

    /// Notes an error that asks for treat-as-withdraw.
    pub(super) fn fail(&mut self, attribute: u8, fault: Fault, octets: &'a [u8]) {
        self.error.get_or_insert((UpdateError { attribute, fault }, octets));
    }

    #[inline]
    fn take(&mut self, raw: Raw<'a>, session: Session) -> Result<(), Notification> {
        self.other_than_unreach |= raw.code != code::MP_UNREACH_NLRI;
        if self.seen.contains(raw.code) {
            // RFC 7606 section 3 g.
            if matches!(raw.code, code::MP_REACH_NLRI | code::MP_UNREACH_NLRI) {
                return Err(Notification::update(update_error::MALFORMED_ATTRIBUTE_LIST, &[]));
            }
            self.discarded.push(raw.code, Fault::Duplicate);
            return Ok(());
        }
        self.seen.insert(raw.code);
        let outcome = match category(raw.code) {
            Some(category) => match unwelcome(raw.code, session) {
                Some(fault) => Outcome::Discard(fault),
                None if raw.flags & CATEGORY != category => wrong_flags(raw.code),
                None => self.take_known(raw, session),
            },
            None => self.take_unknown(raw),
        };
        match outcome {
            Outcome::Taken => {}
            Outcome::TreatAsWithdraw(fault) => self.fail(raw.code, fault, raw.octets),
            Outcome::Discard(fault) => self.discarded.push(raw.code, fault),
            Outcome::Reset(subcode) => return Err(Notification::update(subcode, raw.octets)),
        }
        Ok(())
    }

    /// RFC 4271 sections 5 and 6.3: what is well-known must be known; what is optional and transitive is passed on;
    /// what is optional and not transitive is quietly ignored.
    fn take_unknown(&mut self, raw: Raw<'a>) -> Outcome {
        match raw.flags & CATEGORY {
            OPTIONAL_TRANSITIVE => {
                self.unknown.push(UnknownAttribute { code: raw.code, value: raw.value.into() });
                Outcome::Taken
            }
            OPTIONAL_NON_TRANSITIVE => Outcome::Taken,
            _ => Outcome::Reset(update_error::UNRECOGNIZED_WELL_KNOWN_ATTRIBUTE),
        }
    }

    #[inline]
    fn take_known(&mut self, raw: Raw<'a>, session: Session) -> Outcome {
        let value = raw.value;
        match raw.code {
            code::ORIGIN => {
                // RFC 7606 section 7.1.
                let &[origin] = value else { return Outcome::TreatAsWithdraw(Fault::Length) };
                self.attributes.set_origin(match origin {
                    0 => Origin::Igp,
                    1 => Origin::Egp,
                    2 => Origin::Incomplete,
                    _ => return Outcome::TreatAsWithdraw(Fault::UndefinedOrigin),
                });
            }
            code::AS_PATH => {
                // RFC 7606 section 7.2.
                match as4::decode_as_path(value, session) {
                    Ok(path) => *self.attributes.as_path_mut() = path,
                    Err(fault) => return Outcome::TreatAsWithdraw(fault),
                }
            }
            code::NEXT_HOP => {
                // RFC 7606 section 7.3.
                let Ok(octets) = <[u8; 4]>::try_from(value) else {
                    return Outcome::TreatAsWithdraw(Fault::Length);
                };
                self.attributes.set_next_hop(NextHop::V4(octets.into()));
            }
            code::MULTI_EXIT_DISC => {
                // RFC 7606 section 7.4.
                let Some(med) = be_u32(value) else { return Outcome::TreatAsWithdraw(Fault::Length) };
                self.attributes.set_med(Some(med));
            }
            code::LOCAL_PREF => {
                // RFC 7606 section 7.5.
                let Some(preference) = be_u32(value) else { return Outcome::TreatAsWithdraw(Fault::Length) };
                self.attributes.set_local_pref(Some(preference));
            }
            code::ATOMIC_AGGREGATE => {
                // RFC 7606 section 7.6.
                if !value.is_empty() {
                    return Outcome::Discard(Fault::Length);
                }
                self.attributes.set_atomic_aggregate(true);
            }
            code::AGGREGATOR => {
                // RFC 7606 section 7.7, RFC 7607 section 2.
                let aggregator = match (value, session.four_octet_as) {
                    (&[a, b, c, d, ref id @ ..], true) if id.len() == 4 => {
                        aggregator(u32::from_be_bytes([a, b, c, d]), id)
                    }
                    (&[a, b, ref id @ ..], false) if id.len() == 4 => {
                        aggregator(u16::from_be_bytes([a, b]).into(), id)
                    }
                    _ => Err(Fault::Length),
                };
                match aggregator {
                    Ok(aggregator) => self.attributes.set_aggregator(Some(aggregator)),
                    Err(fault) => return Outcome::Discard(fault),
                }
                self.note_partial(raw, PartialBit::Aggregator);
            }
            code::COMMUNITIES => {
                // RFC 7606 section 7.8.
                let Some(values) = items::<4>(value) else { return Outcome::TreatAsWithdraw(Fault::Length) };
                self.attributes.set_community_list(communities(values));
                self.note_partial(raw, PartialBit::Communities);
            }
            code::ORIGINATOR_ID => {
                // RFC 7606 section 7.9.
                let Some(id) = be_u32(value) else { return Outcome::TreatAsWithdraw(Fault::Length) };
                self.attributes.set_originator_id(Some(Ipv4Addr::from_bits(id)));
            }
            code::CLUSTER_LIST => {
                // RFC 7606 section 7.10.
                let Some(values) = items::<4>(value) else { return Outcome::TreatAsWithdraw(Fault::Length) };
                self.attributes.set_cluster_list(values.iter().map(|id| Ipv4Addr::from(*id)).collect());
            }
            code::MP_REACH_NLRI => return self.take_mp_reach(value, session),
            code::MP_UNREACH_NLRI => return self.take_mp_unreach(value, session),
            code::EXTENDED_COMMUNITIES => {
                // RFC 7606 section 7.14.
                let Some(values) = items::<8>(value) else { return Outcome::TreatAsWithdraw(Fault::Length) };
                let communities = values.iter().map(|octets| ExtendedCommunity(*octets)).collect();
                self.attributes.set_extended_communities(communities);
                self.note_partial(raw, PartialBit::ExtendedCommunities);
            }
            code::LARGE_COMMUNITY => {
                // RFC 8092 section 6.
                let Some(values) = items::<12>(value) else { return Outcome::TreatAsWithdraw(Fault::Length) };
                self.attributes.set_large_communities(values.iter().map(large_community).collect());
                self.note_partial(raw, PartialBit::LargeCommunities);
            }
            // RFC 6793 section 6.
            code::AS4_PATH => {
                if let Err(fault) = self.as4.take_path(value) {
                    return Outcome::Discard(fault);
                }
            }
            code::AS4_AGGREGATOR => {
                let aggregator = match *value {
                    [a, b, c, d, ref id @ ..] if id.len() == 4 => {
                        aggregator(u32::from_be_bytes([a, b, c, d]), id)
                    }
                    _ => Err(Fault::Length),
                };
                match aggregator {
                    Ok(aggregator) => self.as4.aggregator = Some(aggregator),
                    Err(fault) => return Outcome::Discard(fault),
                }
            }
            _ => {}
        }
        Outcome::Taken
    }

    /// RFC 4760 section 3, RFC 7606 sections 5.3 and 7.11, RFC 8950 section 3. Whatever hides prefixes ends the session,
    /// with the subcode of RFC 4760 section 7.
    #[inline]
    fn take_mp_reach(&mut self, value: &'a [u8], session: Session) -> Outcome {
        const RESET: Outcome = Outcome::Reset(update_error::OPTIONAL_ATTRIBUTE);
        let &[a, b, safi, next_hop_len, ref rest @ ..] = value else { return RESET };
        let Some((next_hop, [_reserved, nlri @ ..])) = rest.split_at_checked(next_hop_len.into()) else {
            return RESET;
        };
        self.announces = !nlri.is_empty();
        let family = Family::from_iana(u16::from_be_bytes([a, b]), safi);
        let Some(family) = family.filter(|family| session.families.contains(*family)) else {
            return Outcome::Discard(Fault::FamilyNotNegotiated);
        };
        let v6_allowed = family == Family::Ipv6 || session.extended_next_hop;
        let next_hop = match next_hop.len() {
            4 if family == Family::Ipv4 => be_u32(next_hop).map(|a| NextHop::V4(Ipv4Addr::from_bits(a))),
            16 | 32 if v6_allowed => {
                let mut addresses = next_hop.as_chunks().0.iter().map(|octets| Ipv6Addr::from(*octets));
                addresses.next().map(|first| NextHop::v6(first, addresses.next()))
            }
            _ => None,
        };
        let Some(next_hop) = next_hop.filter(|_| is_valid_list(family, nlri)) else { return RESET };
        self.mp_reach = Some(MpReach { family, next_hop, nlri });
        Outcome::Taken
    }

    /// RFC 4760 section 4, RFC 7606 sections 5.3 and 7.12.
    #[inline]
    fn take_mp_unreach(&mut self, value: &'a [u8], session: Session) -> Outcome {
        const RESET: Outcome = Outcome::Reset(update_error::OPTIONAL_ATTRIBUTE);
        let &[a, b, safi, ref nlri @ ..] = value else { return RESET };
        let family = Family::from_iana(u16::from_be_bytes([a, b]), safi);
        let Some(family) = family.filter(|family| session.families.contains(*family)) else {
            // Must not pass for an End-of-RIB of another family.
            self.other_than_unreach = true;
            return Outcome::Discard(Fault::FamilyNotNegotiated);
        };
        if !is_valid_list(family, nlri) {
            return RESET;
        }
        self.mp_unreach = Some(MpUnreach { family, nlri });
        Outcome::Taken
    }

    #[inline]
    fn note_partial(&mut self, raw: Raw<'_>, attribute: PartialBit) {
        if raw.flags & flag::PARTIAL != 0 {
            self.attributes.set_partial(attribute);
        }
    }

    /// The attributes, with what was put aside merged in. For a message without error.
    #[inline]
    pub(super) fn finish(mut self) -> (Attributes, DiscardedList) {
        if self.as4.is_some() {
            self.as4.merge_into(&mut self.attributes, &mut self.discarded);
        }
        if !self.unknown.is_empty() {
            self.attributes.set_unknown(self.unknown);
        }
        (self.attributes, self.discarded)
    }
}

/// Attributes that mean nothing on this kind of session and are ignored whatever they contain.
#[inline]
fn unwelcome(code: u8, session: Session) -> Option<Fault> {
    match code {
        // RFC 7606 sections 7.5, 7.9 and 7.10.
        code::LOCAL_PREF | code::ORIGINATOR_ID | code::CLUSTER_LIST if session.external => {
            Some(Fault::FromExternalPeer)
        }
        // RFC 6793 section 4.1.
        code::AS4_PATH | code::AS4_AGGREGATOR if session.four_octet_as => Some(Fault::FromFourOctetPeer),
        _ => None,
    }
}

/// RFC 7606 section 3 c; for the multiprotocol attributes section 5.3.
#[cold]
fn wrong_flags(code: u8) -> Outcome {
    match code {
        code::MP_REACH_NLRI | code::MP_UNREACH_NLRI => Outcome::Reset(update_error::OPTIONAL_ATTRIBUTE),
        _ => Outcome::TreatAsWithdraw(Fault::Flags),
    }
}

#[inline]
fn be_u32(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_be_bytes)
}

/// A list of at least one item of `N` octets.
#[inline]
fn items<const N: usize>(value: &[u8]) -> Option<&[[u8; N]]> {
    match value.as_chunks() {
        ([], _) => None,
        (items, []) => Some(items),
        _ => None,
    }
}

fn aggregator(asn: u32, id: &[u8]) -> Result<Aggregator, Fault> {
    match be_u32(id) {
        Some(_) if asn == 0 => Err(Fault::AsZero),
        Some(id) => Ok(Aggregator { asn, router_id: Ipv4Addr::from_bits(id) }),
        None => Err(Fault::Length),
    }
}

/// Nearly every list is short, and sorted by whoever sent it.
#[inline]
fn communities(values: &[[u8; 4]]) -> CommunityList {
    let decode = |octets: &[u8; 4]| Community(u32::from_be_bytes(*octets));
    let mut place = [Community(0); 5];
    if let Some(list) = place.get_mut(..values.len()) {
        list.iter_mut().zip(values).for_each(|(community, octets)| *community = decode(octets));
        if list.is_sorted_by(|a, b| a < b) {
            return CommunityList::from_slice(list);
        }
    }
    let mut list: Vec<_> = values.iter().map(decode).collect();
    list.sort_unstable();
    list.dedup();
    CommunityList::from_slice(&list)
}

fn large_community(octets: &[u8; 12]) -> LargeCommunity {
    let [global, local1, local2] =
        [0, 4, 8].map(|at| octets.get(at..at + 4).and_then(be_u32).unwrap_or_default());
    LargeCommunity { global, local1, local2 }
}

//! The body of an UPDATE: its three fields, and what RFC 7606 makes of their errors.

use ipnet::{Ipv4Net, Ipv6Net};
use nom::multi::length_data;
use nom::number::complete::be_u16;
use nom::{IResult, Parser};

use super::path_attributes::PathAttributes;
use super::{MpReach, MpUnreach, Update};
use crate::wire::error::{Fault, NLRI_FIELDS};
use crate::wire::iana::{attribute_code as code, update_error};
use crate::wire::{Family, Notification, Session, nlri};

/// WITHDRAWN ROUTES, path attributes, NLRI.
type Fields<'a> = (&'a [u8], &'a [u8], &'a [u8]);

fn fields(body: &[u8]) -> IResult<&[u8], Fields<'_>> {
    let (nlri, (withdrawn, attributes)) = (length_data(be_u16), length_data(be_u16)).parse(body)?;
    Ok((&[], (withdrawn, attributes, nlri)))
}

/// Whether `list` is a correct list of prefixes of `family`.
#[inline]
pub(super) fn is_valid_list(family: Family, list: &[u8]) -> bool {
    match family {
        Family::Ipv4 => nlri::is_valid::<Ipv4Net>(list),
        Family::Ipv6 => nlri::is_valid::<Ipv6Net>(list),
    }
}

impl<'a> Update<'a> {
    /// The message body of an UPDATE.
    #[inline]
    pub(in crate::wire) fn decode(body: &'a [u8], session: Session) -> Result<Self, Notification> {
        let Ok((_, (mut withdrawn, list, mut nlri))) = fields(body) else {
            return Err(Notification::update(update_error::MALFORMED_ATTRIBUTE_LIST, &[]));
        };
        // RFC 7606 section 3 i: both fields by the same rule. Without a list of prefixes there is nothing to withdraw.
        if !is_valid_list(Family::Ipv4, withdrawn) || !is_valid_list(Family::Ipv4, nlri) {
            return Err(Notification::update(update_error::INVALID_NETWORK_FIELD, &[]));
        }
        let mut parsed = PathAttributes::parse(list, session)?;
        let end_of_rib = end_of_rib(withdrawn, nlri, list, &parsed).filter(|f| session.families.contains(*f));

        let announces = !nlri.is_empty() || parsed.announces;
        if !(session.families.ipv4 || withdrawn.is_empty() && nlri.is_empty()) {
            parsed.discarded.push(NLRI_FIELDS, Fault::FamilyNotNegotiated);
            (withdrawn, nlri) = (&[], &[]);
        }
        let mp_reach = parsed.mp_reach.filter(|reach| !reach.nlri.is_empty());
        if !nlri.is_empty() || mp_reach.is_some() {
            require(&mut parsed, nlri, mp_reach);
        }
        if let Some((error, octets)) = parsed.error
            && !announces
            && parsed.other_than_unreach
        {
            // RFC 7606 section 5.2: where no announced prefix is found, one may hide in what could not be parsed.
            return Err(Notification::update(error.fault.subcode(), octets));
        }

        let treat_as_withdraw = parsed.error.map(|(error, _)| error);
        let mp_unreach = parsed.mp_unreach;
        let (mut attributes, discarded) = parsed.finish();
        if let (true, Some(reach)) = (nlri.is_empty(), mp_reach) {
            attributes.set_next_hop(reach.next_hop);
        }
        let usable = treat_as_withdraw.is_none() && (!nlri.is_empty() || mp_reach.is_some());
        let attributes = usable.then_some(attributes);
        Ok(Self {
            withdrawn,
            nlri,
            mp_reach,
            mp_unreach,
            attributes,
            end_of_rib,
            treat_as_withdraw,
            discarded,
        })
    }
}

/// What an announcement cannot be without (RFC 4271 section 5, RFC 7606 section 3 d). LOCAL_PREF is not "mandatory"
/// in RFC 4271's sense: an internal peer that leaves it out gets the default.
#[inline]
fn require(parsed: &mut PathAttributes<'_>, nlri: &[u8], mp_reach: Option<MpReach<'_>>) {
    for attribute in [code::ORIGIN, code::AS_PATH] {
        if !parsed.seen.contains(attribute) {
            parsed.fail(attribute, Fault::Missing, &[]);
        }
    }
    // RFC 4760 section 3: without an NLRI field, NEXT_HOP is ignored.
    if !nlri.is_empty() {
        if !parsed.seen.contains(code::NEXT_HOP) {
            parsed.fail(code::NEXT_HOP, Fault::Missing, &[]);
        } else if parsed.error.is_none() && !parsed.attributes.next_hop().is_host() {
            parsed.fail(code::NEXT_HOP, Fault::NoHostAddress, &[]);
        }
    }
    if mp_reach.is_some_and(|reach| !reach.next_hop.is_host()) {
        parsed.fail(code::MP_REACH_NLRI, Fault::NoHostAddress, &[]);
    }
}

/// RFC 4724 section 2: an UPDATE of nothing, or of an MP_UNREACH_NLRI of nothing.
#[inline]
fn end_of_rib(withdrawn: &[u8], nlri: &[u8], list: &[u8], parsed: &PathAttributes<'_>) -> Option<Family> {
    if !withdrawn.is_empty() || !nlri.is_empty() || parsed.other_than_unreach {
        return None;
    }
    match parsed.mp_unreach {
        Some(MpUnreach { family, nlri: [] }) => Some(family),
        Some(_) => None,
        None => list.is_empty().then_some(Family::Ipv4),
    }
}

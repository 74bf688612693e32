//! UPDATE (RFC 4271 section 4.3, RFC 4760): what it withdraws and announces, and with which attributes.
//!
//! Knows how the fields of the message combine. Parsing is in `decode` and `path_attributes`, RFC 7606's consequences with
//! it; writing is in `encode`.

mod as4;
mod decode;
mod path_attributes;

use ipnet::{Ipv4Net, Ipv6Net};

use super::error::{DiscardedList, UpdateError};
use super::nlri::Prefixes;
use super::{Attributes, Family, NextHop};

/// UPDATE, validated. Prefixes stay in the message and are read by iterators.
///
/// Withdrawals come first: a prefix that is withdrawn and announced in one message is announced (RFC 4271 section
/// 3.1). Where RFC 7606 asks for treat-as-withdraw, the message announces nothing, and what it did announce is among
/// the withdrawn prefixes: who handles withdrawals and announcements has handled it. NLRI of families that the session
/// has not negotiated are left out.
#[derive(Clone, Debug)]
pub struct Update<'a> {
    /// WITHDRAWN ROUTES, checked.
    withdrawn: &'a [u8],
    /// The NLRI field, checked.
    nlri: &'a [u8],
    mp_reach: Option<MpReach<'a>>,
    mp_unreach: Option<MpUnreach<'a>>,
    /// Those of `nlri`, or else those of `mp_reach`; none where nothing is announced.
    attributes: Option<Attributes>,
    end_of_rib: Option<Family>,
    treat_as_withdraw: Option<UpdateError>,
    discarded: DiscardedList,
}

/// MP_REACH_NLRI of a negotiated family.
#[derive(Clone, Copy, Debug)]
struct MpReach<'a> {
    family: Family,
    next_hop: NextHop,
    /// Checked.
    nlri: &'a [u8],
}

/// MP_UNREACH_NLRI of a negotiated family.
#[derive(Clone, Copy, Debug)]
struct MpUnreach<'a> {
    family: Family,
    /// Checked.
    nlri: &'a [u8],
}

/// Prefixes that an UPDATE announces with one set of attributes.
#[derive(Clone, Debug)]
pub struct Announcement<'a> {
    /// Their attributes.
    pub attributes: Attributes,
    /// The prefixes, at least one.
    pub prefixes: Nlri<'a>,
}

/// Prefixes of one family.
#[derive(Clone, Debug)]
pub enum Nlri<'a> {
    /// IPv4 unicast.
    V4(Prefixes<'a, Ipv4Net>),
    /// IPv6 unicast.
    V6(Prefixes<'a, Ipv6Net>),
}

impl<'a> Update<'a> {
    /// IPv4 prefixes that are no longer reachable.
    #[inline]
    pub fn withdrawn_v4(&self) -> Prefixes<'a, Ipv4Net> {
        let (reach, lost) = self.announced_lists(Family::Ipv4);
        let [nlri, mp] = if lost { reach } else { [&[][..]; 2] };
        Prefixes::new([self.withdrawn, self.unreach_list(Family::Ipv4), nlri, mp])
    }

    /// IPv6 prefixes that are no longer reachable.
    #[inline]
    pub fn withdrawn_v6(&self) -> Prefixes<'a, Ipv6Net> {
        let (reach, lost) = self.announced_lists(Family::Ipv6);
        let [nlri, mp] = if lost { reach } else { [&[][..]; 2] };
        Prefixes::new([self.unreach_list(Family::Ipv6), nlri, mp, &[]])
    }

    /// IPv4 prefixes that are announced, whatever their next hop.
    #[inline]
    pub fn announced_v4(&self) -> Prefixes<'a, Ipv4Net> {
        let (reach, lost) = self.announced_lists(Family::Ipv4);
        let [nlri, mp] = if lost { [&[][..]; 2] } else { reach };
        Prefixes::new([nlri, mp, &[], &[]])
    }

    /// IPv6 prefixes that are announced.
    #[inline]
    pub fn announced_v6(&self) -> Prefixes<'a, Ipv6Net> {
        let (reach, lost) = self.announced_lists(Family::Ipv6);
        let [nlri, mp] = if lost { [&[][..]; 2] } else { reach };
        Prefixes::new([nlri, mp, &[], &[]])
    }

    /// The lists that announce prefixes of `family`, and whether they count as withdrawn.
    #[inline]
    fn announced_lists(&self, family: Family) -> ([&'a [u8]; 2], bool) {
        let nlri = if family == Family::Ipv4 { self.nlri } else { &[] };
        let mp = self.mp_reach.filter(|reach| reach.family == family).map_or(&[][..], |reach| reach.nlri);
        ([nlri, mp], self.treat_as_withdraw.is_some())
    }

    #[inline]
    fn unreach_list(&self, family: Family) -> &'a [u8] {
        self.mp_unreach.filter(|unreach| unreach.family == family).map_or(&[], |unreach| unreach.nlri)
    }

    /// The announcements of the message, each with its attributes: nearly always one; two where the message has both an
    /// NLRI field and MP_REACH_NLRI, which differ in their next hop.
    #[inline]
    pub fn into_announcements(mut self) -> Announcements<'a> {
        let Some(attributes) = self.attributes.take() else {
            return Announcements { first: None, second: None };
        };
        let classic = (!self.nlri.is_empty()).then(|| Nlri::V4(Prefixes::new([self.nlri, &[], &[], &[]])));
        let mp = self.mp_reach.filter(|reach| !reach.nlri.is_empty()).map(|reach| {
            let lists = [reach.nlri, &[], &[], &[]];
            let prefixes = match reach.family {
                Family::Ipv4 => Nlri::V4(Prefixes::new(lists)),
                Family::Ipv6 => Nlri::V6(Prefixes::new(lists)),
            };
            (prefixes, reach.next_hop)
        });
        match (classic, mp) {
            (Some(prefixes), Some((mp_prefixes, next_hop))) => {
                let mut mp_attributes = attributes.clone();
                mp_attributes.set_next_hop(next_hop);
                Announcements {
                    first: Some(Announcement { attributes, prefixes }),
                    second: Some(Announcement { attributes: mp_attributes, prefixes: mp_prefixes }),
                }
            }
            (Some(prefixes), None) | (None, Some((prefixes, _))) => {
                Announcements { first: Some(Announcement { attributes, prefixes }), second: None }
            }
            (None, None) => Announcements { first: None, second: None },
        }
    }

    /// The attributes of what is announced. Where the message has both an NLRI field and MP_REACH_NLRI, those with
    /// NEXT_HOP.
    pub fn attributes(&self) -> Option<&Attributes> {
        self.attributes.as_ref()
    }

    /// The family whose initial exchange this message ends (RFC 4724 section 2).
    pub fn end_of_rib(&self) -> Option<Family> {
        self.end_of_rib
    }

    /// Why the announced routes count as withdrawn, if they do (RFC 7606 section 2).
    pub fn treat_as_withdraw(&self) -> Option<UpdateError> {
        self.treat_as_withdraw
    }

    /// Attributes that were ignored (RFC 7606 section 2, "attribute discard").
    pub fn discarded(&self) -> &DiscardedList {
        &self.discarded
    }
}

/// Iterator over the [`Announcement`]s of an UPDATE: at most two.
#[derive(Clone, Debug)]
pub struct Announcements<'a> {
    first: Option<Announcement<'a>>,
    second: Option<Announcement<'a>>,
}

impl<'a> Iterator for Announcements<'a> {
    type Item = Announcement<'a>;

    #[inline]
    fn next(&mut self) -> Option<Announcement<'a>> {
        self.first.take().or_else(|| self.second.take())
    }
}

#[cfg(test)]
mod tests;

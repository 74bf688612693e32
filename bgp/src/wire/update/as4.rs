//! AS_PATH as it came, with two or four octets, and what AS4_PATH and AS4_AGGREGATOR add to it (RFC 6793).

use crate::wire::as_path::SegmentKind;
use crate::wire::error::{DiscardedList, Fault};
use crate::wire::iana::{AS_TRANS, attribute_code as code};
use crate::wire::{Aggregator, AsPath, Attributes, Session};

/// The value of an AS_PATH, by the rules of RFC 7606 section 7.2, RFC 5065 section 5 and RFC 7607 section 2.
#[inline]
pub(super) fn decode_as_path(value: &[u8], session: Session) -> Result<AsPath, Fault> {
    if session.four_octet_as {
        check_segments::<4>(value, session.external)?;
        return Ok(AsPath::from_valid_octets(value));
    }
    check_segments::<2>(value, session.external)?;
    let mut octets = Vec::with_capacity(value.len() * 2);
    let mut rest = value;
    while let Some((&[kind, count], after)) = rest.split_first_chunk() {
        let Some((asns, after)) = after.split_at_checked(usize::from(count) * 2) else { break };
        rest = after;
        octets.extend_from_slice(&[kind, count]);
        octets.extend(asns.as_chunks().0.iter().flat_map(|[high, low]| [0, 0, *high, *low]));
    }
    Ok(AsPath::from_valid_octets(&octets))
}

/// Checks segments whose AS numbers have `N` octets.
#[inline]
fn check_segments<const N: usize>(mut value: &[u8], external: bool) -> Result<(), Fault> {
    while !value.is_empty() {
        let (&[kind, count], rest) = value.split_first_chunk().ok_or(Fault::MalformedAsPath)?;
        let kind = SegmentKind::from_code(kind).filter(|_| count > 0).ok_or(Fault::MalformedAsPath)?;
        let (asns, rest) = rest.split_at_checked(usize::from(count) * N).ok_or(Fault::MalformedAsPath)?;
        if external && kind.is_confederation() {
            return Err(Fault::ForeignConfederation);
        }
        if asns.as_chunks().0.contains(&[0; N]) {
            return Err(Fault::AsZero);
        }
        value = rest;
    }
    Ok(())
}

/// The attributes by which a two-octet speaker passes on what it cannot express.
#[derive(Default)]
pub(super) struct As4 {
    path: Option<AsPath>,
    pub(super) aggregator: Option<Aggregator>,
}

impl As4 {
    /// The value of an AS4_PATH (RFC 6793 section 6). Confederation segments have no place there and are left out.
    pub(super) fn take_path(&mut self, value: &[u8]) -> Result<(), Fault> {
        if value.is_empty() {
            return Err(Fault::Length);
        }
        check_segments::<4>(value, false)?;
        let path = AsPath::from_valid_octets(value);
        self.path = Some(if path.segments().any(|s| s.kind.is_confederation()) {
            let mut kept = Joined::default();
            path.segments().filter(|s| !s.kind.is_confederation()).for_each(|s| kept.push(s.kind, s.asns()));
            kept.into_path()
        } else {
            path
        });
        Ok(())
    }

    #[inline]
    pub(super) fn is_some(&self) -> bool {
        self.path.is_some() || self.aggregator.is_some()
    }

    /// RFC 6793 section 4.2.3.
    pub(super) fn merge_into(self, attributes: &mut Attributes, discarded: &mut DiscardedList) {
        if let Some(aggregator) = self.aggregator {
            match attributes.aggregator() {
                Some(two_octet) if two_octet.asn == u32::from(AS_TRANS) => {
                    attributes.set_aggregator(Some(aggregator));
                }
                Some(_) => {
                    // A two-octet speaker has aggregated since: what the others knew is void.
                    discarded.push(code::AS4_AGGREGATOR, Fault::Outdated);
                    if self.path.is_some() {
                        discarded.push(code::AS4_PATH, Fault::Outdated);
                    }
                    return;
                }
                None => discarded.push(code::AS4_AGGREGATOR, Fault::Outdated),
            }
        }
        if let Some(path) = self.path {
            match merge(attributes.as_path(), &path) {
                Some(merged) => *attributes.as_path_mut() = merged,
                None => discarded.push(code::AS4_PATH, Fault::Outdated),
            }
        }
    }
}

/// As many hops of `as_path` as `as4_path` lacks, then `as4_path`. None when `as4_path` is the longer one.
fn merge(as_path: &AsPath, as4_path: &AsPath) -> Option<AsPath> {
    let mut missing = as_path.len().checked_sub(as4_path.len())?;
    let mut merged = Joined::default();
    for segment in as_path.segments() {
        match segment.kind {
            // Leading, or next to a segment that has been taken.
            SegmentKind::ConfedSequence | SegmentKind::ConfedSet => merged.push(segment.kind, segment.asns()),
            _ if missing == 0 => break,
            SegmentKind::Set => {
                merged.push(segment.kind, segment.asns());
                missing -= 1;
            }
            SegmentKind::Sequence => {
                let taken = segment.count().min(missing);
                merged.push(segment.kind, segment.asns().take(taken));
                missing -= taken;
                if taken < segment.count() {
                    break;
                }
            }
        }
    }
    as4_path.segments().for_each(|s| merged.push(s.kind, s.asns()));
    Some(merged.into_path())
}

/// Segments, of which adjacent AS_SEQUENCEs become one: the seam of a merge must not show, or one route would have two
/// paths.
#[derive(Default)]
struct Joined(Vec<(SegmentKind, Vec<u32>)>);

impl Joined {
    fn push(&mut self, kind: SegmentKind, asns: impl Iterator<Item = u32>) {
        match self.0.last_mut() {
            Some((SegmentKind::Sequence, last)) if kind == SegmentKind::Sequence => last.extend(asns),
            _ => self.0.push((kind, asns.collect())),
        }
    }

    fn into_path(self) -> AsPath {
        AsPath::from_segments(self.0.iter().map(|(kind, asns)| (*kind, &asns[..])))
    }
}

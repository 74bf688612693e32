//! AS_PATH (RFC 4271 section 5.1.2, RFC 5065, RFC 6793) in its canonical form: four-octet AS numbers.
//!
//! Knows segments and how long a path is. Must not know what a path is judged by (loops, first AS).

use std::fmt;
use std::str::FromStr;

use super::iana::as_path_segment as code;
use super::inline::InlineList;

/// Octets held in place: one segment of up to five AS numbers.
const INLINE: usize = 22;

/// The most AS numbers that one segment can count.
const SEGMENT_MAX: usize = 255;

/// AS_PATH: the wire form with four-octet AS numbers, always well-formed.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct AsPath(InlineList<u8, INLINE>);

/// What a segment of an AS_PATH says about its AS numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SegmentKind {
    /// AS_SET: unordered. Accepted on receipt: RFC 9774 deprecates it, but fabrics with older leafs still aggregate.
    Set = 1,
    /// AS_SEQUENCE: ordered, nearest first.
    Sequence = 2,
    /// AS_CONFED_SEQUENCE (RFC 5065).
    ConfedSequence = 3,
    /// AS_CONFED_SET (RFC 5065).
    ConfedSet = 4,
}

impl SegmentKind {
    /// The kind with this segment type.
    pub(super) fn from_code(value: u8) -> Option<Self> {
        match value {
            code::AS_SET => Some(Self::Set),
            code::AS_SEQUENCE => Some(Self::Sequence),
            code::AS_CONFED_SEQUENCE => Some(Self::ConfedSequence),
            code::AS_CONFED_SET => Some(Self::ConfedSet),
            _ => None,
        }
    }

    /// Whether RFC 5065 defines it: it means nothing outside its confederation.
    pub fn is_confederation(self) -> bool {
        matches!(self, Self::ConfedSequence | Self::ConfedSet)
    }
}

/// One segment of an [`AsPath`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// How to read the AS numbers.
    pub kind: SegmentKind,
    /// Four octets each.
    octets: &'a [u8],
}

impl<'a> Segment<'a> {
    /// The AS numbers of the segment.
    pub fn asns(&self) -> impl DoubleEndedIterator<Item = u32> + ExactSizeIterator + Clone + use<'a> {
        self.octets.as_chunks().0.iter().map(|o| u32::from_be_bytes(*o))
    }

    /// How many AS numbers the segment has.
    pub fn count(&self) -> usize {
        self.octets.len() / 4
    }

    /// What the segment adds to the length of the path (RFC 4271 section 9.1.2.2 a, RFC 5065 section 5.3).
    fn hops(&self) -> usize {
        match self.kind {
            SegmentKind::Sequence => self.count(),
            SegmentKind::Set => 1,
            SegmentKind::ConfedSequence | SegmentKind::ConfedSet => 0,
        }
    }

    /// The AS numbers as they stand on the wire, four octets each.
    pub(super) fn octets(&self) -> &'a [u8] {
        self.octets
    }
}

impl AsPath {
    /// The empty path: what a route has inside the AS that originates it.
    pub fn new() -> Self {
        Self::default()
    }

    /// A path from its segments. Empty segments are left out, those over 255 AS numbers are split.
    pub fn from_segments<'a>(segments: impl IntoIterator<Item = (SegmentKind, &'a [u32])>) -> Self {
        let mut octets = Vec::new();
        for (kind, asns) in segments {
            for part in asns.chunks(SEGMENT_MAX) {
                octets.extend_from_slice(&[kind as u8, part.len() as u8]);
                octets.extend(part.iter().flat_map(|asn| asn.to_be_bytes()));
            }
        }
        Self(InlineList::from_slice(&octets))
    }

    /// A path of one AS_SEQUENCE, nearest AS first.
    pub fn from_sequence(asns: &[u32]) -> Self {
        Self::from_segments([(SegmentKind::Sequence, asns)])
    }

    /// From octets that the decoder has validated as segments of four-octet AS numbers.
    #[inline]
    pub(super) fn from_valid_octets(octets: &[u8]) -> Self {
        Self(InlineList::from_slice(octets))
    }

    /// The segments, nearest first.
    pub fn segments(&self) -> Segments<'_> {
        Segments(&self.0)
    }

    /// All AS numbers of all segments, confederation segments included, nearest first.
    pub fn asns(&self) -> impl Iterator<Item = u32> + '_ {
        self.segments().flat_map(|s| s.asns())
    }

    /// The length that the decision process compares: an AS_SET counts 1 (RFC 4271 section 9.1.2.2 a),
    /// confederation segments count 0 (RFC 5065 section 5.3).
    pub fn len(&self) -> usize {
        self.segments().map(|s| s.hops()).sum()
    }

    /// Whether there is no segment at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `asn` is in the path.
    pub fn contains(&self, asn: u32) -> bool {
        self.asns().any(|a| a == asn)
    }

    /// How often `asn` is in the path: what `allow-own-as` limits.
    pub fn count(&self, asn: u32) -> usize {
        self.asns().filter(|a| *a == asn).count()
    }

    /// The AS that the route came from, for comparing MULTI_EXIT_DISC: the first of the path, where the path
    /// begins (after confederation segments) with an AS_SEQUENCE.
    pub fn neighbor_as(&self) -> Option<u32> {
        let first = self.segments().find(|s| !s.kind.is_confederation())?;
        if first.kind == SegmentKind::Sequence { first.asns().next() } else { None }
    }

    /// The AS that originated the route: the last of the path, where it ends with an AS_SEQUENCE.
    pub fn origin_as(&self) -> Option<u32> {
        let last = self.segments().last()?;
        if last.kind == SegmentKind::Sequence { last.asns().next_back() } else { None }
    }

    /// Puts `asn` in front, `times` over (RFC 4271 section 5.1.2 b).
    pub fn prepend(&mut self, asn: u32, times: usize) {
        let mut octets = Vec::with_capacity(self.0.len() + 2 + 4 * times);
        let rest = write_prepended(asn, times, self.segments(), &mut octets);
        for segment in rest {
            octets.extend_from_slice(&[segment.kind as u8, segment.count() as u8]);
            octets.extend_from_slice(segment.octets);
        }
        self.0 = InlineList::from_slice(&octets);
    }
}

/// Writes `times` × `asn` and, where the path goes on with an AS_SEQUENCE that has room, its AS numbers into the
/// same segment. Returns the segments that are left to write.
fn write_prepended<'a>(asn: u32, times: usize, path: Segments<'a>, out: &mut Vec<u8>) -> Segments<'a> {
    let mut rest = path.clone();
    let joined = rest.next().filter(|s| s.kind == SegmentKind::Sequence && s.count() + times <= SEGMENT_MAX);
    let (tail, rest) = match joined {
        Some(segment) => (segment.octets, rest),
        None => (&[][..], path),
    };
    let mut left = times;
    while left > 0 {
        let here = left.min(SEGMENT_MAX);
        left -= here;
        out.extend_from_slice(&[code::AS_SEQUENCE, (here + tail.len() / 4) as u8]);
        for _ in 0..here {
            out.extend_from_slice(&asn.to_be_bytes());
        }
    }
    if times == 0 && !tail.is_empty() {
        out.extend_from_slice(&[code::AS_SEQUENCE, (tail.len() / 4) as u8]);
    }
    out.extend_from_slice(tail);
    rest
}

/// Iterator over the segments of an [`AsPath`].
#[derive(Clone)]
pub struct Segments<'a>(&'a [u8]);

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    #[inline]
    fn next(&mut self) -> Option<Segment<'a>> {
        let (&[kind, count], rest) = self.0.split_first_chunk()?;
        let (octets, rest) = rest.split_at_checked(usize::from(count) * 4)?;
        self.0 = rest;
        Some(Segment { kind: SegmentKind::from_code(kind)?, octets })
    }
}

/// `500 65002 {1,2}`; confederation segments as `(1 2)` and `[1,2]`.
impl fmt::Display for AsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.segments().enumerate() {
            let (open, between, close) = match segment.kind {
                SegmentKind::Sequence => ("", " ", ""),
                SegmentKind::Set => ("{", ",", "}"),
                SegmentKind::ConfedSequence => ("(", " ", ")"),
                SegmentKind::ConfedSet => ("[", ",", "]"),
            };
            f.write_str(if i > 0 { " " } else { "" })?;
            f.write_str(open)?;
            for (j, asn) in segment.asns().enumerate() {
                f.write_str(if j > 0 { between } else { "" })?;
                asn.fmt(f)?;
            }
            f.write_str(close)?;
        }
        Ok(())
    }
}

impl fmt::Debug for AsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsPath({self})")
    }
}

/// A text that is not an AS path in the notation of [`AsPath`]'s `Display`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an AS path; expected AS numbers such as `500 65002 {{1,2}}`")]
pub struct ParseAsPathError(String);

/// The notation of `Display`.
impl FromStr for AsPath {
    type Err = ParseAsPathError;

    fn from_str(text: &str) -> Result<Self, ParseAsPathError> {
        parse_segments(text).map_or_else(
            || Err(ParseAsPathError(text.to_owned())),
            |segments| Ok(Self::from_segments(segments.iter().map(|(kind, asns)| (*kind, &asns[..])))),
        )
    }
}

fn parse_segments(text: &str) -> Option<Vec<(SegmentKind, Vec<u32>)>> {
    let mut segments: Vec<(SegmentKind, Vec<u32>)> = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (kind, close) = match first {
            '{' => (SegmentKind::Set, '}'),
            '(' => (SegmentKind::ConfedSequence, ')'),
            '[' => (SegmentKind::ConfedSet, ']'),
            _ => (SegmentKind::Sequence, ' '),
        };
        let asns;
        if kind == SegmentKind::Sequence {
            let end = rest.find(['{', '(', '[']).unwrap_or(rest.len());
            asns = rest.get(..end)?;
            rest = rest.get(end..)?;
        } else {
            let (inside, after) = rest.get(1..)?.split_once(close)?;
            asns = inside;
            rest = after.trim_start();
        }
        let list: Vec<u32> = asns
            .split([' ', ','])
            .filter(|asn| !asn.is_empty())
            .map(|asn| asn.parse().ok())
            .collect::<Option<_>>()?;
        if list.is_empty() {
            return None;
        }
        segments.push((kind, list));
    }
    Some(segments)
}

#[cfg(test)]
mod tests;

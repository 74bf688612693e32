//! AS path patterns in the manner of BIRD's path masks.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::wire::{AsPath, Segment, SegmentKind};

/// A pattern that the whole AS path must match: `* 65001 ?` is "65001 is last but one".
///
/// Elements are separated by white space: `*` any number of ASes, `?` exactly one, `65001` that one,
/// `64512..65534` one in the range. An AS_SET counts as one element, matched when any member is. Confederation
/// segments are not looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AsPathPattern {
    elements: Vec<Element>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Element {
    AnyNumber,
    One(RangeInclusive<u32>),
}

/// Why a text is no [`AsPathPattern`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AsPathPatternError {
    /// Not `*`, `?`, a number or a range.
    #[error("`{0}` is neither `*`, `?`, an AS number nor a range like `64512..65534`")]
    Element(String),
    /// The range has its bounds the wrong way round.
    #[error("range `{0}` is empty: its first AS number is greater than its last")]
    EmptyRange(String),
    /// No element at all.
    #[error("an AS path pattern needs at least one element; `*` matches every path")]
    Empty,
}

impl AsPathPattern {
    /// Does the whole path match?
    pub fn matches(&self, path: &AsPath) -> bool {
        // The usual walk for patterns with `*`: on a mismatch the last `*` takes one more element in.
        let mut steps = Steps { segments: path.segments(), sequence: None };
        let mut at = 0;
        let mut retry = None;
        loop {
            let before = steps.clone();
            match (self.elements.get(at), steps.next()) {
                (Some(Element::AnyNumber), _) => {
                    at += 1;
                    retry = Some((at, before.clone()));
                    steps = before;
                }
                (Some(Element::One(range)), Some(step)) if step.is_in(range) => at += 1,
                (None, None) => return true,
                _ => {
                    let Some((element, mut resume)) = retry.take() else { return false };
                    if resume.next().is_none() {
                        return false;
                    }
                    at = element;
                    steps = resume.clone();
                    retry = Some((element, resume));
                }
            }
        }
    }
}

/// The path as the elements of a pattern see it.
#[derive(Clone)]
struct Steps<'a> {
    segments: crate::wire::Segments<'a>,
    /// What is left of the AS_SEQUENCE being walked: the segment, and how many of its ASes are done.
    sequence: Option<(Segment<'a>, usize)>,
}

enum Step<'a> {
    One(u32),
    AnyOf(Segment<'a>),
}

impl Step<'_> {
    fn is_in(&self, range: &RangeInclusive<u32>) -> bool {
        match self {
            Self::One(asn) => range.contains(asn),
            Self::AnyOf(set) => set.asns().any(|asn| range.contains(&asn)),
        }
    }
}

impl<'a> Iterator for Steps<'a> {
    type Item = Step<'a>;

    fn next(&mut self) -> Option<Step<'a>> {
        loop {
            if let Some((segment, done)) = &mut self.sequence {
                if let Some(asn) = segment.asns().nth(*done) {
                    *done += 1;
                    return Some(Step::One(asn));
                }
                self.sequence = None;
            }
            let segment = self.segments.next()?;
            match segment.kind {
                SegmentKind::Sequence => self.sequence = Some((segment, 0)),
                SegmentKind::Set => return Some(Step::AnyOf(segment)),
                SegmentKind::ConfedSequence | SegmentKind::ConfedSet => {}
            }
        }
    }
}

impl FromStr for AsPathPattern {
    type Err = AsPathPatternError;

    fn from_str(text: &str) -> Result<Self, AsPathPatternError> {
        let elements = text.split_whitespace().map(element).collect::<Result<Vec<_>, _>>()?;
        if elements.is_empty() { Err(AsPathPatternError::Empty) } else { Ok(Self { elements }) }
    }
}

fn element(word: &str) -> Result<Element, AsPathPatternError> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let parsed = if digits { text.parse::<u32>().ok() } else { None };
        parsed.ok_or_else(|| AsPathPatternError::Element(word.to_owned()))
    };
    match word {
        "*" => Ok(Element::AnyNumber),
        "?" => Ok(Element::One(0..=u32::MAX)),
        _ => {
            let (first, last) = match word.split_once("..") {
                Some((first, last)) => (number(first)?, number(last)?),
                None => (number(word)?, number(word)?),
            };
            if first > last {
                return Err(AsPathPatternError::EmptyRange(word.to_owned()));
            }
            Ok(Element::One(first..=last))
        }
    }
}

/// As it is written.
impl fmt::Display for AsPathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, element) in self.elements.iter().enumerate() {
            f.write_str(if at > 0 { " " } else { "" })?;
            match element {
                Element::AnyNumber => f.write_str("*")?,
                Element::One(range) if *range == (0..=u32::MAX) => f.write_str("?")?,
                Element::One(range) if range.start() == range.end() => write!(f, "{}", range.start())?,
                Element::One(range) => write!(f, "{}..{}", range.start(), range.end())?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        pattern.parse::<AsPathPattern>().unwrap().matches(&path.parse().unwrap())
    }

    #[test]
    fn a_pattern_matches_the_whole_path() {
        for (pattern, path, expected) in [
            ("*", "", true),
            ("*", "1 2 3", true),
            ("?", "", false),
            ("?", "1", true),
            ("?", "1 2", false),
            ("1 2 3", "1 2 3", true),
            ("1 2", "1 2 3", false),
            ("* 65001 ?", "1 2 65001 7", true),
            ("* 65001 ?", "1 2 65001", false),
            ("* 65001 ?", "65001 65001", true),
            ("* 2 * 4 *", "1 2 3 4 5", true),
            ("* 4 * 2 *", "1 2 3 4 5", false),
            ("* 1 2", "1 1 1 2", true),
            ("64512..65534 *", "65000 3", true),
            ("64512..65534 *", "65535 3", false),
            ("* 3", "1 {2,3}", true),
            ("* 4", "1 {2,3}", false),
            ("1 ? 4", "1 {2,3} 4", true),
            ("1 4", "(9 9) 1 4", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "`{pattern}` on `{path}`");
        }
    }

    #[test]
    fn errors_name_the_element() {
        let error = |text: &str| text.parse::<AsPathPattern>().unwrap_err();
        assert_eq!(error("1 +2"), AsPathPatternError::Element("+2".into()));
        assert_eq!(error("4294967296"), AsPathPatternError::Element("4294967296".into()));
        assert_eq!(error("5..3"), AsPathPatternError::EmptyRange("5..3".into()));
        assert_eq!(error("5.."), AsPathPatternError::Element("5..".into()));
        assert_eq!(error("  "), AsPathPatternError::Empty);
    }

    #[test]
    fn display_can_be_parsed_again() {
        let text = "* 65001 ? 64512..65534";
        assert_eq!(text.parse::<AsPathPattern>().unwrap().to_string(), text);
    }

    /// The definition, recursively.
    fn naive(pattern: &[Element], path: &[u32]) -> bool {
        match pattern.split_first() {
            None => path.is_empty(),
            Some((Element::AnyNumber, rest)) => (0..=path.len()).any(|skip| naive(rest, &path[skip..])),
            Some((Element::One(range), rest)) => {
                path.split_first().is_some_and(|(asn, path)| range.contains(asn) && naive(rest, path))
            }
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_its_definition(
            words in prop::collection::vec(prop::sample::select(vec!["*", "?", "1", "2", "1..2", "3"]), 1..7),
            path in prop::collection::vec(1u32..4, 0..8),
        ) {
            let pattern: AsPathPattern = words.join(" ").parse().unwrap();
            let expected = naive(&pattern.elements, &path);
            prop_assert_eq!(pattern.matches(&AsPath::from_sequence(&path)), expected);
        }
    }
}

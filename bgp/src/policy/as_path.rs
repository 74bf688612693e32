//! AS path patterns in the manner of BIRD's path masks.

use std::{fmt, ops::RangeInclusive, str::FromStr};

/// A pattern that the whole AS path must match: `* 65001 ?` is "65001 is last but one".
///
/// Elements are separated by white space: `*` any number of ASes, `?` exactly one, `65001` that one,
/// `64512..65534` one in the range. An AS_SET counts as one element, matched when any member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsPathPattern {
    elements: Vec<Element>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Element {
    AnyNumber,
    One,
    Within(RangeInclusive<u32>),
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
    /// No element at all. For "originated inside the neighbour AS" write `?`.
    #[error("an AS path pattern needs at least one element")]
    Empty,
}

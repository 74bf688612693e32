//! From bytes to lines and columns.

use std::ops::Range;

/// Where the lines of a text begin.
pub(super) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        Self { text, starts }
    }

    /// The line that a byte is in, from 0.
    pub(super) fn line(&self, byte: usize) -> usize {
        self.starts.partition_point(|start| *start <= byte).saturating_sub(1)
    }

    /// Line and column as people count: from 1, columns in characters.
    pub(super) fn position(&self, byte: usize) -> (usize, usize) {
        let line = self.line(byte);
        let before = self.starts.get(line).and_then(|start| self.text.get(*start..byte)).unwrap_or_default();
        (line + 1, before.chars().count() + 1)
    }

    /// The bytes of the lines from `first` to `last`, both included, without the last line's end.
    pub(super) fn bytes(&self, first: usize, last: usize) -> Range<usize> {
        let start = self.starts.get(first).copied().unwrap_or(self.text.len());
        let end = self.starts.get(last + 1).map_or(self.text.len(), |next| next - 1);
        start..end.max(start)
    }
}

/// The span, moved so that it can index `text`: inside it and on character boundaries.
pub(super) fn clamp(text: &str, span: &Range<usize>) -> Range<usize> {
    let floor = |at: usize| {
        let mut at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = floor(span.start);
    start..floor(span.end).max(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_characters_from_one() {
        let lines = Lines::new("a\nää = 1\n");
        assert_eq!(lines.position(0), (1, 1));
        assert_eq!(lines.position(2), (2, 1));
        assert_eq!(lines.position(6), (2, 3));
        assert_eq!(lines.position(lines.text.len()), (3, 1));
    }

    #[test]
    fn bytes_of_lines_leave_out_the_last_end() {
        let lines = Lines::new("one\ntwo\nthree");
        assert_eq!(lines.bytes(0, 1), 0..7);
        assert_eq!(lines.bytes(2, 2), 8..13);
    }

    #[test]
    fn spans_are_moved_to_character_boundaries() {
        assert_eq!(clamp("ä", &(1..9)), 0..2);
        assert_eq!(clamp("", &(3..5)), 0..0);
    }
}

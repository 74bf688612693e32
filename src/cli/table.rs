//! Tables for people: a header, aligned columns, no lines.

use std::io::{self, Write};

/// A table that is written in parts: the columns of a part are as wide as its widest cell, and never narrower than
/// those of the part before.
pub(super) struct Table<'a> {
    header: &'a [&'a str],
    widths: Vec<usize>,
    started: bool,
}

impl<'a> Table<'a> {
    pub(super) fn new(header: &'a [&'a str]) -> Self {
        Self { header, widths: header.iter().map(|h| h.len()).collect(), started: false }
    }

    /// Writes rows, and the header before the first ones.
    pub(super) fn write(&mut self, out: &mut impl Write, rows: &[Vec<String>]) -> io::Result<()> {
        for row in rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        if !self.started {
            self.started = true;
            line(out, &self.widths, self.header.iter().copied())?;
        }
        for row in rows {
            line(out, &self.widths, row.iter().map(String::as_str))?;
        }
        Ok(())
    }
}

fn line<'c>(out: &mut impl Write, widths: &[usize], cells: impl Iterator<Item = &'c str>) -> io::Result<()> {
    let mut text = String::new();
    for (cell, width) in cells.zip(widths) {
        text.push_str(cell);
        let pad = width.saturating_sub(cell.chars().count()) + 2;
        text.extend(std::iter::repeat_n(' ', pad));
    }
    writeln!(out, "{}", text.trim_end())
}

/// An absent value.
pub(super) fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".into(), |v| v.to_string())
}

/// Seconds as `12s`, `3m05s`, `2h07m`, `5d03h`.
pub(super) fn duration(seconds: u64) -> String {
    let (m, s) = (seconds / 60, seconds % 60);
    let (h, d) = (m / 60, m / 60 / 24);
    match () {
        () if d > 0 => format!("{d}d{:02}h", h % 24),
        () if h > 0 => format!("{h}h{:02}m", m % 60),
        () if m > 0 => format!("{m}m{s:02}s"),
        () => format!("{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut out = Vec::new();
        let mut table = Table::new(&["a", "name"]);
        table.write(&mut out, &[vec!["1234".into(), "x".into()]]).unwrap();
        table.write(&mut out, &[vec!["1".into(), "y".into()]]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a     name\n1234  x\n1     y\n");
    }

    #[test]
    fn durations_show_their_two_largest_units() {
        let shown: Vec<_> = [7, 61, 3 * 3600 + 120, 90_000].map(duration).into();
        assert_eq!(shown, ["7s", "1m01s", "3h02m", "1d01h"]);
    }
}

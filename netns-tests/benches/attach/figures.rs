//! Percentiles, and the lines of the table.

use std::{fmt, time::Duration};

/// Durations of one kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures(pub(crate) Vec<Duration>);

impl Figures {
    /// The smallest value that `percent` of all do not exceed.
    fn percentile(&self, percent: usize) -> Option<Duration> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied()
    }
}

/// Median, 99th percentile and maximum in milliseconds.
impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for percent in [50, 99, 100] {
            match self.percentile(percent) {
                Some(value) => write!(f, "{:>8.2}", value.as_secs_f64() * 1e3)?,
                None => write!(f, "{:>8}", "-")?,
            }
        }
        Ok(())
    }
}

/// The headline of the table.
pub(crate) fn headline() -> String {
    let columns = ["add until the answer", "until the leaf's kernel", "del until the answer"];
    let above = columns.map(|column| format!("  {column:^24}")).concat();
    let below = columns.map(|_| format!("  {:>8}{:>8}{:>8}", "p50", "p99", "max")).concat();
    let what =
        format!("{:<8}{:<6}{:<8}{:>8}  {:<15}", "network", "leaf", "journal", "existing", "attachments");
    format!("{:<47}{above}\n{what}{below}", "milliseconds")
}

/// One line of the table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) answer: Figures,
    pub(crate) leaf: Figures,
    pub(crate) removal: Figures,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<47}  {}  {}  {}", self.what, self.answer, self.leaf, self.removal)
    }
}

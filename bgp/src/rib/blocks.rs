//! Where in a table something can be found, roughly.

/// Destinations of a block: what one slice of background work goes through.
pub(crate) const BLOCK: u32 = 1024;

/// Counts, for each block of a table, the paths that have something in common (a peer, a next hop), so that finding
/// them all touches only the blocks that hold any. One counter per thousand destinations instead of links per path.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    counts: Vec<u32>,
    total: u32,
}

impl Blocks {
    /// One more path at this destination.
    pub(crate) fn add(&mut self, destination: u32) {
        let block = (destination / BLOCK) as usize;
        if block >= self.counts.len() {
            self.counts.resize(block + 1, 0);
        }
        self.counts[block] += 1;
        self.total += 1;
    }

    /// One path less at this destination.
    pub(crate) fn remove(&mut self, destination: u32) {
        self.counts[(destination / BLOCK) as usize] -= 1;
        self.total -= 1;
        if self.total == 0 {
            self.counts = Vec::new();
        }
    }

    /// All paths.
    pub(crate) fn total(&self) -> u32 {
        self.total
    }

    /// The first block from this one on that holds any.
    pub(crate) fn next_from(&self, block: u32) -> Option<u32> {
        let rest = self.counts.get(block as usize..)?;
        rest.iter().position(|count| *count > 0).map(|at| block + at as u32)
    }
}

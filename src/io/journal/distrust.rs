//! A database file of which nothing is believed before its checksums were compared.
//!
//! redb compares the checksum of every page when it opens a file after a crash, but takes the word of one that was
//! closed cleanly, and panics where a damaged page lies. A daemon must not die of its journal; so to redb every file
//! looks as if a crash had left it. That costs reading the whole file at the start, a few milliseconds.

use std::{
    io::Result,
    ops::{Bound, Range},
};

use redb::{BackendError, StorageBackend, backends::FileBackend};

/// Where the header keeps its flags: the "god byte" behind the magic number (redb's docs/design.md, file format 3).
const FLAGS: u64 = 9;
/// The file was not closed.
const RECOVERY_REQUIRED: u8 = 2;
/// The last commit was flushed in two steps, and the table of free pages in it needs no check.
const TWO_PHASE_COMMIT: u8 = 4;

/// The file.
#[derive(Debug)]
pub(super) struct Distrusted(pub(super) FileBackend);

impl StorageBackend for Distrusted {
    fn len(&self) -> Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.0.read(offset, out)?;
        let Range { start, end } = offset..offset.saturating_add(out.len() as u64);
        if (start..end).contains(&FLAGS)
            && let Some(flags) = out.get_mut((FLAGS - start) as usize)
        {
            *flags = (*flags | RECOVERY_REQUIRED) & !TWO_PHASE_COMMIT;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> Result<()> {
        self.0.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> std::result::Result<bool, BackendError> {
        self.0.try_lock_range(start, end)
    }
}

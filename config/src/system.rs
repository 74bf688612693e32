//! The files of the machine: the configuration itself, and the keys that it names.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use crate::{Files, SecretFile};

/// What is read of a key file: enough to see that it is too long.
const SECRET_READ: u64 = 4096;

/// The files of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Files for System {
    fn read_secret(&self, path: &Path) -> io::Result<SecretFile> {
        // Without O_NONBLOCK, opening a FIFO would wait for its writer.
        const O_NONBLOCK: i32 = 0o4000;
        let file = File::options().read(true).custom_flags(O_NONBLOCK).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let mut bytes = Vec::new();
        file.take(SECRET_READ).read_to_end(&mut bytes)?;
        Ok(SecretFile { bytes, world_readable: metadata.mode() & 0o004 != 0 })
    }
}

/// Reads at most `limit` bytes and one, so that more can be told from just enough.
pub(crate) fn read_limited(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

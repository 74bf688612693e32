//! Why the journal cannot be opened, and what to do about it.

use std::{io, path::PathBuf};

use super::store::FORMAT;

/// Why the journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The directory cannot be made or opened.
    #[error("cannot use the state directory {}: {error}", path.display())]
    Directory { path: PathBuf, error: io::Error },
    /// Another daemon has the directory.
    #[error("the state directory {} is in use by another petiole daemon", path.display())]
    Locked { path: PathBuf },
    /// The file cannot be read or written.
    #[error("cannot open the journal {}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    /// The file has a format that this version does not know.
    #[error(
        "the journal {} was written by a newer petiole (format {found}, this one knows {FORMAT}): \
         install that version again, or move the file away and add the run-time endpoints anew",
        path.display()
    )]
    Newer { path: PathBuf, found: u64 },
    /// The file is no journal, or not a whole one.
    #[error(
        "the journal {} is damaged ({why}): restore it from a backup, or move it away and add the run-time \
         endpoints anew",
        path.display()
    )]
    Damaged { path: PathBuf, why: String },
}

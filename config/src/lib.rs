//! `petiole.toml`: the schema, the diagnostics, the typed host configuration.
//!
//! [`load`] and [`parse`] take the whole file or nothing, and report everything that is wrong with it at once.
//! Knows neither BGP nor the kernel; touches no file but the configuration and the key files that it names.

pub mod diagnostic;
pub mod model;

use std::{
    io,
    path::{Path, PathBuf},
};

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use model::HostConfig;

/// A file that passed, and what is odd about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: HostConfig,
    /// Only warnings; with the file's text, so that they can be rendered.
    pub warnings: Diagnostics,
}

/// Why a file gave no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could not be read at all.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The configuration file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file was read and has errors; warnings are among them.
    #[error("{0}")]
    Invalid(Diagnostics),
}

/// How [`parse`] reads the files that a configuration names.
pub trait Files {
    /// The content of a file that holds a secret, or as much of it as shows that it is too long (4 KiB), and whether
    /// users other than the owner and its group can read it.
    fn read_secret(&self, path: &Path) -> io::Result<SecretFile>;
}

/// What [`Files::read_secret`] found.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretFile {
    /// The content.
    pub bytes: Vec<u8>,
    /// Everybody may read it.
    pub world_readable: bool,
}

/// Reads and checks a configuration file.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    let _ = path;
    Err(LoadError::Read { path: path.into(), error: io::ErrorKind::Unsupported.into() })
}

/// Checks a configuration that is given as text; `name` is what diagnostics call it. Never panics, whatever the text.
pub fn parse(name: &str, text: &str, files: &dyn Files) -> Result<Loaded, Diagnostics> {
    let _ = files;
    Err(Diagnostics::new(name, text))
}

//! `petiole.toml`: the schema, the diagnostics, the typed host configuration.
//!
//! [`load`] and [`parse`] take the whole file or nothing, and report everything that is wrong with it at once.
//! Knows neither BGP nor the kernel; touches no file but the configuration and the key files that it names.

pub mod diagnostic;
mod family;
mod found;
pub mod model;
pub mod request;
mod resolve;
mod schema;
mod syntax;
mod system;

use std::{
    io,
    path::{Path, PathBuf},
};

pub use diagnostic::{Diagnostic, Diagnostics, Kind, Label, Severity};
pub use model::HostConfig;
pub use request::EndpointRequest;
pub use schema::{
    json::json_schema,
    reference::{keys, reference},
};
pub use system::System;

use found::Found;
use schema::read::Section as _;

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

impl LoadError {
    /// For people; `color`: with ANSI escapes.
    pub fn render(&self, color: bool) -> String {
        match self {
            Self::Read { .. } => format!("error: {self}\n"),
            Self::Invalid(diagnostics) => diagnostics.render(color),
        }
    }

    /// For programs, in the form of [`Diagnostics::to_json`]; a file that could not be read is one error at its beginning.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Read { path, .. } => {
                let name = path.display().to_string();
                let error = Diagnostic::new(Severity::Error, Kind::File, 0..0, self.to_string());
                Diagnostics::new(&name, "", vec![error]).to_json()
            }
            Self::Invalid(diagnostics) => diagnostics.to_json(),
        }
    }
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

/// The largest configuration file: more than a hundred thousand endpoints.
pub const MAX_FILE: usize = 16 * 1024 * 1024;

/// Reads and checks a configuration file.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    let bytes =
        system::read_limited(path, MAX_FILE).map_err(|error| LoadError::Read { path: path.into(), error })?;
    parse_bytes(&path.display().to_string(), &bytes, &System).map_err(LoadError::Invalid)
}

/// Checks a configuration that is given as bytes, as it comes out of a file. Never panics, whatever the bytes: this is
/// the entry point for fuzzing.
pub fn parse_bytes(name: &str, bytes: &[u8], files: &dyn Files) -> Result<Loaded, Diagnostics> {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(name, text, files),
        Err(error) => Err(syntax::not_utf8(name, bytes, error)),
    }
}

/// Checks a configuration that is given as text; `name` is what diagnostics call it. Never panics, whatever the text.
pub fn parse(name: &str, text: &str, files: &dyn Files) -> Result<Loaded, Diagnostics> {
    if text.len() > MAX_FILE {
        return Err(syntax::too_large(name));
    }
    let mut found = Found::new(text);
    let config = match syntax::table(text, &mut found) {
        Some(table) => {
            let file = schema::File::read_table(table.get_ref(), &table.span(), &mut found);
            resolve::resolve(&file, files, &mut found)
        }
        None => None,
    };
    let failed = found.has_errors();
    let diagnostics = Diagnostics::new(name, text, found.into_items());
    match config {
        Some(config) if !failed => Ok(Loaded { config, warnings: diagnostics }),
        _ => Err(diagnostics),
    }
}

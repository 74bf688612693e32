//! Files that are checked, with key files that need no disk.
#![allow(dead_code, reason = "each test uses what it needs")]

use std::{io, path::Path};

use petiole_config::{Diagnostics, Files, HostConfig, Kind, Loaded, SecretFile, parse};

/// `/keys/good` and its bad neighbours.
pub(crate) struct Keys;

impl Files for Keys {
    fn read_secret(&self, path: &Path) -> io::Result<SecretFile> {
        let file = |bytes: &[u8], world_readable| Ok(SecretFile { bytes: bytes.into(), world_readable });
        match path.to_str().unwrap_or_default() {
            "/keys/good" | "/etc/petiole/leaf1.key" => file(b"s3cret\n", false),
            "/keys/crlf" => file(b"s3cret\r\n", false),
            "/keys/other" => file(b"0ther\n", false),
            "/keys/longest" => file(&[b'x'; 80], false),
            "/keys/too-long" => file(&[b'x'; 81], false),
            "/keys/empty" => file(b"\n", false),
            "/keys/two-lines" => file(b"one\ntwo\n", false),
            "/keys/open" => file(b"s3cret\n", true),
            "/keys/forbidden" => Err(io::ErrorKind::PermissionDenied.into()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// The file, or what is wrong with it.
pub(crate) fn check(text: &str) -> Result<Loaded, Diagnostics> {
    parse("petiole.toml", text, &Keys)
}

/// A file that is taken.
#[track_caller]
pub(crate) fn taken(text: &str) -> HostConfig {
    check(text).unwrap_or_else(|diagnostics| panic!("{diagnostics}")).config
}

/// The kinds and lines of what is wrong, errors and warnings.
#[track_caller]
pub(crate) fn wrong(text: &str) -> Vec<(Kind, u64)> {
    let diagnostics = check(text).map_or_else(|d| d, |loaded| loaded.warnings);
    let json = diagnostics.to_json();
    let lines = json["diagnostics"].as_array().unwrap().iter().map(|d| d["line"].as_u64().unwrap());
    diagnostics.iter().map(|d| d.kind).zip(lines).collect()
}

/// What every file has.
pub(crate) const HOST: &str = "[host]\nasn = 65002\n";

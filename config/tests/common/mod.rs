//! Key files that need no disk.
#![allow(dead_code, reason = "each test uses what it needs")]

use std::{io, path::Path};

use petiole_config::{Files, SecretFile};

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

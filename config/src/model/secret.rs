//! A secret, which is never shown.

use std::{fmt, sync::Arc};

use serde::{Serialize, Serializer};

/// The shared key of a session (RFC 2385). It compares equal or not, so that a reload sees a change, and is handed
/// to the socket; neither `Debug` nor serialisation shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    /// The longest key that the kernel takes (`TCP_MD5SIG_MAXKEYLEN`).
    pub const MAX: usize = 80;

    /// Takes a key of 1 to [`Secret::MAX`] bytes.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (1..=Self::MAX).contains(&bytes.len()).then(|| Self(bytes.into()))
    }

    /// The key itself. Whoever calls this must not log it.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(secret)")
    }
}

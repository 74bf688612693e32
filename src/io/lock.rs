//! One daemon per host.
//!
//! An abstract unix socket belongs to a network namespace and goes with its process, however that ends: exactly
//! what "one daemon per host" means, with nothing left behind and nothing to clean up.

use std::{
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
};

/// Held as long as the daemon lives.
pub(crate) struct HostLock(#[expect(dead_code, reason = "held, not used")] UnixListener);

impl HostLock {
    /// Takes the lock; `None` when another daemon has it.
    pub(crate) fn take() -> io::Result<Option<Self>> {
        match UnixListener::bind_addr(&SocketAddr::from_abstract_name("petiole/host")?) {
            Ok(listener) => Ok(Some(Self(listener))),
            Err(e) if e.kind() == io::ErrorKind::AddrInUse => Ok(None),
            Err(e) => Err(e),
        }
    }
}

//! Containers' network namespaces: entered for a moment, never held.
//!
//! A descriptor of a namespace file, or a socket made in a namespace, keeps the namespace alive after its deletion.
//! So only the path is kept, and a number by which the namespace is known again: a file that has been replaced must
//! not be mistaken for what stood there before.

use std::{
    collections::HashMap,
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::OpenOptionsExt,
    },
    path::{Path, PathBuf},
};

use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use rustix::{
    fs::fstatfs,
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use super::sys;
use crate::model::Ns;

/// `NSFS_MAGIC` (linux/magic.h).
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// The namespaces known by number. Belongs to one thread, the one that enters them.
#[derive(Debug)]
pub(super) struct Namespaces {
    host: File,
    host_cookie: Option<u64>,
    known: HashMap<Ns, Known>,
}

#[derive(Debug)]
struct Known {
    path: PathBuf,
    /// See [`sys::namespace_cookie`]; `None` on kernels without.
    cookie: Option<u64>,
}

impl Known {
    /// Whether the thread is in the namespace that was declared.
    fn check(&self) -> io::Result<()> {
        if self.cookie == cookie_here()? {
            return Ok(());
        }
        let text = format!("{} is another namespace than before", self.path.display());
        Err(io::Error::new(io::ErrorKind::NotFound, text))
    }
}

impl Namespaces {
    /// Takes the calling thread's namespace for the host's.
    pub(super) fn new() -> io::Result<Self> {
        let host = File::open("/proc/thread-self/ns/net")?;
        Ok(Self { host, host_cookie: cookie_here()?, known: HashMap::new() })
    }

    /// From now on `ns` is the namespace whose file is at `path` now. On failure it is unknown.
    pub(super) fn declare(&mut self, ns: Ns, path: PathBuf) -> io::Result<()> {
        self.known.remove(&ns);
        if ns == Ns::HOST {
            return Err(io::Error::other("the host's own namespace has no file"));
        }
        let file = open(&path)?;
        let cookie = self.inside(&file, cookie_here)??;
        if cookie.is_some() && cookie == self.host_cookie {
            return Err(io::Error::other(format!("{} is the host's own namespace", path.display())));
        }
        self.known.insert(ns, Known { path, cookie });
        Ok(())
    }

    /// `ns` means nothing any more.
    pub(super) fn forget(&mut self, ns: Ns) {
        self.known.remove(&ns);
    }

    /// Whether `ns` has been declared and not been lost since.
    pub(super) fn knows(&self, ns: Ns) -> bool {
        ns == Ns::HOST || self.known.contains_key(&ns)
    }

    /// The namespace's file, for a request that names it by descriptor. To be closed soon.
    pub(super) fn file(&self, ns: Ns) -> io::Result<File> {
        if ns == Ns::HOST {
            return self.host.try_clone();
        }
        let known = self.known.get(&ns).ok_or_else(|| unknown(ns))?;
        let file = open(&known.path)?;
        self.inside(&file, || known.check())??;
        Ok(file)
    }

    /// Runs `f` with the thread in that namespace. The thread is back in the host's when this returns.
    pub(super) fn within<T>(&self, ns: Ns, f: impl FnOnce() -> T) -> io::Result<T> {
        if ns == Ns::HOST {
            return Ok(f());
        }
        let known = self.known.get(&ns).ok_or_else(|| unknown(ns))?;
        let file = open(&known.path)?;
        self.inside(&file, || {
            known.check()?;
            Ok(f())
        })?
    }

    fn inside<T>(&self, file: &File, f: impl FnOnce() -> T) -> io::Result<T> {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
        let _back = Back(self.host.as_fd());
        Ok(f())
    }
}

/// Takes the thread back to the host's namespace, also when what it did there panicked.
struct Back<'a>(BorrowedFd<'a>);

impl Drop for Back<'_> {
    fn drop(&mut self) {
        if let Err(error) = move_into_link_name_space(self.0, Some(LinkNameSpaceType::Network)) {
            // In the wrong namespace every further step would do harm: the host's routes in a container, or worse.
            tracing::error!(%error, "cannot return to the host's network namespace");
            std::process::abort();
        }
    }
}

/// Opens what must be the file of a network namespace.
fn open(path: &Path) -> io::Result<File> {
    // Non-blocking: a pipe put there instead would have us wait for ever.
    let file =
        std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(
            |error| io::Error::new(error.kind(), format!("{}: {}", path.display(), describe(&error))),
        )?;
    let refuse =
        |what| Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} is {what}", path.display())));
    // the type of f_type differs between architectures
    if u64::try_from(fstatfs(&file)?.f_type) != Ok(NSFS_MAGIC) {
        return refuse("no namespace");
    }
    if sys::namespace_type(&file)? != libc::CLONE_NEWNET {
        return refuse("a namespace of another kind");
    }
    Ok(file)
}

/// The error's text without the number that the standard library adds.
fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

fn unknown(ns: Ns) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("network namespace {} is not known", ns.0))
}

/// The cookie of the namespace that the thread is in.
fn cookie_here() -> io::Result<Option<u64>> {
    match sys::namespace_cookie(Socket::new(NETLINK_ROUTE)?) {
        Ok(cookie) => Ok(Some(cookie)),
        Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => Ok(None),
        Err(error) => Err(error),
    }
}

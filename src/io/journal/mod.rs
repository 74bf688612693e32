//! The journal of run-time endpoints and of addresses given back: what a crash must not lose.
//!
//! A thread of its own writes it, because a transaction waits for the disk: the core's loop hands writes in and hears
//! by a callback when they are durable. Whatever waits when a transaction begins goes into that one: thirty
//! containers that start at once wait for one flush, not for thirty.
//!
//! Must not know what an endpoint is good for; when to write what is the core's business.

mod distrust;
mod error;
mod record;
mod store;
#[cfg(test)]
mod tests;

use std::{
    fs::{DirBuilder, File},
    io,
    net::IpAddr,
    os::unix::fs::DirBuilderExt,
    path::Path,
    sync::mpsc,
    thread::JoinHandle,
};

use petiole_config::model::ScopedName;
use rustix::fs::FlockOperation;

pub(crate) use error::OpenError;
pub(crate) use record::Record;
use store::Store;

use crate::core::ipam::{Change, Release};

/// What the store held when it was opened.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// By name.
    pub(crate) endpoints: Vec<Record>,
    pub(crate) releases: Vec<Release>,
}

/// One change of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// The endpoint is this from now on; a former record of the name is replaced.
    PutEndpoint(Box<Record>),
    /// The endpoint is no more. No error when it never was.
    RemoveEndpoint(ScopedName),
    /// The address was given back.
    PutRelease(Release),
    /// When the address was given back does not matter any more.
    RemoveRelease { network: ScopedName, address: IpAddr },
}

impl From<Change> for Write {
    fn from(change: Change) -> Self {
        match change {
            Change::Released(release) => Self::PutRelease(release),
            Change::Forgotten { network, address } => Self::RemoveRelease { network, address },
        }
    }
}

/// A commit is done. An `Err` says why it is not durable; whether it is there after a crash is then unknown, until a
/// later commit that says the opposite has succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Persisted {
    pub(crate) seq: u64,
    pub(crate) result: Result<(), String>,
}

/// Writes that belong together: all of them are there after a crash, or none.
#[derive(Debug)]
struct Commit {
    seq: u64,
    writes: Vec<Write>,
}

/// The state directory, taken for this daemon: two writers would lose each other's endpoints.
#[derive(Debug)]
struct Directory(File);

impl Drop for Directory {
    fn drop(&mut self) {
        // Closing would do, were it not that a process being started shares the file until it runs its program.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

/// The writer of the store. Dropping it writes what was handed in, and waits for that.
#[derive(Debug)]
pub(crate) struct Journal {
    queue: Option<mpsc::Sender<Commit>>,
    thread: Option<JoinHandle<()>>,
    /// Given back when the thread has ended.
    _directory: Directory,
}

impl Journal {
    /// Opens the store in `dir`, which is made (mode 0700) when it is missing, and reads all of it. `report` is
    /// called on the journal's thread once for each [`Journal::commit`], in their order.
    pub(crate) fn open(
        dir: &Path,
        report: impl Fn(Persisted) + Send + 'static,
    ) -> Result<(Self, Contents), OpenError> {
        let directory = lock(dir)?;
        let (store, contents) = Store::open(dir, &directory.0)?;
        Ok((Self::start(directory, store, report)?, contents))
    }

    fn start(
        directory: Directory,
        store: Store,
        report: impl Fn(Persisted) + Send + 'static,
    ) -> Result<Self, OpenError> {
        let (queue, commits) = mpsc::channel();
        let path = store.path().to_path_buf();
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || write(store, &commits, report))
            .map_err(|error| OpenError::Io { path, error })?;
        Ok(Self { queue: Some(queue), thread: Some(thread), _directory: directory })
    }

    /// Hands writes to the journal's thread and returns at once. The caller bounds how many commits are under way.
    pub(crate) fn commit(&self, seq: u64, writes: Vec<Write>) {
        if let Some(queue) = &self.queue {
            // The thread ends only after the queue was closed here.
            let _ = queue.send(Commit { seq, writes });
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread: everything that waits goes into one transaction.
fn write(mut store: Store, commits: &mpsc::Receiver<Commit>, report: impl Fn(Persisted)) {
    while let Ok(first) = commits.recv() {
        let mut group = vec![first];
        group.extend(commits.try_iter());
        let result = store.commit(group.iter().flat_map(|commit| &commit.writes));
        if let Err(error) = &result {
            tracing::error!(file = %store.path().display(), commits = group.len(), "journal: {error}");
        }
        for Commit { seq, .. } in group {
            report(Persisted { seq, result: result.clone() });
        }
    }
}

/// Makes the directory if needed, and takes it.
fn lock(dir: &Path) -> Result<Directory, OpenError> {
    let failed = |error: io::Error| OpenError::Directory { path: dir.to_path_buf(), error };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    let directory = File::open(dir).map_err(failed)?;
    match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Directory(directory)),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::Locked { path: dir.to_path_buf() }),
        Err(errno) => Err(failed(errno.into())),
    }
}

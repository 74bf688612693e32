//! Watches the files of container namespaces: when a network namespace appears at a path, and when it goes.
//!
//! Knows inotify, the mount table and nsfs. Must not know endpoints.
//!
//! `ip netns add` makes an empty file and then mounts the namespace over it, so a directory event alone does not
//! tell; a change of the mount table does, and it comes at once for `umount` too. Paths below `/proc` (a process's
//! `ns/net`) change without any event and are looked at once a second.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::inotify;
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::mpsc,
};

use crate::core::NamespaceId;

/// The file type of namespaces (`NSFS_MAGIC` in `linux/magic.h`).
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// How often paths without events are looked at.
const POLL: Duration = Duration::from_secs(1);

/// A namespace appeared at a path (`Some`), was exchanged for another (`Some`), or went away (`None`). The first look
/// at a path is always reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) path: PathBuf,
    pub(crate) identity: Option<NamespaceId>,
}

/// The identity of the network namespace at `path`, if there is one.
pub(crate) fn identify(path: &Path) -> Option<NamespaceId> {
    let file = File::open(path).ok()?;
    let fs = rustix::fs::fstatfs(&file).ok()?;
    if fs.f_type.cast_unsigned() != NSFS_MAGIC || !super::sys::is_network_namespace(&file) {
        return None;
    }
    let meta = file.metadata().ok()?;
    Some(NamespaceId { device: meta.dev(), inode: meta.ino() })
}

/// What was last seen at a path.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Seen {
    /// Not looked yet.
    #[default]
    Unknown,
    Nothing,
    Namespace(NamespaceId),
}

/// The watched paths and what was last seen there.
struct Watcher {
    inotify: AsyncFd<OwnedFd>,
    mounts: AsyncFd<OwnedFd>,
    paths: BTreeMap<PathBuf, Seen>,
    directories: BTreeMap<PathBuf, i32>,
}

/// Runs until `wanted` closes. Each message on `wanted` is the whole set of paths to watch; each change, first
/// appearances included, goes to `report`.
pub(crate) async fn watch<F>(mut wanted: mpsc::Receiver<BTreeSet<PathBuf>>, report: F) -> io::Result<()>
where
    F: AsyncFn(Change),
{
    let inotify = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
        .map_err(io::Error::from)?;
    let mut watcher = Watcher {
        inotify: super::sys::watch(inotify, Interest::READABLE)?,
        // The kernel raises POLLPRI on this file when the mount table changes (proc(5)).
        mounts: super::sys::watch(File::open("/proc/self/mountinfo")?.into(), Interest::PRIORITY)?,
        paths: BTreeMap::new(),
        directories: BTreeMap::new(),
    };
    loop {
        let polled = watcher.paths.keys().any(|p| p.starts_with("/proc"));
        tokio::select! {
            set = wanted.recv() => match set {
                None => return Ok(()),
                Some(set) => watcher.want(set),
            },
            guard = watcher.inotify.readable() => {
                guard?.clear_ready();
                watcher.drain();
            }
            guard = watcher.mounts.ready(Interest::PRIORITY) => guard?.clear_ready(),
            () = tokio::time::sleep(POLL), if polled => {}
        }
        watcher.follow_directories();
        for change in watcher.look() {
            report(change).await;
        }
    }
}

impl Watcher {
    fn want(&mut self, set: BTreeSet<PathBuf>) {
        self.paths.retain(|path, _| set.contains(path));
        for path in set {
            self.paths.entry(path).or_default();
        }
    }

    /// Takes the pending inotify events: they say only "look again".
    fn drain(&self) {
        let mut buffer = [const { std::mem::MaybeUninit::uninit() }; 4096];
        let mut reader = inotify::Reader::new(self.inotify.get_ref(), &mut buffer);
        while reader.next().is_ok() {}
    }

    /// Watches the nearest existing ancestor of every path, so that a directory that is still missing is noticed
    /// when it is made.
    fn follow_directories(&mut self) {
        let wanted: BTreeSet<PathBuf> = self
            .paths
            .keys()
            .filter_map(|path| path.ancestors().skip(1).find(|a| a.is_dir()).map(Path::to_path_buf))
            .filter(|dir| !dir.starts_with("/proc"))
            .collect();
        let fd = self.inotify.get_ref();
        self.directories.retain(|dir, watch| {
            let keep = wanted.contains(dir);
            if !keep {
                // A directory that was removed has lost its watch already.
                let _ = inotify::remove_watch(fd, *watch);
            }
            keep
        });
        for dir in wanted {
            let flags = inotify::WatchFlags::CREATE
                | inotify::WatchFlags::DELETE
                | inotify::WatchFlags::MOVED_TO
                | inotify::WatchFlags::MOVED_FROM
                | inotify::WatchFlags::DELETE_SELF
                | inotify::WatchFlags::ONLYDIR;
            // Adding a watch twice gives the same descriptor, and a new one when the directory was made anew.
            if let Ok(watch) = inotify::add_watch(fd, &dir, flags) {
                self.directories.insert(dir, watch);
            }
        }
    }

    fn look(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (path, last) in &mut self.paths {
            let identity = identify(path);
            let seen = identity.map_or(Seen::Nothing, Seen::Namespace);
            if *last != seen {
                *last = seen;
                changes.push(Change { path: path.clone(), identity });
            }
        }
        changes
    }
}

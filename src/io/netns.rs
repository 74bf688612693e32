//! Watches for the network namespaces of containers.
//!
//! Knows inotify, the mount table and nsfs. Must not know endpoints.
//!
//! `ip netns add` makes an empty file and then mounts the namespace over it, so a directory event alone does not
//! tell; a change of the mount table does. The mount table does not say what changed, so after a change of it only
//! paths are looked at where nothing was before, and the others once a second at most: `ip netns del` removes the
//! file too, and of that the directory tells by name. So the cost of one container does not grow with their number.
//! Paths below `/proc` (a process's `ns/net`) change without any event and are looked at once a second.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    ffi::OsStr,
    fs::File,
    io,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::{Path, PathBuf},
    rc::Rc,
    time::{Duration, Instant},
};

use rustix::fs::inotify;
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::Notify,
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

/// The identity of the namespace that the daemon is in: the host's.
pub(crate) fn own() -> Option<NamespaceId> {
    identify(Path::new("/proc/self/ns/net"))
}

/// What was last seen at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Not looked yet.
    Unknown,
    Nothing,
    Namespace(NamespaceId),
}

/// The paths that are watched, shared between who wants them watched and [`Paths::watch`].
#[derive(Clone, Default)]
pub(crate) struct Paths(Rc<Shared>);

#[derive(Default)]
struct Shared {
    state: RefCell<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    paths: BTreeMap<PathBuf, Seen>,
    /// To be looked at.
    due: BTreeSet<PathBuf>,
    /// Of `paths`, those where nothing was at the last look.
    empty: BTreeSet<PathBuf>,
    /// Directories that hold watched paths, with their number.
    parents: HashMap<PathBuf, usize>,
    parents_changed: bool,
}

impl Paths {
    /// From now on tells of the path, and first what is there now.
    pub(crate) fn add(&self, path: PathBuf) {
        let state = &mut *self.0.state.borrow_mut();
        if state.paths.insert(path.clone(), Seen::Unknown).is_none()
            && let Some(parent) = path.parent()
        {
            let count = state.parents.entry(parent.to_path_buf()).or_default();
            *count += 1;
            state.parents_changed |= *count == 1;
        }
        state.due.insert(path);
        self.0.changed.notify_one();
    }

    /// No longer tells of the path.
    pub(crate) fn remove(&self, path: &Path) {
        let state = &mut *self.0.state.borrow_mut();
        state.due.remove(path);
        state.empty.remove(path);
        if state.paths.remove(path).is_some()
            && let Some(parent) = path.parent()
            && let Some(count) = state.parents.get_mut(parent)
        {
            *count -= 1;
            if *count == 0 {
                state.parents.remove(parent);
                state.parents_changed = true;
                self.0.changed.notify_one();
            }
        }
    }

    /// Tells once more what is at the path, if it is watched.
    pub(crate) fn look(&self, path: &Path) {
        let state = &mut *self.0.state.borrow_mut();
        if let Some(seen) = state.paths.get_mut(path) {
            *seen = Seen::Unknown;
            state.due.insert(path.to_path_buf());
            self.0.changed.notify_one();
        }
    }

    /// Watches for ever; each change, first looks included, goes to `report`.
    pub(crate) async fn watch<F>(self, report: F) -> io::Result<()>
    where
        F: AsyncFn(Change),
    {
        let inotify = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
            .map_err(io::Error::from)?;
        let mut watcher = Watcher {
            shared: self.0,
            inotify: super::sys::watch(inotify, Interest::READABLE)?,
            directories: BTreeMap::new(),
        };
        // The kernel raises POLLPRI on this file when the mount table changes (proc(5)).
        let mounts = super::sys::watch(File::open("/proc/self/mountinfo")?.into(), Interest::PRIORITY)?;
        // When all paths are looked at: a change of the mount table may be of any.
        let mut sweep: Option<Instant> = None;
        loop {
            let polled = watcher.polled();
            let at = sweep.into_iter().chain(polled.then(|| Instant::now() + POLL)).min();
            let wait = async {
                match at {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = watcher.shared.changed.notified() => {}
                guard = watcher.inotify.readable() => {
                    guard?.clear_ready();
                    watcher.drain();
                }
                guard = mounts.ready(Interest::PRIORITY) => {
                    guard?.clear_ready();
                    watcher.due(Which::Empty);
                    sweep.get_or_insert_with(|| Instant::now() + POLL);
                }
                () = wait => {
                    let all = sweep.is_some_and(|at| at <= Instant::now());
                    watcher.due(if all { Which::All } else { Which::Polled });
                    if all {
                        sweep = None;
                    }
                }
            }
            watcher.follow_directories();
            for change in watcher.look() {
                report(change).await;
            }
        }
    }
}

/// Which paths are due.
#[derive(Clone, Copy)]
enum Which {
    All,
    Empty,
    Polled,
}

fn is_polled(path: &Path) -> bool {
    path.starts_with("/proc")
}

struct Watcher {
    shared: Rc<Shared>,
    inotify: AsyncFd<OwnedFd>,
    /// What inotify watches, by directory.
    directories: BTreeMap<PathBuf, i32>,
}

impl Watcher {
    fn polled(&self) -> bool {
        self.shared.state.borrow().parents.keys().any(|p| is_polled(p))
    }

    fn due(&self, which: Which) {
        let state = &mut *self.shared.state.borrow_mut();
        match which {
            Which::All => state.due.extend(state.paths.keys().cloned()),
            Which::Empty => state.due.extend(state.empty.iter().cloned()),
            Which::Polled => state.due.extend(state.paths.keys().filter(|p| is_polled(p)).cloned()),
        }
    }

    /// Takes the pending inotify events: they say where to look again.
    fn drain(&self) {
        let state = &mut *self.shared.state.borrow_mut();
        let by_watch: HashMap<i32, &PathBuf> = self.directories.iter().map(|(d, w)| (*w, d)).collect();
        let mut buffer = [const { std::mem::MaybeUninit::uninit() }; 4096];
        let mut reader = inotify::Reader::new(self.inotify.get_ref(), &mut buffer);
        while let Ok(event) = reader.next() {
            let directory = by_watch.get(&event.wd());
            let name = event.file_name().map(|n| OsStr::from_bytes(n.to_bytes()));
            match (directory, name) {
                (Some(directory), Some(name)) if state.parents.contains_key(*directory) => {
                    let path = directory.join(name);
                    // A directory on the way to another path may have come.
                    state.parents_changed |= !state.paths.contains_key(&path) && path.is_dir();
                    if state.paths.contains_key(&path) {
                        state.due.insert(path);
                    }
                }
                // Something about the directories themselves, or events were lost.
                _ => {
                    state.parents_changed = true;
                    state.due.extend(state.paths.keys().cloned());
                }
            }
        }
    }

    /// Watches the nearest existing ancestor of every path, so that a directory that is still missing is noticed
    /// when it is made.
    fn follow_directories(&mut self) {
        let state = &mut *self.shared.state.borrow_mut();
        if !std::mem::take(&mut state.parents_changed) {
            return;
        }
        let wanted: BTreeSet<PathBuf> = state
            .parents
            .keys()
            .filter_map(|parent| parent.ancestors().find(|a| a.is_dir()).map(Path::to_path_buf))
            .filter(|dir| !is_polled(dir))
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
            // Adding a watch twice gives the same descriptor, and a new one when the directory was made anew. What
            // came before the watch stood has had no event.
            if let Ok(watch) = inotify::add_watch(fd, &dir, flags)
                && self.directories.insert(dir.clone(), watch) != Some(watch)
            {
                state.due.extend(state.paths.keys().filter(|p| p.starts_with(&dir)).cloned());
            }
        }
    }

    fn look(&self) -> Vec<Change> {
        let state = &mut *self.shared.state.borrow_mut();
        let mut changes = Vec::new();
        for path in std::mem::take(&mut state.due) {
            let Some(last) = state.paths.get_mut(&path) else { continue };
            let identity = identify(&path);
            let seen = identity.map_or(Seen::Nothing, Seen::Namespace);
            if seen == Seen::Nothing {
                state.empty.insert(path.clone());
            } else {
                state.empty.remove(&path);
            }
            if *last != seen {
                *last = seen;
                changes.push(Change { path, identity });
            }
        }
        changes
    }
}

//! What the journal keeps, what it refuses to open, and what it says when the disk does not work.

mod bench;
mod damage;
mod disk;
mod kill;

use std::{
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc::{Receiver, channel},
    },
};

use petiole_config::EndpointRequest;
use redb::{Database, TableDefinition};

use super::*;
use crate::core::{NamespaceId, ipam::Assigned};

/// A directory of its own, which goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    /// In memory if possible: what is flushed must survive kill -9 here, not a power cut, and a busy disk would make
    /// the tests slow.
    fn new() -> Self {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { Self::below(memory) } else { Self::on_disk() }
    }

    /// On a disk.
    fn on_disk() -> Self {
        Self::below(&std::env::temp_dir())
    }

    fn below(parent: &Path) -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let n = LAST.fetch_add(1, Ordering::Relaxed);
        Self(parent.join(format!("petiole-journal-{}-{n}", std::process::id())))
    }

    fn file(&self) -> PathBuf {
        self.0.join("journal.redb")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A journal, and what it reports.
struct Opened {
    journal: Journal,
    contents: Contents,
    persisted: Receiver<Persisted>,
}

fn open(dir: &Path) -> Result<Opened, OpenError> {
    let (report, persisted) = channel();
    let (journal, contents) = Journal::open(dir, move |p| drop(report.send(p)))?;
    Ok(Opened { journal, contents, persisted })
}

fn id(text: &str) -> ScopedName {
    text.parse().unwrap()
}

fn record(name: &str, created: u64) -> Record {
    let id = id(name);
    Record {
        request: EndpointRequest {
            name: id.name.to_string(),
            tenant: (!id.is_default()).then(|| id.tenant.to_string()),
            network: Some("public".into()),
            netns: format!("/run/netns/{}", id.name),
            publish: vec!["9099:80/tcp".into()],
            ..EndpointRequest::default()
        },
        id,
        assigned: Assigned { v4: Some([192, 168, 1, 3].into()), v6: Some("2001:db8::3".parse().unwrap()) },
        namespace: NamespaceId { device: 4, inode: u64::MAX - 5 },
        boot: "b".into(),
        created,
    }
}

fn put(name: &str, created: u64) -> Write {
    Write::PutEndpoint(Box::new(record(name, created)))
}

fn release(address: &str, at: u64) -> Release {
    Release { network: id("blue/n"), address: address.parse().unwrap(), at }
}

#[test]
fn what_was_committed_is_there_after_the_next_start() {
    let scratch = Scratch::new();
    let opened = open(&scratch.0).unwrap();
    assert_eq!(opened.contents, Contents::default());
    opened.journal.commit(1, vec![put("web", 5), put("blue/web", 6), put("gone", 7)]);
    opened.journal.commit(2, vec![put("web", 8), Write::RemoveEndpoint(id("gone"))]);
    let releases = ["10.0.0.1", "10.0.0.2", "2001:db8::1"].map(|a| Write::PutRelease(release(a, u64::MAX)));
    opened.journal.commit(3, releases.into());
    let (network, address) = (id("blue/n"), "10.0.0.2".parse().unwrap());
    opened.journal.commit(4, vec![Write::RemoveRelease { network, address }]);
    for seq in 1..=4 {
        assert_eq!(opened.persisted.recv(), Ok(Persisted { seq, result: Ok(()) }));
    }
    drop(opened);
    let contents = open(&scratch.0).unwrap().contents;
    assert_eq!(contents.endpoints, [record("blue/web", 6), record("web", 8)]);
    assert_eq!(contents.releases, [release("10.0.0.1", u64::MAX), release("2001:db8::1", u64::MAX)]);
}

#[test]
fn what_is_not_there_can_be_removed_and_an_empty_commit_is_answered() {
    let scratch = Scratch::new();
    let opened = open(&scratch.0).unwrap();
    let (network, address) = (id("n"), "10.0.0.2".parse().unwrap());
    opened.journal.commit(1, vec![Write::RemoveEndpoint(id("x")), Write::RemoveRelease { network, address }]);
    opened.journal.commit(2, Vec::new());
    assert_eq!(opened.persisted.recv(), Ok(Persisted { seq: 1, result: Ok(()) }));
    assert_eq!(opened.persisted.recv(), Ok(Persisted { seq: 2, result: Ok(()) }));
}

#[test]
fn what_was_handed_in_before_the_journal_is_dropped_is_written() {
    let scratch = Scratch::new();
    let Opened { journal, persisted, .. } = open(&scratch.0).unwrap();
    for seq in 0..100 {
        journal.commit(seq, vec![put(&format!("e{seq}"), seq)]);
    }
    drop(journal);
    let told: Vec<u64> = persisted.iter().map(|p| p.seq).collect();
    assert_eq!(told, (0..100).collect::<Vec<_>>(), "each once, in order");
    assert_eq!(open(&scratch.0).unwrap().contents.endpoints.len(), 100);
}

#[test]
fn nobody_else_reads_what_is_made() {
    let scratch = Scratch::new();
    let nested = scratch.0.join("a/b");
    let _opened = open(&nested).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&nested), 0o700);
    assert_eq!(mode(&nested.join("journal.redb")), 0o600);
}

#[test]
fn a_directory_belongs_to_one_daemon_at_a_time() {
    let scratch = Scratch::new();
    let first = open(&scratch.0).unwrap();
    let refused = open(&scratch.0).map(drop).unwrap_err();
    let text = format!("the state directory {} is in use by another petiole daemon", scratch.0.display());
    assert_eq!(refused.to_string(), text);
    drop(first);
    open(&scratch.0).unwrap();
}

#[test]
fn a_directory_that_cannot_be_one_is_refused_by_name() {
    let scratch = Scratch::new();
    std::fs::create_dir(&scratch.0).unwrap();
    let file = scratch.0.join("file");
    std::fs::write(&file, "").unwrap();
    let refused = open(&file.join("state")).map(drop).unwrap_err();
    assert!(
        matches!(&refused, OpenError::Directory { path, .. } if *path == file.join("state")),
        "{refused}"
    );
}

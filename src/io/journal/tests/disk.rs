//! A disk that refuses to write, and then works again.

use std::{
    io::{Error, ErrorKind},
    ops::Bound,
    sync::atomic::AtomicU64,
};

use redb::{BackendError, Builder, DatabaseError, StorageBackend, backends::FileBackend};

use super::*;

/// How many more operations the disk takes before it is full. One test uses it.
static LEFT: AtomicU64 = AtomicU64::new(u64::MAX);

#[derive(Debug)]
struct Disk(FileBackend);

fn room() -> Result<(), Error> {
    let left = LEFT.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    left.map(drop).map_err(|_| ErrorKind::StorageFull.into())
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, Error> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        room()?;
        self.0.set_len(len)
    }

    fn sync_data(&self) -> Result<(), Error> {
        room()?;
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        room()?;
        self.0.write(offset, data)
    }

    fn close(&self) -> Result<(), Error> {
        self.0.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_range(start, end)
    }
}

fn on_disk(path: &Path) -> Result<Database, DatabaseError> {
    let file = File::options().read(true).write(true).open(path)?;
    Builder::new().create_with_backend(Disk(FileBackend::new(file)?))
}

/// Runs `commits` on a disk that takes `operations` more, if that many are given; what is reported of each.
fn run(dir: &Path, commits: &[(u64, Vec<Write>, Option<u64>)]) -> Vec<Result<(), String>> {
    let directory = lock(dir).unwrap();
    let (store, _) = Store::open_with(dir, &directory.0, on_disk).unwrap();
    let (report, persisted) = channel();
    let journal = Journal::start(directory, store, move |p| drop(report.send(p))).unwrap();
    let commit = |(seq, writes, operations): &(u64, Vec<Write>, Option<u64>)| {
        LEFT.store(operations.unwrap_or(u64::MAX), Ordering::SeqCst);
        journal.commit(*seq, writes.clone());
        let told = persisted.recv().unwrap();
        assert_eq!(told.seq, *seq);
        told.result
    };
    commits.iter().map(commit).collect()
}

#[test]
fn a_disk_that_fails_at_any_operation_is_told_and_when_there_is_room_again_writing_goes_on() {
    let scratch = Scratch::new();
    drop(open(&scratch.0).unwrap());
    let mut there = Vec::new();
    let mut failed = 0;
    for n in 0..40 {
        let (before, during, after) = (format!("before{n}"), format!("during{n}"), format!("zafter{n}"));
        let told = run(
            &scratch.0,
            &[
                (1, vec![put(&before, 1)], None),
                (2, vec![put(&during, 2), Write::RemoveEndpoint(id(&before))], Some(n)),
                (3, vec![put("full", 3)], Some(0)),
                (4, vec![put(&after, 4), Write::RemoveEndpoint(id("full"))], None),
            ],
        );
        assert!(told[0].is_ok() && told[3].is_ok(), "{n}: {told:?}");
        let error = told[2].as_ref().unwrap_err();
        assert!(error.contains("no storage space"), "{n}: {error}");
        failed += usize::from(told[1].is_err());
        let contents = open(&scratch.0).unwrap().contents.endpoints;
        let now = |name: &str| contents.iter().any(|r| r.id == id(name));
        // All of what failed is there, or none of it; what was acknowledged is there in any case.
        assert_eq!(now(&before), !now(&during), "{n}");
        assert!(now(&during) || told[1].is_err(), "{n}");
        assert!(!now("full") && now(&after), "{n}");
        there.push(after);
        assert!(there.iter().all(|name| now(name)), "{n}: what was written earlier");
    }
    assert!(failed > 3 && failed < 40, "{failed} of 40 failed: the range covers a whole commit");
}

//! A disk that refuses to write, and then works again.

use std::{
    io::{Error, ErrorKind},
    ops::Bound,
    sync::atomic::AtomicBool,
};

use redb::{BackendError, Builder, DatabaseError, StorageBackend, backends::FileBackend};

use super::*;

/// Whether the disk is full now. One test uses it.
static FULL: AtomicBool = AtomicBool::new(false);

#[derive(Debug)]
struct Disk(FileBackend);

fn room() -> Result<(), Error> {
    if FULL.load(Ordering::SeqCst) { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
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

#[test]
fn a_full_disk_is_told_and_when_there_is_room_again_writing_goes_on() {
    let scratch = Scratch::new();
    let directory = lock(&scratch.0).unwrap();
    let (store, _) = Store::open_with(&scratch.0, &directory, on_disk).unwrap();
    let (report, persisted) = channel();
    let journal = Journal::start(directory, store, move |p| drop(report.send(p))).unwrap();
    let commit = |seq, writes| {
        journal.commit(seq, writes);
        let told = persisted.recv().unwrap();
        assert_eq!(told.seq, seq);
        told.result
    };
    commit(1, vec![put("before", 1)]).unwrap();
    FULL.store(true, Ordering::SeqCst);
    for seq in [2, 3] {
        let error = commit(seq, vec![put("during", seq)]).unwrap_err();
        assert!(error.contains("no storage space"), "{error}");
    }
    FULL.store(false, Ordering::SeqCst);
    commit(4, vec![put("after", 4), Write::RemoveEndpoint(id("during"))]).unwrap();
    drop(journal);
    let contents = open(&scratch.0).unwrap().contents;
    assert_eq!(contents.endpoints, [record("after", 4), record("before", 1)]);
}

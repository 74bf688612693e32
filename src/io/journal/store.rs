//! The file: tables, format, transactions. The only module that knows redb.

use std::{
    fmt::Display,
    fs::{File, OpenOptions},
    io,
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use petiole_config::model::ScopedName;
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition,
    TableError, backends::FileBackend,
};

use super::{Contents, OpenError, Record, Write, distrust::Distrusted};
use crate::core::ipam::Release;

/// The format that this version writes. A change that an older version would misread raises it.
pub(super) const FORMAT: u64 = 1;

const FILE: &str = "journal.redb";

/// A file that is not complete yet. A crash may leave it; the next start overwrites it.
const NEW_FILE: &str = "journal.redb.new";

/// `format`.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Scoped name → JSON.
const ENDPOINTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("endpoints");
/// Network and address → when it was given back, unix seconds.
const RELEASES: TableDefinition<'_, (&str, &str), u64> = TableDefinition::new("releases");

/// Pages kept in memory: the working set of a few thousand endpoints. The rest is in the kernel's cache.
const CACHE: usize = 1 << 20;

/// How a database file is opened; tests put a failing disk under it.
pub(super) type Opener = fn(&Path) -> Result<Database, DatabaseError>;

/// The store, open or waiting to be opened again.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    opener: Opener,
    /// `None` after a failure: redb refuses to work on once the disk has refused something.
    database: Option<Database>,
}

impl Store {
    /// Opens the file in the directory, or makes it, and reads all of it.
    pub(super) fn open(dir: &Path, directory: &File) -> Result<(Self, Contents), OpenError> {
        Self::open_with(dir, directory, open_file)
    }

    pub(super) fn open_with(
        dir: &Path,
        directory: &File,
        opener: Opener,
    ) -> Result<(Self, Contents), OpenError> {
        let path = dir.join(FILE);
        let failed = |e: redb::Error| open_error(&path, e);
        if !path.try_exists().map_err(|error| OpenError::Io { path: path.clone(), error })? {
            create(dir, directory).map_err(failed)?;
        }
        let database = opener(&path).map_err(|e| failed(e.into()))?;
        let contents = match read(&database).map_err(failed)? {
            Ok(contents) => contents,
            Err(Unreadable::Newer(found)) => return Err(OpenError::Newer { path, found }),
            Err(Unreadable::Damaged(why)) => return Err(OpenError::Damaged { path, why }),
        };
        Ok((Self { path, opener, database: Some(database) }, contents))
    }

    /// Where the file is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes all of it in one durable transaction.
    pub(super) fn commit<'a>(&mut self, writes: impl Iterator<Item = &'a Write>) -> Result<(), String> {
        let database = match self.database.take() {
            Some(database) => database,
            None => (self.opener)(&self.path).map_err(|e| e.to_string())?,
        };
        transact(&database, writes)?;
        self.database = Some(database);
        Ok(())
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE);
    builder
}

fn open_file(path: &Path) -> Result<Database, DatabaseError> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    if file.metadata()?.len() == 0 {
        // An empty file is one to redb that is to be made.
        return Err(DatabaseError::Storage(StorageError::Corrupted("it is empty".into())));
    }
    builder().create_with_backend(Distrusted(FileBackend::new(file)?))
}

/// Makes an empty store under another name and gives it its name when it is durable: a crash half-way leaves no file
/// that looks damaged.
fn create(dir: &Path, directory: &File) -> Result<(), redb::Error> {
    let path = dir.join(NEW_FILE);
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    let database = builder().create_file(file)?;
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert("format", FORMAT)?;
    transaction.open_table(ENDPOINTS)?;
    transaction.open_table(RELEASES)?;
    transaction.commit()?;
    drop(database);
    std::fs::rename(&path, dir.join(FILE))?;
    directory.sync_all()?;
    Ok(())
}

/// What a sound database holds that this version cannot take.
enum Unreadable {
    Newer(u64),
    Damaged(String),
}

fn read(database: &Database) -> Result<Result<Contents, Unreadable>, redb::Error> {
    let transaction = database.begin_read()?;
    let damaged = |why: String| Ok(Err(Unreadable::Damaged(why)));
    let format = match transaction.open_table(META) {
        Ok(meta) => meta.get("format")?.map(|format| format.value()),
        Err(TableError::TableDoesNotExist(_)) => None,
        Err(error) => return Err(error.into()),
    };
    match format {
        Some(FORMAT) => {}
        Some(newer) if newer > FORMAT => return Ok(Err(Unreadable::Newer(newer))),
        _ => return damaged("it is not petiole's".into()),
    }
    let mut contents = Contents::default();
    for entry in transaction.open_table(ENDPOINTS)?.iter()? {
        let (key, text) = entry?;
        match Record::decode(key.value(), text.value()) {
            Ok(record) => contents.endpoints.push(record),
            Err(why) => return damaged(why),
        }
    }
    for entry in transaction.open_table(RELEASES)?.iter()? {
        let (key, at) = entry?;
        let (network, address) = key.value();
        match (network.parse(), address.parse()) {
            (Ok(network), Ok(address)) => {
                contents.releases.push(Release { network, address, at: at.value() });
            }
            _ => return damaged(format!("release of {address:?} in network {network:?}")),
        }
    }
    Ok(Ok(contents))
}

fn transact<'a>(database: &Database, writes: impl Iterator<Item = &'a Write>) -> Result<(), String> {
    fn words(error: impl Display) -> String {
        error.to_string()
    }
    let transaction = database.begin_write().map_err(words)?;
    {
        let mut endpoints = transaction.open_table(ENDPOINTS).map_err(words)?;
        let mut releases = transaction.open_table(RELEASES).map_err(words)?;
        for write in writes {
            match write {
                Write::PutEndpoint(record) => {
                    let text = record.encode()?;
                    endpoints.insert(record.id.to_string().as_str(), text.as_slice()).map_err(words)?;
                }
                Write::RemoveEndpoint(id) => {
                    endpoints.remove(id.to_string().as_str()).map_err(words)?;
                }
                Write::PutRelease(Release { network, address, at }) => {
                    let (network, address) = key(network, address);
                    releases.insert((network.as_str(), address.as_str()), at).map_err(words)?;
                }
                Write::RemoveRelease { network, address } => {
                    let (network, address) = key(network, address);
                    releases.remove((network.as_str(), address.as_str())).map_err(words)?;
                }
            }
        }
    }
    // Durability is redb's default: the commit returns after fdatasync.
    transaction.commit().map_err(words)
}

fn key(network: &ScopedName, address: &IpAddr) -> (String, String) {
    (network.to_string(), address.to_string())
}

fn open_error(path: &Path, error: redb::Error) -> OpenError {
    let path = path.to_path_buf();
    match error {
        redb::Error::DatabaseAlreadyOpen => OpenError::Locked { path },
        // What is no database at all, and one that is cut short, are an I/O error to redb.
        redb::Error::Io(error)
            if !matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
        {
            OpenError::Io { path, error }
        }
        error => OpenError::Damaged { path, why: error.to_string() },
    }
}

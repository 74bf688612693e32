//! Files that are not what they should be: each is refused by name with what to do, none brings the daemon down.

use redb::backends::FileBackend;

use super::*;

/// A journal with something in it, closed.
fn filled() -> Scratch {
    let scratch = Scratch::new();
    let opened = open(&scratch.0).unwrap();
    for n in 0..200 {
        opened.journal.commit(n, vec![put(&format!("e{n}"), n), Write::PutRelease(release("10.0.0.1", n))]);
    }
    scratch
}

/// Why it is not opened.
fn refusal(scratch: &Scratch) -> OpenError {
    open(&scratch.0).map(drop).unwrap_err()
}

fn assert_damaged(scratch: &Scratch, why: &str) {
    let refused = refusal(scratch);
    assert!(matches!(&refused, OpenError::Damaged { path, .. } if *path == scratch.file()), "{refused}");
    let text = refused.to_string();
    assert!(text.contains(why) && text.contains("move it away"), "{text}");
}

/// Writes to the file past the journal.
fn edit(scratch: &Scratch, write: impl FnOnce(&redb::WriteTransaction)) {
    let database = Database::open(scratch.file()).unwrap();
    let transaction = database.begin_write().unwrap();
    write(&transaction);
    transaction.commit().unwrap();
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_left_alone() {
    let scratch = filled();
    let meta: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
    edit(&scratch, |t| drop(t.open_table(meta).unwrap().insert("format", 2).unwrap()));
    for _ in 0..2 {
        let text = refusal(&scratch).to_string();
        assert!(text.contains("was written by a newer petiole (format 2, this one knows 1)"), "{text}");
    }
}

#[test]
fn what_is_no_database_is_refused() {
    for content in ["", "x", &"This is not a database. ".repeat(5000)] {
        let scratch = Scratch::new();
        std::fs::create_dir(&scratch.0).unwrap();
        std::fs::write(scratch.file(), content).unwrap();
        assert_damaged(&scratch, "journal.redb is damaged (");
        assert_eq!(std::fs::read_to_string(scratch.file()).unwrap(), content, "left alone");
    }
}

#[test]
fn a_database_of_somebody_else_is_refused() {
    let scratch = Scratch::new();
    std::fs::create_dir(&scratch.0).unwrap();
    drop(Database::create(scratch.file()).unwrap());
    assert_damaged(&scratch, "it is not petiole's");
}

#[test]
fn a_table_of_another_type_is_damage() {
    let scratch = filled();
    let releases: TableDefinition<'_, (&str, &str), u64> = TableDefinition::new("releases");
    edit(&scratch, |t| {
        t.delete_table(releases).unwrap();
        t.open_table(TableDefinition::<'_, u8, u8>::new("releases")).unwrap();
    });
    assert_damaged(&scratch, "releases");
}

#[test]
fn a_record_that_cannot_be_read_is_damage_and_is_named() {
    let table: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("endpoints");
    let good = String::from_utf8(record("web", 1).encode().unwrap()).unwrap();
    for (key, text, why) in [
        ("web", "{", "endpoint web: EOF"),
        ("web", &good.replace("\"created\":1", "\"created\":-1"), "endpoint web: invalid value"),
        ("other", &good, "endpoint other: its record is that of web"),
        ("a/b/c", &good.replace("\"id\":\"web\"", "\"id\":\"a/b/c\""), "endpoint a/b/c: `/` cannot"),
    ] {
        let scratch = filled();
        edit(&scratch, |t| drop(t.open_table(table).unwrap().insert(key, text.as_bytes()).unwrap()));
        assert_damaged(&scratch, why);
    }
}

#[test]
fn a_file_that_is_cut_short_anywhere_is_refused_or_whole() {
    let scratch = filled();
    let whole = std::fs::read(scratch.file()).unwrap();
    for part in 0..24 {
        std::fs::write(scratch.file(), &whole[..whole.len() * part / 24]).unwrap();
        assert_damaged(&scratch, "");
    }
}

/// A file that a crash left the half-made next one beside: the half-made one is nothing.
#[test]
fn a_store_that_was_being_made_in_a_crash_is_made_anew() {
    let scratch = Scratch::new();
    std::fs::create_dir(&scratch.0).unwrap();
    std::fs::write(scratch.0.join("journal.redb.new"), "half").unwrap();
    let opened = open(&scratch.0).unwrap();
    assert_eq!(opened.contents, Contents::default());
    assert!(!scratch.0.join("journal.redb.new").exists());
}

/// What redb would believe of a file that was closed cleanly, had it not been told otherwise: this test fails when a
/// later version of it keeps its flags elsewhere.
#[test]
fn a_file_that_was_closed_cleanly_is_checked_like_one_that_was_not() {
    static CHECKED: AtomicU32 = AtomicU32::new(0);
    let scratch = filled();
    let check = |file: FileBackend, distrust: bool| {
        let mut builder = redb::Builder::new();
        builder.set_repair_callback(|_| {
            CHECKED.fetch_add(1, Ordering::Relaxed);
        });
        CHECKED.store(0, Ordering::Relaxed);
        if distrust {
            builder.create_with_backend(distrust::Distrusted(file)).unwrap();
        } else {
            builder.create_with_backend(file).unwrap();
        }
        CHECKED.load(Ordering::Relaxed)
    };
    for distrust in [false, true] {
        let file = File::options().read(true).write(true).open(scratch.file()).unwrap();
        let times = check(FileBackend::new(file).unwrap(), distrust);
        assert_eq!(times > 0, distrust);
    }
}

/// Bytes of the file changed at random places: what is opened was not hit, everything else is an error. A panic
/// would end the daemon, so there must be none.
#[test]
fn a_file_with_changed_bytes_gives_what_was_written_or_an_error_and_never_a_panic() {
    let scratch = filled();
    let contents = open(&scratch.0).unwrap().contents;
    let whole = std::fs::read(scratch.file()).unwrap();
    let seed = std::env::var("PETIOLE_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1_u64);
    let rounds = std::env::var("PETIOLE_ROUNDS").ok().and_then(|s| s.parse().ok()).unwrap_or(150);
    let mut random = Random(seed);
    let mut refused = 0;
    for round in 0..rounds {
        let mut bytes = whole.clone();
        // The first pages hold the header and the roots; hits there matter most.
        let span = if round % 2 == 0 { bytes.len() as u64 } else { 512 };
        for _ in 0..=random.below(4) {
            let at = random.below(span) as usize;
            bytes[at] ^= 1 << random.below(8);
        }
        std::fs::write(scratch.file(), &bytes).unwrap();
        match open(&scratch.0) {
            Ok(opened) => {
                // A hit on the newer of redb's two roots shows the older one: less, but consistent.
                assert!(opened.contents.endpoints.len() <= contents.endpoints.len(), "round {round}");
                opened.journal.commit(1, vec![put("more", 1)]);
                opened.persisted.recv().unwrap();
            }
            Err(OpenError::Damaged { .. } | OpenError::Newer { .. }) => refused += 1,
            Err(other) => panic!("seed {seed}, round {round}: {other}"),
        }
    }
    assert!(refused > 0);
}

/// xorshift64 (Marsaglia 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

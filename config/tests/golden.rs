//! Each file in `bad/` is refused with exactly the text beside it.
//!
//! `PETIOLE_BLESS=1 cargo test -p petiole-config --test golden` writes the texts anew; read the difference.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use std::{fs, path::Path};

use petiole_config::parse_bytes;

#[test]
fn bad_files_are_refused_in_exactly_these_words() {
    let bless = std::env::var_os("PETIOLE_BLESS").is_some();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let mut different = Vec::new();
    let mut seen = 0;
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        seen += 1;
        let name = path.file_name().unwrap().to_str().unwrap();
        let bytes = fs::read(&path).unwrap();
        let rendered = match parse_bytes(name, &bytes, &common::Keys) {
            Err(diagnostics) => {
                assert!(diagnostics.errors() > 0, "{name} is refused without an error");
                diagnostics.render(false)
            }
            // Files that are only warned of begin with their mark.
            Ok(loaded) => {
                assert!(name.starts_with("warning-"), "{name} is taken");
                loaded.warnings.render(false)
            }
        };
        let text = path.with_extension("txt");
        if bless {
            fs::write(&text, &rendered).unwrap();
        } else if fs::read_to_string(&text).unwrap_or_default() != rendered {
            different.push(format!("---- {name}\n{rendered}"));
        }
    }
    assert!(seen > 10, "the files are not where they were");
    assert!(different.is_empty(), "{}\nPETIOLE_BLESS=1 if that is right", different.join("\n"));
}

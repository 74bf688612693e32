//! Bytes to TOML: what is wrong before a key can be read.

use toml::{Spanned, de::DeTable};

use crate::{
    Diagnostics, MAX_FILE,
    diagnostic::{Diagnostic, Kind, Severity},
    found::Found,
};

/// Sections that stand any number of times.
const LISTS: [&str; 5] = ["uplink", "neighbor", "route-policy", "network", "endpoint"];

/// The table of the file; `None` after reporting that it is no TOML. What a damaged file seems to say is not looked at:
/// half of it would be complaints about what the damage hides.
pub(crate) fn table<'i>(text: &'i str, found: &mut Found<'_>) -> Option<Spanned<DeTable<'i>>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut seen = std::collections::HashSet::new();
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        // The parser may come by the same place twice.
        if !seen.insert((span.start, span.end, error.message().to_owned())) {
            continue;
        }
        let written = found.written(&span);
        let diagnostic = found.error(Kind::Syntax, &span, error.message());
        if LISTS.contains(&written) && error.message().starts_with("duplicate key") {
            diagnostic.help(format!("there may be several, each written `[[{written}]]`"));
        }
    }
    errors.is_empty().then_some(table)
}

/// The report on a file that is not UTF-8.
pub(crate) fn not_utf8(name: &str, bytes: &[u8], error: std::str::Utf8Error) -> Diagnostics {
    let good = error.valid_up_to();
    let shown = bytes.get(..MAX_FILE.min(bytes.len())).unwrap_or_default();
    let text = String::from_utf8_lossy(shown);
    // Up to the first bad byte the lossy text has the same bytes; there it has a replacement character.
    let end = text.get(good..).and_then(|rest| rest.chars().next()).map_or(good, |c| good + c.len_utf8());
    let byte = bytes.get(good).copied().unwrap_or_default();
    let mut diagnostic = Diagnostic::new(
        Severity::Error,
        Kind::File,
        good..end,
        format!("the file is not UTF-8: byte 0x{byte:02x} at offset {good}"),
    );
    diagnostic.help("TOML is written in UTF-8: iconv -f LATIN1 -t UTF-8 converts an old file");
    Diagnostics::new(name, &text, vec![diagnostic])
}

/// The report on a file that is too large to be a configuration.
pub(crate) fn too_large(name: &str) -> Diagnostics {
    let message = format!("the file is larger than {} MiB", MAX_FILE / 1024 / 1024);
    Diagnostics::new(name, "", vec![Diagnostic::new(Severity::Error, Kind::File, 0..0, message)])
}

//! Bytes to TOML: what is wrong before a key can be read.

use std::collections::HashSet;

use toml::{Spanned, de::DeTable};

use crate::{
    Diagnostics, MAX_FILE,
    diagnostic::{Diagnostic, Kind, Severity},
    found::{Found, Span},
};

/// Sections that stand any number of times.
const LISTS: [&str; 9] =
    ["uplink", "neighbor", "route-policy", "tenant", "network", "group", "policy", "profile", "endpoint"];

/// The table of the file; `None` after reporting that it is no TOML. What a damaged file seems to say is not looked at:
/// half of it would be complaints about what the damage hides.
pub(crate) fn table<'i>(text: &'i str, found: &mut Found<'_>) -> Option<Spanned<DeTable<'i>>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut seen = HashSet::new();
    let mut doubled_section = None;
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        // The parser may come by the same place twice.
        if !seen.insert((span.start, span.end, error.message())) {
            continue;
        }
        let (message, expected) = match error.message().split_once(", expected ") {
            Some((message, "nothing")) => (message, ""),
            Some(parts) => parts,
            None => (error.message(), ""),
        };
        if message == "duplicate key" {
            duplicate(text, &span, &mut doubled_section, found);
        } else {
            let diagnostic = found.error(Kind::Syntax, &span, message);
            if let Some(value) = bare_value(text, &span).filter(|_| is_about_quotes(message)) {
                diagnostic.help(match value.to_ascii_lowercase().as_str() {
                    word @ ("true" | "false") => format!("write `{word}`"),
                    _ => format!("text stands in quotes: \"{value}\""),
                });
            } else if !expected.is_empty() {
                diagnostic.label(format!("expected {expected}"));
            }
        }
    }
    errors.is_empty().then_some(table)
}

/// Whether the parser stumbled over a value that was probably meant as text.
fn is_about_quotes(message: &str) -> bool {
    [
        "string values must be quoted",
        "invalid float",
        "invalid integer",
        "invalid boolean",
        "invalid datetime",
    ]
    .iter()
    .any(|start| message.starts_with(start))
}

/// The value without quotes that the place is in.
fn bare_value<'a>(text: &'a str, span: &Span) -> Option<&'a str> {
    let edge =
        |c: char| c.is_whitespace() || matches!(c, '=' | ',' | '[' | ']' | '{' | '}' | '#' | '"' | '\'');
    let before = text.get(..span.start)?;
    let start = before.rfind(edge).map_or(0, |at| at + before.get(at..).map_or(1, first_len));
    let value = text.get(start..)?;
    let value = value.get(..value.find(edge).unwrap_or(value.len()))?;
    (!value.is_empty()).then_some(value)
}

fn first_len(text: &str) -> usize {
    text.chars().next().map_or(1, char::len_utf8)
}

/// Reports a key or section that is there twice. What stands in a section's second copy is not reported again:
/// `doubled_section` is where the last one begins.
fn duplicate(text: &str, span: &Span, doubled_section: &mut Option<usize>, found: &mut Found<'_>) {
    let key = found.written(span);
    let Some(before) = text.get(..span.start) else { return };
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let is_header = before.get(line_start..).is_some_and(|start| start.trim_start().starts_with('['));
    if is_header {
        *doubled_section = Some(span.end);
    } else if let Some(section) = *doubled_section
        && before.get(section..).is_some_and(|between| !between.contains("\n["))
    {
        return;
    }
    let first = first_definition(before.get(..line_start).unwrap_or_default(), key, is_header);
    let message = if is_header { format!("section `{key}` twice") } else { format!("key `{key}` twice") };
    let diagnostic = found.error(Kind::Syntax, span, message);
    diagnostic.label("second time");
    if let Some(first) = first {
        diagnostic.also(first, "first defined here");
    }
    if LISTS.contains(&key) {
        diagnostic.help(format!("there may be several, each written `[[{key}]]`"));
    }
}

/// The last line of `before` that defines the key or the section; of a key, only in the same section.
fn first_definition(before: &str, key: &str, is_header: bool) -> Option<Span> {
    let mut end = before.len();
    for line in before.split_inclusive('\n').rev() {
        end -= line.len();
        let content = line.trim_start();
        let name = if is_header { content.strip_prefix('[').map(str::trim_start) } else { Some(content) };
        if let Some(rest) = name.and_then(|name| name.strip_prefix(key))
            && rest.trim_start().starts_with(if is_header { ']' } else { '=' })
        {
            let start = end + (line.len() - rest.len() - key.len());
            return Some(start..start + key.len());
        }
        if !is_header && content.starts_with('[') {
            return None;
        }
    }
    None
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

#[cfg(test)]
mod tests {
    use super::*;

    fn first<'a>(before: &'a str, key: &str, is_header: bool) -> Option<&'a str> {
        let span = first_definition(before, key, is_header)?;
        assert_eq!(before.get(span.clone()), Some(key));
        before.get(span.start..)
    }

    #[test]
    fn a_key_is_looked_for_in_its_own_section() {
        assert_eq!(first("[a]\nx = 1\ny = 2\n", "x", false), Some("x = 1\ny = 2\n"));
        assert_eq!(first("[a]\nxx = 1\n  x=2\n", "x", false), Some("x=2\n"));
        assert_eq!(first("x = 1\n[a]\n\"x\" = 2\n", "x", false), None);
    }

    #[test]
    fn a_section_is_looked_for_in_the_whole_file() {
        assert_eq!(first("[ a ]\n[b]\n", "a", true), Some("a ]\n[b]\n"));
        assert_eq!(first("[aa]\n", "a", true), None);
    }

    #[test]
    fn a_bare_value_ends_where_toml_goes_on() {
        let at = |text: &'static str, inside: &str| {
            let start = text.find(inside).unwrap_or_default();
            bare_value(text, &(start..start + inside.len()))
        };
        assert_eq!(at("a = 10.0.0.1/8 # x", ".0.1"), Some("10.0.0.1/8"));
        assert_eq!(at("a = [eth1, eth2]", "eth2"), Some("eth2"));
        assert_eq!(bare_value("a = ", &(4..4)), None);
        assert_eq!(bare_value("ä", &(1..1)), None);
    }
}

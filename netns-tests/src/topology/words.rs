//! Splits a command line into words as containerlab does for `exec`: quotes and backslashes, no shell behind it.

/// A quote or backslash with nothing after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// A quote that is not closed.
    #[error("a quote ({0}) is not closed")]
    Quote(char),
    /// A backslash at the end.
    #[error("a backslash ends the line")]
    Backslash,
    /// No words.
    #[error("the command is empty")]
    Empty,
}

/// Splits `line` into words: white space separates, `'…'` is literal, `"…"` and a backslash work as in a shell.
/// Nothing is expanded; for pipes and variables write `sh -c '…'`.
pub fn split(line: &str) -> Result<Vec<String>, SplitError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or(SplitError::Quote('\''))? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or(SplitError::Quote('"'))? {
                        '"' => break,
                        '\\' => match chars.next().ok_or(SplitError::Quote('"'))? {
                            c @ ('"' | '\\' | '$' | '`') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next().ok_or(SplitError::Backslash)?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if words.is_empty() { Err(SplitError::Empty) } else { Ok(words) }
}

//! What is wrong with a file, and where.
//!
//! Knows text, positions and how to show them; does not know what any key means.

use std::{fmt, ops::Range, sync::Arc};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is taken, but is probably not what was meant.
    Warning,
}

/// What sort of mistake it is: stable words for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The file is no TOML.
    Syntax,
    /// The file is not UTF-8, or far too long.
    File,
    /// A key that does not exist.
    UnknownKey,
    /// A key, section or value of a later version.
    Unsupported,
    /// A key that has to be there is not.
    MissingKey,
    /// A string where a number belongs, and the like.
    WrongType,
    /// The right type, but not a value that the key takes.
    BadValue,
    /// The same name, address or interface twice.
    Duplicate,
    /// A name that nothing in the file bears.
    UnknownName,
    /// Two settings that exclude each other.
    Conflict,
    /// Subnets that overlap.
    Overlap,
    /// An address outside the subnet or pool that it belongs to.
    Outside,
    /// A file that the configuration names cannot be used.
    KeyFile,
    /// Allowed, but without effect or probably not meant. Only warnings.
    Suspicious,
}

/// A place in the file, with what there is to say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Bytes of the text.
    pub span: Range<usize>,
    /// May be empty.
    pub text: String,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What sort of mistake it is.
    pub kind: Kind,
    /// One line, without the position.
    pub message: String,
    /// Where it is.
    pub primary: Label,
    /// Other places that matter ("first defined here").
    pub secondary: Vec<Label>,
    /// Why it is a mistake.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Vec<String>,
}

/// The mistakes of one file in the order of their places, together with its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    name: Arc<str>,
    text: Arc<str>,
    items: Vec<Diagnostic>,
}

impl Diagnostics {
    /// No mistakes yet.
    pub fn new(name: &str, text: &str) -> Self {
        Self { name: name.into(), text: text.into(), items: Vec::new() }
    }

    /// For people: the way that rustc shows errors. `color`: with ANSI escapes.
    pub fn render(&self, color: bool) -> String {
        let _ = color;
        String::new()
    }

    /// For programs.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

//! What is wrong with a file, and where.
//!
//! Knows text, positions and how to show them; does not know what any key means.

mod json;
mod position;
mod render;

use std::{fmt, ops::Range, sync::Arc};

pub use json::VERSION;

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
    /// The file cannot be read, is not UTF-8, or far too long.
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

impl Kind {
    /// The word for it: in brackets after `error`, and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::File => "file",
            Self::UnknownKey => "unknown-key",
            Self::Unsupported => "unsupported",
            Self::MissingKey => "missing-key",
            Self::WrongType => "wrong-type",
            Self::BadValue => "bad-value",
            Self::Duplicate => "duplicate",
            Self::UnknownName => "unknown-name",
            Self::Conflict => "conflict",
            Self::Overlap => "overlap",
            Self::Outside => "outside",
            Self::KeyFile => "key-file",
            Self::Suspicious => "suspicious",
        }
    }
}

impl Diagnostic {
    /// An error, with nothing said but this.
    pub(crate) fn new(severity: Severity, kind: Kind, span: Range<usize>, message: String) -> Self {
        Self {
            severity,
            kind,
            message,
            primary: Label { span, text: String::new() },
            secondary: Vec::new(),
            notes: Vec::new(),
            help: Vec::new(),
        }
    }

    /// All of it in one line, for where there is no text to point into.
    pub(crate) fn to_line(&self) -> String {
        let mut line = self.message.clone();
        if !self.primary.text.is_empty() {
            line = format!("{line} ({})", self.primary.text);
        }
        for more in self.notes.iter().chain(&self.help) {
            line = format!("{line}; {more}");
        }
        line
    }

    /// What to write at the place itself.
    pub(crate) fn label(&mut self, text: impl Into<String>) -> &mut Self {
        self.primary.text = text.into();
        self
    }

    /// Another place.
    pub(crate) fn also(&mut self, span: Range<usize>, text: impl Into<String>) -> &mut Self {
        self.secondary.push(Label { span, text: text.into() });
        self
    }

    /// Why.
    pub(crate) fn note(&mut self, text: impl Into<String>) -> &mut Self {
        self.notes.push(text.into());
        self
    }

    /// What to do.
    pub(crate) fn help(&mut self, text: impl Into<String>) -> &mut Self {
        self.help.push(text.into());
        self
    }
}

/// The mistakes of one file in the order of their places, together with its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    name: Arc<str>,
    text: Arc<str>,
    items: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Sorts the mistakes by place; of those at one place, errors first.
    pub(crate) fn new(name: &str, text: &str, mut items: Vec<Diagnostic>) -> Self {
        items.sort_by_key(|d| (d.primary.span.start, d.severity));
        Self { name: name.into(), text: text.into(), items }
    }

    /// What the file is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text that the places are in.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The mistakes, in the order of their places.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.items.iter()
    }

    /// How many mistakes, warnings among them.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// No mistake.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many errors.
    pub fn errors(&self) -> usize {
        self.items.iter().filter(|d| d.severity == Severity::Error).count()
    }

    /// How many warnings.
    pub fn warnings(&self) -> usize {
        self.len() - self.errors()
    }

    /// `F: 2 errors, 1 warning`.
    pub fn summary(&self) -> String {
        let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let parts = [(self.errors(), "error"), (self.warnings(), "warning")];
        let parts: Vec<_> =
            parts.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| count(n, what)).collect();
        format!("{}: {}", self.name, if parts.is_empty() { "no errors".into() } else { parts.join(", ") })
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

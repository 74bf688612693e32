//! Values that are written as strings.

use std::{ops::Range, path::PathBuf};

use schemars::{Schema, json_schema};
use toml::de::DeValue;

use crate::{
    diagnostic::Kind,
    found::{Found, Span},
    model::{IfName, Name},
    schema::read::wrong_type,
};

/// A value that is written as a string.
pub(crate) trait Text: Sized {
    /// "an IPv4 address".
    const WHAT: &'static str;

    fn parse(text: &str) -> Result<Self, Problem>;

    /// What editors check it with, on top of its being a string.
    fn schema() -> Schema;
}

/// Why a string is not the value that it should be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) message: String,
    /// The part of the string that is wrong; `None`: all of it.
    pub(crate) at: Option<Range<usize>>,
    /// What to write at the place; may be empty.
    pub(crate) label: String,
    pub(crate) note: Option<String>,
    pub(crate) help: Option<String>,
}

impl Problem {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), at: None, label: String::new(), note: None, help: None }
    }

    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The part of `text` that is wrong, which must be a slice of it.
    pub(crate) fn at(mut self, text: &str, part: &str) -> Self {
        let start = (part.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
        let range = start..start.wrapping_add(part.len());
        self.at = text.get(range.clone()).is_some_and(|found| found == part).then_some(range);
        self
    }

    pub(crate) fn report(self, text: &str, span: &Span, found: &mut Found<'_>) {
        let written = found.written(span);
        // A part of a string can be pointed at when the string is written without escapes.
        let plain = ["\"", "'"].iter().any(|quote| {
            written
                .strip_prefix(quote)
                .and_then(|rest| rest.strip_suffix(quote))
                .is_some_and(|inner| inner == text)
        });
        let span = match self.at.filter(|_| plain) {
            Some(part) => span.start + 1 + part.start..span.start + 1 + part.end,
            None => span.clone(),
        };
        let error = found.error(Kind::BadValue, &span, self.message);
        error.label(self.label);
        error.notes.extend(self.note);
        error.help.extend(self.help);
    }
}

/// Reads a [`Text`].
pub(crate) fn read<T: Text>(value: &DeValue<'_>, span: &Span, found: &mut Found<'_>) -> Option<T> {
    let DeValue::String(text) = value else {
        let expected = format!("a string: {}", T::WHAT);
        wrong_type(&expected, value, span, found).label("not a string");
        return None;
    };
    match T::parse(text) {
        Ok(value) => Some(value),
        Err(problem) => {
            problem.report(text, span, found);
            None
        }
    }
}

/// Makes a [`Text`] a value of the schema.
macro_rules! text_values {
    ($($type:ty),+ $(,)?) => {$(
        impl $crate::schema::read::Value for $type {
            fn type_name() -> String {
                let what = <$type as $crate::schema::value::text::Text>::WHAT;
                what.trim_start_matches("an ").trim_start_matches("a ").to_owned()
            }

            fn read(
                value: &toml::de::DeValue<'_>, span: &$crate::found::Span, found: &mut $crate::found::Found<'_>,
            ) -> Option<Self> {
                $crate::schema::value::text::read(value, span, found)
            }

            fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let mut schema = <$type as $crate::schema::value::text::Text>::schema();
                schema.insert("type".into(), "string".into());
                schema
            }
        }
    )+};
}

pub(crate) use text_values;

impl Text for Name {
    const WHAT: &'static str = "a name";

    fn parse(text: &str) -> Result<Self, Problem> {
        Self::new(text).map_err(|error| {
            Problem::new(error.to_string()).note("names are letters, digits, `-`, `_` and `.`, at most 64")
        })
    }

    fn schema() -> Schema {
        json_schema!({ "pattern": "^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$" })
    }
}

impl Text for IfName {
    const WHAT: &'static str = "an interface name";

    fn parse(text: &str) -> Result<Self, Problem> {
        Self::new(text).map_err(|error| Problem::new(error.to_string()))
    }

    fn schema() -> Schema {
        json_schema!({ "pattern": "^[^/:%\\s]{1,15}$" })
    }
}

/// A path from the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AbsolutePath(pub(crate) PathBuf);

impl Text for AbsolutePath {
    const WHAT: &'static str = "an absolute path";

    fn parse(text: &str) -> Result<Self, Problem> {
        if text.contains('\0') {
            return Err(Problem::new("a path cannot hold a NUL character"));
        }
        if !text.starts_with('/') {
            return Err(Problem::new(format!("`{}` is not an absolute path", text.escape_debug()))
                .label("does not begin with /")
                .note("the daemon's working directory is nobody's business, so paths begin at the root"));
        }
        // PATH_MAX, with its terminator.
        if text.len() >= 4096 {
            return Err(Problem::new(format!("a path has at most 4095 bytes, this one has {}", text.len())));
        }
        Ok(Self(text.into()))
    }

    fn schema() -> Schema {
        json_schema!({ "pattern": "^/" })
    }
}

/// A line for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Description(pub(crate) String);

impl Description {
    const MAX: usize = 255;
}

impl Text for Description {
    const WHAT: &'static str = "a line of text";

    fn parse(text: &str) -> Result<Self, Problem> {
        no_control(text)?;
        if text.chars().count() > Self::MAX {
            let have = text.chars().count();
            return Err(Problem::new(format!(
                "a description has at most {} characters, this one has {have}",
                Self::MAX
            )));
        }
        Ok(Self(text.into()))
    }

    fn schema() -> Schema {
        json_schema!({ "maxLength": Self::MAX })
    }
}

/// A shutdown communication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason(pub(crate) String);

impl Reason {
    /// RFC 9003 section 2.
    const MAX: usize = 255;
}

impl Text for Reason {
    const WHAT: &'static str = "a line of text";

    fn parse(text: &str) -> Result<Self, Problem> {
        no_control(text)?;
        if text.len() > Self::MAX {
            return Err(Problem::new(format!(
                "a shutdown reason has at most {} bytes of UTF-8, this one has {}",
                Self::MAX,
                text.len()
            ))
            .note("RFC 9003 section 2 gives its length one octet"));
        }
        Ok(Self(text.into()))
    }

    fn schema() -> Schema {
        json_schema!({ "maxLength": Self::MAX })
    }
}

fn no_control(text: &str) -> Result<(), Problem> {
    match text.chars().find(|c| c.is_control()) {
        Some(c) => {
            Err(Problem::new(format!("control characters (`{}`) cannot stand here", c.escape_debug())))
        }
        None => Ok(()),
    }
}

text_values!(Name, IfName, AbsolutePath, Description, Reason);

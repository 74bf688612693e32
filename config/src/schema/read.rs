//! From TOML values with their places to the values of the schema, past every mistake.
//!
//! serde stops at the first mistake of a file; this reads on. A value that cannot be read leaves [`Written::Bad`], so
//! that later steps tell "not written" from "written wrongly, and already reported".

use schemars::{Schema, SchemaGenerator};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    diagnostic::Kind,
    found::{At, Found, Span, nearest},
};

/// A value that can be read from TOML.
pub(crate) trait Value: Sized {
    /// It is a section of its own.
    const TABLE: bool = false;

    /// What stands in the reference: "AS number", "list of prefixes".
    fn type_name() -> String;

    /// `None` when it cannot be read, after saying why.
    fn read(value: &DeValue<'_>, span: &Span, found: &mut Found<'_>) -> Option<Self>;

    /// What editors check it with.
    fn schema(generator: &mut SchemaGenerator) -> Schema;
}

/// A key's value.
#[derive(Debug)]
pub(crate) enum Written<T> {
    /// The key is not there; where it has to be, that has been reported.
    Absent,
    /// It is there, and what is wrong with it has been reported.
    Bad,
    /// It is there.
    Is(At<T>),
}

impl<T> Written<T> {
    /// The value, if there is a good one.
    pub(crate) fn get(&self) -> Option<&At<T>> {
        match self {
            Self::Is(at) => Some(at),
            Self::Absent | Self::Bad => None,
        }
    }

    /// The value, if there is a good one, without its place.
    pub(crate) fn value(&self) -> Option<&T> {
        self.get().map(|at| &at.value)
    }

    /// The value, or what holds when the key is not there; `None` when it was bad.
    pub(crate) fn or(&self, default: T) -> Option<T>
    where
        T: Clone,
    {
        match self {
            Self::Is(at) => Some(at.value.clone()),
            Self::Absent => Some(default),
            Self::Bad => None,
        }
    }

    /// Whether the key is there, with a good value or not.
    pub(crate) fn is_written(&self) -> bool {
        !matches!(self, Self::Absent)
    }
}

impl<T> Written<List<T>> {
    /// The good values of a list; none when it is not there.
    pub(crate) fn items(&self) -> &[At<T>] {
        self.value().map_or(&[], |list| &list.items)
    }

    /// Whether [`Written::items`] are all that was written.
    pub(crate) fn is_complete(&self) -> bool {
        match self {
            Self::Absent => true,
            Self::Bad => false,
            Self::Is(list) => list.value.complete,
        }
    }

    /// The place of a list that was written empty.
    pub(crate) fn empty(&self) -> Option<&Span> {
        self.get().filter(|at| at.value.complete && at.value.items.is_empty()).map(|at| &at.span)
    }
}

/// What holds when a key is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// The file is refused.
    Required,
    /// As if this TOML value had been written.
    Default(&'static str),
    /// Something that is no TOML value, in words.
    Otherwise(&'static str),
}

/// A key of a section.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    /// The comment in the schema: what it means.
    pub(crate) doc: &'static str,
    pub(crate) presence: Presence,
    /// A TOML value; empty for sections.
    pub(crate) example: &'static str,
    pub(crate) type_name: fn() -> String,
    pub(crate) schema: fn(&mut SchemaGenerator) -> Schema,
}

/// A key of a later version.
pub(crate) struct Later {
    pub(crate) name: &'static str,
    /// The value that says "without it", as TOML: accepted.
    pub(crate) harmless: Option<&'static str>,
    /// What can be written today; may be empty.
    pub(crate) instead: &'static str,
}

/// A table of known keys.
pub(crate) trait Section: Sized {
    /// As it is written in a file: `[host]`, `[[uplink]]`, `rules of a [[route-policy]]`.
    const TITLE: &'static str;
    /// The comment in the schema.
    const DOC: &'static str;
    const KEYS: &'static [Key];
    const LATER: &'static [Later];

    /// Never fails: what is wrong is reported, and the keys are [`Written::Bad`].
    fn read_table(table: &DeTable<'_>, span: &Span, found: &mut Found<'_>) -> Self;
}

/// Reads one key of a section.
pub(crate) fn key<S: Section, T: Value>(
    name: &str,
    table: &DeTable<'_>,
    header: &Span,
    found: &mut Found<'_>,
) -> Written<T> {
    let key = S::KEYS.iter().find(|key| key.name == name);
    if let Some(value) = table.get(name) {
        let span = value.span();
        if let Some(value) = T::read(value.get_ref(), &span, found) {
            return Written::Is(At { value, span });
        }
        if let Some(key) = key.filter(|key| !key.example.is_empty()) {
            found.example(&span, || format!("for example `{name} = {}`", key.example));
        }
        return Written::Bad;
    }
    let Some(key) = key else { return Written::Absent };
    if key.presence == Presence::Required {
        let line = if key.example.is_empty() {
            format!("add `[{name}]`")
        } else {
            format!("add `{name} = {}`, or what is right here", key.example)
        };
        let missing = match S::TITLE {
            "" => format!("`[{name}]` is missing"),
            title => format!("`{name}` is missing in {title}"),
        };
        found.error(Kind::MissingKey, header, missing).help(line);
    }
    Written::Absent
}

/// Reports the keys of a table that its section does not have.
pub(crate) fn foreign_keys<S: Section>(table: &DeTable<'_>, found: &mut Found<'_>) {
    for (key, value) in table {
        let name: &str = key.get_ref();
        if S::KEYS.iter().any(|known| known.name == name) {
            continue;
        }
        if let Some(later) = S::LATER.iter().find(|later| later.name == name) {
            later_key::<S>(later, key.span(), value, found);
        } else {
            unknown_key::<S>(name, &key.span(), found);
        }
    }
}

fn later_key<S: Section>(later: &Later, key: Span, value: &Spanned<DeValue<'_>>, found: &mut Found<'_>) {
    let harmless = later.harmless.is_some_and(|harmless| match value.get_ref() {
        DeValue::Boolean(b) => harmless == b.to_string(),
        DeValue::String(s) => harmless == format!("\"{s}\""),
        _ => false,
    });
    if harmless {
        return;
    }
    let what = match (S::TITLE, value.get_ref()) {
        ("", DeValue::Array(_)) => format!("`[[{}]]`", later.name),
        ("", _) => format!("`[{}]`", later.name),
        _ => format!("`{}`", later.name),
    };
    let error = match later.harmless {
        None => found.error(Kind::Unsupported, &key, format!("{what} is not supported by this version")),
        Some(harmless) => found
            .error(
                Kind::Unsupported,
                &value.span(),
                format!("{what} is not supported by this version, other than as {harmless}"),
            )
            .label(format!("allowed is {harmless}")),
    };
    if !later.instead.is_empty() {
        error.help(later.instead);
    }
}

fn unknown_key<S: Section>(name: &str, span: &Span, found: &mut Found<'_>) {
    let root = S::TITLE.is_empty();
    let names = S::KEYS.iter().map(|key| key.name).chain(S::LATER.iter().map(|later| later.name));
    let near = nearest(name, names);
    let message = if root {
        format!("there is no section `{name}`")
    } else {
        format!("there is no key `{name}` in {}", S::TITLE)
    };
    let error = found.error(Kind::UnknownKey, span, message);
    match near {
        Some(near) => error.label(format!("did you mean `{near}`?")),
        None => error.label(if root { "unknown section" } else { "unknown key" }),
    };
    let allowed: Vec<_> = S::KEYS.iter().map(|key| key.name).collect();
    error.note(format!("allowed are {}", allowed.join(", ")));
}

/// The table of a section, or a report that it is none.
pub(crate) fn section<S: Section>(value: &DeValue<'_>, span: &Span, found: &mut Found<'_>) -> Option<S> {
    if let DeValue::Table(table) = value {
        return Some(S::read_table(table, span, found));
    }
    let error = wrong_type("a table", value, span, found);
    if let DeValue::Array(_) = value
        && S::TITLE.starts_with('[')
    {
        error.help(format!("it stands once in a file, and is written `{}`", S::TITLE));
    }
    None
}

/// Reports a value of another TOML type.
pub(crate) fn wrong_type<'f>(
    expected: &str,
    value: &DeValue<'_>,
    span: &Span,
    found: &'f mut Found<'_>,
) -> &'f mut crate::Diagnostic {
    let got = match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    found
        .error(Kind::WrongType, span, format!("this should be {expected}, and is {got}"))
        .label(format!("not {expected}"))
}

/// Many of a thing, each with its place.
#[derive(Clone, Debug)]
pub(crate) struct List<T> {
    /// The good ones.
    pub(crate) items: Vec<At<T>>,
    /// There were no bad ones.
    pub(crate) complete: bool,
}

impl<T: Value> Value for List<T> {
    fn type_name() -> String {
        format!("[{}, …]", T::type_name())
    }

    fn read(value: &DeValue<'_>, span: &Span, found: &mut Found<'_>) -> Option<Self> {
        let DeValue::Array(array) = value else {
            let written = found.written(span);
            let error = wrong_type("a list", value, span, found);
            if T::TABLE {
                if let Some(name) = written.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                    error.help(format!("there may be several, so it is written `[[{name}]]`"));
                }
            } else if !written.is_empty() && !written.contains('\n') {
                error.help(format!("write `[{written}]`"));
            }
            return None;
        };
        let items: Vec<_> = array
            .iter()
            .filter_map(|item| {
                let span = item.span();
                T::read(item.get_ref(), &span, found).map(|value| At { value, span })
            })
            .collect();
        Some(Self { complete: items.len() == array.len(), items })
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let items = T::schema(generator);
        schemars::json_schema!({ "type": "array", "items": items })
    }
}

impl Value for bool {
    fn type_name() -> String {
        "boolean".into()
    }

    fn read(value: &DeValue<'_>, span: &Span, found: &mut Found<'_>) -> Option<Self> {
        match value {
            DeValue::Boolean(b) => Some(*b),
            other => {
                let error = wrong_type("true or false", other, span, found);
                if let DeValue::String(s) = other
                    && matches!(&**s, "true" | "false")
                {
                    error.help(format!("write `{s}` without quotes"));
                }
                None
            }
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "boolean" })
    }
}

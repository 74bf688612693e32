//! Diagnostics for programs.

use serde_json::{Value, json};

use super::{
    Diagnostic, Diagnostics, Label, Severity,
    position::{Lines, clamp},
};

/// Version of the JSON format; it changes when a field changes its meaning or goes, not when one is added.
pub const VERSION: u32 = 1;

impl Diagnostics {
    /// For programs: `version`, `file`, `errors`, `warnings` and `diagnostics`, each with `severity`, `kind`,
    /// `message`, `notes`, `help`, its place and `related` places. Places have `line`, `column`, `end-line` and
    /// `end-column` (from 1, columns in characters, the end is the first character after it) and `label`.
    pub fn to_json(&self) -> Value {
        let lines = Lines::new(&self.text);
        let diagnostics: Vec<_> = self.items.iter().map(|d| one(d, &self.text, &lines)).collect();
        json!({
            "version": VERSION,
            "file": &*self.name,
            "errors": self.errors(),
            "warnings": self.warnings(),
            "diagnostics": diagnostics,
        })
    }
}

fn one(d: &Diagnostic, text: &str, lines: &Lines<'_>) -> Value {
    let mut value = place(&d.primary, text, lines);
    let related: Vec<_> = d.secondary.iter().map(|label| place(label, text, lines)).collect();
    value["severity"] = match d.severity {
        Severity::Error => "error".into(),
        Severity::Warning => "warning".into(),
    };
    value["kind"] = d.kind.as_str().into();
    value["message"] = d.message.as_str().into();
    value["related"] = related.into();
    value["notes"] = d.notes.clone().into();
    value["help"] = d.help.clone().into();
    value
}

fn place(label: &Label, text: &str, lines: &Lines<'_>) -> Value {
    let span = clamp(text, &label.span);
    let (line, column) = lines.position(span.start);
    let (end_line, end_column) = lines.position(span.end);
    json!({
        "line": line, "column": column, "end-line": end_line, "end-column": end_column, "label": label.text,
    })
}

//! The JSON Schema of the file, for editors.

use schemars::{Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Map, Value as Json, json};

use super::{
    File,
    read::{Presence, Section},
};

/// The JSON Schema (draft 07, which every editor's TOML plugin knows) of `petiole.toml`.
///
/// It catches what can be seen from one key at a time; [`crate::parse`] knows more.
pub fn json_schema() -> Json {
    let mut generator = SchemaSettings::draft07().into_generator();
    let mut schema = section::<File>(&mut generator);
    let root = schema.ensure_object();
    root.insert("$schema".into(), "http://json-schema.org/draft-07/schema#".into());
    root.insert("title".into(), "petiole.toml".into());
    root.insert("description".into(), "Everything that a petiole host should be".into());
    schema.to_value()
}

/// The schema of a section: its keys, and no others.
pub(super) fn section<S: Section>(generator: &mut SchemaGenerator) -> Schema {
    let mut properties = Map::new();
    for key in S::KEYS {
        let mut schema = (key.schema)(generator);
        let doc = paragraph(key.doc);
        schema.insert(
            "description".into(),
            match (key.presence, schema.get("description")) {
                (Presence::Otherwise(what), None) if !key.example.is_empty() => {
                    format!("{doc} Default: {what}.").into()
                }
                (_, None) => doc.into(),
                // A section describes itself.
                (_, Some(own)) => own.clone(),
            },
        );
        if let Presence::Default(default) = key.presence {
            schema.insert("default".into(), from_toml(default));
        }
        if !key.example.is_empty() {
            schema.insert("examples".into(), json!([from_toml(key.example)]));
        }
        properties.insert(key.name.into(), schema.to_value());
    }
    for later in S::LATER {
        if let Some(harmless) = later.harmless {
            let schema = json!({ "const": from_toml(harmless), "description": "Not in this version." });
            properties.insert(later.name.into(), schema);
        }
    }
    let required: Vec<_> =
        S::KEYS.iter().filter(|key| key.presence == Presence::Required).map(|key| key.name).collect();
    let mut schema = json_schema!({
        "type": "object",
        "description": paragraph(S::DOC),
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema.insert("required".into(), required.into());
    }
    schema
}

/// The lines of a comment as one.
pub(super) fn paragraph(doc: &str) -> String {
    doc.lines().map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// A TOML value of the schema's own as JSON.
fn from_toml(value: &str) -> Json {
    let table: Option<toml::Table> = format!("value = {value}").parse().ok();
    table
        .and_then(|mut table| table.remove("value"))
        .and_then(|v| serde_json::to_value(v).ok())
        .unwrap_or_default()
}

//! `section!`: one list of keys, from which come the struct, its reader, the reference and the JSON Schema.

/// Declares a section: its keys with their types, what holds without them, and an example; then the keys of later
/// versions, with the value that is harmless today, if there is one, and what to write instead.
macro_rules! section {
    (
        $(#[doc = $doc:literal])+
        $name:ident $title:literal {
            $(
                $(#[doc = $key_doc:literal])+
                $field:ident: $type:ty = $key:literal, $presence:expr, $example:literal;
            )+
        }
        $(later { $($later:literal $(harmless $harmless:literal)? $(instead $instead:literal)?;)+ })?
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug)]
        pub(crate) struct $name {
            $(
                $(#[doc = $key_doc])+
                pub(crate) $field: $crate::schema::read::Written<$type>,
            )+
        }

        impl $crate::schema::read::Section for $name {
            const TITLE: &'static str = $title;
            const DOC: &'static str = concat!($($doc, "\n"),+);
            const KEYS: &'static [$crate::schema::read::Key] = {
                #[allow(unused_imports, reason = "not every section has keys of each sort")]
                use $crate::schema::read::Presence::{Default, Otherwise, Required};
                &[$($crate::schema::read::Key {
                    name: $key,
                    doc: concat!($($key_doc, "\n"),+),
                    presence: $presence,
                    example: $example,
                    type_name: <$type as $crate::schema::read::Value>::type_name,
                    schema: <$type as $crate::schema::read::Value>::schema,
                }),+]
            };
            const LATER: &'static [$crate::schema::read::Later] = &[$($($crate::schema::read::Later {
                name: $later,
                harmless: { #[allow(unused_mut, unused_assignments)] let mut h = None; $(h = Some($harmless);)? h },
                instead: concat!($($instead)?),
            }),+)?];

            fn read_table(
                table: &toml::de::DeTable<'_>, span: &$crate::found::Span, found: &mut $crate::found::Found<'_>,
            ) -> Self {
                let section = Self {
                    $($field: $crate::schema::read::key::<Self, $type>($key, table, span, found),)+
                };
                $crate::schema::read::foreign_keys::<Self>(table, found);
                section
            }
        }

        impl $crate::schema::read::Value for $name {
            const TABLE: bool = true;

            fn type_name() -> String {
                "table".into()
            }

            fn read(
                value: &toml::de::DeValue<'_>, span: &$crate::found::Span, found: &mut $crate::found::Found<'_>,
            ) -> Option<Self> {
                $crate::schema::read::section(value, span, found)
            }

            fn schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $crate::schema::json::section::<Self>(generator)
            }
        }
    };
}

pub(crate) use section;

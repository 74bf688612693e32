//! The file as written: the keys of containerlab's format that a network namespace can honour.
//!
//! Knows names and types of keys, nothing of their meaning. Anything else in the file is an error of the reader.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};
use serde_saphyr::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) name: Spanned<String>,
    pub(super) topology: Topology,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Topology {
    #[serde(default)]
    pub(super) defaults: Node,
    #[serde(default)]
    pub(super) kinds: BTreeMap<Key, Node>,
    pub(super) nodes: BTreeMap<Key, Node>,
    #[serde(default)]
    pub(super) links: Vec<Link>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Node {
    pub(super) kind: Option<Spanned<String>>,
    pub(super) image: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) binds: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) exec: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) sysctls: BTreeMap<Key, Scalar>,
    #[serde(default)]
    pub(super) env: BTreeMap<String, Scalar>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Link {
    pub(super) endpoints: Spanned<Vec<Spanned<String>>>,
    pub(super) mtu: Option<Spanned<u32>>,
}

/// A key of a mapping that remembers where it stands.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Key(pub(super) Spanned<String>);

impl std::ops::Deref for Key {
    type Target = Spanned<String>;

    fn deref(&self) -> &Spanned<String> {
        &self.0
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.value == other.0.value
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.value.cmp(&other.0.value)
    }
}

/// A value that containerlab takes as text or number alike.
#[derive(Clone)]
pub(super) struct Scalar(pub(super) String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text or a whole number")
            }

            fn visit_str<E: de::Error>(self, v: &str) -> Result<Scalar, E> {
                Ok(Scalar(v.to_owned()))
            }

            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Scalar, E> {
                Ok(Scalar(v.to_string()))
            }

            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Scalar, E> {
                Ok(Scalar(v.to_string()))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

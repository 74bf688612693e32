//! Values that are one of a few words.

use schemars::{Schema, json_schema};
use toml::de::DeValue;

use crate::{
    diagnostic::Kind,
    found::{Found, Span, nearest, one_of},
    model::{Advertise, Source},
    schema::read::wrong_type,
};

/// One of a few words.
pub(crate) trait Word: Copy + 'static {
    /// "action".
    const WHAT: &'static str;
    const WORDS: &'static [(&'static str, Self)];
    /// Words of later versions.
    const LATER: &'static [&'static str] = &[];
}

pub(crate) fn type_name<T: Word>() -> String {
    one_of(T::WORDS.iter().map(|(word, _)| *word))
}

pub(crate) fn schema<T: Word>() -> Schema {
    let words: Vec<_> = T::WORDS.iter().map(|(word, _)| *word).collect();
    json_schema!({ "enum": words })
}

pub(crate) fn read<T: Word>(value: &DeValue<'_>, span: &Span, found: &mut Found<'_>) -> Option<T> {
    let words = || T::WORDS.iter().map(|(word, _)| *word);
    let DeValue::String(text) = value else {
        wrong_type("a string", value, span, found).label(format!("allowed is {}", one_of(words())));
        return None;
    };
    let known = T::WORDS.iter().find(|(word, _)| word == text);
    if let Some((_, value)) = known {
        return Some(*value);
    }
    if T::LATER.contains(&&**text) {
        found
            .error(Kind::Unsupported, span, format!("{} \"{text}\" is not in this version", T::WHAT))
            .label(format!("allowed is {}", one_of(words())));
        return None;
    }
    let error =
        found.error(Kind::BadValue, span, format!("there is no {} \"{}\"", T::WHAT, text.escape_debug()));
    error.label(format!("allowed is {}", one_of(words())));
    if let Some(near) = nearest(text, words()) {
        error.help(format!("did you mean \"{near}\"?"));
    }
    None
}

macro_rules! word_values {
    ($($type:ty),+ $(,)?) => {$(
        impl $crate::schema::read::Value for $type {
            fn type_name() -> String {
                $crate::schema::value::word::type_name::<$type>()
            }

            fn read(
                value: &toml::de::DeValue<'_>, span: &$crate::found::Span, found: &mut $crate::found::Found<'_>,
            ) -> Option<Self> {
                $crate::schema::value::word::read(value, span, found)
            }

            fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $crate::schema::value::word::schema::<$type>()
            }
        }
    )+};
}

pub(crate) use word_values;

/// What a rule, or the end of a route policy, does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accept,
    Reject,
}

impl Word for Verdict {
    const WHAT: &'static str = "action";
    const WORDS: &'static [(&'static str, Self)] = &[("accept", Self::Accept), ("reject", Self::Reject)];
}

impl Word for Source {
    const WHAT: &'static str = "source";
    const WORDS: &'static [(&'static str, Self)] =
        &[("local", Self::Local), ("learned", Self::Learned), ("any", Self::Any)];
}

/// An address family of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Afi {
    Ipv4,
    Ipv6,
}

impl Word for Afi {
    const WHAT: &'static str = "family";
    const WORDS: &'static [(&'static str, Self)] = &[("ipv4", Self::Ipv4), ("ipv6", Self::Ipv6)];
    const LATER: &'static [&'static str] = &["evpn", "l2vpn-evpn"];
}

/// How the traffic of a network travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EncapWord {
    Routed,
    Vlan,
    Vxlan,
}

impl EncapWord {
    /// As it is written.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Routed => "routed",
            Self::Vlan => "vlan",
            Self::Vxlan => "vxlan",
        }
    }
}

impl Word for EncapWord {
    const WHAT: &'static str = "encap";
    const WORDS: &'static [(&'static str, Self)] =
        &[("routed", Self::Routed), ("vlan", Self::Vlan), ("vxlan", Self::Vxlan)];
}

impl Word for Advertise {
    const WHAT: &'static str = "way to advertise";
    const WORDS: &'static [(&'static str, Self)] =
        &[("endpoints", Self::Endpoints), ("subnet", Self::Subnet), ("none", Self::None)];
}

word_values!(Verdict, Source, Afi, EncapWord, Advertise);

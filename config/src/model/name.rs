//! Names: of objects in the file, and of kernel interfaces.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The name of an object: 1 to 64 ASCII letters, digits, `-`, `_` and `.`; first and last a letter or digit.
///
/// 64 is also what the kernel's host name can hold, and every name can be a label of a metric or a part of a path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// Why a text is no [`Name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No characters.
    #[error("a name cannot be empty")]
    Empty,
    /// More than [`Name::MAX`] bytes; how many there are.
    #[error("a name has at most 64 characters, this one has {0}")]
    TooLong(usize),
    /// A character that names do not have.
    #[error("`{}` cannot stand in a name", .0.escape_debug())]
    Character(char),
    /// `-`, `_` or `.` at the beginning or end.
    #[error("a name begins and ends with a letter or digit, not with `{0}`")]
    Edge(char),
}

impl Name {
    /// The longest name.
    pub const MAX: usize = 64;

    /// Checks and takes a name.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let (Some(first), Some(last)) = (text.chars().next(), text.chars().next_back()) else {
            return Err(NameError::Empty);
        };
        if let Some(c) = text.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.')) {
            return Err(NameError::Character(c));
        }
        if text.len() > Self::MAX {
            return Err(NameError::TooLong(text.len()));
        }
        match [first, last].into_iter().find(|c| !c.is_ascii_alphanumeric()) {
            Some(c) => Err(NameError::Edge(c)),
            None => Ok(Self(text.into())),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a network, a group and an endpoint are known by: a name inside a tenant. The same name in two tenants is two
/// objects.
///
/// As text, `web1` is of the tenant `default` and `blue/web1` of the tenant `blue`: a [`Name`] holds no slash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopedName {
    /// Name of a [`Tenant`](super::Tenant).
    pub tenant: Name,
    /// The name inside the tenant.
    pub name: Name,
}

impl ScopedName {
    /// The tenant that always exists.
    pub const DEFAULT_TENANT: &'static str = "default";

    /// The name inside that tenant.
    pub fn new(tenant: Name, name: Name) -> Self {
        Self { tenant, name }
    }

    /// The name inside the tenant `default`.
    pub fn in_default(name: Name) -> Self {
        Self { tenant: Self::default_tenant(), name }
    }

    /// The name of the tenant that always exists.
    pub fn default_tenant() -> Name {
        Name(Self::DEFAULT_TENANT.into())
    }

    /// Whether it is in the tenant `default`.
    pub fn is_default(&self) -> bool {
        self.tenant.as_str() == Self::DEFAULT_TENANT
    }
}

impl fmt::Display for ScopedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_default() {
            fmt::Display::fmt(&self.name, f)
        } else {
            f.pad(&format!("{}/{}", self.tenant, self.name))
        }
    }
}

impl FromStr for ScopedName {
    type Err = NameError;

    /// `name` or `tenant/name`.
    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.split_once('/') {
            Some((tenant, name)) => Ok(Self { tenant: Name::new(tenant)?, name: Name::new(name)? }),
            None => Ok(Self::in_default(Name::new(text)?)),
        }
    }
}

impl Serialize for ScopedName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ScopedName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The name of a network interface, as the kernel takes it (`dev_valid_name`): 1 to 15 bytes, no `/`, `:` or white
/// space, not `.` or `..`. `%` is refused too: the kernel would take it for a pattern (`eth%d`) in a new link's name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfName(Arc<str>);

/// Why a text is no [`IfName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IfNameError {
    /// No characters.
    #[error("an interface name cannot be empty")]
    Empty,
    /// More than [`IfName::MAX`] bytes; how many there are.
    #[error("an interface name has at most 15 bytes, this one has {0}")]
    TooLong(usize),
    /// `.` or `..`.
    #[error("the kernel takes no interface of this name")]
    Dots,
    /// A character that interface names do not have.
    #[error("`{}` cannot stand in an interface name", .0.escape_debug())]
    Character(char),
}

impl IfName {
    /// The longest name that the kernel takes (`IFNAMSIZ` less the terminator).
    pub const MAX: usize = 15;

    /// Checks and takes a name.
    pub fn new(text: &str) -> Result<Self, IfNameError> {
        let foreign = |c: &char| matches!(c, '/' | ':' | '%') || c.is_whitespace() || c.is_control();
        if text.is_empty() {
            Err(IfNameError::Empty)
        } else if let Some(c) = text.chars().find(foreign) {
            Err(IfNameError::Character(c))
        } else if text.len() > Self::MAX {
            Err(IfNameError::TooLong(text.len()))
        } else if text == "." || text == ".." {
            Err(IfNameError::Dots)
        } else {
            Ok(Self(text.into()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! text {
    ($($type:ty)+) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    )+};
}

text!(Name IfName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_to_sixty_four_characters_and_plain_ends() {
        for good in ["a", "9", "web-1", "rack_12.port3", &"x".repeat(64)] {
            assert_eq!(Name::new(good).map(|name| name.to_string()), Ok(good.to_owned()));
        }
        assert_eq!(Name::new(""), Err(NameError::Empty));
        assert_eq!(Name::new(&"x".repeat(65)), Err(NameError::TooLong(65)));
        assert_eq!(Name::new("a b"), Err(NameError::Character(' ')));
        assert_eq!(Name::new("näme"), Err(NameError::Character('ä')));
        assert_eq!(Name::new("-a"), Err(NameError::Edge('-')));
        assert_eq!(Name::new("a."), Err(NameError::Edge('.')));
    }

    #[test]
    fn the_default_tenant_is_not_written_and_another_one_is() {
        let scoped =
            |tenant: &str, name: &str| ScopedName::new(Name::new(tenant).unwrap(), Name::new(name).unwrap());
        for (text, id) in [("web", scoped("default", "web")), ("blue/web", scoped("blue", "web"))] {
            assert_eq!(id.to_string(), text);
            assert_eq!(text.parse(), Ok(id.clone()));
            assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<ScopedName>(&format!("\"{text}\"")).unwrap(), id);
        }
        assert_eq!("default/web".parse(), Ok(scoped("default", "web")));
        assert_ne!(scoped("blue", "web"), scoped("red", "web"));
        assert_eq!("/web".parse::<ScopedName>(), Err(NameError::Empty));
        assert_eq!("blue/".parse::<ScopedName>(), Err(NameError::Empty));
        assert_eq!("a/b/c".parse::<ScopedName>(), Err(NameError::Character('/')));
    }

    #[test]
    fn interface_names_are_what_the_kernel_takes() {
        for good in ["eth0", "eth0.112", "x", "fünfzehnbytes1", "123456789012345"] {
            assert_eq!(IfName::new(good).map(|name| name.to_string()), Ok(good.to_owned()));
        }
        assert_eq!(IfName::new(""), Err(IfNameError::Empty));
        assert_eq!(IfName::new("1234567890123456"), Err(IfNameError::TooLong(16)));
        assert_eq!(IfName::new(".."), Err(IfNameError::Dots));
        for bad in ["a/b", "a:1", "a b", "a\t", "eth%d", "a\0"] {
            assert!(matches!(IfName::new(bad), Err(IfNameError::Character(_))), "{bad}");
        }
    }
}

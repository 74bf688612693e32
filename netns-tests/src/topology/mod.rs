//! A topology: nodes, what is mounted and executed in them, and the links between them.
//!
//! Knows the containerlab topology format, as far as a network namespace can honour it. Must not know how a
//! topology is brought up. A file that this module accepts is accepted by containerlab too; what containerlab accepts
//! and a network namespace cannot do is refused with the line, never ignored.

mod schema;
mod words;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Deserialize, Serialize};
use serde_saphyr::{Location, Spanned};

pub use words::{SplitError, split};

/// MTU of a link when the file does not say: containerlab's own default.
pub const DEFAULT_MTU: u32 = 9500;

/// A validated topology; every name that it refers to exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// `name`: names the lab.
    pub name: String,
    /// The folder of the file: sources of binds are relative to it. Absolute.
    pub folder: PathBuf,
    /// Nodes by name.
    pub nodes: BTreeMap<String, Node>,
    /// Links in the order of the file.
    pub links: Vec<Link>,
}

/// One machine of the topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name, which is its host name too.
    pub name: String,
    /// Container image, as written; containerlab runs it, the lab only learns the [`Role`] from it.
    pub image: String,
    /// What the node is, which decides which programs are started in it.
    pub role: Role,
    /// Files and folders that are seen inside the node.
    pub binds: Vec<Bind>,
    /// Commands to run once the node's programs have been started, split into words.
    pub exec: Vec<Vec<String>>,
    /// `net.*` settings, in dotted form, applied before anything runs.
    pub sysctls: BTreeMap<String, String>,
    /// Environment of everything that runs in the node.
    pub env: BTreeMap<String, String>,
}

/// What a node is. Containerlab's kind is `linux` for all of them; the image's last path component tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// A container host that runs petiole.
    Petiole,
    /// FRRouting: the daemons that `/etc/frr/daemons` asks for, configured by `/etc/frr/frr.conf`.
    Frr,
    /// BIRD 2 with `/etc/bird/bird.conf`.
    Bird,
    /// GoBGP with `/etc/gobgp/gobgpd.conf`.
    GoBgp,
    /// A plain machine: only its `exec` lines.
    Plain,
}

/// One entry of `binds`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// Absolute path outside of the lab.
    pub source: PathBuf,
    /// Absolute path in the node.
    pub target: PathBuf,
    /// The node cannot write to it (folders only: a file is the node's own copy).
    pub read_only: bool,
}

/// A cable between two interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The two ends.
    pub ends: [Port; 2],
    /// MTU of both ends, in octets.
    pub mtu: u32,
}

/// An interface of a node, written `node:interface`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// Name of the node.
    pub node: String,
    /// Name of the interface in the node.
    pub interface: String,
}

/// Why a topology was refused.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not in the subset of containerlab's format that the lab runs.
    #[error("{}: {message}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Line, column, the offending text and what is allowed.
        message: String,
    },
    /// The file says something that cannot be meant.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Meaning {
        /// The file.
        path: PathBuf,
        /// 1-based.
        line: u64,
        /// 1-based.
        column: u64,
        /// What is wrong and what is allowed.
        message: String,
    },
}

impl Topology {
    /// Reads `<name>.clab.yml`.
    pub fn load(path: &Path) -> Result<Self, TopologyError> {
        let read = |source| TopologyError::Read { path: path.to_owned(), source };
        let text = fs::read_to_string(path).map_err(read)?;
        let folder = path.canonicalize().map_err(read)?;
        Self::parse(&text, path, folder.parent().unwrap_or(Path::new("/")))
    }

    /// Reads the text of a topology file. `path` is for messages only, sources of binds are relative to `folder`.
    pub fn parse(text: &str, path: &Path, folder: &Path) -> Result<Self, TopologyError> {
        let file: schema::File = serde_saphyr::from_str(text)
            .map_err(|e| TopologyError::Format { path: path.to_owned(), message: e.to_string() })?;
        resolve(file, folder).map_err(|Wrong(at, message)| TopologyError::Meaning {
            path: path.to_owned(),
            line: at.line(),
            column: at.column(),
            message,
        })
    }

    /// The port at the other end of the cable, if a cable is plugged in.
    pub fn peer(&self, port: &Port) -> Option<&Port> {
        self.links.iter().find_map(|link| match &link.ends {
            [a, b] if a == port => Some(b),
            [a, b] if b == port => Some(a),
            _ => None,
        })
    }

    /// The ports of a node, with the MTU of their links.
    pub fn ports<'a>(&'a self, node: &'a str) -> impl Iterator<Item = (&'a Port, u32)> {
        self.links.iter().flat_map(|l| l.ends.iter().map(|p| (p, l.mtu))).filter(move |(p, _)| p.node == node)
    }
}

impl FromStr for Port {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s.split_once(':') {
            Some((node, interface)) if !node.is_empty() && !interface.is_empty() => {
                Ok(Self { node: node.to_owned(), interface: interface.to_owned() })
            }
            _ => Err(format!("`{s}` is not of the form node:interface")),
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.node, self.interface)
    }
}

impl Role {
    /// By the last component of the image's name, without tag: `frrouting/frr:v8.4.4` is FRR.
    fn of_image(image: &str) -> Self {
        let name = image.rsplit('/').next().unwrap_or(image);
        match name.split([':', '@']).next().unwrap_or(name) {
            "petiole" => Self::Petiole,
            "frr" => Self::Frr,
            "bird" | "bird2" => Self::Bird,
            "gobgp" | "gobgpd" => Self::GoBgp,
            _ => Self::Plain,
        }
    }
}

/// A place in the file, and what is wrong there.
struct Wrong(Location, String);

fn wrong<T>(at: &Spanned<T>, message: impl Into<String>) -> Wrong {
    Wrong(at.referenced, message.into())
}

fn resolve(file: schema::File, folder: &Path) -> Result<Topology, Wrong> {
    check_name(&file.name, "the lab")?;
    let schema::Topology { defaults, kinds, nodes, links } = file.topology;
    if let Some(kind) = kinds.keys().find(|kind| kind.value != "linux") {
        return Err(wrong(
            kind,
            format!("kind `{}` cannot run in a network namespace: only `linux`", kind.value),
        ));
    }
    let of_kind = kinds.into_values().next().unwrap_or_default();
    let mut resolved = BTreeMap::new();
    for (name, node) in nodes {
        check_name(&name, "a node")?;
        let layers = [&defaults, &of_kind, &node];
        resolved.insert(name.value.clone(), resolve_node(&name, layers, folder)?);
    }
    let mut taken = BTreeSet::new();
    let mut cables = Vec::new();
    for link in links {
        cables.push(resolve_link(&link, &resolved, &mut taken)?);
    }
    Ok(Topology { name: file.name.value, folder: folder.to_owned(), nodes: resolved, links: cables })
}

/// Merges defaults, kind and node as containerlab does: the nearest scalar wins, lists and maps add up.
fn resolve_node(name: &Spanned<String>, layers: [&schema::Node; 3], folder: &Path) -> Result<Node, Wrong> {
    let nearest = |get: fn(&schema::Node) -> &Option<Spanned<String>>| {
        layers.iter().rev().find_map(|layer| get(layer).as_ref())
    };
    match nearest(|n| &n.kind) {
        None => {
            return Err(wrong(name, format!("node `{}` has no kind; write `kind: linux`", name.value)));
        }
        Some(kind) if kind.value != "linux" => {
            return Err(wrong(
                kind,
                format!("kind `{}` cannot run in a network namespace: only `linux`", kind.value),
            ));
        }
        Some(_) => {}
    }
    let Some(image) = nearest(|n| &n.image) else {
        return Err(wrong(name, format!("node `{}` has no image, which containerlab needs", name.value)));
    };
    let mut node = Node {
        name: name.value.clone(),
        role: Role::of_image(&image.value),
        image: image.value.clone(),
        binds: Vec::new(),
        exec: Vec::new(),
        sysctls: BTreeMap::new(),
        env: BTreeMap::new(),
    };
    for layer in layers {
        for bind in &layer.binds {
            let bind = resolve_bind(bind, folder)?;
            node.binds.retain(|earlier| earlier.target != bind.target);
            node.binds.push(bind);
        }
        for line in &layer.exec {
            let words = split(&line.value).map_err(|e| wrong(line, e.to_string()))?;
            node.exec.push(words);
        }
        for (key, value) in &layer.sysctls {
            if !key.value.starts_with("net.") {
                return Err(wrong(
                    key,
                    format!("sysctl `{}` is not the node's own: only `net.*`", key.value),
                ));
            }
            node.sysctls.insert(key.value.clone(), value.0.clone());
        }
        node.env.extend(layer.env.iter().map(|(k, v)| (k.clone(), v.0.clone())));
    }
    Ok(node)
}

fn resolve_bind(text: &Spanned<String>, folder: &Path) -> Result<Bind, Wrong> {
    let mut fields = text.value.split(':');
    let (Some(source), Some(target), options, None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(wrong(text, format!("bind `{}` is not source:target or source:target:ro", text.value)));
    };
    let read_only = match options {
        None | Some("rw") => false,
        Some("ro") => true,
        Some(other) => return Err(wrong(text, format!("bind option `{other}` is not known: `ro` or `rw`"))),
    };
    if source.starts_with('~') || source.starts_with("__clab") {
        return Err(wrong(text, format!("bind source `{source}` depends on who runs the lab: use a path")));
    }
    let target = PathBuf::from(target);
    if !target.is_absolute() {
        return Err(wrong(text, format!("bind target `{}` is not an absolute path", target.display())));
    }
    let source = folder
        .join(source)
        .canonicalize()
        .map_err(|e| wrong(text, format!("bind source `{source}`: {e}")))?;
    Ok(Bind { source, target, read_only })
}

fn resolve_link(
    link: &schema::Link,
    nodes: &BTreeMap<String, Node>,
    taken: &mut BTreeSet<Port>,
) -> Result<Link, Wrong> {
    let [a, b] = link.endpoints.value.as_slice() else {
        return Err(wrong(&link.endpoints, "a link has exactly two endpoints, each node:interface"));
    };
    let mut port = |text: &Spanned<String>| -> Result<Port, Wrong> {
        let port: Port = text.value.parse().map_err(|e: String| wrong(text, e))?;
        if !nodes.contains_key(&port.node) {
            let known = nodes.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(wrong(text, format!("`{port}`: no node `{}`; there are {known}", port.node)));
        }
        if !valid_interface(&port.interface) {
            return Err(wrong(text, format!("`{port}`: not an interface name of at most 15 characters")));
        }
        if matches!(port.interface.as_str(), "eth0" | "lo") {
            return Err(wrong(
                text,
                format!("`{port}`: eth0 is containerlab's management interface, lo the loopback"),
            ));
        }
        if !taken.insert(port.clone()) {
            return Err(wrong(text, format!("`{port}` is in two links")));
        }
        Ok(port)
    };
    let ends = [port(a)?, port(b)?];
    let mtu = match &link.mtu {
        None => DEFAULT_MTU,
        Some(mtu) if (68..=65535).contains(&mtu.value) => mtu.value,
        Some(mtu) => return Err(wrong(mtu, format!("mtu {} is not in 68-65535", mtu.value))),
    };
    Ok(Link { ends, mtu })
}

/// IFNAMSIZ is 16 with the terminating zero; the kernel refuses `/`, `:` and white space.
fn valid_interface(name: &str) -> bool {
    (1..=15).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_graphic() && c != '/' && c != ':')
        && !matches!(name, "." | "..")
}

/// Names become host names and files: letters, digits, `-`, `_` and `.`, at most 63 characters.
fn check_name(name: &Spanned<String>, what: &str) -> Result<(), Wrong> {
    let text = &name.value;
    let good = text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if good {
        return Ok(());
    }
    Err(wrong(
        name,
        format!(
            "`{text}` cannot name {what}: letters, digits, `-`, `_`, `.`, a letter or digit first, at most 63"
        ),
    ))
}

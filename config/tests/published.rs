//! What is published about the file is what the checker does: schema, reference, examples.
//!
//! `PETIOLE_BLESS=1 cargo test -p petiole-config --test published` writes the generated files anew.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use petiole_config::{Loaded, json_schema, keys, parse, reference};
use serde_json::Value as Json;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap()
}

/// Compares a generated file, or writes it when blessed.
fn is_up_to_date(path: &str, generated: &str) {
    if std::env::var_os("PETIOLE_BLESS").is_some() {
        fs::write(repository(path), generated).unwrap();
    }
    assert!(read(path) == generated, "{path} is not what the schema says: PETIOLE_BLESS=1 writes it anew");
}

#[track_caller]
fn accepted(name: &str, text: &str) -> Loaded {
    parse(name, text, &common::Keys).unwrap_or_else(|diagnostics| panic!("{diagnostics}"))
}

#[test]
fn the_json_schema_is_up_to_date() {
    let schema = serde_json::to_string_pretty(&json_schema()).unwrap() + "\n";
    is_up_to_date("dist/petiole.schema.json", &schema);
}

#[test]
fn the_reference_is_up_to_date() {
    let path = "docs/config.md";
    let text = read(path);
    let marker = text.lines().find(|line| line.starts_with("<!-- What follows")).unwrap();
    let (written, _) = text.split_once(marker).unwrap();
    is_up_to_date(path, &format!("{written}{marker}\n\n{}", reference()));
}

#[test]
fn every_key_is_in_the_reference() {
    let text = read("docs/config.md");
    for (section, key) in keys() {
        let shown = if section.is_empty() { format!("{key}]") } else { format!("| `{key}` |") };
        assert!(text.contains(&shown), "{section} {key}");
    }
}

#[test]
fn the_annotated_file_passes_without_a_warning() {
    let loaded = accepted("petiole.toml", &read("dist/petiole.toml"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
}

#[test]
fn the_annotated_file_mentions_every_key() {
    let text = read("dist/petiole.toml");
    let rare = ["port", "local-address", "local-asn", "max-prefixes-out", "source", "large-community"];
    for (section, key) in keys() {
        let set = section == "`set` of a rule";
        assert!(set || rare.contains(&key) || text.contains(key), "{section} {key}");
    }
}

#[test]
fn every_example_in_the_documentation_passes() {
    let text = read("docs/config.md");
    let examples: Vec<_> =
        text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(examples.len() >= 2);
    for example in examples {
        accepted("docs/config.md", example);
    }
}

/// What the product shows first, with the groups and networks that it only names.
const PRODUCT: &str = r#"
[host]
name      = "host1"
asn       = 65002
router-id = "50.1.1.1"
loopback  = ["10.0.0.1/32"]

[[uplink]]
interface = "eth1"
address   = ["50.1.1.1/24"]

[[neighbor]]
name      = "leaf1"
address   = "50.1.1.2"
asn       = 500
import    = "fabric"
export    = "local"
hold-time = 9
allow-own-as = 1
password-file = "/etc/petiole/leaf1.key"
ttl-security = true
bfd       = false
max-prefixes = 100000
graceful-restart = false

[[route-policy]]
name = "fabric"
default = "reject"
rules = [
  { prefix = ["0.0.0.0/0"],                 action = "accept" },
  { prefix = ["192.168.0.0/16 le 32"], community = ["65000:100"], action = "accept", set = { local-pref = 200 } },
]

[[tenant]]
name = "blue"

[[network]]
name    = "public"
tenant  = "default"
encap   = "routed"
subnet  = "192.168.1.0/24"
gateway = "192.168.1.254"
subnet6 = "2001:db8:1::/64"
pool    = ["192.168.1.1-192.168.1.100"]
advertise = "endpoints"
masquerade = false

[[network]]
name = "contiv-vlan"
encap = "vlan"
tag = 112
uplink = "eth2"
subnet = "10.1.3.0/24"

[[network]]
name = "contiv-net"
encap = "vxlan"
vni = 5001
subnet = "10.1.2.0/24"
vteps = ["50.1.1.1", "60.1.1.3"]

[[network]]
name = "testnet"
subnet = "192.168.2.0/24"

[[group]]
name = "epgA"
network = "testnet"

[[group]]
name = "epgB"
network = "testnet"
policies = ["policyAB"]
profile = "slow"

[[policy]]
name = "policyAB"
rules = [
  { id = "1", direction = "in", protocol = "icmp", from-group = "epgA", action = "deny" },
  { id = "2", direction = "in", protocol = "tcp",  from-group = "epgA", action = "deny", priority = 1 },
  { id = "3", direction = "in", protocol = "tcp", port = "8001", from-group = "epgA", action = "allow", priority = 10 },
]

[[profile]]
name = "slow"
bandwidth = "500Kbps"
burst = "80KiB"
dscp = 6

[[endpoint]]
name = "web1"
group = "epgB"
netns = "/run/netns/web1"
address = "192.168.2.3"
publish = ["9099:9099/tcp"]

[api]
socket = "/run/petiole/petiole.sock"
metrics = "127.0.0.1:9179"

[state]
dir = "/var/lib/petiole"
"#;

#[test]
fn the_products_own_example_passes() {
    let loaded = accepted("petiole.toml", PRODUCT);
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
}

#[test]
fn what_the_checker_takes_the_json_schema_takes() {
    let schema = json_schema();
    for (name, text) in [("dist/petiole.toml", read("dist/petiole.toml").as_str()), ("product", PRODUCT)] {
        let value = serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap();
        assert_eq!(against(&schema, &value, ""), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn the_json_schema_refuses_what_it_can_see() {
    let schema = json_schema();
    for text in [
        "",
        "[host]",
        "[host]\nasn = 0",
        "[host]\nasn = 65535",
        "[host]\nasn = \"1\"",
        "[host]\nasn = 1\nasm = 2",
        "[host]\nasn = 1\n[uplink]\ninterface = \"eth1\"",
        "[host]\nasn = 1\n[[neighbor]]\nname = \"a\"\naddress = \"1.1.1.1\"\nasn = \"internal\"\nimport = \"all\"",
        "[host]\nasn = 1\n[[neighbor]]\nname = \"a\"\naddress = \"1.1.1.1\"\nasn = 1\nimport = \"all\"\nbfd = true",
        "[host]\nasn = 1\n[[network]]\nname = \"a\"\nencap = \"gre\"",
        "[host]\nasn = 1\n[[network]]\nname = \"a\"\ntag = 4095",
        "[host]\nasn = 1\n[[network]]\nname = \"a\"\nvni = 0",
        "[host]\nasn = 1\n[[route-policy]]\nname = \"a\"\nrules = [{}]",
        "[host]\nasn = 1\n[[group]]\nname = \"a\"\nnetwork = \"n\"\nid = 0",
        "[host]\nasn = 1\n[[policy]]\nname = \"a\"\nrules = [{}]",
        "[host]\nasn = 1\n[[policy]]\nname = \"a\"\nrules = [{ id = \"1\", priority = 101 }]",
        "[host]\nasn = 1\n[[policy]]\nname = \"a\"\nrules = [{ id = \"1\", protocol = 256 }]",
        "[host]\nasn = 1\n[[policy]]\nname = \"a\"\nrules = [{ id = \"1\", icmp-type = [\"ping\"] }]",
        "[host]\nasn = 1\n[[profile]]\nname = \"a\"\ndscp = 64",
        "[host]\nasn = 1\n[[profile]]\nname = \"a\"\nburst = 0",
    ] {
        let value = serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap();
        assert_ne!(against(&schema, &value, ""), Vec::<String>::new(), "{text}");
    }
}

/// Words that say nothing about values of this type, that are looked at below, or that are left out.
const IGNORED: [&str; 14] = [
    "$schema",
    "additionalProperties",
    "default",
    "description",
    "examples",
    "format",
    "items",
    "maxLength",
    "maximum",
    "minimum",
    "pattern",
    "properties",
    "required",
    "title",
];

/// The complaints of as much of JSON Schema as ours uses; patterns and formats are left out.
fn against(schema: &Json, value: &Json, at: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |ok: bool, what: &str| {
        if !ok {
            wrong.push(format!("{at}: {what} {value}"));
        }
    };
    for (word, rule) in schema.as_object().unwrap() {
        match (word.as_str(), value) {
            ("type", _) => check(
                match rule.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "integer" => value.is_i64(),
                    "boolean" => value.is_boolean(),
                    other => panic!("{other}"),
                },
                "type",
            ),
            ("enum", _) => check(rule.as_array().unwrap().contains(value), "enum"),
            ("const", _) => check(rule == value, "const"),
            ("not", _) => check(!against(rule, value, at).is_empty(), "not"),
            ("anyOf", _) => {
                check(rule.as_array().unwrap().iter().any(|s| against(s, value, at).is_empty()), "anyOf");
            }
            ("minimum", Json::Number(n)) => check(n.as_i64() >= rule.as_i64(), "minimum"),
            ("maximum", Json::Number(n)) => check(n.as_i64() <= rule.as_i64(), "maximum"),
            ("maxLength", Json::String(s)) => check(s.len() as u64 <= rule.as_u64().unwrap(), "maxLength"),
            ("required", Json::Object(o)) => {
                let there = |key: &Json| o.contains_key(key.as_str().unwrap());
                check(rule.as_array().unwrap().iter().all(there), "required");
            }
            ("additionalProperties", Json::Object(o)) => {
                assert_eq!(rule, &Json::Bool(false));
                check(o.keys().all(|key| schema["properties"].get(key).is_some()), "additionalProperties");
            }
            (word, _) if IGNORED.contains(&word) => {}
            (other, _) => panic!("a word that this test does not know: {other}"),
        }
    }
    match value {
        Json::Object(o) => {
            for (key, value) in o {
                if let Some(schema) = schema["properties"].get(key) {
                    wrong.extend(against(schema, value, &format!("{at}.{key}")));
                }
            }
        }
        Json::Array(a) => {
            for value in a.iter().filter(|_| schema.get("items").is_some()) {
                wrong.extend(against(&schema["items"], value, &format!("{at}[]")));
            }
        }
        _ => {}
    }
    wrong
}

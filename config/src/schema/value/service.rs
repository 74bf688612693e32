//! What rules of policies are about, above IP: protocols, ports, types of ICMP.

use schemars::{Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use super::{
    text::Problem,
    word::{Word, word_values},
};
use crate::{
    diagnostic::Kind,
    found::{Found, Span, nearest, one_of},
    model::{AclAction, DefaultAction, Direction, IcmpType, PortRange, Protocol},
    schema::read::{Value, wrong_type},
};

impl Word for Direction {
    const WHAT: &'static str = "direction";
    const WORDS: &'static [(&'static str, Self)] = &[("in", Self::In), ("out", Self::Out)];
}

impl Word for AclAction {
    const WHAT: &'static str = "action";
    const WORDS: &'static [(&'static str, Self)] = &[("allow", Self::Allow), ("deny", Self::Deny)];
}

impl Word for DefaultAction {
    const WHAT: &'static str = "action";
    const WORDS: &'static [(&'static str, Self)] = &[("allow", Self::Allow), ("deny", Self::Deny)];
}

const fn icmp(v4: Option<u8>, v6: Option<u8>) -> IcmpType {
    IcmpType { v4, v6 }
}

impl Word for IcmpType {
    const WHAT: &'static str = "type of ICMP message";
    // IANA registries "ICMP Type Numbers" and "ICMPv6 type Numbers". ICMPv6's redirect is neighbour discovery, which no
    // rule is about.
    const WORDS: &'static [(&'static str, Self)] = &[
        ("echo-request", icmp(Some(8), Some(128))),
        ("echo-reply", icmp(Some(0), Some(129))),
        ("destination-unreachable", icmp(Some(3), Some(1))),
        ("time-exceeded", icmp(Some(11), Some(3))),
        ("parameter-problem", icmp(Some(12), Some(4))),
        ("redirect", icmp(Some(5), None)),
        ("packet-too-big", icmp(None, Some(2))),
        ("timestamp-request", icmp(Some(13), None)),
        ("timestamp-reply", icmp(Some(14), None)),
    ];
}

word_values!(Direction, AclAction, DefaultAction, IcmpType);

/// The protocol of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AclProtocol {
    /// ICMP in IPv4, ICMPv6 in IPv6.
    Icmp,
    /// Its number.
    Number(u8),
}

/// What a rule takes as a protocol beside numbers.
const PROTOCOLS: [&str; 4] = ["tcp", "udp", "sctp", "icmp"];

/// Protocols that people know by name and rules by number, from IANA's registry "Protocol Numbers".
const BY_NUMBER: [(&str, u8); 8] = [
    ("igmp", 2),
    ("ipip", 4),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("ospf", 89),
    ("pim", 103),
    ("vrrp", 112),
];

impl AclProtocol {
    /// Whether it has ports, and which number it is then.
    pub(crate) fn with_ports(self) -> Option<u8> {
        match self {
            Self::Number(number) => {
                Protocol::WORDS.iter().any(|(_, protocol)| protocol.number() == number).then_some(number)
            }
            Self::Icmp => None,
        }
    }

    fn of_word(word: &str) -> Option<Self> {
        match Protocol::WORDS.iter().find(|(known, _)| *known == word) {
            Some((_, protocol)) => Some(Self::Number(protocol.number())),
            None if word == "icmp" => Some(Self::Icmp),
            None => None,
        }
    }
}

impl Value for AclProtocol {
    fn type_name() -> String {
        format!("{} or an integer, 0 to 255", PROTOCOLS.map(|word| format!("\"{word}\"")).join(", "))
    }

    fn read(value: &DeValue<'_>, span: &Span, found: &mut Found<'_>) -> Option<Self> {
        let allowed = || format!("allowed is {}, or a number from 0 to 255", one_of(PROTOCOLS));
        let number = match value {
            DeValue::Integer(number) => u8::from_str_radix(number.as_str(), number.radix()).ok(),
            DeValue::String(text) if digits(text) => text.parse().ok(),
            DeValue::String(word) => {
                let known = Self::of_word(word);
                if known.is_none() {
                    unknown_protocol(word, span, found).label(allowed());
                }
                return known;
            }
            _ => {
                wrong_type("a protocol", value, span, found).label(allowed());
                return None;
            }
        };
        if number.is_none() {
            let written = found.written(span).trim_matches(['"', '\'']);
            found.error(Kind::BadValue, span, format!("there is no protocol `{written}`")).label(allowed());
        }
        number.map(Self::Number)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": 0, "maximum": 255 },
            { "enum": PROTOCOLS },
            { "type": "string", "pattern": "^[0-9]{1,3}$" },
        ]})
    }
}

fn unknown_protocol<'f>(word: &str, span: &Span, found: &'f mut Found<'_>) -> &'f mut crate::Diagnostic {
    let error = found.error(Kind::BadValue, span, format!("there is no protocol `{}`", word.escape_debug()));
    let folded = word.to_ascii_lowercase();
    if let Some((_, number)) = BY_NUMBER.iter().find(|(known, _)| *known == folded) {
        error.help(format!("write `protocol = {number}`"));
    } else if matches!(folded.as_str(), "any" | "all" | "ip" | "") {
        error.help("leave out `protocol` for any");
    } else if folded.starts_with("icmp") || matches!(folded.as_str(), "ipv6-icmp" | "ping") {
        error.help("write \"icmp\": it is ICMP in IPv4 and ICMPv6 in IPv6");
    } else if let Some(near) = nearest(word, PROTOCOLS) {
        error.help(format!("did you mean \"{near}\"?"));
    }
    error
}

/// Destination ports: ascending, apart from each other; none is every one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ports(pub(crate) Vec<PortRange>);

impl Ports {
    fn parse(text: &str) -> Result<Self, Problem> {
        // As Contiv has it.
        if text.trim() == "0" {
            return Ok(Self(Vec::new()));
        }
        let mut ranges = Vec::new();
        for part in text.split(',').map(str::trim) {
            if part.is_empty() {
                return Err(Problem::new(format!("`{}` is not a list of ports", text.escape_debug()))
                    .label("for example \"80,443,8000-8010\""));
            }
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (port(text, first.trim())?, port(text, last.trim())?);
            ranges.push(PortRange::new(first, last).ok_or_else(|| {
                Problem::new(format!("the ports {first}-{last} end before they begin"))
                    .at(text, part)
                    .label(format!("did you mean {last}-{first}?"))
            })?);
        }
        Ok(Self(united(ranges)))
    }
}

fn port(text: &str, part: &str) -> Result<u16, Problem> {
    match part.parse::<u16>() {
        Ok(0) => Err(Problem::new("port 0 is no port that anything could be sent to")
            .at(text, part)
            .label("allowed is 1 to 65535")
            .help("\"0\" alone means every port, as does leaving out `port`")),
        Ok(port) if digits(part) => Ok(port),
        _ => Err(Problem::new(format!("`{}` is not a port", part.escape_debug()))
            .at(text, part)
            .label("allowed is 1 to 65535")),
    }
}

/// Ascending and apart: ranges that overlap or touch made one.
fn united(mut ranges: Vec<PortRange>) -> Vec<PortRange> {
    ranges.sort_unstable();
    let mut out: Vec<PortRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        let joined = out.last().filter(|last| u32::from(range.first()) <= u32::from(last.last()) + 1);
        match joined.and_then(|last| PortRange::new(last.first(), last.last().max(range.last()))) {
            Some(joined) => {
                out.pop();
                out.push(joined);
            }
            None => out.push(range),
        }
    }
    out
}

impl Value for Ports {
    fn type_name() -> String {
        "ports".into()
    }

    fn read(value: &DeValue<'_>, span: &Span, found: &mut Found<'_>) -> Option<Self> {
        // The text of an integer as it is written: a report points into it like into a string.
        let text = match value {
            DeValue::String(text) => text.clone(),
            DeValue::Integer(number) => match u32::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => number.to_string().into(),
                Err(_) => found.written(span).into(),
            },
            other => {
                let error = wrong_type("a string of ports", other, span, found);
                if let DeValue::Array(list) = other {
                    let ports: Option<Vec<_>> = list.iter().map(|item| as_port(item.get_ref())).collect();
                    error.help.extend(ports.map(|ports| format!("write \"{}\"", ports.join(","))));
                }
                return None;
            }
        };
        match Self::parse(&text) {
            Ok(ports) => Some(ports),
            Err(problem) => {
                problem.report(&text, span, found);
                None
            }
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": 0, "maximum": 65535 },
            { "type": "string", "pattern": "^\\s*[0-9]{1,5}(\\s*-\\s*[0-9]{1,5})?(\\s*,\\s*[0-9]{1,5}(\\s*-\\s*[0-9]{1,5})?)*\\s*$" },
        ]})
    }
}

/// What stands for a port in a list that should have been a string.
fn as_port<'v>(value: &'v DeValue<'_>) -> Option<&'v str> {
    match value {
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str()),
        DeValue::String(text) if Ports::parse(text).is_ok() => Some(text),
        _ => None,
    }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(text: &str) -> String {
        let Ports(ranges) = Ports::parse(text).unwrap();
        ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ports_are_one_or_a_list_or_ranges_however_they_are_written() {
        assert_eq!(ports("80"), "80");
        assert_eq!(ports("80,443,8000-8010"), "80 443 8000-8010");
        assert_eq!(ports(" 443 , 80 - 80"), "80 443");
        assert_eq!(ports("0"), "");
        assert_eq!(ports("1-65535"), "1-65535");
        assert_eq!(ports("65535,65534"), "65534-65535");
    }

    #[test]
    fn ports_that_overlap_or_touch_are_one_range() {
        assert_eq!(ports("7-9,1-3,4-5,8-12"), "1-5 7-12");
        assert_eq!(ports("1-9,2-3,9"), "1-9");
        assert_eq!(ports("80,80"), "80");
    }

    #[test]
    fn the_wrong_port_of_a_list_is_pointed_at() {
        let at = |text| Ports::parse(text).unwrap_err().at;
        assert_eq!(at("80,65536"), Some(3..8));
        assert_eq!(at("80, 9-7"), Some(4..7));
        assert_eq!(at("80-http"), Some(3..7));
        assert_eq!(at("0,80"), Some(0..1));
        assert_eq!(at("80,,443"), None);
        for bad in ["", ",", "80,", "-", "80-", "-80", "+80", "1-2-3", "0-5", "80;443", "٣", "80 443"] {
            assert!(Ports::parse(bad).is_err(), "{bad}");
        }
    }
}

//! What route policies match and set.

use ipnet::IpNet;
use schemars::{Schema, json_schema};

use super::{
    Length,
    text::{Problem, Text, text_values},
};
use crate::{
    found::nearest,
    model::{AsPathMask, AsPathToken, Community, LargeCommunity, PrefixRange},
};

impl Text for PrefixRange {
    const WHAT: &'static str = "a prefix range";

    fn parse(text: &str) -> Result<Self, Problem> {
        let mut words = text.split_ascii_whitespace();
        let net = range_prefix(text, words.next().unwrap_or_default())?;
        let (mut ge, mut le) = (None, None);
        while let Some(word) = words.next() {
            let bound = match word {
                "ge" => &mut ge,
                "le" => &mut le,
                _ => {
                    return Err(Problem::new(format!(
                        "`{}` cannot stand behind a prefix",
                        word.escape_debug()
                    ))
                    .at(text, word)
                    .label("allowed are `ge N` and `le N`")
                    .note("for example \"192.168.0.0/16 ge 24 le 32\""));
                }
            };
            let Some(number) = words.next() else {
                return Err(Problem::new(format!("`{word}` without a length"))
                    .at(text, word)
                    .label(format!("allowed is {} to {}", net.prefix_len(), net.max_prefix_len())));
            };
            let length = Length::parse(text, number, net.max_prefix_len())?;
            if bound.replace((length, number)).is_some() {
                return Err(Problem::new(format!("`{word}` twice")).at(text, word));
            }
        }
        // As in a prefix list of a router: `ge` alone reaches to the longest length.
        let low = ge.map_or(net.prefix_len(), |(length, _)| length);
        let high = match (ge, le) {
            (_, Some((length, _))) => length,
            (Some(_), None) => net.max_prefix_len(),
            (None, None) => net.prefix_len(),
        };
        let part = le.or(ge).map_or(text, |(_, part)| part);
        Self::new(net, low, high).ok_or_else(|| {
            Problem::new(format!("no prefix in {net} has a length from {low} to {high}"))
                .at(text, if low < net.prefix_len() { ge.map_or(part, |(_, part)| part) } else { part })
                .label(format!("needed is {} ≤ ge ≤ le ≤ {}", net.prefix_len(), net.max_prefix_len()))
        })
    }

    fn schema() -> Schema {
        json_schema!({ "pattern": "^\\s*[0-9a-fA-F.:]+/[0-9]{1,3}(\\s+[gl]e\\s+[0-9]{1,3}){0,2}\\s*$" })
    }
}

/// The prefix of a range.
fn range_prefix(text: &str, word: &str) -> Result<IpNet, Problem> {
    if let Ok(net) = word.parse::<IpNet>() {
        if net.trunc() != net {
            return Err(Problem::new(format!("`{word}` has host bits set"))
                .at(text, word)
                .label(format!("did you mean {}?", net.trunc())));
        }
        return Ok(net);
    }
    let problem = Problem::new(format!("`{}` is not a prefix", word.escape_debug())).at(text, word);
    // What the same range is called in BIRD's language.
    let bird = ['+', '-', '{'].iter().find_map(|mark| {
        let net = word.split_once(*mark)?.0.parse::<IpNet>().ok()?;
        Some((mark, net))
    });
    Err(match bird {
        Some(('+', net)) => problem.help(format!("write \"{net} le {}\"", net.max_prefix_len())),
        Some(_) => problem.help("lengths are written with `ge` and `le`: \"192.168.0.0/16 ge 24 le 32\""),
        None if word.parse::<std::net::Ipv4Addr>().is_ok() => {
            problem.label(format!("for one address, {word}/32"))
        }
        None if word.parse::<std::net::Ipv6Addr>().is_ok() => {
            problem.label(format!("for one address, {word}/128"))
        }
        None => problem.label("for example 192.168.0.0/16"),
    })
}

impl Text for Community {
    const WHAT: &'static str = "a community";

    fn parse(text: &str) -> Result<Self, Problem> {
        if let Some((_, value)) = Self::WELL_KNOWN.iter().find(|(name, _)| *name == text) {
            return Ok(*value);
        }
        let parts: Vec<_> = text.split(':').collect();
        if let [high, low] = *parts.as_slice()
            && digits(high)
            && digits(low)
        {
            let half = |part: &str| {
                part.parse::<u16>().map_err(|_| {
                    Problem::new(format!("`{part}` does not fit in half a community"))
                        .at(text, part)
                        .label("allowed is 0 to 65535")
                        .help("an AS number of more than 16 bits needs a large community: `large-community`")
                })
            };
            return Ok(Self::new(half(high)?, half(low)?));
        }
        let names = || Self::WELL_KNOWN.iter().map(|(name, _)| *name);
        let problem = Problem::new(format!("`{}` is not a community", text.escape_debug()));
        let all: Vec<_> = names().collect();
        Err(match nearest(text, names()) {
            Some(name) => problem.label(format!("did you mean \"{name}\"?")),
            None if parts.len() == 3 => problem.label("three parts").help("that is a `large-community`"),
            None => problem.label("two numbers to 65535, such as 65000:100, or a well-known name"),
        }
        .note(format!("the names are {}", all.join(", "))))
    }

    fn schema() -> Schema {
        let names: Vec<_> = Self::WELL_KNOWN.iter().map(|(name, _)| *name).collect();
        json_schema!({ "anyOf": [{ "enum": names }, { "pattern": "^[0-9]{1,5}:[0-9]{1,5}$" }] })
    }
}

impl Text for LargeCommunity {
    const WHAT: &'static str = "a large community";

    fn parse(text: &str) -> Result<Self, Problem> {
        let parts: Vec<_> = text.split(':').collect();
        let [a, b, c] = *parts.as_slice() else {
            let problem = Problem::new(format!("`{}` is not a large community", text.escape_debug()))
                .label("three numbers, such as 65002:1:2");
            return Err(if parts.len() == 2 { problem.help("two parts are a `community`") } else { problem });
        };
        let part = |part: &str| match part.parse::<u32>() {
            Ok(number) if digits(part) => Ok(number),
            _ => Err(Problem::new(format!("`{}` is not a part of a large community", part.escape_debug()))
                .at(text, part)
                .label("allowed is 0 to 4294967295")),
        };
        Ok(Self(part(a)?, part(b)?, part(c)?))
    }

    fn schema() -> Schema {
        json_schema!({ "pattern": "^[0-9]{1,10}:[0-9]{1,10}:[0-9]{1,10}$" })
    }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

impl Text for AsPathMask {
    const WHAT: &'static str = "an AS path mask";

    fn parse(text: &str) -> Result<Self, Problem> {
        text.split_ascii_whitespace().map(|word| token(text, word)).collect::<Result<_, _>>().map(Self)
    }

    fn schema() -> Schema {
        json_schema!({ "pattern": "^\\s*((\\*|\\?|[0-9]+(\\.\\.[0-9]+)?)(\\s+|$))*$" })
    }
}

/// A word of a mask.
fn token(text: &str, word: &str) -> Result<AsPathToken, Problem> {
    let asn = |part: &str| {
        match part.parse::<u32>() {
        Ok(number) if digits(part) => Ok(number),
        _ if digits(part) => Err(Problem::new(format!("`{part}` is out of range"))
            .at(text, part)
            .label("allowed is 0 to 4294967295")),
        _ => Err(Problem::new(format!("`{}` is not a part of an AS path", word.escape_debug()))
            .at(text, word)
            .label("an AS number, a range, `?` or `*`")
            .note("a mask fits the whole path: \"* 65001 *\" has 65001 somewhere, \"65001 *\" begins with it, \"? ?\" has two ASes, \"* 64512..65534\" ends in one of these")),
    }
    };
    match word {
        "*" => Ok(AsPathToken::Many),
        "?" => Ok(AsPathToken::Any),
        _ => match word.split_once("..") {
            None => asn(word).map(AsPathToken::Asn),
            Some((first, last)) => match (asn(first)?, asn(last)?) {
                (first, last) if first <= last => Ok(AsPathToken::Range(first, last)),
                (first, last) => Err(Problem::new(format!("the range `{word}` ends before it begins"))
                    .at(text, word)
                    .label(format!("did you mean {last}..{first}?"))),
            },
        },
    }
}

text_values!(PrefixRange, Community, LargeCommunity, AsPathMask);

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Option<String> {
        PrefixRange::parse(text).ok().map(|r| format!("{} {}-{}", r.net(), r.ge(), r.le()))
    }

    #[test]
    fn prefix_ranges_mean_what_a_routers_prefix_list_means() {
        assert_eq!(range("192.168.0.0/16").as_deref(), Some("192.168.0.0/16 16-16"));
        assert_eq!(range("192.168.0.0/16 le 32").as_deref(), Some("192.168.0.0/16 16-32"));
        assert_eq!(range("192.168.0.0/16 ge 24").as_deref(), Some("192.168.0.0/16 24-32"));
        assert_eq!(range("192.168.0.0/16 le 28 ge 24").as_deref(), Some("192.168.0.0/16 24-28"));
        assert_eq!(range("2001:db8::/32 ge 48").as_deref(), Some("2001:db8::/32 48-128"));
        for bad in [
            "",
            "192.168.0.0",
            "192.168.1.0/16",
            "10.0.0.0/8 ge",
            "10.0.0.0/8 ge 33",
            "10.0.0.0/8 le 7",
            "10.0.0.0/8 ge 24 le 16",
            "10.0.0.0/8 ge 9 ge 9",
            "10.0.0.0/8 eq 9",
            "10.0.0.0/8 le +9",
            "10.0.0.0/8+",
        ] {
            assert_eq!(range(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_prefix_range_is_shown_as_it_can_be_written() {
        for text in [
            "10.0.0.0/8",
            "10.0.0.0/8 le 9",
            "10.0.0.0/8 ge 9",
            "10.0.0.0/8 ge 9 le 10",
            "10.0.0.0/8 ge 9 le 9",
        ] {
            assert_eq!(PrefixRange::parse(text).map(|r| r.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn birds_ranges_are_translated() {
        let help = |text| PrefixRange::parse(text).unwrap_err().help;
        assert_eq!(help("10.0.0.0/8+").as_deref(), Some("write \"10.0.0.0/8 le 32\""));
        assert!(help("10.0.0.0/8{9,10}").unwrap().contains("ge"));
    }

    #[test]
    fn communities_are_two_halves_or_a_name() {
        assert_eq!(Community::parse("65000:100"), Ok(Community::new(65000, 100)));
        assert_eq!(Community::parse("no-export"), Ok(Community(0xffff_ff01)));
        assert_eq!(Community::parse("65535:0").unwrap().to_string(), "graceful-shutdown");
        for bad in ["", "1", "65536:1", "1:65536", "+1:1", "1:2:3", "no-exprot", ":", "1:"] {
            assert!(Community::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn large_communities_have_three_parts() {
        assert_eq!(LargeCommunity::parse("4294967295:0:7"), Ok(LargeCommunity(u32::MAX, 0, 7)));
        for bad in ["", "1:2", "1:2:3:4", "4294967296:0:0", "1:+2:3", "::"] {
            assert!(LargeCommunity::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn as_path_masks_are_words() {
        use AsPathToken::{Any, Asn, Many, Range};
        assert_eq!(AsPathMask::parse("* 65001 ?").unwrap().0, [Many, Asn(65001), Any]);
        assert_eq!(AsPathMask::parse("64512..65534").unwrap().0, [Range(64512, 65534)]);
        assert_eq!(AsPathMask::parse("").unwrap().0, []);
        for bad in ["x", "4294967296", "2..1", "1..", "..", "1..2..3", "^65001$", "**"] {
            assert!(AsPathMask::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_wrong_word_is_pointed_at() {
        let at = |text| AsPathMask::parse(text).unwrap_err().at;
        assert_eq!(at("* 65OO1 *"), Some(2..7));
        assert_eq!(PrefixRange::parse("10.0.0.0/8 ge 33").unwrap_err().at, Some(14..16));
    }
}

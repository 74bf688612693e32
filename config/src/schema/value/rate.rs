//! What profiles limit: bandwidths and bursts.

use schemars::{Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use super::text::{Problem, Text, text_values};
use crate::{
    found::{Found, Span},
    model::Bandwidth,
    schema::read::{Value, wrong_type},
};

/// 1024-based, as in Contiv.
const RATES: [(&str, u64); 4] = [("bps", 1), ("Kbps", 1 << 10), ("Mbps", 1 << 20), ("Gbps", 1 << 30)];

const SIZES: [(&str, u64); 3] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20)];

/// More than any link carries, and far from where counting in it could overflow.
const FASTEST: u64 = 1024 << 30;

impl Text for Bandwidth {
    const WHAT: &'static str = "a bandwidth";

    fn parse(text: &str) -> Result<Self, Problem> {
        let bits = quantity(text, "a bandwidth", "bits per second", "500Kbps", &RATES)?;
        match Self::new(bits) {
            Some(rate) if bits <= FASTEST => Ok(rate),
            Some(_) => Err(Problem::new(format!("`{text}` is faster than any link"))
                .label(format!("allowed is up to {}Gbps", FASTEST >> 30))),
            None => Err(Problem::new("a bandwidth of 0 would let nothing through")
                .label("allowed is 1bps and up")
                .help("leave it out for no limit; what must not pass at all is denied by a `[[policy]]`")),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "pattern": "^\\s*[0-9]+(\\.[0-9]+)?\\s*[kKmMgG]?[bB][pP][sS]\\s*$" })
    }
}

text_values!(Bandwidth);

/// Octets that may be sent at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Burst(pub(crate) u32);

impl Burst {
    /// What a fast link carries in some 50 ms; more than that is a buffer, and no burst.
    pub(crate) const MAX: u32 = 256 << 20;

    fn checked(octets: Option<u64>, text: &str) -> Result<Self, Problem> {
        let octets =
            octets.and_then(|octets| u32::try_from(octets).ok()).filter(|octets| *octets <= Self::MAX);
        match octets {
            Some(0) => Err(Problem::new("with a burst of 0 nothing would ever be sent")
                .label(format!("allowed is 1B to {}MiB", Self::MAX >> 20))
                .help("leave it out for what the bandwidth carries in 50 ms, and at least 16KiB")),
            Some(octets) => Ok(Self(octets)),
            None => Err(Problem::new(format!("`{text}` is too large for a burst"))
                .label(format!("allowed is 1B to {}MiB", Self::MAX >> 20))),
        }
    }
}

impl Value for Burst {
    fn type_name() -> String {
        "size".into()
    }

    fn read(value: &DeValue<'_>, span: &Span, found: &mut Found<'_>) -> Option<Self> {
        let written = found.written(span).trim_matches(['"', '\'']);
        let burst = match value {
            DeValue::String(text) => {
                quantity(text, "a burst", "bytes", "80KiB", &SIZES).and_then(|n| Self::checked(Some(n), text))
            }
            // A bare number is KiB, as in Contiv.
            DeValue::Integer(number) => match u64::from_str_radix(number.as_str(), number.radix()) {
                Ok(kib) => Self::checked(kib.checked_mul(1024), written),
                Err(_) if number.as_str().starts_with('-') => {
                    Err(Problem::new(format!("`{written}` is out of range"))
                        .label(format!("allowed is 1 to {} KiB", Self::MAX >> 10)))
                }
                Err(_) => Self::checked(None, written),
            },
            _ => {
                wrong_type("a size", value, span, found).label("for example \"80KiB\", or a number of KiB");
                return None;
            }
        };
        match burst {
            Ok(burst) => Some(burst),
            Err(problem) => {
                let text = if let DeValue::String(text) = value { text } else { written };
                problem.report(text, span, found);
                None
            }
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": 1, "maximum": Self::MAX >> 10 },
            { "type": "string", "pattern": "^\\s*[0-9]+(\\.[0-9]+)?\\s*([kK][iI]|[mM][iI])?[bB]\\s*$" },
        ]})
    }
}

/// A number with a unit behind it, in the smallest of the units; a fraction has to come out whole.
fn quantity(
    text: &str,
    what: &str,
    smallest: &str,
    example: &str,
    units: &[(&'static str, u64)],
) -> Result<u64, Problem> {
    let trimmed = text.trim();
    let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(end);
    let unit = unit.trim_start();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let bad = || Problem::new(format!("`{}` is not {what}", text.escape_debug()));
    let names = units.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return Err(bad().label(format!("a number and a unit, such as {example}")));
    }
    if unit.is_empty() {
        return Err(bad()
            .label("without a unit")
            .note(format!("units are {names}; for example \"{example}\"")));
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) else {
        return Err(bad()
            .at(text, unit)
            .label(format!("allowed are {names}"))
            .note("units are counted in steps of 1024, in capitals or not"));
    };
    let fraction = fraction.trim_end_matches('0');
    let whole = match whole.trim_start_matches('0') {
        "" => 0,
        // A number with more digits than fit is out of range, not malformed.
        digits => digits.parse().unwrap_or(u64::MAX).saturating_mul(*factor),
    };
    let scale = u32::try_from(fraction.len()).ok().and_then(|len| 10_u64.checked_pow(len));
    let part = match scale {
        Some(scale) => {
            let parts = u128::from(fraction.parse::<u64>().unwrap_or(0)) * u128::from(*factor);
            parts.is_multiple_of(scale.into()).then(|| (parts / u128::from(scale)) as u64)
        }
        None => None,
    };
    match part {
        Some(part) => Ok(whole.saturating_add(part)),
        None => Err(Problem::new(format!("`{text}` is no whole number of {smallest}"))
            .label(format!("{} is {factor}", units.iter().find(|u| u.1 == *factor).map_or("", |u| u.0)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(text: &str) -> u64 {
        Bandwidth::parse(text).unwrap().bits()
    }

    fn octets(text: &str) -> Option<u64> {
        quantity(text, "a burst", "bytes", "80KiB", &SIZES).ok()
    }

    #[test]
    fn bandwidths_count_in_steps_of_1024_in_capitals_or_not() {
        assert_eq!(bits("500Kbps"), 512_000);
        assert_eq!(bits("500kbps"), 512_000);
        assert_eq!(bits("1Mbps"), 1_048_576);
        assert_eq!(bits("10 GBPS"), 10 << 30);
        assert_eq!(bits("9bps"), 9);
        assert_eq!(bits("007bps"), 7);
    }

    #[test]
    fn fractions_come_out_whole_or_are_refused() {
        assert_eq!(bits("1.5Mbps"), 1_572_864);
        assert_eq!(bits("0.5Kbps"), 512);
        assert_eq!(bits("1.50Kbps"), 1536);
        assert_eq!(bits("1.0bps"), 1);
        for bad in ["1.3Kbps", "1.5bps", "0.1Mbps", "1.00000000000000000000000001Gbps"] {
            assert!(Bandwidth::parse(bad).unwrap_err().message.contains("no whole number"), "{bad}");
        }
    }

    #[test]
    fn what_is_shown_is_read_again() {
        for bits in [1, 8, 1023, 1024, 1536, 512_000, 1 << 20, 10 << 30, FASTEST] {
            let rate = Bandwidth::new(bits).unwrap();
            assert_eq!(Bandwidth::parse(&rate.to_string()).unwrap(), rate);
        }
    }

    #[test]
    fn bandwidths_end_where_links_do_and_need_a_known_unit() {
        assert_eq!(bits("1024Gbps"), FASTEST);
        for bad in [
            "0bps",
            "0.0Gbps",
            "1025Gbps",
            "99999999999999999999999Gbps",
            "500",
            "Kbps",
            "",
            "-1Kbps",
            "1e3bps",
            "1..5Mbps",
            ".5Mbps",
            "5.Mbps",
            "1Tbps",
            "500KB/s",
            "500Kbit",
            "1,5Mbps",
        ] {
            assert!(Bandwidth::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Bandwidth::parse("500KB/s").unwrap_err().at, Some(3..7));
    }

    #[test]
    fn bursts_are_bytes() {
        assert_eq!(octets("80KiB"), Some(81_920));
        assert_eq!(octets("80 kib"), Some(81_920));
        assert_eq!(octets("1.5MiB"), Some(1_572_864));
        assert_eq!(octets("1500B"), Some(1500));
        for bad in ["80", "80KB", "80K", "1.5B", "KiB", "1GiB"] {
            assert_eq!(octets(bad), None, "{bad}");
        }
        assert!(Burst::checked(Some(Burst::MAX.into()), "").is_ok());
        assert!(Burst::checked(Some(u64::from(Burst::MAX) + 1), "").is_err());
        assert!(Burst::checked(Some(0), "").is_err());
    }
}

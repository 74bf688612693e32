//! Values that are written as numbers.

use schemars::{Schema, SchemaGenerator, json_schema};
use toml::de::{DeInteger, DeValue};

use crate::{
    diagnostic::Kind,
    found::{Found, Span, one_of},
    model::RemoteAs,
    schema::read::{Value, wrong_type},
};

/// An integer from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Int<const MIN: u32, const MAX: u32>(u32);

impl<const MIN: u32, const MAX: u32> Int<MIN, MAX> {
    pub(crate) fn get(self) -> u32 {
        self.0
    }

    /// For ranges that end at 65535 or below.
    pub(crate) fn get_u16(self) -> u16 {
        const { assert!(MAX <= u16::MAX as u32) };
        self.0 as u16
    }

    /// For ranges that end at 255 or below.
    pub(crate) fn get_u8(self) -> u8 {
        const { assert!(MAX <= u8::MAX as u32) };
        self.0 as u8
    }
}

impl<const MIN: u32, const MAX: u32> Value for Int<MIN, MAX> {
    fn type_name() -> String {
        format!("integer, {MIN} to {MAX}")
    }

    fn read(value: &DeValue<'_>, span: &Span, found: &mut Found<'_>) -> Option<Self> {
        integer(value, "an integer", span, found)?;
        bounded(value, MIN, MAX, "", span, found).map(Self)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

/// The integer that is written, or a report that there is none.
fn integer<'v, 'i>(
    value: &'v DeValue<'i>,
    expected: &str,
    span: &Span,
    found: &mut Found<'_>,
) -> Option<&'v DeInteger<'i>> {
    let number = match value {
        DeValue::Integer(number) => return Some(number),
        DeValue::String(text) if text.parse::<i64>().is_ok() => Some(text.clone()),
        _ => None,
    };
    let error = wrong_type(expected, value, span, found);
    if let Some(number) = number {
        error.help(format!("write `{number}` without quotes"));
    }
    None
}

/// The number, when it is in the range.
fn bounded(
    value: &DeValue<'_>,
    min: u32,
    max: u32,
    unit: &str,
    span: &Span,
    found: &mut Found<'_>,
) -> Option<u32> {
    let DeValue::Integer(number) = value else { return None };
    match u32::from_str_radix(number.as_str(), number.radix()) {
        Ok(number) if (min..=max).contains(&number) => Some(number),
        _ => {
            let written = found.written(span);
            found
                .error(Kind::BadValue, span, format!("`{written}` is out of range"))
                .label(format!("allowed is {min} to {max}{unit}"));
            None
        }
    }
}

/// The number of an autonomous system that can speak BGP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asn(pub(crate) u32);

/// AS numbers that nobody can be, and why. IANA registry "Special-Purpose AS Numbers".
const NOT_AN_AS: [(u32, &str); 4] = [
    (0, "AS 0 means \"not to be routed\" and is never a speaker's (RFC 7607)"),
    (23456, "AS 23456 is AS_TRANS, which stands for a 4-octet AS in an old speaker's path (RFC 6793)"),
    (65535, "AS 65535 is the last of the 2-octet AS numbers, and reserved (RFC 7300)"),
    (u32::MAX, "AS 4294967295 is the last of the AS numbers, and reserved (RFC 7300)"),
];

impl Value for Asn {
    fn type_name() -> String {
        "AS number".into()
    }

    fn read(value: &DeValue<'_>, span: &Span, found: &mut Found<'_>) -> Option<Self> {
        integer(value, "an AS number", span, found)?;
        asn(value, span, found).map(Self)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        let special: Vec<_> = NOT_AN_AS.iter().map(|(number, _)| *number).collect();
        json_schema!({
            "type": "integer", "minimum": 1, "maximum": u32::MAX - 1, "not": { "enum": special },
        })
    }
}

fn asn(value: &DeValue<'_>, span: &Span, found: &mut Found<'_>) -> Option<u32> {
    let DeValue::Integer(number) = value else { return None };
    let allowed = "allowed is 1 to 4294967294, but for 23456 and 65535";
    let Ok(number) = u32::from_str_radix(number.as_str(), number.radix()) else {
        let written = found.written(span);
        found.error(Kind::BadValue, span, format!("`{written}` is out of range")).label(allowed);
        return None;
    };
    if let Some((_, why)) = NOT_AN_AS.iter().find(|(special, _)| *special == number) {
        found
            .error(Kind::BadValue, span, format!("{number} cannot be the AS of a BGP speaker"))
            .label(allowed)
            .note(*why);
        return None;
    }
    Some(number)
}

/// The AS of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RemoteAsn(pub(crate) RemoteAs);

impl Value for RemoteAsn {
    fn type_name() -> String {
        "AS number or \"external\"".into()
    }

    fn read(value: &DeValue<'_>, span: &Span, found: &mut Found<'_>) -> Option<Self> {
        match value {
            DeValue::String(word) if word == "external" => Some(Self(RemoteAs::External)),
            DeValue::String(word) if word.parse::<i64>().is_err() => {
                found
                    .error(Kind::BadValue, span, format!("`{}` is not an AS", word.escape_debug()))
                    .label(format!("allowed is an AS number, or {}", one_of(["external"])));
                None
            }
            _ => {
                integer(value, "an AS number, or \"external\"", span, found)?;
                asn(value, span, found).map(|asn| Self(RemoteAs::Exact(asn)))
            }
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [Asn::schema(generator), { "const": "external" }] })
    }
}

/// Whole seconds from `MIN` to `MAX`: a number, or text with a unit (`"5s"`, `"2m"`, `"1h"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seconds<const MIN: u16, const MAX: u16>(pub(crate) u16);

impl<const MIN: u16, const MAX: u16> Value for Seconds<MIN, MAX> {
    fn type_name() -> String {
        format!("seconds, {MIN} to {MAX}")
    }

    fn read(value: &DeValue<'_>, span: &Span, found: &mut Found<'_>) -> Option<Self> {
        let DeValue::String(text) = value else {
            if !matches!(value, DeValue::Integer(_)) {
                wrong_type("a number of seconds", value, span, found);
                return None;
            }
            return bounded(value, MIN.into(), MAX.into(), " seconds", span, found).map(|n| Self(n as u16));
        };
        let Some(seconds) = duration(text) else {
            found
                .error(Kind::BadValue, span, format!("`{}` is not a time", text.escape_debug()))
                .label("whole seconds, such as `9`, \"9s\" or \"2m\"");
            return None;
        };
        match u16::try_from(seconds) {
            Ok(seconds) if (MIN..=MAX).contains(&seconds) => Some(Self(seconds)),
            _ => {
                found
                    .error(Kind::BadValue, span, format!("`{text}` is out of range"))
                    .label(format!("allowed is {MIN} to {MAX} seconds"));
                None
            }
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": MIN, "maximum": MAX },
            { "type": "string", "pattern": "^[0-9]+[smh]$" },
        ]})
    }
}

/// Seconds of `9s`, `2m`, `1h`; bare digits in a string too, as systemd takes them.
fn duration(text: &str) -> Option<u32> {
    let (digits, unit) = match text.char_indices().next_back()? {
        (at, 's') => (text.get(..at)?, 1),
        (at, 'm') => (text.get(..at)?, 60),
        (at, 'h') => (text.get(..at)?, 3600),
        _ => (text, 1),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    // A number with more digits than fit is out of range, not malformed.
    plain.then(|| digits.parse().unwrap_or(u32::MAX).saturating_mul(unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_whole_seconds_with_a_unit() {
        assert_eq!(duration("9s"), Some(9));
        assert_eq!(duration("9"), Some(9));
        assert_eq!(duration("2m"), Some(120));
        assert_eq!(duration("1h"), Some(3600));
        assert_eq!(duration("99999999999h"), Some(u32::MAX));
        for bad in ["", "s", "-1s", "+1", "1.5s", "10ms", "1 s", "٣s"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}

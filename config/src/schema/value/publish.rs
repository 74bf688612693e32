//! Published ports.

use schemars::{Schema, json_schema};

use super::text::{Problem, Text, text_values};
use crate::model::{Protocol, Publish, PublishError};

impl Text for Publish {
    const WHAT: &'static str = "a published port";

    fn parse(text: &str) -> Result<Self, Problem> {
        let form = "write \"HOST:CONTAINER\", with an address, ranges and a protocol if they are wanted: \
                    \"50.1.1.1:8000-8009:8000-8009/udp\"";
        text.parse().map_err(|error: PublishError| {
            let problem = Problem::new(error.to_string());
            match &error {
                PublishError::Lonely(port)
                    if port.bytes().all(|b| b.is_ascii_digit()) && !port.is_empty() =>
                {
                    problem.help(format!("write \"{port}:{port}\" if the container has the same one"))
                }
                PublishError::Lonely(_) | PublishError::Address(_) => problem.help(form),
                PublishError::Port(port) => {
                    let part = text.split([':', '-', '/']).find(|part| part == port).unwrap_or(text);
                    problem.label("allowed is 1 to 65535").at(text, part)
                }
                PublishError::Protocol(_) => {
                    let words = Protocol::WORDS.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
                    problem.label(format!("allowed are {words}"))
                }
                PublishError::Backwards(first, last) => problem.help(format!("write {last}-{first}")),
                PublishError::Lengths { .. } => problem.note("the first port leads to the first, and so on"),
                PublishError::TooMany(_) => problem.note("each port of a range is kept by itself"),
                PublishError::Brackets(address) => problem.help(format!("write \"[{address}]:…\"")),
                PublishError::Mapped(address) => match address.to_ipv4_mapped() {
                    Some(v4) => problem.help(format!("write \"{v4}:…\"")),
                    None => problem,
                },
            }
        })
    }

    fn schema() -> Schema {
        json_schema!({
            "pattern": "^((\\[[0-9a-fA-F:.]+\\]|[0-9.]+):)?[0-9]{1,5}(-[0-9]{1,5})?:[0-9]{1,5}(-[0-9]{1,5})?(/(tcp|udp|sctp))?$"
        })
    }
}

text_values!(Publish);

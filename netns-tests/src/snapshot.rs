//! All that a place's kernel keeps for its network, as text: to see that something is the same as before.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::{LabError, Place};

/// What is asked. Each must print the same when nothing has changed.
const QUESTIONS: &[&str] = &[
    "ip -d link show",
    "ip address show",
    "ip route show table all",
    "ip -6 route show table all",
    "ip rule show",
    "ip -6 rule show",
    "ip nexthop show",
    "ip neigh show nud permanent",
    "ip -6 neigh show nud permanent",
    "bridge -d link show",
    "bridge fdb show",
    "nft list ruleset",
];

/// Words with a value that changes by itself: what is left of a lifetime, bridge timers that tick, the operational state,
/// which follows the flags (those are compared) in a second or so.
const RESTLESS: &[&str] = &[
    "hello_timer",
    "tcn_timer",
    "topology_change_timer",
    "gc_timer",
    "expires",
    "hold_timer",
    "message_age_timer",
    "forward_delay_timer",
    "state",
];

/// A dump of the kernel's network state, question by question, line by line, sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<String, Vec<String>>);

impl Snapshot {
    /// All there is in a place.
    pub fn of(place: &impl Place) -> Result<Self, LabError> {
        Self::with(place, QUESTIONS)
    }

    /// What these commands print there. A command that fails is an answer too: there is no such thing.
    pub fn with(place: &impl Place, questions: &[impl AsRef<str>]) -> Result<Self, LabError> {
        let mut answers = BTreeMap::new();
        for question in questions {
            let question = question.as_ref();
            let output = place.output(question)?;
            let mut lines: Vec<_> =
                output.stdout.lines().chain(output.stderr.lines()).filter_map(settled).collect();
            // The order in which a kernel lists is the order of creation, or of a hash. Rules are ordered.
            if !question.starts_with("nft") {
                lines.sort_unstable();
            }
            answers.insert(question.to_owned(), lines);
        }
        Ok(Self(answers))
    }

    /// What is different in `after`: `-` is gone, `+` is new. Empty: nothing.
    pub fn changes(&self, after: &Self) -> String {
        let mut text = String::new();
        for question in self.0.keys().chain(after.0.keys().filter(|q| !self.0.contains_key(*q))) {
            let lines = |of: &Self| of.0.get(question).cloned().unwrap_or_default();
            let (before, after) = (lines(self), lines(after));
            if before == after {
                continue;
            }
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{question}:");
            let (gone, new) = (without(&before, &after), without(&after, &before));
            if gone.is_empty() && new.is_empty() {
                let _ = writeln!(text, "  the same lines in another order");
            }
            for (sign, lines) in [('-', gone), ('+', new)] {
                for line in lines {
                    let _ = writeln!(text, "  {sign} {line}");
                }
            }
        }
        text
    }
}

/// The lines of `all` beyond those that are in `others`, however often they are.
fn without(all: &[String], others: &[String]) -> Vec<String> {
    let mut others = others.to_vec();
    all.iter()
        .filter(|line| match others.iter().position(|other| other == *line) {
            Some(i) => {
                others.swap_remove(i);
                false
            }
            None => true,
        })
        .cloned()
        .collect()
}

/// A line without what changes by itself; `None` for entries that a bridge has learned and will forget.
fn settled(line: &str) -> Option<String> {
    let words: Vec<_> = line.split_whitespace().collect();
    let learned = words.get(1) == Some(&"dev") && is_hardware_address(words.first()?);
    if learned && !words.contains(&"permanent") && !words.contains(&"static") {
        return None;
    }
    let mut kept = Vec::with_capacity(words.len());
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if RESTLESS.contains(&word) {
            words.next();
        } else {
            kept.push(word);
        }
    }
    Some(kept.join(" "))
}

fn is_hardware_address(word: &str) -> bool {
    word.len() == 17 && word.bytes().all(|b| b.is_ascii_hexdigit() || b == b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(lines: &[&str]) -> Snapshot {
        let lines = lines.iter().filter_map(|line| settled(line)).collect();
        Snapshot(BTreeMap::from([("question".to_owned(), lines)]))
    }

    #[test]
    fn what_came_and_what_went_is_told_apart() {
        let (before, after) = (snapshot(&["a", "b", "b"]), snapshot(&["b", "c"]));
        assert_eq!(before.changes(&after), "question:\n  - a\n  - b\n  + c\n");
        assert_eq!(before.changes(&before), "");
    }

    #[test]
    fn what_changes_by_itself_is_no_change() {
        let before = snapshot(&["bridge hello_timer 0.00 tcn_timer 1.00 ageing_time 30000"]);
        let after = snapshot(&[
            "bridge hello_timer 1.51 tcn_timer 0.00 ageing_time 30000",
            "02:02:0a:01:02:01 dev px-5001 master pb-net",
        ]);
        assert_eq!(before.changes(&after), "");
        let fixed = snapshot(&["02:02:0a:01:02:01 dev px-5001 master pb-net static"]);
        assert_ne!(before.changes(&fixed), "");
    }
}

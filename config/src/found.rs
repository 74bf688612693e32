//! Where the steps of reading a file put what they find wrong, so that none stops at the first mistake.

use std::ops::Range;

use crate::diagnostic::{Diagnostic, Kind, Severity};

/// Bytes of the file's text.
pub(crate) type Span = Range<usize>;

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

/// What is wrong so far.
pub(crate) struct Found<'a> {
    text: &'a str,
    items: Vec<Diagnostic>,
}

impl<'a> Found<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, items: Vec::new() }
    }

    /// What is written at a place; empty when there is no such place.
    pub(crate) fn written(&self, span: &Span) -> &'a str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    pub(crate) fn error(&mut self, kind: Kind, span: &Span, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Diagnostic::new(Severity::Error, kind, span.clone(), message.into()))
    }

    pub(crate) fn warning(&mut self, span: &Span, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Diagnostic::new(Severity::Warning, Kind::Suspicious, span.clone(), message.into()))
    }

    fn push(&mut self, diagnostic: Diagnostic) -> &mut Diagnostic {
        self.items.push_mut(diagnostic)
    }

    /// Adds help to the last mistake, if it is a wrong type at this place that nothing better is said about.
    pub(crate) fn example(&mut self, span: &Span, help: impl FnOnce() -> String) {
        if let Some(last) = self.items.last_mut()
            && last.kind == Kind::WrongType
            && last.primary.span == *span
            && last.help.is_empty()
        {
            last.help.push(help());
        }
    }

    /// The candidate that was probably meant. Past the first hundreds of mistakes nobody reads guesses, and each costs a
    /// look at all candidates.
    pub(crate) fn guess<'c>(
        &self,
        written: &str,
        candidates: impl IntoIterator<Item = &'c str>,
    ) -> Option<&'c str> {
        if self.items.len() < 500 { nearest(written, candidates) } else { None }
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.items.iter().any(|d| d.severity == Severity::Error)
    }

    pub(crate) fn into_items(self) -> Vec<Diagnostic> {
        self.items
    }
}

/// `"a", "b" or "c"`.
pub(crate) fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<_> = words.into_iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// `a, b, c`, up to twenty.
pub(crate) fn some_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names = names.into_iter();
    let shown = names.by_ref().take(20).collect::<Vec<_>>().join(", ");
    if names.next().is_some() { format!("{shown}, …") } else { shown }
}

/// The candidate that was probably meant: close enough for one slip of the fingers in a short word, two or more in a
/// long one.
pub(crate) fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The distance is quadratic in the length; nobody mistypes a name into a page of text.
    if written.len() > 200 {
        return None;
    }
    let folded = written.to_ascii_lowercase().replace('_', "-");
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let distance = strsim::damerau_levenshtein(&folded, &candidate.to_ascii_lowercase());
            let related = (folded.len() >= 3 && candidate.starts_with(&folded))
                || (candidate.len() >= 3 && folded.starts_with(candidate));
            let limit = candidate.chars().count().max(folded.chars().count()) / 3;
            (distance <= limit.max(1) || related).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found() {
        let keys = ["asn", "name", "hold-time", "max-prefixes", "max-prefixes-out"];
        assert_eq!(nearest("holdtime", keys), Some("hold-time"));
        assert_eq!(nearest("hold_time", keys), Some("hold-time"));
        assert_eq!(nearest("nmae", keys), Some("name"));
        assert_eq!(nearest("max-prefix", keys), Some("max-prefixes"));
        assert_eq!(nearest("as", keys), Some("asn"));
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(nearest("", keys), None);
        assert_eq!(nearest(&"a".repeat(100_000), keys), None);
    }

    #[test]
    fn words_are_listed_as_people_list_them() {
        assert_eq!(one_of(["a"]), "\"a\"");
        assert_eq!(one_of(["a", "b", "c"]), "\"a\", \"b\" or \"c\"");
    }
}

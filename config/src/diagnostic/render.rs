//! Diagnostics for people, the way that rustc shows them.

use std::fmt::Write as _;

use annotate_snippets::{
    Annotation, AnnotationKind, Group, Level, Renderer, Snippet, normalize_untrusted_str,
};

use super::{
    Diagnostic, Diagnostics, Label, Severity,
    position::{Lines, clamp},
};

/// More than this nobody reads, and each costs a look at its lines. JSON has them all.
const SHOWN: usize = 200;

/// Places that are further apart than this many lines are shown as two excerpts.
const FAR: usize = 400;

impl Diagnostics {
    /// For people: the way that rustc shows errors, and a last line that counts them. `color`: with ANSI escapes.
    /// Empty when there is nothing to show.
    pub fn render(&self, color: bool) -> String {
        if self.is_empty() {
            return String::new();
        }
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let lines = Lines::new(&self.text);
        let mut out = String::new();
        for diagnostic in self.items.iter().take(SHOWN) {
            let group = self.group(diagnostic, &lines);
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{}\n", renderer.render(&[group]));
        }
        if let Some(more) = self.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            let _ = writeln!(out, "and {more} more\n");
        }
        let _ = writeln!(out, "{}", self.summary());
        out
    }

    fn group<'a>(&'a self, d: &'a Diagnostic, lines: &Lines<'_>) -> Group<'a> {
        let level = match d.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = Group::with_title(level.primary_title(d.message.as_str()).id(d.kind.as_str()));
        for excerpt in self.excerpts(d, lines) {
            group = group.element(excerpt);
        }
        for note in &d.notes {
            group = group.element(Level::NOTE.message(normalize_untrusted_str(note)));
        }
        for help in &d.help {
            group = group.element(Level::HELP.message(normalize_untrusted_str(help)));
        }
        group
    }

    /// The lines around the places of a diagnostic; the one with the primary place first.
    fn excerpts<'a>(&'a self, d: &'a Diagnostic, lines: &Lines<'_>) -> Vec<Snippet<'a, Annotation<'a>>> {
        let mut labels: Vec<_> = d.secondary.iter().map(|label| (AnnotationKind::Context, label)).collect();
        labels.push((AnnotationKind::Primary, &d.primary));
        labels.sort_by_key(|(_, label)| label.span.start);

        let mut runs: Vec<Vec<(AnnotationKind, &Label)>> = Vec::new();
        for (kind, label) in labels {
            let line = lines.line(label.span.start);
            let near = |run: &Vec<(_, &Label)>| {
                run.last().is_some_and(|(_, l)| line.saturating_sub(lines.line(l.span.end)) < FAR)
            };
            match runs.last_mut().filter(|run| near(run)) {
                Some(run) => run.push((kind, label)),
                None => runs.push(vec![(kind, label)]),
            }
        }
        runs.sort_by_key(|run| !run.iter().any(|(kind, _)| matches!(kind, AnnotationKind::Primary)));
        runs.iter().map(|run| self.excerpt(run, lines)).collect()
    }

    fn excerpt<'a>(
        &'a self,
        run: &[(AnnotationKind, &'a Label)],
        lines: &Lines<'_>,
    ) -> Snippet<'a, Annotation<'a>> {
        let spans: Vec<_> = run.iter().map(|(_, label)| clamp(&self.text, &label.span)).collect();
        let first = spans.iter().map(|span| lines.line(span.start)).min().unwrap_or(0);
        let last = spans.iter().map(|span| lines.line(span.end)).max().unwrap_or(0);
        let bytes = lines.bytes(first, last);
        let source = self.text.get(bytes.clone()).unwrap_or_default();
        let annotations = run.iter().zip(spans).map(|((kind, label), span)| {
            let span = span.start.saturating_sub(bytes.start)
                ..span.end.saturating_sub(bytes.start).min(source.len());
            let text = (!label.text.is_empty()).then_some(label.text.as_str());
            kind.span(span).label(text)
        });
        Snippet::source(source).line_start(first + 1).path(&*self.name).annotations(annotations)
    }
}

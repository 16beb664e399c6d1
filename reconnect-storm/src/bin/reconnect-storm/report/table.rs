use std::fmt::Write;

use super::Run;

/// A run as a table for a terminal.
pub(crate) fn table(run: &Run) -> String {
    let mut text = String::new();
    let Run {
        scenario,
        what,
        machine,
        verdict,
        ..
    } = run;
    // Writing into a string cannot fail.
    writeln!(text, "\n{scenario}: {what}").ok();
    writeln!(text, "{machine}").ok();
    let width = |of: fn(&super::Fact) -> usize| run.facts.iter().map(of).max().unwrap_or(0);
    let (name, value) = (
        width(|fact| fact.name.chars().count()),
        width(|fact| fact.text().chars().count()),
    );
    for fact in &run.facts {
        let line = format!(
            "  {:name$}  {:>value$}  {}",
            fact.name,
            fact.text(),
            fact.note
        );
        writeln!(text, "{}", line.trim_end()).ok();
    }
    writeln!(text, "  {verdict}").ok();
    for failure in &run.failures {
        writeln!(text, "  failed: {failure}").ok();
    }
    for warning in &run.warnings {
        writeln!(text, "  beware: {warning}").ok();
    }
    text
}

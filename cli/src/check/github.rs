//! A report as workflow commands of GitHub Actions, which show each finding beside its line in a pull request.

use std::fmt::Write as _;

use cnbi_shared::verdict::{Level, escaped};

use super::{CheckReport, Settings};

/// A line for each finding, then one that counts.
pub fn render(report: &CheckReport, settings: &Settings) -> String {
    let mut text = String::new();
    for document in &report.documents {
        let file = document.file.strip_prefix("./").unwrap_or(&document.file);
        for finding in &document.findings {
            let command = if finding.level == Level::Deny {
                "error"
            } else {
                "warning"
            };
            let field = if finding.path.is_empty() {
                String::new()
            } else {
                format!("{}: ", finding.path)
            };
            let hint = finding
                .hint
                .as_deref()
                .map(|hint| format!("; {hint}"))
                .unwrap_or_default();
            let message = format!("{field}{}{hint}", finding.message);
            let place = format!("file={},line={},col={}", property(file), finding.line, finding.column);
            let _ = writeln!(text, "::{command} {place},title={}::{}", finding.rule, data(&message));
        }
        for undecided in document.undecided.iter().filter(|_| settings.strict) {
            let place = format!("file={},line={}", property(file), document.line);
            let message = format!("undecided: it needs {}", undecided.needs);
            let _ = writeln!(text, "::error {place},title={}::{}", undecided.rule, data(&message));
        }
    }
    for note in &report.notes {
        let _ = writeln!(text, "::warning title=unreadable::{}", data(note));
    }
    let _ = writeln!(text, "{} checked, {} refused", report.checked, report.refused());
    text
}

/// What stands behind `::`; a line break would end the command.
fn data(text: &str) -> String {
    escaped(text, usize::MAX).replace('%', "%25")
}

/// A value within the command, where commas and colons mean something.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_command_early() {
        assert_eq!(property("a,b:c%\n::error::x"), "a%2Cb%3Ac%25\\n%3A%3Aerror%3A%3Ax");
    }
}

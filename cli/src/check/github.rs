//! The report as workflow commands of GitHub Actions, which annotate lines in a pull request.

use std::fmt::Write as _;

use cnbi_shared::verdict::{Level, escaped};

use super::{CheckReport, Settings};

/// One command per finding, and a summary line.
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
            let location = format!("file={},line={},col={}", property(file), finding.line, finding.column);
            let _ = writeln!(
                text,
                "::{command} {location},title={}::{}",
                finding.rule,
                data(&finding.text())
            );
        }
        for rule in document.not_checked.iter().filter(|_| settings.strict) {
            let location = format!("file={},line={}", property(file), document.line);
            let _ = writeln!(
                text,
                "::error {location},title={}::{}",
                rule.rule,
                data(&rule.message())
            );
        }
    }
    for note in &report.notes {
        let _ = writeln!(text, "::warning title=unreadable::{}", data(note));
    }
    let _ = writeln!(text, "{} checked, {} rejected", report.checked, report.rejected());
    text
}

/// Escapes the message of a command.
fn data(text: &str) -> String {
    escaped(text, usize::MAX).replace('%', "%25")
}

/// Escapes a property of a command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_are_escaped() {
        assert_eq!(property("a,b:c%\n::error::x"), "a%2Cb%3Ac%25\\n%3A%3Aerror%3A%3Ax");
    }
}

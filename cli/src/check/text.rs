//! The report as text: findings by document in the form `file:line:column`, which editors can open, and a summary line.

use std::fmt::Write as _;

use clap::builder::styling::{AnsiColor, Style};

use cnbi_shared::api::KIND;
use cnbi_shared::verdict::{Level, SHOWN, escaped, printable};

use super::{CheckReport, DocumentReport, LocatedFinding, by_need};

/// Maximum characters of a value.
const VALUE: usize = 80;

/// Styles of the report.
struct Styles {
    deny: Style,
    warn: Style,
    title: Style,
    faint: Style,
}

impl Styles {
    fn new(is_colored: bool) -> Self {
        if is_colored {
            Self {
                deny: AnsiColor::Red.on_default().bold(),
                warn: AnsiColor::Yellow.on_default(),
                title: Style::new().bold(),
                faint: Style::new().dimmed(),
            }
        } else {
            Self {
                deny: Style::new(),
                warn: Style::new(),
                title: Style::new(),
                faint: Style::new(),
            }
        }
    }
}

/// Renders the report. Documents without findings are left out.
pub fn render(report: &CheckReport, is_colored: bool) -> String {
    let styles = Styles::new(is_colored);
    let mut text = String::new();
    for document in &report.documents {
        if !document.findings.is_empty() || !document.not_checked.is_empty() {
            render_document(&mut text, document, &styles);
        }
    }
    summary(&mut text, report, &styles);
    text
}

fn render_document(text: &mut String, document: &DocumentReport, styles: &Styles) {
    let DocumentReport {
        file,
        line,
        name,
        namespace,
        allowed,
        findings,
        omitted,
        not_checked,
    } = document;
    let Styles { title, faint, .. } = styles;
    let verdict = match (allowed, not_checked.is_empty()) {
        (true, true) => "accepted",
        (true, false) => "accepted, but not all rules were checked",
        (false, _) => "rejected",
    };
    let name = printable(name.as_deref().unwrap_or("(no name)"), VALUE);
    let _ = writeln!(
        text,
        "{title}{}:{line}: {KIND} {}/{name}{title:#}: {verdict}",
        escaped(file, usize::MAX),
        printable(namespace, VALUE)
    );
    for finding in findings.iter().take(SHOWN) {
        render_finding(text, file, finding, styles);
    }
    let more = findings.len().saturating_sub(SHOWN) + omitted;
    if more > 0 {
        let _ = writeln!(text, "  and {more} more");
    }
    for (need, rules) in by_need(not_checked) {
        let need = escaped(need, usize::MAX);
        let _ = writeln!(text, "  {faint}not checked (needs {need}): {rules}{faint:#}");
    }
    text.push('\n');
}

fn render_finding(text: &mut String, file: &str, finding: &LocatedFinding, styles: &Styles) {
    let LocatedFinding {
        rule,
        level,
        path,
        line,
        column,
        value,
        message,
        hint,
        replacement: _,
    } = finding;
    let style = if *level == Level::Deny {
        styles.deny
    } else {
        styles.warn
    };
    let _ = write!(
        text,
        "{}:{line}:{column}: {style}{level} {rule}{style:#} ",
        escaped(file, usize::MAX)
    );
    if !path.is_empty() {
        let _ = write!(text, "{}: ", printable(path, 2 * VALUE));
    }
    // The message may quote the value itself.
    if let Some(value) = value
        .as_ref()
        .filter(|value| !message.starts_with(&format!("`{value}`")))
    {
        let _ = write!(text, "\"{}\" ", printable(value, VALUE));
    }
    let _ = writeln!(text, "{}", escaped(message, usize::MAX));
    if let Some(hint) = hint {
        let _ = writeln!(text, "    {}", escaped(hint, usize::MAX));
    }
}

fn summary(text: &mut String, report: &CheckReport, styles: &Styles) {
    let findings = || report.documents.iter().flat_map(|document| &document.findings);
    let warnings = findings().filter(|finding| finding.level == Level::Warn).count();
    let rejected = report.rejected();
    let style = if rejected > 0 { styles.deny } else { Style::new() };
    let _ = write!(
        text,
        "{} checked, {style}{rejected} rejected{style:#}, {warnings} {}; {} of other kinds skipped",
        report.checked,
        if warnings == 1 { "warning" } else { "warnings" },
        report.skipped
    );
    if report.unreadable > 0 {
        let _ = write!(text, ", {} unreadable", report.unreadable);
    }
    text.push('\n');
}

//! A report for people: findings by document, each on a line that editors can jump to, then one line that counts.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::builder::styling::{AnsiColor, Style};

use cnbi_shared::api::KIND;
use cnbi_shared::verdict::{Level, SHOWN, escaped, printable};

use super::{CheckReport, DocumentReport, PlacedFinding};

/// Characters of a value that are shown.
const VALUE: usize = 80;

/// How things are coloured.
struct Styles {
    deny: Style,
    warn: Style,
    title: Style,
    faint: Style,
}

impl Styles {
    fn new(is_coloured: bool) -> Self {
        if is_coloured {
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

/// The whole report. A document with nothing to tell is not mentioned.
pub fn render(report: &CheckReport, is_coloured: bool) -> String {
    let styles = Styles::new(is_coloured);
    let mut text = String::new();
    for document in &report.documents {
        if !document.findings.is_empty() || !document.undecided.is_empty() {
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
        undecided,
    } = document;
    let Styles { title, faint, .. } = styles;
    let verdict = match (allowed, undecided.is_empty()) {
        (true, true) => "accepted",
        (true, false) => "accepted as far as can be said without a cluster",
        (false, _) => "refused",
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
    // By what is missing, because that is what a reader could do something about.
    let mut by_need: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for undecided in undecided {
        by_need.entry(&undecided.needs).or_default().push(undecided.rule);
    }
    for (need, rules) in by_need {
        let need = escaped(need, usize::MAX);
        let _ = writeln!(text, "  {faint}undecided without {need}: {}{faint:#}", rules.join(", "));
    }
    text.push('\n');
}

fn render_finding(text: &mut String, file: &str, finding: &PlacedFinding, styles: &Styles) {
    let PlacedFinding {
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
    if let Some(value) = value {
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
    let refused = report.refused();
    let style = if refused > 0 { styles.deny } else { Style::new() };
    let _ = write!(
        text,
        "{} checked, {style}{refused} refused{style:#}, {warnings} {}; {} of other kinds skipped",
        report.checked,
        if warnings == 1 { "warning" } else { "warnings" },
        report.skipped
    );
    if report.unreadable > 0 {
        let _ = write!(text, ", {} unreadable", report.unreadable);
    }
    text.push('\n');
}

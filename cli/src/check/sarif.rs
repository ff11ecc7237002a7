//! The report in SARIF 2.1.0, for code scanning in GitHub, GitLab, Azure and editors.
//!
//! Section numbers refer to "Static Analysis Results Interchange Format (SARIF) Version 2.1.0" by OASIS.

use std::fmt::Write as _;

use cnbi_shared::links;
use cnbi_shared::rules::{RULES, Rule};
use cnbi_shared::verdict::{Level, escaped};
use serde_json::{Value, json};

use super::{CheckReport, DocumentReport, LocatedFinding, Settings};

/// The report as one SARIF log with one run.
pub fn render(report: &CheckReport, settings: &Settings) -> Value {
    let mut results = Vec::new();
    for document in &report.documents {
        results.extend(document.findings.iter().map(|finding| result(document, finding)));
        if settings.strict {
            results.extend(document.not_checked.iter().map(|rule| {
                let location = (document.line, 1);
                entry(document, rule.rule, "error", &rule.message(), "", location)
            }));
        }
    }
    let notes = report
        .notes
        .iter()
        .map(|note| json!({"level": "error", "message": {"text": note}}));
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "kubectl-cnbi",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": RULES.iter().map(|rule| descriptor(rule)).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "invocations": [{
                "executionSuccessful": report.notes.is_empty(),
                "toolExecutionNotifications": notes.collect::<Vec<_>>(),
            }],
            "results": results,
        }],
    })
}

/// Section 3.49.
fn descriptor(rule: &Rule) -> Value {
    json!({
        "id": rule.id,
        "name": rule.slug,
        "shortDescription": {"text": rule.title},
        "helpUri": links::rule(rule.id),
        "help": {"text": format!("kubectl cnbi explain {}", rule.id), "markdown": rule.doc},
        "defaultConfiguration": {"level": level(rule.level)},
    })
}

fn result(document: &DocumentReport, finding: &LocatedFinding) -> Value {
    let location = (finding.line, finding.column);
    let level = level(finding.level);
    entry(document, finding.rule, level, &finding.text(), &finding.path, location)
}

/// Section 3.27.
fn entry(
    document: &DocumentReport,
    rule: &str,
    level: &str,
    message: &str,
    path: &str,
    (line, column): (usize, usize),
) -> Value {
    let name = document.name.as_deref().unwrap_or_default();
    let resource = format!("{}/{name}", document.namespace);
    let field = if path.is_empty() {
        resource
    } else {
        format!("{resource}:{path}")
    };
    json!({
        "ruleId": rule,
        "ruleIndex": RULES.iter().position(|known| known.id == rule),
        "level": level,
        "message": {"text": escaped(message, usize::MAX)},
        "locations": [{
            "physicalLocation": {
                "artifactLocation": {"uri": uri(&document.file)},
                "region": {"startLine": line.max(1), "startColumn": column.max(1)},
            },
            "logicalLocations": [{"fullyQualifiedName": escaped(&field, usize::MAX), "kind": "member"}],
        }],
    })
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Deny => "error",
        Level::Warn => "warning",
        Level::Off => "none",
    }
}

/// A path as a relative reference (RFC 3986, section 4.2), or a `file` URI if it is absolute.
fn uri(file: &str) -> String {
    let is_absolute = file.starts_with('/');
    let relative = file.strip_prefix("./").unwrap_or(file);
    let mut text = if is_absolute {
        "file://".to_owned()
    } else {
        String::new()
    };
    for byte in relative.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => text.push(char::from(byte)),
            byte => {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_percent_encoded() {
        assert_eq!(uri("./a b/ä:%.yaml"), "a%20b/%C3%A4%3A%25.yaml");
        assert_eq!(uri("/a/b.yaml"), "file:///a/b.yaml");
    }
}

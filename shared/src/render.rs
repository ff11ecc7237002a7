//! Formats findings for responses: the text of a rejection, and warnings that fit the limits of clients.
//!
//! User input is escaped here: the output contains no control characters and no bidirectional marks.

use std::fmt::Write as _;

use crate::verdict::{Finding, Level, NotChecked, Outcome, Report, SHOWN, escaped};

/// Maximum number of characters of a finding in a rejection.
const LINE: usize = 1024;
/// Preferred maximum number of characters of a warning: a line of a terminal.
const WARNING: usize = 120;
/// Maximum number of bytes of a warning. The API server truncates warnings to 256 characters if there are many.
const WARNING_BYTES: usize = 256;

impl Finding {
    /// Field, problem and fix on one line, in the format of Kubernetes field errors:
    /// `spec.fromImage: Invalid value: "x": must ...; use ... [CNB102]`.
    pub fn line(&self) -> String {
        escaped(&format!("{}: {}", self.shown_path(), self.text()), LINE)
    }

    /// Like [`Finding::line`], without the field, for `StatusCause`.
    pub fn sentence(&self) -> String {
        escaped(&self.text(), LINE)
    }

    fn text(&self) -> String {
        let mut text = String::from(self.rule.cause.title());
        if let Some(value) = self.shown_value() {
            let _ = write!(text, ": \"{value}\"");
        }
        let _ = write!(text, ": {}", self.message);
        if let Some(hint) = &self.hint {
            let _ = write!(text, "; {hint}");
        }
        let _ = write!(text, " [{}]", self.rule.id);
        text
    }

    /// A warning: the field, as much of the text as fits, and the rule id.
    pub fn warning(&self) -> String {
        let path = self.shown_path();
        let value = self
            .shown_value()
            .map(|value| format!("\"{value}\": "))
            .unwrap_or_default();
        let hint = self.hint.as_deref().map(|hint| format!("; {hint}")).unwrap_or_default();
        let message = &self.message;
        first_fitting(
            self.rule.id,
            &[
                format!("{path}: {value}{message}{hint}"),
                format!("{path}: {value}{message}"),
                format!("{path}: {message}"),
            ],
        )
    }
}

impl NotChecked {
    /// Field and the fact that could not be read, on one line.
    pub fn line(&self) -> String {
        let path = self.path.to_string();
        escaped(
            &format!(
                "{path}: not checked ({} could not be read) [{}]",
                self.lookup, self.rule.id
            ),
            LINE,
        )
    }

    /// The same as a short warning.
    pub fn warning(&self) -> String {
        let Self { path, lookup, rule, .. } = self;
        first_fitting(
            rule.id,
            &[
                format!("{path}: not checked ({lookup} could not be read)"),
                format!("{path}: not checked"),
            ],
        )
    }
}

impl Report {
    /// The text of a rejection, one finding per line. It contains no warnings. Empty for [`Outcome::Allowed`].
    pub fn summary(&self) -> String {
        match self.outcome() {
            Outcome::Allowed => String::new(),
            Outcome::Invalid | Outcome::Forbidden => list(self.denials().map(Finding::line)),
            Outcome::NotChecked => list(
                self.not_checked
                    .iter()
                    .filter(|not_checked| not_checked.level == Level::Deny)
                    .map(NotChecked::line),
            ),
        }
    }

    /// The denials that a response lists, and the number of further ones.
    pub fn shown_denials(&self) -> (impl Iterator<Item = &Finding>, usize) {
        (self.denials().take(SHOWN), self.denials().count().saturating_sub(SHOWN))
    }

    /// All warnings: findings, then rules at level `Warn` that were not checked.
    pub fn warning_texts(&self) -> Vec<String> {
        let findings = self.warnings().map(Finding::warning);
        let not_checked = self
            .not_checked
            .iter()
            .filter(|not_checked| not_checked.level == Level::Warn);
        capped(findings.chain(not_checked.map(NotChecked::warning)))
    }
}

/// One line as it is; several as a list in the layout of kubectl.
fn list(lines: impl Iterator<Item = String>) -> String {
    let lines = capped(lines);
    if let [line] = lines.as_slice() {
        return line.clone();
    }
    lines.iter().fold(String::new(), |mut text, line| {
        let _ = write!(text, "\n* {line}");
        text
    })
}

/// At most [`SHOWN`] lines, then the number of further ones.
pub fn capped(mut lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut shown: Vec<String> = lines.by_ref().take(SHOWN).collect();
    let more = lines.count();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown
}

/// The first candidate that fits on a line of a terminal together with the id, or else the last one, truncated.
fn first_fitting(id: &str, candidates: &[String]) -> String {
    let tail = format!(" [{id}]");
    let mut text = String::new();
    for candidate in candidates {
        text = escaped(candidate, WARNING_BYTES);
        if text.chars().count() + tail.len() <= WARNING {
            return text + &tail;
        }
    }
    if text.len() + tail.len() > WARNING_BYTES {
        let room = WARNING_BYTES - tail.len() - '…'.len_utf8();
        while text.len() > room {
            text.pop();
        }
        text.push('…');
    }
    text + &tail
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Lookup;
    use crate::path::FieldId;
    use crate::rules::by_id;

    fn finding(at: FieldId, value: &str, message: &str, hint: Option<&str>) -> Finding {
        Finding {
            rule: by_id("CNB005").unwrap(),
            level: Level::Deny,
            path: at.path(),
            value: Some(value.to_owned()),
            message: message.to_owned(),
            hint: hint.map(str::to_owned),
            replacement: None,
            hidden: None,
        }
    }

    #[test]
    fn several_findings_are_rendered_as_a_list() {
        let mut report = Report::default();
        assert_eq!(report.summary(), "");
        report
            .findings
            .push(finding(FieldId::GitRef, "x", "is long", Some("cut it")));
        assert_eq!(
            report.summary(),
            "spec.gitRef: Too long: \"x\": is long; cut it [CNB005]"
        );
        report
            .findings
            .push(finding(FieldId::FromImage, "y\n", "is long", None));
        assert_eq!(
            report.summary(),
            "\n* spec.gitRef: Too long: \"x\": is long; cut it [CNB005]\
             \n* spec.fromImage: Too long: \"y\\n\": is long [CNB005]"
        );
    }

    #[test]
    fn fifty_findings_are_listed_and_the_rest_is_counted() {
        let mut report = Report::default();
        for index in 0..SHOWN + 3 {
            let mut finding = finding(FieldId::PackageVersions, "x", "is long", None);
            finding.path = FieldId::PackageVersions.item(index);
            report.findings.push(finding);
        }
        let summary = report.summary();
        assert_eq!(
            summary.lines().filter(|line| line.starts_with("* spec.")).count(),
            SHOWN
        );
        assert!(summary.ends_with("\n* and 3 more"), "{summary}");
        let (shown_denials, more) = report.shown_denials();
        assert_eq!((shown_denials.count(), more), (SHOWN, 3));
        for finding in &mut report.findings {
            finding.level = Level::Warn;
        }
        assert_eq!(report.warning_texts().len(), SHOWN + 1);
        assert_eq!(report.warning_texts().last().unwrap(), "and 3 more");
    }

    #[test]
    fn rules_that_were_not_checked_are_listed_only_without_denials() {
        let mut report = Report::default();
        report.not_checked.push(NotChecked {
            rule: by_id("CNB110").unwrap(),
            level: Level::Deny,
            path: FieldId::ImagePullSecretName.path(),
            lookup: Lookup::Secret {
                namespace: "a".into(),
                name: "b".into(),
            },
        });
        assert_eq!(
            report.summary(),
            "spec.imagePullSecret.name: not checked (Secret a/b could not be read) [CNB110]"
        );
        report.findings.push(finding(FieldId::GitRef, "x", "is long", None));
        assert_eq!(report.summary(), "spec.gitRef: Too long: \"x\": is long [CNB005]");
    }

    #[test]
    fn long_warnings_drop_the_hint_then_the_value() {
        let long = "h".repeat(90);
        let warning = |value, message, hint| finding(FieldId::GitRef, value, message, hint).warning();
        assert_eq!(
            warning("x", "is odd", Some("do y")),
            "spec.gitRef: \"x\": is odd; do y [CNB005]"
        );
        assert_eq!(
            warning("x", "is odd", Some(&long)),
            "spec.gitRef: \"x\": is odd [CNB005]"
        );
        assert_eq!(
            warning(&"v".repeat(70), &"m".repeat(60), None),
            format!("spec.gitRef: {} [CNB005]", "m".repeat(60))
        );
    }

    #[test]
    fn warnings_are_one_short_printable_line() {
        for message in ["\n\r\t\u{0}", "é", "\u{202e}", "🦀", "x\u{7f}"] {
            let warning = finding(FieldId::DisplayName, "a\nb", &message.repeat(400), Some("\n")).warning();
            assert!(warning.len() <= WARNING_BYTES, "{}", warning.len());
            assert!(
                !warning.chars().any(|c| c.is_control() || c == '\u{202e}'),
                "{warning:?}"
            );
            assert!(
                warning.starts_with("metadata.annotations") && warning.ends_with(" [CNB005]"),
                "{warning}"
            );
        }
    }
}

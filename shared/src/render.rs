//! How findings read in an answer: the text of a refusal, and warnings that no client has to cut.
//!
//! Whatever a user wrote passes through here on its way back, so this is also where lines stay lines: no control character
//! and no marks that reorder text come out.

use std::fmt::Write as _;

use crate::verdict::{Finding, Level, Outcome, Report, SHOWN, Undecided, escaped};

/// Most characters of one finding in a refusal.
const LINE: usize = 1024;
/// Characters that a warning should have at most: a line of a terminal.
const WARNING: usize = 120;
/// Bytes that a warning never exceeds. The API server cuts single warnings at 256 characters once there are many.
const WARNING_BYTES: usize = 256;

impl Finding {
    /// Field, what is wrong and what to do on one line, as kubectl prints what is wrong with built-in kinds:
    /// `spec.fromImage: Invalid value: "x": must ...; write ... [CNB102]`.
    pub fn line(&self) -> String {
        escaped(&format!("{}: {}", self.shown_path(), self.text()), LINE)
    }

    /// The same without the field, for an answer that has a place of its own for it.
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

    /// The same as a warning: as much of it as fits, the field first and always the rule's id.
    pub fn warning(&self) -> String {
        let path = self.shown_path();
        let value = self
            .shown_value()
            .map(|value| format!("\"{value}\": "))
            .unwrap_or_default();
        let hint = self.hint.as_deref().map(|hint| format!("; {hint}")).unwrap_or_default();
        let message = &self.message;
        fitting(
            self.rule.id,
            &[
                format!("{path}: {value}{message}{hint}"),
                format!("{path}: {value}{message}"),
                format!("{path}: {message}"),
            ],
        )
    }
}

impl Undecided {
    /// Field and what could not be found out, on one line.
    pub fn line(&self) -> String {
        let path = self.path.to_string();
        escaped(
            &format!(
                "{path}: could not be judged: {} could not be read [{}]",
                self.need, self.rule.id
            ),
            LINE,
        )
    }

    /// The same as a warning.
    pub fn warning(&self) -> String {
        let Self { path, need, rule, .. } = self;
        fitting(
            rule.id,
            &[
                format!("{path}: not judged, {need} could not be read"),
                format!("{path}: not judged"),
            ],
        )
    }
}

impl Report {
    /// The text of a refusal: what is wrong, every finding on a line of its own where there are several. Findings that only
    /// warn are not in it. Empty where the outcome is [`Outcome::Allowed`].
    pub fn summary(&self) -> String {
        match self.outcome() {
            Outcome::Allowed => String::new(),
            Outcome::Invalid | Outcome::Forbidden => list(self.denials().map(Finding::line)),
            Outcome::Undecided => list(
                self.undecided
                    .iter()
                    .filter(|undecided| undecided.level == Level::Deny)
                    .map(Undecided::line),
            ),
        }
    }

    /// The refusing findings that an answer tells one by one, and how many more there are.
    pub fn told(&self) -> (impl Iterator<Item = &Finding>, usize) {
        (self.denials().take(SHOWN), self.denials().count().saturating_sub(SHOWN))
    }

    /// All warnings: of findings, then of rules that could not be judged and would not have refused.
    pub fn warning_texts(&self) -> Vec<String> {
        let findings = self.warnings().map(Finding::warning);
        let undecided = self.undecided.iter().filter(|undecided| undecided.level == Level::Warn);
        capped(findings.chain(undecided.map(Undecided::warning)))
    }
}

/// One line as it is; several as a list, in the layout in which kubectl lists the causes of an invalid object.
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

/// At most [`SHOWN`] lines, then how many more there are.
pub fn capped(mut lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut shown: Vec<String> = lines.by_ref().take(SHOWN).collect();
    let more = lines.count();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown
}

/// The first candidate that fits into a terminal's line beside the id; or else the last, cut to what never gets lost.
fn fitting(id: &str, candidates: &[String]) -> String {
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
            path: at.whole(),
            value: Some(value.to_owned()),
            message: message.to_owned(),
            hint: hint.map(str::to_owned),
            replacement: None,
            hidden: None,
        }
    }

    #[test]
    fn one_finding_is_a_line_and_several_are_a_list() {
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
    fn fifty_are_told_and_the_rest_is_counted() {
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
        let (told, more) = report.told();
        assert_eq!((told.count(), more), (SHOWN, 3));
        for finding in &mut report.findings {
            finding.level = Level::Warn;
        }
        assert_eq!(report.warning_texts().len(), SHOWN + 1);
        assert_eq!(report.warning_texts().last().unwrap(), "and 3 more");
    }

    #[test]
    fn what_is_undecided_is_told_only_where_nothing_else_refuses() {
        let mut report = Report::default();
        report.undecided.push(Undecided {
            rule: by_id("CNB110").unwrap(),
            level: Level::Deny,
            path: FieldId::ImagePullSecretName.whole(),
            need: Lookup::Secret {
                namespace: "a".into(),
                name: "b".into(),
            },
        });
        assert_eq!(
            report.summary(),
            "spec.imagePullSecret.name: could not be judged: Secret a/b could not be read [CNB110]"
        );
        report.findings.push(finding(FieldId::GitRef, "x", "is long", None));
        assert_eq!(report.summary(), "spec.gitRef: Too long: \"x\": is long [CNB005]");
    }

    #[test]
    fn warnings_drop_the_hint_before_the_value_and_both_before_the_message() {
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
    fn warnings_are_one_short_line_whatever_is_in_them() {
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

//! A verdict as an AdmissionReview response: status, warnings, audit annotations.
//!
//! Pure. Everything that a user wrote is escaped before it is repeated.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cnbi_shared::api::{GROUP, KIND};
use cnbi_shared::facts::Lookup;
use cnbi_shared::render::capped;
use cnbi_shared::verdict::{Finding, Level, Outcome, Report, SHOWN, printable};
use json_patch::Patch;
use serde::Serialize;

use crate::facts::Unread;
use crate::review::{API_VERSION, REVIEW};

/// Most characters of a name.
const SHOWN_NAME: usize = 253;
/// Most characters of a warning that is not about a finding: a line of a terminal.
const WARNING: usize = 119;

/// The answer to one review.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    /// That of the question.
    pub uid: String,
    /// Whether the request may go on.
    pub allowed: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    /// What the user is told besides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What the cluster's audit log is told. The API server puts the webhook's name before each key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub audit_annotations: BTreeMap<&'static str, String>,
}

/// The parts of a `meta/v1` Status that a denial has.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    #[serde(rename = "status")]
    outcome: &'static str,
    /// HTTP status code for the user's client.
    pub code: u16,
    /// One word for programs.
    pub reason: &'static str,
    /// Everything that was found, for people.
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
}

#[derive(Clone, Debug, Serialize)]
struct Details {
    group: &'static str,
    kind: &'static str,
    name: String,
    causes: Vec<StatusCause>,
}

#[derive(Clone, Debug, Serialize)]
struct StatusCause {
    reason: &'static str,
    message: String,
    field: String,
}

impl Status {
    fn failure(code: u16, reason: &'static str, message: String, details: Option<Details>) -> Self {
        Self {
            outcome: "Failure",
            code,
            reason,
            message,
            details,
        }
    }
}

impl Response {
    /// The request may go on.
    pub fn allow(uid: &str) -> Self {
        Self {
            uid: uid.to_owned(),
            allowed: true,
            ..Self::default()
        }
    }

    /// The request cannot be judged for a reason that has nothing to do with it.
    pub fn unavailable(uid: &str, message: String) -> Self {
        Self {
            uid: uid.to_owned(),
            status: Some(Status::failure(503, "ServiceUnavailable", message, None)),
            ..Self::default()
        }
    }

    /// A configuration is refused. `field` is where it stands in the ConfigMap, `problems` what is wrong with it.
    pub fn refuse_config(uid: &str, name: &str, field: &str, problems: &[String]) -> Self {
        let shown = capped(problems.iter().cloned());
        let details = Details {
            group: "",
            kind: "ConfigMap",
            name: printable(name, SHOWN_NAME),
            causes: shown
                .iter()
                .map(|message| StatusCause {
                    reason: "FieldValueInvalid",
                    message: message.clone(),
                    field: field.to_owned(),
                })
                .collect(),
        };
        let message = match shown.as_slice() {
            [problem] => format!("the configuration is not valid: {field}: {problem}"),
            all => format!("the configuration is not valid: {field}:\n* {}", all.join("\n* ")),
        };
        Self {
            uid: uid.to_owned(),
            status: Some(Status::failure(422, "Invalid", message, Some(details))),
            ..Self::default()
        }
    }

    /// What follows from a report. `name` is the object's, where it has one; `unread` says why facts are missing.
    pub fn from_report(uid: &str, name: &str, report: &Report, unread: &[(Lookup, Unread)]) -> Self {
        let name = printable(name, SHOWN_NAME);
        let status = match report.outcome() {
            Outcome::Allowed => None,
            Outcome::Invalid => Some(denial(422, "Invalid", "is invalid", name, report, unread)),
            Outcome::Forbidden => Some(denial(403, "Forbidden", "is forbidden", name, report, unread)),
            Outcome::Undecided => {
                let summary = report.summary();
                let reasons = reasons(unread);
                let message = format!("{KIND}.{GROUP} \"{name}\" could not be judged: {summary}{reasons}");
                Some(Status::failure(503, "ServiceUnavailable", message, None))
            }
        };
        let mut audit_annotations = BTreeMap::new();
        let fired = ids(report.findings.iter().map(|finding| finding.rule.id));
        if !fired.is_empty() {
            audit_annotations.insert("rules", fired);
        }
        let open = ids(report.undecided.iter().map(|undecided| undecided.rule.id));
        if !open.is_empty() {
            audit_annotations.insert("undecided", open);
        }
        Self {
            uid: uid.to_owned(),
            allowed: status.is_none(),
            status,
            warnings: report.warning_texts(),
            audit_annotations,
            ..Self::default()
        }
    }

    /// Adds a patch. A denial never carries one.
    #[must_use]
    pub fn with_patch(mut self, patch: Option<&Patch>) -> Self {
        if let Some(json) = patch.and_then(|patch| serde_json::to_vec(patch).ok()) {
            self.patch = Some(STANDARD.encode(json));
            self.patch_type = Some("JSONPatch");
        }
        self
    }

    /// Tells the user one more thing.
    pub fn warn(&mut self, text: &str) {
        self.warnings.push(printable(text, WARNING));
    }

    /// The whole review, as it goes over the wire.
    pub fn to_json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Review<'a> {
            api_version: &'static str,
            kind: &'static str,
            response: &'a Response,
        }
        let review = Review {
            api_version: API_VERSION,
            kind: REVIEW,
            response: self,
        };
        // Text and numbers only: there is nothing in it that cannot be written.
        serde_json::to_vec(&review).unwrap_or_default()
    }
}

fn denial(
    code: u16,
    reason: &'static str,
    verdict: &str,
    name: String,
    report: &Report,
    unread: &[(Lookup, Unread)],
) -> Status {
    let mut message = format!("{KIND}.{GROUP} \"{name}\" {verdict}: {}", report.summary());
    // Who mends only what is listed should not be surprised by the next refusal.
    let open = report
        .undecided
        .iter()
        .filter(|undecided| undecided.level == Level::Deny);
    for undecided in open.take(SHOWN) {
        let _ = write!(message, "\n* {}", undecided.line());
    }
    message.push_str(&reasons(unread));
    let details = Details {
        group: GROUP,
        kind: KIND,
        name,
        causes: report.told().0.map(cause).collect(),
    };
    Status::failure(code, reason, message, Some(details))
}

fn cause(finding: &Finding) -> StatusCause {
    StatusCause {
        reason: finding.rule.cause.reason(),
        message: finding.sentence(),
        field: finding.shown_path(),
    }
}

/// Why facts could not be read, to stand behind a summary that says what follows.
fn reasons(unread: &[(Lookup, Unread)]) -> String {
    let each: Vec<String> = unread.iter().map(|(need, why)| format!("{need} {why}")).collect();
    if each.is_empty() {
        String::new()
    } else {
        format!(" ({})", each.join("; "))
    }
}

/// Each id once.
fn ids(all: impl Iterator<Item = &'static str>) -> String {
    let mut ids: Vec<&str> = all.collect();
    ids.sort_unstable();
    ids.dedup();
    ids.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_patch_no_patch_type() {
        let text = String::from_utf8(Response::allow("u").with_patch(None).to_json()).unwrap();
        assert_eq!(
            text,
            r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"u","allowed":true}}"#
        );
    }
}

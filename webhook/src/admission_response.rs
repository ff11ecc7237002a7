//! Writes AdmissionReview responses (`admission.k8s.io/v1`): status, patch, warnings and audit annotations.
//!
//! All text from users is escaped before it is repeated.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cnbi_shared::api::{GROUP, KIND};
use cnbi_shared::facts::Lookup;
use cnbi_shared::render::capped;
use cnbi_shared::verdict::{Finding, Level, Outcome, Report, SHOWN, printable};
use json_patch::Patch;
use kube::core::Status;
use kube::core::response::{StatusCause, StatusDetails, StatusSummary, reason};
use serde::Serialize;

use crate::admission_request::{API_VERSION, REVIEW};
use crate::facts::LookupError;

/// Most characters of a name.
const SHOWN_NAME: usize = 253;
/// Most characters of a warning that is no finding. Kubernetes recommends at most 120 for a warning.
const WARNING: usize = 119;

/// The response to one review.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AdmissionResponse {
    /// `uid` of the request.
    pub uid: String,
    /// Whether the request is allowed.
    pub allowed: bool,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    /// Warnings for the user.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Annotations in the audit log. The API server puts the webhook's name before each key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub audit_annotations: BTreeMap<&'static str, String>,
}

impl AdmissionResponse {
    /// Allows the request.
    pub fn allow(uid: &str) -> Self {
        Self {
            uid: uid.to_owned(),
            allowed: true,
            ..Self::default()
        }
    }

    /// Rejects the request with 503, for a reason that is not in the object.
    pub fn unavailable(uid: &str, message: String) -> Self {
        Self {
            uid: uid.to_owned(),
            status: Some(failure(503, reason::SERVICE_UNAVAILABLE, message, None)),
            ..Self::default()
        }
    }

    /// Rejects a ConfigMap. `field` is the path of the configuration in it, `problems` are the errors in the configuration.
    pub fn reject_config(uid: &str, name: &str, field: &str, problems: &[String]) -> Self {
        let shown = capped(problems.iter().cloned());
        let causes = shown.iter().map(|message| StatusCause {
            reason: "FieldValueInvalid".to_owned(),
            message: message.clone(),
            field: field.to_owned(),
        });
        let details = details("", "ConfigMap", printable(name, SHOWN_NAME), causes.collect());
        let message = match shown.as_slice() {
            [problem] => format!("the configuration is not valid: {field}: {problem}"),
            all => format!("the configuration is not valid: {field}:\n* {}", all.join("\n* ")),
        };
        Self {
            uid: uid.to_owned(),
            status: Some(failure(422, reason::INVALID, message, Some(details))),
            ..Self::default()
        }
    }

    /// The response for a report. `name` is that of the object; `failed` are the lookups that failed.
    pub fn from_report(uid: &str, name: &str, report: &Report, failed: &[(Lookup, LookupError)]) -> Self {
        let name = printable(name, SHOWN_NAME);
        let status = match report.outcome() {
            Outcome::Allowed => None,
            Outcome::Invalid => Some(denial(422, reason::INVALID, "is invalid", name, report, failed)),
            Outcome::Forbidden => Some(denial(403, reason::FORBIDDEN, "is forbidden", name, report, failed)),
            Outcome::NotChecked => {
                let summary = report.summary();
                let reasons = reasons(failed);
                let message = format!("{KIND}.{GROUP} \"{name}\" could not be checked: {summary}{reasons}");
                Some(failure(503, reason::SERVICE_UNAVAILABLE, message, None))
            }
        };
        let mut audit_annotations = BTreeMap::new();
        let found = ids(report.findings.iter().map(|finding| finding.rule.id));
        if !found.is_empty() {
            audit_annotations.insert("rules", found);
        }
        let not_checked = ids(report.not_checked.iter().map(|undecided| undecided.rule.id));
        if !not_checked.is_empty() {
            audit_annotations.insert("not-checked", not_checked);
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

    /// Adds a patch. Only for responses that allow.
    #[must_use]
    pub fn with_patch(mut self, patch: Option<&Patch>) -> Self {
        if let Some(json) = patch.and_then(|patch| serde_json::to_vec(patch).ok()) {
            self.patch = Some(STANDARD.encode(json));
            self.patch_type = Some("JSONPatch");
        }
        self
    }

    /// Adds a warning.
    pub fn warn(&mut self, text: &str) {
        self.warnings.push(printable(text, WARNING));
    }

    /// The review with this response, as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Review<'a> {
            api_version: &'static str,
            kind: &'static str,
            response: &'a AdmissionResponse,
        }
        let review = Review {
            api_version: API_VERSION,
            kind: REVIEW,
            response: self,
        };
        // Strings and numbers only: serializing cannot fail.
        serde_json::to_vec(&review).unwrap_or_default()
    }
}

fn failure(code: u16, reason: &str, message: String, details: Option<StatusDetails>) -> Status {
    Status {
        status: Some(StatusSummary::Failure),
        code,
        message,
        reason: reason.to_owned(),
        details,
        metadata: None,
    }
}

fn details(group: &str, kind: &str, name: String, causes: Vec<StatusCause>) -> StatusDetails {
    StatusDetails {
        name,
        group: group.to_owned(),
        kind: kind.to_owned(),
        uid: String::new(),
        causes,
        retry_after_seconds: 0,
    }
}

fn denial(
    code: u16,
    reason: &str,
    verdict: &str,
    name: String,
    report: &Report,
    failed: &[(Lookup, LookupError)],
) -> Status {
    let mut message = format!("{KIND}.{GROUP} \"{name}\" {verdict}: {}", report.summary());
    // The rules that were not checked may reject the object next time.
    let not_checked = report
        .not_checked
        .iter()
        .filter(|undecided| undecided.level == Level::Deny);
    for undecided in not_checked.take(SHOWN) {
        let _ = write!(message, "\n* {}", undecided.line());
    }
    message.push_str(&reasons(failed));
    let causes = report.shown_denials().0.map(cause).collect();
    failure(code, reason, message, Some(details(GROUP, KIND, name, causes)))
}

fn cause(finding: &Finding) -> StatusCause {
    StatusCause {
        reason: finding.rule.cause.reason().to_owned(),
        message: finding.sentence(),
        field: finding.shown_path(),
    }
}

/// Why lookups failed, in parentheses; empty if none did.
fn reasons(failed: &[(Lookup, LookupError)]) -> String {
    let each: Vec<String> = failed
        .iter()
        .map(|(lookup, error)| format!("{lookup} {error}"))
        .collect();
    if each.is_empty() {
        String::new()
    } else {
        format!(" ({})", each.join("; "))
    }
}

/// Each id once, sorted.
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
    fn a_response_without_a_patch_has_no_patch_type() {
        let text = String::from_utf8(AdmissionResponse::allow("u").with_patch(None).to_json()).unwrap();
        assert_eq!(
            text,
            r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"u","allowed":true}}"#
        );
    }
}

//! Evaluates the rules for one document and locates the findings in its text.

use cnbi_shared::admission_input::{AdmissionInput, UnknownKey, unknown_keys};
use cnbi_shared::api::{API_VERSION, UnvalidatedImage};
use cnbi_shared::config::Config;
use cnbi_shared::facts::{Facts, Lookup, LookupResult};
use cnbi_shared::path::FieldId;
use cnbi_shared::rules;
use cnbi_shared::verdict::{Level, Report};

use super::defaults::{assume_namespace, defaults_of};
use super::located::{Located, bounded, duplicate, locate_finding, unreadable, wrong_api_version, wrong_kind};
use super::node::{Data, Node, Position};
use super::yaml::SyntaxError;
use super::{DocumentReport, KnownFacts, NotChecked, Settings};

/// Maximum number of findings that are kept of a document.
const FINDINGS: usize = 1000;
/// Known facts can require further facts, at most this often.
const ROUNDS: usize = 4;
const FIX_FIRST: &str = "fix this first; the rest of the document was not checked";
const RENDER: &str = "if this is a template, check its output: helm template . | kubectl cnbi check -";

/// Applies defaults, then evaluates all rules with the known facts.
pub fn evaluate(
    image: &mut UnvalidatedImage,
    unknown_keys: &[UnknownKey],
    config: Option<&Config>,
    known: &KnownFacts,
) -> Report {
    defaults_of(image, config, None).apply(image);
    let input = AdmissionInput {
        unknown_keys,
        ..AdmissionInput::create(image)
    };
    let mut facts = Facts::none();
    if config.is_some() {
        facts.insert(Lookup::Configuration, LookupResult::Yes);
    }
    let default_config = Config::default();
    let config = config.unwrap_or(&default_config);
    let mut report = rules::evaluate(&input, &facts, config);
    for _ in 0..ROUNDS {
        if !known.insert_into(&mut facts, report.pending_lookups()) {
            break;
        }
        report = rules::evaluate(&input, &facts, config);
    }
    report
}

/// Evaluates the documents of one file.
pub struct Evaluator<'a> {
    settings: &'a Settings,
    file: &'a str,
}

impl<'a> Evaluator<'a> {
    pub fn new(settings: &'a Settings, file: &'a str) -> Self {
        Self { settings, file }
    }

    /// Evaluates an object. `length` is the length of the text that contains it; `rejected` is an error before the object
    /// that only kubectl reports.
    pub fn document(&self, object: &Node, length: usize, rejected: Option<(Position, &str)>) -> DocumentReport {
        // A text without aliases cannot have more values and bytes than this.
        let Ok((value, duplicates)) = object.expand(10 * length + 1000) else {
            let message = "is many times larger than its text because of nested aliases";
            return self.rejected(object, object.position, message, FIX_FIRST);
        };
        let mut image = match serde_json::from_value::<UnvalidatedImage>(value.clone()) {
            Ok(image) => image,
            Err(error) => {
                return self.rejected(
                    object,
                    object.position,
                    &format!("cannot be parsed: {error}"),
                    FIX_FIRST,
                );
            }
        };
        let mut located = Vec::new();
        if let Some((position, message)) = rejected {
            located.push(unreadable(FieldId::Object.path(), position, None, message, None));
        }
        if image.api_version.text() != Some(API_VERSION) {
            located.push(wrong_api_version(object, image.api_version.text()));
        }
        located.extend(wrong_kind(object));
        located.extend(duplicates.iter().map(duplicate));

        assume_namespace(&mut image, &self.settings.namespace);
        let mut keys = unknown_keys(&value);
        let surplus = keys.len().saturating_sub(FINDINGS);
        keys.truncate(FINDINGS);
        drop(value);
        let report = evaluate(&mut image, &keys, self.settings.config.as_ref(), &self.settings.known);
        let not_checked = NotChecked::of(&report);
        let is_rejected = !located.is_empty() || report.findings.iter().any(|finding| finding.level == Level::Deny);
        let count = located.len() + report.findings.len() + surplus;
        // Only the findings that are kept are located: a hostile object has as many keys as findings.
        let findings = report.findings.into_iter().take(FINDINGS);
        located.extend(findings.map(|finding| locate_finding(finding, object)));
        located.sort_by(|(path, a), (other, b)| path.cmp(other).then_with(|| a.rule.cmp(b.rule)));
        located.truncate(FINDINGS);
        DocumentReport {
            allowed: !is_rejected && (not_checked.is_empty() || !self.settings.strict),
            omitted: count - located.len(),
            ..self.report(object, located, not_checked)
        }
    }

    /// The report of a CustomNBImage that is not valid YAML or JSON.
    pub fn syntax_error(&self, error: &SyntaxError, text: &str) -> DocumentReport {
        let nothing = Node::leaf(error.position, Data::Null { is_implicit: true });
        let partial = error.partial.as_ref().unwrap_or(&nothing);
        let hint = if text.contains("{{") { RENDER } else { FIX_FIRST };
        let message = format!("cannot be parsed: {}", error.message);
        self.rejected(partial, error.position, &message, hint)
    }

    fn rejected(&self, object: &Node, position: Position, message: &str, hint: &str) -> DocumentReport {
        let finding = unreadable(FieldId::Object.path(), position, None, message, Some(hint));
        self.report(object, vec![finding], Vec::new())
    }

    /// The report of a rejected document.
    fn report(&self, object: &Node, located: Vec<Located>, not_checked: Vec<NotChecked>) -> DocumentReport {
        let metadata = object.get("metadata");
        let text = |key| {
            metadata
                .and_then(|metadata| metadata.text(key))
                .filter(|text| !text.is_empty())
        };
        DocumentReport {
            file: self.file.to_owned(),
            line: object.position.line,
            name: text("name").map(bounded),
            namespace: bounded(text("namespace").unwrap_or(&self.settings.namespace)),
            allowed: false,
            omitted: 0,
            findings: located.into_iter().map(|(_, finding)| finding).collect(),
            not_checked,
        }
    }
}

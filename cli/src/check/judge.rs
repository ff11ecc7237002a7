//! One document of ours: what do the rules say, and where in the file does that stand.

use cnbi_shared::admission_input::{AdmissionInput, unknown_keys};
use cnbi_shared::api::{API_VERSION, Field, Metadata, UnvalidatedImage};
use cnbi_shared::config::Config;
use cnbi_shared::defaults::Defaults;
use cnbi_shared::facts::{Facts, Lookup, LookupResult};
use cnbi_shared::path::FieldId;
use cnbi_shared::rules;
use cnbi_shared::verdict::{Level, Report};

use super::node::{Data, Node, Place};
use super::placed::{Placed, at_its_place, bounded, duplicate, unreadable, wrong_api_version, wrong_kind};
use super::yaml::Broken;
use super::{DocumentReport, Settings, UndecidedRule};

/// Most findings that are kept of one document.
const FINDINGS: usize = 1000;
/// What to do about a document that cannot be read.
const MEND: &str = "mend this first; the rest of the document has not been looked at";
/// What to do about one that was never meant to be.
const RENDER: &str = "if this is a template, check what it renders: helm template . | kubectl cnbi check -";
/// How often what is known is asked for.
const ROUNDS: usize = 2;

/// Judges the documents of one file.
pub struct Judge<'a> {
    settings: &'a Settings,
    file: &'a str,
    config: Config,
    facts: Facts,
}

impl<'a> Judge<'a> {
    pub fn new(settings: &'a Settings, file: &'a str) -> Self {
        let facts = match settings.config {
            Some(_) => Facts::none().with(Lookup::Configuration, LookupResult::Yes),
            None => Facts::none(),
        };
        Self {
            settings,
            file,
            config: settings.config.clone().unwrap_or_default(),
            facts,
        }
    }

    /// Judges an object. `length` is that of the text that it stands in; `refused` is something before it that keeps kubectl
    /// from reading it.
    pub fn document(&self, object: &Node, length: usize, refused: Option<(Place, &str)>) -> DocumentReport {
        // No text without aliases holds more values and bytes than this.
        let Ok((value, duplicates)) = object.expand(10 * length + 1000) else {
            let message = "is many times larger than its text, by aliases within aliases";
            return self.refused(object, object.place, message, MEND);
        };
        let mut draft = match serde_json::from_value::<UnvalidatedImage>(value.clone()) {
            Ok(draft) => draft,
            Err(error) => return self.refused(object, object.place, &format!("cannot be read: {error}"), MEND),
        };
        let mut placed = Vec::new();
        if let Some((place, message)) = refused {
            placed.push(unreadable(FieldId::Object.whole(), place, None, message, None));
        }
        if draft.api_version.text() != Some(API_VERSION) {
            placed.push(wrong_api_version(object, draft.api_version.text()));
        }
        placed.extend(wrong_kind(object));
        placed.extend(duplicates.iter().map(duplicate));

        self.assume_namespace(&mut draft);
        let mut keys = unknown_keys(&value);
        let surplus = keys.len().saturating_sub(FINDINGS);
        keys.truncate(FINDINGS);
        drop(value);
        let mut defaults = Defaults::of(&AdmissionInput::create(&draft), &self.config, None);
        if self.settings.config.is_none() {
            // What an admin would have filled in is not known.
            defaults.target_namespace = None;
        }
        defaults.apply(&mut draft);
        let subject = AdmissionInput {
            unknown_keys: &keys,
            ..AdmissionInput::create(&draft)
        };
        let Report { findings, undecided } = self.evaluate(&subject);
        let is_refused = !placed.is_empty() || findings.iter().any(|finding| finding.level == Level::Deny);
        let count = placed.len() + findings.len() + surplus;
        // Only what is kept is looked for in the tree: a hostile object has as many keys as findings.
        placed.extend(
            findings
                .into_iter()
                .take(FINDINGS)
                .map(|finding| at_its_place(finding, object)),
        );
        placed.sort_by(|(path, a), (other, b)| path.cmp(other).then_with(|| a.rule.cmp(b.rule)));
        let undecided: Vec<UndecidedRule> = undecided
            .into_iter()
            .map(|undecided| UndecidedRule {
                rule: undecided.rule.id,
                needs: undecided.need.to_string(),
            })
            .collect();
        placed.truncate(FINDINGS);
        let omitted = count - placed.len();
        DocumentReport {
            allowed: self.allows(is_refused, &undecided),
            omitted,
            ..self.report(object, placed, undecided)
        }
    }

    /// By all rules, with what is known of the cluster.
    fn evaluate(&self, subject: &AdmissionInput<'_>) -> Report {
        let mut facts = self.facts.clone();
        let mut report = rules::evaluate(subject, &facts, &self.config);
        // What is known can raise a further question.
        for _ in 0..ROUNDS {
            if report.needs().is_empty() || self.settings.known.is_empty() {
                break;
            }
            self.settings.known.answer(report.needs(), &mut facts);
            report = rules::evaluate(subject, &facts, &self.config);
        }
        report
    }

    /// A document of ours that cannot be read.
    pub fn broken(&self, broken: &Broken, text: &str) -> DocumentReport {
        let nothing = Node::leaf(broken.place, Data::Null { is_implicit: true });
        let partial = broken.partial.as_ref().unwrap_or(&nothing);
        let hint = if text.contains("{{") { RENDER } else { MEND };
        self.refused(
            partial,
            broken.place,
            &format!("cannot be read: {}", broken.message),
            hint,
        )
    }

    fn refused(&self, object: &Node, place: Place, message: &str, hint: &str) -> DocumentReport {
        let finding = unreadable(FieldId::Object.whole(), place, None, message, Some(hint));
        self.report(object, vec![finding], Vec::new())
    }

    fn allows(&self, is_refused: bool, undecided: &[UndecidedRule]) -> bool {
        !is_refused && (undecided.is_empty() || !self.settings.strict)
    }

    /// The report of a document that is not allowed.
    fn report(&self, object: &Node, placed: Vec<Placed>, undecided: Vec<UndecidedRule>) -> DocumentReport {
        let metadata = object.get("metadata");
        let text = |key| {
            metadata
                .and_then(|metadata| metadata.text(key))
                .filter(|text| !text.is_empty())
        };
        DocumentReport {
            file: self.file.to_owned(),
            line: object.place.line,
            name: text("name").map(bounded),
            namespace: bounded(text("namespace").unwrap_or(&self.settings.namespace)),
            allowed: false,
            omitted: 0,
            findings: placed.into_iter().map(|(_, finding)| finding).collect(),
            undecided,
        }
    }

    /// kubectl puts a resource that names no namespace into the current one.
    fn assume_namespace(&self, draft: &mut UnvalidatedImage) {
        assume_namespace(draft, &self.settings.namespace);
    }
}

/// Puts a resource that names no namespace into this one.
pub fn assume_namespace(draft: &mut UnvalidatedImage, namespace: &str) {
    if draft.metadata.is_absent() {
        draft.metadata = Field::Set(Metadata::default());
    }
    if let Field::Set(metadata) = &mut draft.metadata
        && (metadata.namespace.is_absent() || metadata.namespace.text() == Some(""))
    {
        metadata.namespace = Field::Set(namespace.to_owned());
    }
}

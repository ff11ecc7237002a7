//! One document of ours: what do the rules say, and where in the file does that stand.

use cnbi_shared::api::{API_VERSION, Draft, Field, Metadata};
use cnbi_shared::config::Config;
use cnbi_shared::defaults::Defaults;
use cnbi_shared::facts::{Answer, Facts, Need};
use cnbi_shared::path::{At, Path};
use cnbi_shared::rules::{self, RULES};
use cnbi_shared::subject::{Subject, unknown_keys};
use cnbi_shared::verdict::{Finding, Level, Report};

use super::node::{Data, Duplicate, Node, Place};
use super::yaml::Broken;
use super::{DocumentReport, PlacedFinding, Settings, UndecidedRule};

/// Most findings that are kept of one document.
const FINDINGS: usize = 1000;
/// What to do about a document that cannot be read.
const MEND: &str = "mend this first; the rest of the document has not been looked at";
/// What to do about one that was never meant to be.
const RENDER: &str = "if this is a template, check what it renders: helm template . | kubectl cnbi check -";
/// How often what is known is asked for.
const ROUNDS: usize = 2;
/// Most characters that are kept of a value or a path.
const CHARACTERS: usize = 8192;

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
            Some(_) => Facts::none().with(Need::Configuration, Answer::Yes),
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
        let mut draft = match serde_json::from_value::<Draft>(value.clone()) {
            Ok(draft) => draft,
            Err(error) => return self.refused(object, object.place, &format!("cannot be read: {error}"), MEND),
        };
        let mut placed = Vec::new();
        if let Some((place, message)) = refused {
            placed.push(unreadable(At::Object.whole(), place, None, message, None));
        }
        if draft.api_version.text() != Some(API_VERSION) {
            placed.push(wrong_api_version(object, draft.api_version.text()));
        }
        placed.extend(duplicates.iter().map(duplicate));

        self.assume_namespace(&mut draft);
        let mut keys = unknown_keys(&value);
        let surplus = keys.len().saturating_sub(FINDINGS);
        keys.truncate(FINDINGS);
        drop(value);
        let mut defaults = Defaults::of(&Subject::create(&draft), &self.config, None);
        if self.settings.config.is_none() {
            // What an admin would have filled in is not known.
            defaults.target_namespace = None;
        }
        defaults.apply(&mut draft);
        let subject = Subject {
            unknown_keys: &keys,
            ..Subject::create(&draft)
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
    fn evaluate(&self, subject: &Subject<'_>) -> Report {
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
        let finding = unreadable(At::Object.whole(), place, None, message, Some(hint));
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
    fn assume_namespace(&self, draft: &mut Draft) {
        assume_namespace(draft, &self.settings.namespace);
    }
}

/// Puts a resource that names no namespace into this one.
pub fn assume_namespace(draft: &mut Draft, namespace: &str) {
    if draft.metadata.is_absent() {
        draft.metadata = Field::Set(Metadata::default());
    }
    if let Field::Set(metadata) = &mut draft.metadata
        && (metadata.namespace.is_absent() || metadata.namespace.text() == Some(""))
    {
        metadata.namespace = Field::Set(namespace.to_owned());
    }
}

/// A finding, and the path that it is sorted by.
type Placed = (Path, PlacedFinding);

/// A finding of CNB000 that only somebody who has the text can make.
fn unreadable(path: Path, place: Place, value: Option<&str>, message: &str, hint: Option<&str>) -> Placed {
    let finding = PlacedFinding {
        rule: RULES[0].id,
        level: Level::Deny,
        path: bounded(&path.to_string()),
        line: place.line,
        column: place.column,
        value: value.map(bounded),
        message: bounded(message),
        hint: hint.map(bounded),
        replacement: None,
    };
    (path, finding)
}

fn wrong_api_version(object: &Node, found: Option<&str>) -> Placed {
    let message = match object.get("apiVersion") {
        Some(_) => "is not a version of CustomNBImage",
        None => "is missing",
    };
    let place = object
        .entry("apiVersion")
        .map_or(object.place, |entry| entry.value.place);
    unreadable(
        At::Object.unknown("apiVersion"),
        place,
        found,
        message,
        Some(&format!("write {API_VERSION}")),
    )
}

fn duplicate(duplicate: &Duplicate) -> Placed {
    let Duplicate {
        parents,
        key,
        first,
        again,
    } = duplicate;
    let keys: Vec<&str> = parents.iter().chain([key]).map(|key| &**key).collect();
    // The path of a key that is no field of ours ends at the nearest field above it.
    let nearest = At::ALL
        .into_iter()
        .filter(|at| keys.starts_with(at.keys()))
        .max_by_key(|at| at.keys().len());
    let nearest = nearest.unwrap_or(At::Object);
    let path = match keys.get(nearest.keys().len()) {
        Some(below) => nearest.unknown(below),
        None => nearest.whole(),
    };
    let message = format!("the key `{key}` is there twice, first on line {}", first.line);
    unreadable(
        path,
        *again,
        None,
        &message,
        Some("take one of them out: kubectl would drop the first without a word"),
    )
}

fn at_its_place(finding: Finding, object: &Node) -> Placed {
    let place = object.locate(&finding.path);
    let hint = hint_as_written(&finding, object);
    let as_text = as_text(&finding, object);
    let Finding {
        rule,
        level,
        path,
        value,
        message,
        replacement,
        ..
    } = finding;
    let finding = PlacedFinding {
        replacement: replacement.or(as_text),
        rule: rule.id,
        level,
        path: bounded(&path.to_string()),
        line: place.line,
        column: place.column,
        value: value.as_deref().map(bounded),
        message: bounded(&message),
        hint: hint.as_deref().map(bounded),
    };
    (path, finding)
}

/// The hint, with a number as it is written: of `3.10` only `3.1` is left where YAML has made a number of it.
fn hint_as_written(finding: &Finding, object: &Node) -> Option<String> {
    let hint = finding.hint.clone()?;
    let written = match (&finding.value, object.find(&finding.path).map(|node| &*node.data)) {
        (Some(value), Some(Data::Number(_, written) | Data::Bool(_, written))) if **written != **value => {
            hint.replace(&format!("\"{value}\""), &format!("\"{written}\""))
        }
        _ => hint,
    };
    Some(written)
}

/// A number or a boolean where text is asked for, as the text that is written there.
fn as_text(finding: &Finding, object: &Node) -> Option<String> {
    let is_asked_for = finding.rule.id == RULES[0].id && finding.message.starts_with("must be of type string");
    match &*object.find(&finding.path)?.data {
        Data::Number(_, written) | Data::Bool(_, written) if is_asked_for => Some(written.to_string()),
        _ => None,
    }
}

fn bounded(text: &str) -> String {
    match text.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

//! `kubectl cnbi check`: evaluates the webhook's rules for manifests, without a cluster.
//!
//! Defaults are applied first, as in the webhook. Rules that need facts about the cluster are reported as not checked.
//! [`Check`] is pure: it takes texts and returns a [`CheckReport`]. [`run`] reads files and prints.

pub mod args;
mod builder;
mod config;
mod defaults;
mod edit;
mod evaluate;
mod files;
mod fix;
mod function;
mod github;
mod json;
mod kind;
mod known_facts;
mod located;
mod node;
mod parallel;
mod run;
mod sarif;
mod scalar;
mod split;
mod text;
mod yaml;

use std::collections::BTreeMap;

use cnbi_shared::api::KIND;
use cnbi_shared::config::Config;
use cnbi_shared::verdict::{Level, Report, escaped};
use serde::Serialize;

pub use defaults::{Defaulted, apply_defaults};
pub use edit::plain_or_quoted as scalar_text;
pub use evaluate::evaluate;
pub use function::{Transformed, transform};
pub use known_facts::{KnownFacts, pull_secret};
pub use run::{read_config, read_texts, run};

/// Options of a check.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Configuration of the target cluster. Without it, rules that depend on it are not checked.
    pub config: Option<Config>,
    /// Namespace of resources without `metadata.namespace`.
    pub namespace: String,
    /// Reject resources with rules that were not checked.
    pub strict: bool,
    /// Known facts about the cluster.
    pub known: KnownFacts,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            config: None,
            namespace: "default".to_owned(),
            strict: false,
            known: KnownFacts::default(),
        }
    }
}

/// The result of a check. Serialized for `-o json`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CheckReport {
    /// Number of checked CustomNBImages.
    pub checked: usize,
    /// Number of documents of other kinds.
    pub skipped: usize,
    /// Number of files that cannot be read, and of invalid documents that do not look like a CustomNBImage (templates).
    pub unreadable: usize,
    /// The CustomNBImages in the order of files and lines.
    pub documents: Vec<DocumentReport>,
    /// Why files and documents could not be read.
    #[serde(skip)]
    pub notes: Vec<String>,
}

/// The result for one CustomNBImage.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DocumentReport {
    /// File name as given.
    pub file: String,
    /// Line of the document's first value, from 1.
    pub line: usize,
    /// `metadata.name`
    pub name: Option<String>,
    /// `metadata.namespace` or the default.
    pub namespace: String,
    /// Whether the resource is accepted.
    pub allowed: bool,
    /// Findings in the order of fields.
    pub findings: Vec<LocatedFinding>,
    /// Number of findings beyond the limit.
    #[serde(skip_serializing_if = "is_zero")]
    pub omitted: usize,
    /// Rules that were not checked.
    pub not_checked: Vec<NotChecked>,
}

/// A finding and its location in the file.
#[derive(Clone, Debug, Serialize)]
pub struct LocatedFinding {
    /// Id of the rule.
    pub rule: &'static str,
    /// `Deny` or `Warn`
    pub level: Level,
    /// Path of the field; empty for the whole document.
    pub path: String,
    /// Line of the value, or of the object that lacks it.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The value as written, unless it may be a secret.
    pub value: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
    /// The corrected value, if there is exactly one.
    #[serde(skip)]
    pub replacement: Option<String>,
}

impl LocatedFinding {
    /// Path, message and hint in one sentence.
    fn text(&self) -> String {
        let field = if self.path.is_empty() {
            String::new()
        } else {
            format!("{}: ", self.path)
        };
        format!("{field}{}", with_hint(&self.message, self.hint.as_deref()))
    }
}

/// A rule that was not checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotChecked {
    /// Id of the rule.
    pub rule: &'static str,
    /// The missing fact.
    pub needs: String,
}

impl NotChecked {
    /// The rules of a report that were not checked.
    pub fn of(report: &Report) -> Vec<Self> {
        let rules = report.not_checked.iter().map(|rule| Self {
            rule: rule.rule.id,
            needs: rule.lookup.to_string(),
        });
        rules.collect()
    }

    fn message(&self) -> String {
        format!("not checked (needs {})", self.needs)
    }
}

/// Ids of rules that were not checked, separated by commas, by the missing fact.
pub fn by_need(not_checked: &[NotChecked]) -> BTreeMap<&str, String> {
    let mut by_need: BTreeMap<&str, String> = BTreeMap::new();
    for NotChecked { rule, needs } in not_checked {
        let rules = by_need.entry(needs).or_default();
        if !rules.is_empty() {
            rules.push_str(", ");
        }
        rules.push_str(rule);
    }
    by_need
}

/// A message with a hint.
pub fn with_hint(message: &str, hint: Option<&str>) -> String {
    match hint {
        Some(hint) => format!("{message}; {hint}"),
        None => message.to_owned(),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "signature required by serde")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl CheckReport {
    /// Adds the report of other files.
    pub fn append(&mut self, other: Self) {
        let Self {
            checked,
            skipped,
            unreadable,
            documents,
            notes,
        } = other;
        self.checked += checked;
        self.skipped += skipped;
        self.unreadable += unreadable;
        self.documents.extend(documents);
        self.notes.extend(notes);
    }

    /// Whether all resources are accepted.
    pub fn is_allowed(&self) -> bool {
        self.documents.iter().all(|document| document.allowed)
    }

    /// Number of rejected resources.
    pub fn rejected(&self) -> usize {
        self.documents.iter().filter(|document| !document.allowed).count()
    }
}

/// A check in progress. Texts are added one by one, so that only one is in memory.
#[derive(Debug)]
pub struct Check<'a> {
    settings: &'a Settings,
    report: CheckReport,
}

impl<'a> Check<'a> {
    /// An empty check.
    pub fn new(settings: &'a Settings) -> Self {
        Self {
            settings,
            report: CheckReport::default(),
        }
    }

    /// Checks all documents in a text. `file` is its name in the report.
    pub fn add(&mut self, file: &str, text: &str) {
        let evaluator = evaluate::Evaluator::new(self.settings, file);
        for piece in split::pieces(text) {
            let (documents, syntax_error) = split::documents(&piece);
            let mut rejected = piece.rejected;
            for document in &documents {
                // Aliases can multiply lists; the length of the text bounds the number of items.
                let mut items = piece.text.len();
                for (object, is_ours) in kind::objects(document, &mut items) {
                    if is_ours {
                        self.push(evaluator.document(object, piece.text.len(), rejected.take()));
                    } else {
                        self.report.skipped += 1;
                    }
                }
            }
            if let Some(syntax_error) = syntax_error {
                if kind::may_be_ours(&syntax_error, piece.text) {
                    self.push(evaluator.syntax_error(&syntax_error, piece.text));
                } else {
                    self.unreadable(&format!(
                        "{file}:{}:{}: skipped, not valid YAML and apparently not a {KIND}: {}",
                        syntax_error.position.line, syntax_error.position.column, syntax_error.message
                    ));
                }
            }
        }
    }

    /// Adds a file that cannot be read.
    pub fn unreadable(&mut self, note: &str) {
        self.report.unreadable += 1;
        self.report.notes.push(escaped(note, usize::MAX));
    }

    fn push(&mut self, document: DocumentReport) {
        self.report.checked += 1;
        self.report.documents.push(document);
    }

    /// The report.
    pub fn finish(self) -> CheckReport {
        self.report
    }
}

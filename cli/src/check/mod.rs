//! `kubectl cnbi check`: the webhook's judgement of manifests, with no cluster.
//!
//! The same rules after the same defaulting; what only a cluster knows is reported as undecided. [`Check`] is pure: texts
//! in, [`CheckReport`] out. Files, terminals and exit codes are the business of [`run`].

pub mod args;
mod builder;
mod edit;
mod files;
mod fill;
mod fix;
mod function;
mod github;
mod json;
mod judge;
mod kind;
mod known;
mod node;
mod parallel;
mod placed;
mod policy;
mod run;
mod sarif;
mod scalar;
mod split;
mod text;
mod yaml;

use serde::Serialize;

use cnbi_shared::api::KIND;
use cnbi_shared::config::Config;
use cnbi_shared::verdict::{Level, escaped};

pub use edit::plain_or_quoted as scalar_text;
pub use fill::{Filled, fill};
pub use function::{Transformed, transform};
pub use known::{Known, pull_secret};
pub use run::{read_config, read_texts, run};

/// How to judge.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The policy of the cluster that the manifests are for; where nobody gave one, what depends on it is undecided.
    pub config: Option<Config>,
    /// Namespace of resources that name none.
    pub namespace: String,
    /// An undecided rule counts like a refusal.
    pub strict: bool,
    /// What is known of the cluster beside its policy.
    pub known: Known,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            config: None,
            namespace: "default".to_owned(),
            strict: false,
            known: Known::default(),
        }
    }
}

/// What came of a check; with `-o json`, exactly what is printed.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CheckReport {
    /// Documents of our kind.
    pub checked: usize,
    /// Documents of other kinds.
    pub skipped: usize,
    /// Documents that cannot be read and do not name our kind, such as templates; and files that cannot be read at all.
    pub unreadable: usize,
    /// The documents of our kind, in the order of files and lines.
    pub documents: Vec<DocumentReport>,
    /// Why documents and files could not be read; for people.
    #[serde(skip)]
    pub notes: Vec<String>,
}

/// What came of one document.
#[derive(Clone, Debug, Serialize)]
pub struct DocumentReport {
    /// The file, as it was named.
    pub file: String,
    /// Line of its first value, from 1.
    pub line: usize,
    /// `metadata.name`
    pub name: Option<String>,
    /// Its namespace, or the one that was assumed.
    pub namespace: String,
    /// Nothing found refuses it.
    pub allowed: bool,
    /// What was found, in the order of fields.
    pub findings: Vec<PlacedFinding>,
    /// How many findings were left out, because there are more than anybody reads.
    #[serde(skip_serializing_if = "is_zero")]
    pub omitted: usize,
    /// What only a cluster can decide.
    pub undecided: Vec<UndecidedRule>,
}

/// A finding and its place.
#[derive(Clone, Debug, Serialize)]
pub struct PlacedFinding {
    /// Id of the rule.
    pub rule: &'static str,
    /// `Deny` or `Warn`
    pub level: Level,
    /// The field; empty for the document as a whole.
    pub path: String,
    /// Line of the value, or of what it is missing from.
    pub line: usize,
    /// Column, in characters, from 1.
    pub column: usize,
    /// What was written, unless it may be a secret.
    pub value: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
    /// The corrected value, where there is exactly one.
    #[serde(skip)]
    pub replacement: Option<String>,
}

/// A rule that was not decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UndecidedRule {
    /// Id of the rule.
    pub rule: &'static str,
    /// What it has to know.
    pub needs: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl CheckReport {
    /// Adds what came of further files.
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

    /// Whether every document passes.
    pub fn is_allowed(&self) -> bool {
        self.documents.iter().all(|document| document.allowed)
    }

    /// How many documents do not.
    pub fn refused(&self) -> usize {
        self.documents.iter().filter(|document| !document.allowed).count()
    }
}

/// A check under way: texts are added one by one, so that only one has to be in memory.
#[derive(Debug)]
pub struct Check<'a> {
    settings: &'a Settings,
    report: CheckReport,
}

impl<'a> Check<'a> {
    /// Nothing has been checked yet.
    pub fn new(settings: &'a Settings) -> Self {
        Self {
            settings,
            report: CheckReport::default(),
        }
    }

    /// Judges every document in a text. `file` is what to call it.
    pub fn add(&mut self, file: &str, text: &str) {
        let judge = judge::Judge::new(self.settings, file);
        for piece in split::pieces(text) {
            let (documents, broken) = split::documents(&piece);
            let mut refused = piece.refused;
            for document in &documents {
                // An alias can stand for a whole list, so the length of the text is what bounds its items.
                let mut items = piece.text.len();
                for (object, is_ours) in kind::objects(document, &mut items) {
                    if is_ours {
                        self.push(judge.document(object, piece.text.len(), refused.take()));
                    } else {
                        self.report.skipped += 1;
                    }
                }
            }
            if let Some(broken) = broken {
                if kind::is_ours_though_broken(&broken, piece.text) {
                    self.push(judge.broken(&broken, piece.text));
                } else {
                    self.unreadable(&format!(
                        "{file}:{}:{}: not read, and not a {KIND} as far as can be seen: {}",
                        broken.place.line, broken.place.column, broken.message
                    ));
                }
            }
        }
    }

    /// Counts a file that cannot be read.
    pub fn unreadable(&mut self, note: &str) {
        self.report.unreadable += 1;
        self.report.notes.push(escaped(note, usize::MAX));
    }

    fn push(&mut self, document: DocumentReport) {
        self.report.checked += 1;
        self.report.documents.push(document);
    }

    /// What came of it.
    pub fn finish(self) -> CheckReport {
        self.report
    }
}

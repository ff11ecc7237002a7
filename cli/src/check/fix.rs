//! `--fix`: writes the corrections of which there is only one back to where the mistakes stand.
//!
//! A name is left to people, because others refer to it. A text that would be worse afterwards is not given out.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use cnbi_shared::path::FieldId;
use cnbi_shared::verdict::Level;

use super::edit::{Index, apply};
use super::node::Place;
use super::{Check, CheckReport, PlacedFinding, Settings};

/// A correction can show the next mistake in the same value; few do so twice.
const ROUNDS: usize = 4;

/// A correction that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// The rule that asked for it.
    pub rule: &'static str,
    /// The field.
    pub path: String,
    /// Line of the value.
    pub line: usize,
    /// What was there.
    pub before: String,
    /// What is there now.
    pub after: String,
}

/// The text with every correction that can be made, and what they are. `None` where there is none.
pub fn fix(settings: &Settings, file: &str, text: &str) -> Option<(String, Vec<Fix>)> {
    let judged = |text: &str| {
        let mut check = Check::new(settings);
        check.add(file, text);
        check.finish()
    };
    let mut fixes = Vec::new();
    let mut report = judged(text);
    let mut current = text.to_owned();
    for _ in 0..ROUNDS {
        let index = Index::of(&current);
        let (edits, made): (Vec<_>, Vec<_>) = findings(&report)
            .filter_map(|finding| {
                let (before, after) = (finding.value.as_ref()?, finding.replacement.as_ref()?);
                let place = Place {
                    line: finding.line,
                    column: finding.column,
                };
                let edit = index.replace(place, before, after)?;
                let fix = Fix {
                    rule: finding.rule,
                    path: finding.path.clone(),
                    line: finding.line,
                    before: before.clone(),
                    after: after.clone(),
                };
                Some((edit, fix))
            })
            .unzip();
        let next = apply(&current, edits);
        if next == current {
            break;
        }
        let after = judged(&next);
        if weight(&after) > weight(&report) || after.checked != report.checked {
            break;
        }
        fixes.extend(made);
        (current, report) = (next, after);
    }
    (current != text).then_some((current, fixes))
}

fn findings(report: &CheckReport) -> impl Iterator<Item = &PlacedFinding> {
    let all = report.documents.iter().flat_map(|document| &document.findings);
    all.filter(|finding| finding.path != FieldId::Name.whole().to_string())
}

/// How bad it is, in the order in which it matters.
fn weight(report: &CheckReport) -> (usize, usize) {
    let denials = report.documents.iter().flat_map(|document| &document.findings);
    let denials = denials.filter(|finding| finding.level == Level::Deny).count();
    (report.unreadable, denials)
}

/// Puts a new text in the place of a file's, at once and whole, with the same permissions; a link goes on being one.
///
/// # Errors
/// The file cannot be written, or has changed since `before` was read.
pub fn replace(path: &Path, before: &str, after: &str) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(after.as_bytes())?;
    file.as_file().set_permissions(fs::metadata(&path)?.permissions())?;
    file.as_file().sync_all()?;
    if fs::read(&path)? != before.as_bytes() {
        return Err(io::Error::other("it was changed meanwhile, and is left alone"));
    }
    file.persist(&path)?;
    Ok(())
}

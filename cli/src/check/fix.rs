//! `--fix`: applies unambiguous fixes to the text.
//!
//! `metadata.name` is never changed, because other objects refer to it. Fixes that increase the number of errors are discarded.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use cnbi_shared::path::FieldId;
use cnbi_shared::verdict::Level;

use super::edit::{Index, apply};
use super::node::Position;
use super::{Check, CheckReport, LocatedFinding, Settings};

/// A fixed value can have another error, at most this often.
const ROUNDS: usize = 4;

/// An applied fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// Id of the rule.
    pub rule: &'static str,
    /// Path of the field.
    pub path: String,
    /// Line of the value.
    pub line: usize,
    /// The old value.
    pub before: String,
    /// The new value.
    pub after: String,
}

/// The fixed text and the applied fixes. `None` if there are none.
pub fn fix(settings: &Settings, file: &str, text: &str) -> Option<(String, Vec<Fix>)> {
    let check = |text: &str| {
        let mut check = Check::new(settings);
        check.add(file, text);
        check.finish()
    };
    let mut fixes = Vec::new();
    let mut report = check(text);
    let mut current = text.to_owned();
    for _ in 0..ROUNDS {
        let index = Index::of(&current);
        let (edits, made): (Vec<_>, Vec<_>) = findings(&report)
            .filter_map(|finding| {
                let (before, after) = (finding.value.as_ref()?, finding.replacement.as_ref()?);
                let position = Position {
                    line: finding.line,
                    column: finding.column,
                };
                let edit = index.replace(position, before, after)?;
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
        let after = check(&next);
        if weight(&after) > weight(&report) || after.checked != report.checked {
            break;
        }
        fixes.extend(made);
        (current, report) = (next, after);
    }
    (current != text).then_some((current, fixes))
}

fn findings(report: &CheckReport) -> impl Iterator<Item = &LocatedFinding> {
    let all = report.documents.iter().flat_map(|document| &document.findings);
    all.filter(|finding| finding.path != FieldId::Name.path().to_string())
}

/// The severity of a report, by importance.
fn weight(report: &CheckReport) -> (usize, usize) {
    let denials = report.documents.iter().flat_map(|document| &document.findings);
    let denials = denials.filter(|finding| finding.level == Level::Deny).count();
    (report.unreadable, denials)
}

/// Replaces a file atomically. Keeps permissions and symbolic links.
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
        return Err(io::Error::other("not fixed, because another program changed the file"));
    }
    file.persist(&path)?;
    Ok(())
}

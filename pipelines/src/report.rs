//! The results of a subcommand, written as Tekton results.
//!
//! All results of a task share the 4096 bytes of its container's termination message, which Tekton writes as JSON with additional entries.
//! A longer message would lose all results including the reason, so sizes are checked here.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use cnbi_shared::contract::results;
use serde::Serialize;

/// Maximum size of all results in Tekton's JSON, in bytes. The rest of the 4096 bytes is for Tekton's own entries.
pub const LIMIT: usize = 3584;

/// Maximum length of a message, in characters.
const MAX_MESSAGE: usize = 400;

/// JSON of a result besides its name and value: `{"key":,"value":,"type":1},`.
const OVERHEAD: usize = 26;

/// The results of a successful subcommand, by the names in [`results`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report(BTreeMap<&'static str, String>);

impl Report {
    /// No results.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a result.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.insert(name, value.into());
        self
    }

    /// Adds as many of the first items as fit into `limit` bytes of Tekton's JSON, as a JSON list.
    #[must_use]
    pub fn with_list<T: Serialize>(self, name: &'static str, items: &[T], limit: usize) -> Self {
        let mut list = "[".to_owned();
        for item in items {
            let Ok(item) = serde_json::to_string(item) else {
                continue;
            };
            let comma = if list.len() > 1 { "," } else { "" };
            let longer = format!("{list}{comma}{item}");
            if size(name, &longer) + 1 > limit {
                break;
            }
            list = longer;
        }
        self.with(name, list + "]")
    }

    /// The value of a result.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The names of the results.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }

    /// Size in Tekton's JSON, in bytes.
    pub fn size(&self) -> usize {
        self.0.iter().map(|(name, value)| size(name, value)).sum()
    }
}

/// Size of one result in Tekton's JSON, in bytes.
fn size(name: &str, value: &str) -> usize {
    // Go escapes `<`, `>`, `&`, U+2028 and U+2029 with six bytes each; serde_json does not.
    let more = value
        .chars()
        .filter(|c| matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'))
        .count();
    let value = serde_json::to_string(value).map_or(usize::MAX / 2, |json| json.len());
    name.len() + 2 + value + 5 * more + OVERHEAD
}

/// Makes a message one line without control and direction characters, cut at [`MAX_MESSAGE`].
pub fn message(text: &str) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        let word: String = word
            .chars()
            .filter(|c| !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'))
            .collect();
        if word.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    if line.chars().count() > MAX_MESSAGE {
        line = line.chars().take(MAX_MESSAGE - 1).collect();
        line.push('…');
    }
    line
}

/// Writes one file per result. `known` lists all results of the subcommand; those without a value become empty, because Tekton skips a
/// task that refers to a missing result.
pub fn write(folder: &Path, known: &[&'static str], report: &Report) -> io::Result<()> {
    for name in known.iter().copied().chain([results::REASON, results::MESSAGE]) {
        let path = folder.join(name);
        // An earlier step can have left a link.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::File::create_new(&path)?;
        file.write_all(report.get(name).unwrap_or_default().as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_line_of_limited_length() {
        assert_eq!(message("a\n\tb\u{0}c\u{202e}d  e "), "a b cd e");
        assert_eq!(message(&"x".repeat(10_000)).chars().count(), MAX_MESSAGE);
        assert_eq!(message(""), "");
    }

    #[test]
    fn the_longest_message_leaves_space_for_results() {
        for c in ["<", "\"", "𝒳", "x"] {
            let report = Report::new().with(results::MESSAGE, message(&c.repeat(10_000)));
            assert!(report.size() < LIMIT - 500, "{c}: {}", report.size());
        }
    }

    #[test]
    fn lists_are_cut_between_items() {
        let items: Vec<_> = (0..1000).map(|n| format!("<package {n}>")).collect();
        let report = Report::new().with_list(results::SOFTWARE, &items, 1000);
        assert!(report.size() <= 1000 && report.size() > 900, "{}", report.size());
        let read: Vec<String> = serde_json::from_str(report.get(results::SOFTWARE).unwrap()).unwrap();
        assert_eq!(read[..], items[..read.len()]);
        let none = Report::new().with_list::<String>(results::SOFTWARE, &[], 100);
        assert_eq!(none.get(results::SOFTWARE), Some("[]"));
    }

    #[test]
    fn links_in_the_results_folder_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::NamedTempFile::new().unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join(results::REASON)).unwrap();
        write(
            folder.path(),
            &[results::DIGEST],
            &Report::new().with(results::REASON, "x"),
        )
        .unwrap();
        assert_eq!(fs::read_to_string(folder.path().join(results::REASON)).unwrap(), "x");
        assert_eq!(fs::read_to_string(folder.path().join(results::DIGEST)).unwrap(), "");
        assert_eq!(fs::read_to_string(outside.path()).unwrap(), "");
    }
}

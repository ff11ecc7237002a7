//! What a subcommand reports, and how it becomes Tekton's results.
//!
//! All results of a task share the 4096 bytes of its container's termination message, in which Tekton writes them as JSON
//! with notes of its own. Whoever reports more than fits would lose everything, the reason too, so it is counted here.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use cnbi_shared::contract::results;
use serde::Serialize;

/// Most bytes that all results may take as Tekton writes them. The rest of the 4096 is for its own notes.
pub const ROOM: usize = 3584;

/// Most characters of a message.
const MESSAGE: usize = 400;

/// What one result takes besides its name and value: `{"key":,"value":,"type":1},`.
const AROUND: usize = 26;

/// What a subcommand reports when it succeeds, by the names in [`results`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report(BTreeMap<&'static str, String>);

impl Report {
    /// Nothing but that it is done.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reports a value.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.insert(name, value.into());
        self
    }

    /// Reports the first of the items, as a JSON list of at most `room` bytes as Tekton writes them.
    #[must_use]
    pub fn with_list<T: Serialize>(self, name: &'static str, items: &[T], room: usize) -> Self {
        let mut list = "[".to_owned();
        for item in items {
            let Ok(item) = serde_json::to_string(item) else {
                continue;
            };
            let comma = if list.len() > 1 { "," } else { "" };
            let longer = format!("{list}{comma}{item}");
            if taken(name, &longer) + 1 > room {
                break;
            }
            list = longer;
        }
        self.with(name, list + "]")
    }

    /// The reported value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The names of what is reported.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }

    /// Bytes that these take as Tekton writes them.
    pub fn taken(&self) -> usize {
        self.0.iter().map(|(name, value)| taken(name, value)).sum()
    }
}

/// Bytes that a result takes as Tekton writes it.
fn taken(name: &str, value: &str) -> usize {
    // Go writes `<`, `>`, `&` and two separators as six bytes each, which serde_json leaves as they are.
    let more = value
        .chars()
        .filter(|c| matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'))
        .count();
    let value = serde_json::to_string(value).map_or(usize::MAX / 2, |json| json.len());
    name.len() + 2 + value + 5 * more + AROUND
}

/// A message as results hold it: one line, without control and direction characters, cut at a bound.
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
    if line.chars().count() > MESSAGE {
        line = line.chars().take(MESSAGE - 1).collect();
        line.push('…');
    }
    line
}

/// Writes results into a folder, one file each: `known` are all that the subcommand can report, and those that `report`
/// lacks become empty, because Tekton skips whoever reads a result that is not there.
pub fn write(folder: &Path, known: &[&'static str], report: &Report) -> io::Result<()> {
    for name in known.iter().copied().chain([results::REASON, results::MESSAGE]) {
        let path = folder.join(name);
        // Whatever lies there may be a link that an earlier step has left.
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
    fn messages_are_one_bounded_line() {
        assert_eq!(message("a\n\tb\u{0}c\u{202e}d  e "), "a b cd e");
        assert_eq!(message(&"x".repeat(10_000)).chars().count(), MESSAGE);
        assert_eq!(message(""), "");
    }

    #[test]
    fn the_longest_message_leaves_room() {
        for c in ["<", "\"", "𝒳", "x"] {
            let report = Report::new().with(results::MESSAGE, message(&c.repeat(10_000)));
            assert!(report.taken() < ROOM - 500, "{c}: {}", report.taken());
        }
    }

    #[test]
    fn lists_are_cut_between_items_and_parse() {
        let items: Vec<_> = (0..1000).map(|n| format!("<package {n}>")).collect();
        let report = Report::new().with_list(results::SOFTWARE, &items, 1000);
        assert!(report.taken() <= 1000 && report.taken() > 900, "{}", report.taken());
        let read: Vec<String> = serde_json::from_str(report.get(results::SOFTWARE).unwrap()).unwrap();
        assert_eq!(read[..], items[..read.len()]);
        let none = Report::new().with_list::<String>(results::SOFTWARE, &[], 100);
        assert_eq!(none.get(results::SOFTWARE), Some("[]"));
    }

    #[test]
    fn links_in_the_folder_are_replaced_and_not_followed() {
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

//! Links in manifests start with the one base URL of [`cnbi_shared::links`].

use std::fs;
use std::path::PathBuf;

use cnbi_shared::links;

use super::{file, is_update};

/// Keys whose value is a link to the documentation, each followed by its value.
const KEYS: [&str; 2] = ["runbook_url: ", "meteor.zone/guide: "];

fn manifests(folder: PathBuf, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            manifests(path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
}

/// The line with its link replaced: the same page of `docs/`, below the base URL.
fn with_base(line: &str) -> String {
    for key in KEYS {
        if let Some((before, link)) = line.split_once(key) {
            let (_, page) = link.rsplit_once("docs/").unwrap_or(("", link));
            return format!("{before}{key}{}", links::page(page));
        }
    }
    line.to_owned()
}

#[test]
fn links_in_manifests_use_the_base_url_and_lead_to_a_page() {
    let mut paths = Vec::new();
    manifests(file("deploy"), &mut paths);
    let mut count = 0;
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let expected: String = text.lines().map(|line| with_base(line) + "\n").collect();
        if is_update() && text != expected {
            fs::write(&path, &expected).unwrap();
        } else {
            assert_eq!(text, expected, "{}", path.display());
        }
        let base = format!("{}/", links::DOCS);
        for link in expected.lines().filter_map(|line| line.split_once(&base)) {
            let page = link.1.split(['#', '}', '"']).next().unwrap();
            assert!(file("docs").join(page).exists(), "{}: no page {page}", path.display());
            count += 1;
        }
    }
    assert!(count > 20, "only {count} links were found");
}

//! Links and paths in the documents lead somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cnbi_shared::config::Config;

const FOLDERS: [&str; 10] = [
    "certs/",
    "cli/",
    "controller/",
    "deploy/",
    "docs/",
    "pipelines/",
    "runtime/",
    "shared/",
    "tests/",
    "webhook/",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All Markdown pages for readers, relative to the root.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "deploy/README.md",
        "pipelines/README.md",
    ]
    .map(PathBuf::from)
    .to_vec();
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

fn read(page: &Path) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{}: {error}", page.display()))
}

/// The text without fenced code blocks.
fn prose(text: &str) -> String {
    let mut is_code = false;
    let is_prose = |line: &&str| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    };
    text.lines().filter(is_prose).collect::<Vec<_>>().join("\n")
}

/// Anchors of the headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let anchor = |heading: &str| -> String {
        let kept = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = kept
            .chars()
            .filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'));
        kept.map(|char| if char == ' ' { '-' } else { char }).collect()
    };
    prose(text)
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(anchor)
        .collect()
}

#[test]
fn every_relative_link_leads_to_a_page_and_a_heading() {
    let mut count = 0;
    let mut broken = Vec::new();
    for page in pages() {
        for link in prose(&read(&page)).split("](").skip(1) {
            let target = link.split(')').next().unwrap();
            if target.contains("://") {
                continue;
            }
            count += 1;
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let linked = if path.is_empty() {
                page.clone()
            } else {
                page.parent().unwrap().join(path)
            };
            let exists = root().join(&linked).exists();
            if !exists || !anchor.is_empty() && !anchors(&read(&linked)).contains(anchor) {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert_eq!(broken, [""; 0]);
    assert!(count > 100, "only {count} links were found");
}

/// The fenced YAML blocks of a page.
fn yaml_blocks(text: &str) -> Vec<&str> {
    let parts = text.split("```yaml\n").skip(1);
    parts.filter_map(|part| part.split("```").next()).collect()
}

#[test]
fn every_configuration_in_the_how_tos_is_valid() {
    let mut count = 0;
    for page in ["configure.md", "private-registries.md", "gitops.md"] {
        let text = read(&Path::new("docs/how-to").join(page));
        let is_config = |block: &&str| {
            !["apiVersion:", "image:", "repos:", "jobs:"]
                .iter()
                .any(|key| block.contains(key))
        };
        for block in yaml_blocks(&text).into_iter().filter(is_config) {
            if let Err(error) = Config::from_yaml(block) {
                panic!("{page}: {error}\n{block}");
            }
            count += 1;
        }
    }
    assert!(count > 4, "only {count} configurations were found");
}

#[test]
fn every_path_in_a_code_span_exists() {
    let mut missing = Vec::new();
    // A changelog names what no longer exists.
    for page in pages().into_iter().filter(|page| !page.ends_with("CHANGELOG.md")) {
        for span in prose(&read(&page)).split('`').skip(1).step_by(2) {
            let is_path = FOLDERS.iter().any(|folder| span.starts_with(folder));
            let is_pattern = span.contains(['<', '*', '{', ' ', '$', ':']);
            if is_path && !is_pattern && !root().join(span).exists() {
                missing.push(format!("{}: {span}", page.display()));
            }
        }
    }
    assert_eq!(missing, [""; 0]);
}

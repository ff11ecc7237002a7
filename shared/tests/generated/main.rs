//! Files that are generated from code are up to date. `UPDATE=1 cargo test -p cnbi-shared --test generated` rewrites them.

mod conditions;
mod configuration;
mod links;
mod resource;
mod rules;

use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

/// The first line of every generated page.
const NOTE: &str = "<!-- Generated; `UPDATE=1 cargo test -p cnbi-shared --test generated` rewrites it. -->\n";

/// A file of this repository.
fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn is_update() -> bool {
    std::env::var_os("UPDATE").is_some_and(|value| !value.is_empty())
}

/// Compares a file with its generated content, or rewrites it.
fn assert_generated(path: &str, content: &str) {
    if is_update() {
        fs::create_dir_all(file(path).parent().unwrap()).unwrap();
        fs::write(file(path), content).unwrap();
        return;
    }
    let stored = fs::read_to_string(file(path)).unwrap_or_default();
    let first_difference = stored
        .lines()
        .zip(content.lines())
        .position(|(stored, generated)| stored != generated)
        .unwrap_or_else(|| stored.lines().count().min(content.lines().count()));
    assert!(
        stored == content,
        "{path} is out of date from line {}; UPDATE=1 cargo test -p cnbi-shared --test generated rewrites it",
        first_difference + 1
    );
}

#[test]
fn the_crd_is_up_to_date() {
    assert_generated("deploy/crd/customnbimages.yaml", &cnbi_shared::api::crd::yaml());
}

#[test]
fn the_crd_is_parsed_as_it_was_generated() {
    let parsed: CustomResourceDefinition = serde_saphyr::from_str(&cnbi_shared::api::crd::yaml()).unwrap();
    assert_eq!(parsed, cnbi_shared::api::crd::crd());
}

#[test]
fn the_references_are_up_to_date() {
    assert_generated("docs/reference/configuration.md", &configuration::page());
    assert_generated("docs/reference/resource.md", &resource::page());
    assert_generated("docs/reference/conditions.md", &conditions::reference());
    assert_generated("docs/how-to/troubleshooting.md", &conditions::troubleshooting());
}

#[test]
fn each_rule_has_an_up_to_date_page() {
    let folder = "docs/reference/rules";
    assert_generated(&format!("{folder}/README.md"), &rules::index());
    for rule in cnbi_shared::rules::RULES {
        assert_generated(&format!("{folder}/{}.md", rule.id), &rules::page(rule));
    }
    // The index is one more.
    let pages = fs::read_dir(file(folder)).unwrap().count();
    assert_eq!(
        pages,
        cnbi_shared::rules::RULES.len() + 1,
        "{folder} has pages of rules that do not exist"
    );
}

//! The files in this repository that are made from code say what the code says. `UPDATE=1 cargo test` writes them anew.

use std::fs;
use std::path::Path;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

fn is_up_to_date(path: &str, content: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    if std::env::var_os("UPDATE").is_some_and(|value| !value.is_empty()) {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, content).unwrap();
        return;
    }
    let stored = fs::read_to_string(&file).unwrap_or_default();
    let first_difference = stored
        .lines()
        .zip(content.lines())
        .position(|(stored, made)| stored != made)
        .unwrap_or_else(|| stored.lines().count().min(content.lines().count()));
    assert!(
        stored == content,
        "{path} is not what the code says, from line {}; UPDATE=1 cargo test -p cnbi-shared writes it anew",
        first_difference + 1
    );
}

#[test]
fn the_definition_is_up_to_date() {
    is_up_to_date("deploy/crd/customnbimages.yaml", &cnbi_shared::api::crd::yaml());
}

#[test]
fn the_definition_reads_back_as_it_was_made() {
    let read: CustomResourceDefinition = serde_saphyr::from_str(&cnbi_shared::api::crd::yaml()).unwrap();
    assert_eq!(read, cnbi_shared::api::crd::crd());
}

#[test]
fn the_reference_of_the_configuration_is_up_to_date() {
    is_up_to_date("docs/configuration.md", &cnbi_shared::config::reference());
}

#[test]
fn the_reference_of_the_rules_is_up_to_date() {
    is_up_to_date("docs/rules.md", &cnbi_shared::rules::reference());
}

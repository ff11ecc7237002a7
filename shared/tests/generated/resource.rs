//! `docs/reference/resource.md`: the fields of a `CustomNBImage`, from the CRD.

use std::fmt::Write as _;

use cnbi_shared::api::annotations::{CREATOR, DESCRIPTION, DISPLAY_NAME};
use cnbi_shared::api::crd::crd;
use serde_json::Value;

use super::NOTE;

const INTRODUCTION: &str = "\
# The CustomNBImage resource

`apiVersion: meteor.zone/v1alpha1`, `kind: CustomNBImage`, namespaced, short name `cnbi`. The rules for its values are in
[rules](rules/README.md), its conditions in [conditions](conditions.md).
";

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Type, limits and choices of a field, as the schema has them.
fn kind(schema: &Value) -> String {
    let name = match (text(&schema["type"]), text(&schema["items"]["type"])) {
        ("array", items) => format!("list of {items}s"),
        (name, _) => name.to_owned(),
    };
    let choices: Vec<String> = schema["enum"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|choice| format!("`{}`", text(choice)))
        .collect();
    let limits = [("maxLength", "characters"), ("maxItems", "items")]
        .into_iter()
        .filter_map(|(key, unit)| Some(format!("at most {} {unit}", schema[key].as_u64()?)));
    let mut parts = vec![name];
    parts.extend(limits);
    if !choices.is_empty() {
        parts.push(format!("one of {}", choices.join(", ")));
    }
    parts.join("; ")
}

/// Adds a row for each field, recursively.
fn rows(page: &mut String, schema: &Value, prefix: &str) {
    for (key, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{prefix}.{key}");
        let description = text(&field["description"]).replace('|', "\\|").replace('\n', " ");
        let _ = writeln!(page, "| `{path}` | {} | {description} |", kind(field));
        rows(page, field, &path);
        // The fields of a Kubernetes condition are documented by Kubernetes.
        if key != "conditions" {
            rows(page, &field["items"], &format!("{path}[]"));
        }
    }
}

pub fn page() -> String {
    let definition = serde_json::to_value(crd()).unwrap();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut page = format!("{NOTE}{INTRODUCTION}");
    for part in ["spec", "status"] {
        let _ = write!(page, "\n## {part}\n\n| field | type | description |\n|---|---|---|\n");
        rows(&mut page, &schema["properties"][part], part);
    }
    let _ = write!(
        page,
        "\n## Annotations\n\n| annotation | description |\n|---|---|\n\
         | `{DISPLAY_NAME}` | Name of the image in the notebook spawner. Admission fills in `metadata.name`. |\n\
         | `{DESCRIPTION}` | Description of the image in the notebook spawner. |\n\
         | `{CREATOR}` | Who requested the image. Admission fills in the user who creates the resource. |\n\
         | `meteor.zone/retry` | Set it to a new value to retry a failed build. |\n"
    );
    page
}

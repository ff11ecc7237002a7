//! `docs/reference/configuration.md`: every key of the configuration, from the type's schema.

use std::fmt::Write as _;

use cnbi_shared::config::{Config, KEY, SHIPPED};
use schemars::schema_for;
use serde_json::Value;

use super::NOTE;

const INTRODUCTION: &str = "\
# Configuration

The policy of the cluster is YAML under the key `config.yaml` of the ConfigMap `cnbi-config`, in the namespace of CNBi.
cnbi-webhook and cnbi-controller watch it. A change applies to the next request, without a restart. `kubectl cnbi check --config`
reads the same text from a file.

Omitted keys have their default. The webhook rejects a ConfigMap with an unknown key or an invalid value, for example an image
prefix with a scheme, and names each one. If an invalid ConfigMap is stored anyway, the last valid configuration
stays active, and every response to a user says so.

| key | type | default | description |
|---|---|---|---|
";

/// The reference of all keys.
pub fn page() -> String {
    let schema = schema_for!(Config).to_value();
    let defaults = serde_json::to_value(Config::default()).unwrap();
    let mut page = format!("{NOTE}{INTRODUCTION}");
    rows(&mut page, &schema, &schema, "", Some(&defaults));
    let _ = write!(
        page,
        "\nEach entry of a list needs all its keys.\n\n## Shipped configuration\n\nThe value of `{KEY}` in the manifests:\n\n\
         ```yaml\n{SHIPPED}```\n"
    );
    page
}

/// Adds a row for each key of an object, recursively. `defaults` are the object's; items of a list have none.
fn rows(page: &mut String, root: &Value, object: &Value, prefix: &str, defaults: Option<&Value>) {
    let Some(keys) = object["properties"].as_object() else {
        return;
    };
    for (key, schema) in keys {
        let description = text(&schema["description"]).replace('|', "\\|").replace('\n', " ");
        let resolved = resolve(root, schema);
        let default = defaults.map(|all| &all[key]);
        let path = format!("{prefix}{key}");
        let items = resolve(root, &resolved["items"]);
        if resolved["properties"].is_object() {
            rows(page, root, resolved, &format!("{path}."), default);
        } else {
            let default = match default {
                None => "*required*".to_owned(),
                Some(Value::Null) => "*none*".to_owned(),
                Some(value) => format!("`{value}`"),
            };
            let _ = writeln!(
                page,
                "| `{path}` | {} | {default} | {description} |",
                kind(resolved, items)
            );
            rows(page, root, items, &format!("{path}[]."), None);
        }
    }
}

/// Resolves a `$ref`.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let name = text(&schema["$ref"]).strip_prefix("#");
    name.and_then(|pointer| root.pointer(pointer)).unwrap_or(schema)
}

fn kind(schema: &Value, items: &Value) -> &'static str {
    match (text(&schema["type"]), text(&items["type"])) {
        ("string", _) => "string",
        ("array", "string") => "list of strings",
        ("array", _) => "list of objects",
        ("object", _) => "object",
        ("integer", _) => "number",
        ("boolean", _) => "boolean",
        _ => "",
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

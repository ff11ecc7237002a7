//! The page of documentation that lists the keys of the configuration: made from its type, so it cannot say anything else.

use std::fmt::Write as _;

use schemars::schema_for;
use serde_json::Value;

use super::{Config, KEY, SHIPPED};

const INTRODUCTION: &str = "\
<!-- Generated from shared/src/config.rs; `UPDATE=1 cargo test -p cnbi-shared` writes it anew. -->
# Configuration

The cluster's policy stands as YAML under the key `config.yaml` of the ConfigMap `cnbi-config`, in the namespace that CNBi
runs in. Webhook and controller follow it: a change counts from the next request on, without a restart, and
`kubectl cnbi check --config` reads the same text from a file.

A key that is left out has its default, and a key that is not listed here is refused. So is a value that could not mean
anything, such as an image prefix with a scheme: the webhook refuses the ConfigMap and names every such value. Should one
get in all the same, the last good configuration stays in force, and each answer to a user says so.

| key | type | default | |
|---|---|---|---|
";

/// The reference of all keys, as Markdown.
pub fn reference() -> String {
    let schema = schema_for!(Config).to_value();
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let mut page = INTRODUCTION.to_owned();
    rows(&mut page, &schema, &schema, "", Some(&defaults));
    let _ = write!(
        page,
        "\nAn entry of a list needs all of its keys.\n\n## As installed\n\nThe value of `{KEY}` that the manifests bring:\n\n\
         ```yaml\n{SHIPPED}```\n"
    );
    page
}

/// A row for each key of an object, and for those below it. `defaults` is the object's; the items of a list have none.
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

/// What a `$ref` stands for.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let name = text(&schema["$ref"]).strip_prefix("#");
    name.and_then(|pointer| root.pointer(pointer)).unwrap_or(schema)
}

fn kind(schema: &Value, items: &Value) -> &'static str {
    match (text(&schema["type"]), text(&items["type"])) {
        ("string", _) => "text",
        ("array", "string") => "list of texts",
        ("array", _) => "list of objects",
        ("object", _) => "object",
        ("integer", _) => "number",
        ("boolean", _) => "`true` or `false`",
        _ => "",
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

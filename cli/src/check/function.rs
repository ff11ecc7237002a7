//! A KRM function: a `ResourceList` in, the same with defaults and results out.
//!
//! Follows the KRM Functions Specification (config.kubernetes.io/v1) that kustomize and kpt run. Items that are not ours pass
//! through byte by byte; Secrets, Namespaces and ImageStreams among them count as there.

use std::collections::BTreeMap;

use cnbi_shared::config::KEY;
use cnbi_shared::verdict::Level;
use serde_json::{Value, json};

use super::fill::fill;
use super::fix::fix;
use super::judge::Judge;
use super::node::Node;
use super::{DocumentReport, Settings, kind, policy, yaml};

/// Most values of a list.
const BUDGET: usize = 10_000_000;

/// What came of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transformed {
    /// The list, with results.
    pub text: String,
    /// Whether anything is refused.
    pub is_refused: bool,
    /// For people: a line for each finding and each change, and one that counts what was not decided.
    pub told: Vec<String>,
}

/// What the function's configuration asks for.
struct Asked {
    defaults: bool,
    fix: bool,
    creator: Option<String>,
    settings: Settings,
}

/// Judges the items of a list, and fills in defaults and corrections where its configuration asks for that.
///
/// # Errors
/// In words: it is no list, or its configuration makes no sense.
pub fn transform(text: &str) -> Result<Transformed, String> {
    let root = read(text)?;
    let config = root.get("functionConfig").and_then(|config| config.expand(BUDGET).ok());
    let asked = asked(&config.map(|(config, _)| config).unwrap_or_default())?;
    let mut settings = asked.settings;
    settings.known.add(text, &settings.namespace);
    let mut text = text.to_owned();
    let mut told = Vec::new();
    if asked.fix
        && let Some((fixed, fixes)) = fix(&settings, "items", &text)
    {
        told.extend(
            fixes
                .iter()
                .map(|fix| format!("{} {}: {} is {} now", fix.rule, fix.path, fix.before, fix.after)),
        );
        text = fixed;
    }
    if asked.defaults {
        let filled = fill(&settings, "items", &text, asked.creator.as_deref());
        told.extend(filled.notes);
        text = filled.text;
    }
    let root = read(&text)?;
    let judge = Judge::new(&settings, "items");
    let mut results = Vec::new();
    let mut is_refused = false;
    let mut open = 0;
    let items = root.get("items").and_then(Node::items).unwrap_or_default();
    for item in items {
        let mut budget = text.len();
        for (object, is_ours) in kind::objects(item, &mut budget) {
            if is_ours {
                let report = judge.document(object, text.len(), None);
                is_refused |= !report.allowed;
                open += usize::from(!report.undecided.is_empty());
                results.extend(results_of(object, &report, settings.strict));
            }
        }
    }
    told.extend(results.iter().filter(|result| result["severity"] != "info").map(line));
    if open > 0 && !settings.strict {
        told.push(format!(
            "some rules are left to a cluster to decide, for {open} of the CustomNBImages; the results name them"
        ));
    }
    Ok(Transformed {
        text: with_results(&root, &text, results)?,
        is_refused,
        told,
    })
}

fn read(text: &str) -> Result<Node, String> {
    let (mut documents, broken) = yaml::read(text, 1);
    if let Some(broken) = broken {
        return Err(format!("line {}: {}", broken.place.line, broken.message));
    }
    match (documents.pop(), documents.is_empty()) {
        (Some(root), true) if root.text("kind") == Some("ResourceList") => Ok(root),
        _ => Err("standard input is no ResourceList (config.kubernetes.io/v1)".to_owned()),
    }
}

fn asked(config: &Value) -> Result<Asked, String> {
    // Both are customary: a ConfigMap's data, and the spec of a kind of one's own.
    let of = |key: &str| {
        [&config["data"][key], &config["spec"][key]]
            .into_iter()
            .find(|value| !value.is_null())
    };
    let text = |key: &str| of(key).and_then(Value::as_str).map(str::to_owned);
    let flag = |key: &str| match of(key) {
        None | Some(Value::Bool(false)) => Ok(false),
        Some(Value::Bool(true)) => Ok(true),
        Some(Value::String(text)) if text == "true" => Ok(true),
        Some(Value::String(text)) if text == "false" => Ok(false),
        Some(_) => Err(format!("functionConfig: {key} is true or false")),
    };
    let policy = text(KEY).map(|text| policy::read(&text)).transpose();
    let policy = policy.map_err(|error| format!("functionConfig: {KEY}: {error}"))?;
    Ok(Asked {
        defaults: flag("default")?,
        fix: flag("fix")?,
        creator: text("creator"),
        settings: Settings {
            config: policy,
            namespace: text("namespace").unwrap_or_else(|| "default".to_owned()),
            strict: flag("strict")?,
            ..Settings::default()
        },
    })
}

fn results_of(object: &Node, report: &DocumentReport, is_strict: bool) -> Vec<Value> {
    let annotation = |key: &str| object.get("metadata")?.get("annotations")?.text(key);
    let mut common = json!({
        "resourceRef": {
            "apiVersion": object.text("apiVersion"), "kind": object.text("kind"),
            "namespace": report.namespace, "name": report.name,
        },
    });
    if let Some(path) =
        annotation("config.kubernetes.io/path").or_else(|| annotation("internal.config.kubernetes.io/path"))
    {
        let index =
            annotation("config.kubernetes.io/index").or_else(|| annotation("internal.config.kubernetes.io/index"));
        let index: usize = index.and_then(|index| index.parse().ok()).unwrap_or(0);
        common["file"] = json!({"path": path, "index": index});
    }
    let findings = report.findings.iter().map(|finding| {
        let severity = if finding.level == Level::Deny {
            "error"
        } else {
            "warning"
        };
        let hint = finding
            .hint
            .as_deref()
            .map(|hint| format!("; {hint}"))
            .unwrap_or_default();
        let mut result = common.clone();
        result["message"] = format!("{}{hint}", finding.message).into();
        result["severity"] = severity.into();
        result["field"] = json!({"path": finding.path});
        if let Some(value) = &finding.value {
            result["field"]["currentValue"] = value.as_str().into();
        }
        if let Some(replacement) = &finding.replacement {
            result["field"]["proposedValue"] = replacement.as_str().into();
        }
        result["tags"] = json!({"rule": finding.rule});
        result
    });
    let mut results: Vec<Value> = findings.collect();
    if is_strict {
        results.extend(report.undecided.iter().map(|undecided| {
            let mut result = common.clone();
            result["message"] = format!("undecided: it needs {}", undecided.needs).into();
            result["severity"] = "error".into();
            result["tags"] = json!({"rule": undecided.rule});
            result
        }));
    } else if let Some(message) = left_to_the_cluster(report) {
        let mut result = common;
        result["message"] = message.into();
        result["severity"] = "info".into();
        results.push(result);
    }
    results
}

/// What was not decided, in one sentence.
fn left_to_the_cluster(report: &DocumentReport) -> Option<String> {
    let mut by_need: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for undecided in &report.undecided {
        by_need.entry(&undecided.needs).or_default().push(undecided.rule);
    }
    let parts: Vec<String> = by_need
        .iter()
        .map(|(need, rules)| format!("{} without {need}", rules.join(", ")))
        .collect();
    (!parts.is_empty()).then(|| format!("left to the cluster to decide: {}", parts.join("; ")))
}

/// A result for people.
fn line(result: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = &result["resourceRef"];
    let file = text(&result["file"]["path"]);
    let file = if file.is_empty() { file } else { format!("{file}: ") };
    let field = text(&result["field"]["path"]);
    let field = if field.is_empty() { field } else { format!(" {field}") };
    format!(
        "{file}{}/{}: {} {}{field}: {}",
        text(&of["namespace"]),
        text(&of["name"]),
        text(&result["severity"]),
        text(&result["tags"]["rule"]),
        text(&result["message"])
    )
}

/// The list with results behind its items, everything before them as it is.
fn with_results(root: &Node, text: &str, results: Vec<Value>) -> Result<String, String> {
    if results.is_empty() && root.get("results").is_none() {
        return Ok(text.to_owned());
    }
    let is_block = !text.trim_start().starts_with('{') && root.place.column == 1;
    if is_block && root.get("results").is_none() {
        // JSON is YAML on one line.
        let results: Vec<String> = results.iter().map(|result| format!("- {result}\n")).collect();
        return Ok(format!("{}\nresults:\n{}", text.trim_end(), results.concat()));
    }
    let (mut value, _) = root.expand(BUDGET).map_err(|_| "the list is too large".to_owned())?;
    value["results"] = results.into();
    Ok(value.to_string() + "\n")
}

//! A KRM function: reads a `ResourceList` and returns it with defaults, fixes and results.
//!
//! Implements the KRM Functions Specification (config.kubernetes.io/v1) of kustomize and kpt. Items of other kinds are not
//! changed; Secrets, Namespaces and ImageStreams among them are known facts.

use cnbi_shared::config::KEY;
use cnbi_shared::verdict::Level;
use serde_json::{Value, json};

use super::defaults::apply_defaults;
use super::evaluate::Evaluator;
use super::fix::fix;
use super::node::Node;
use super::{DocumentReport, Settings, by_need, config, kind, with_hint, yaml};

/// Maximum number of values of a list.
const BUDGET: usize = 10_000_000;

/// The output of the function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transformed {
    /// The list with results.
    pub text: String,
    /// Whether a resource is rejected.
    pub is_rejected: bool,
    /// Messages for stderr: findings, changes, and the number of resources with rules that were not checked.
    pub messages: Vec<String>,
}

/// The configuration in `functionConfig`.
struct FunctionConfig {
    defaults: bool,
    fix: bool,
    creator: Option<String>,
    settings: Settings,
}

/// Checks the items of a list. Adds defaults and applies fixes if `functionConfig` says so.
///
/// # Errors
/// The input is not a ResourceList, or `functionConfig` is invalid.
pub fn transform(text: &str) -> Result<Transformed, String> {
    let root = read(text)?;
    let config = root.get("functionConfig").and_then(|config| config.expand(BUDGET).ok());
    let function_config = read_config(&config.map(|(config, _)| config).unwrap_or_default())?;
    let mut settings = function_config.settings;
    settings.known.add(text, &settings.namespace);
    let mut text = text.to_owned();
    let mut messages = Vec::new();
    if function_config.fix
        && let Some((fixed, fixes)) = fix(&settings, "items", &text)
    {
        messages.extend(
            fixes
                .iter()
                .map(|fix| format!("{} {}: changed {} to {}", fix.rule, fix.path, fix.before, fix.after)),
        );
        text = fixed;
    }
    if function_config.defaults {
        let defaulted = apply_defaults(&settings, "items", &text, function_config.creator.as_deref());
        messages.extend(defaulted.notes);
        text = defaulted.text;
    }
    let root = read(&text)?;
    let evaluator = Evaluator::new(&settings, "items");
    let mut results = Vec::new();
    let mut is_rejected = false;
    let mut incomplete = 0;
    let items = root.get("items").and_then(Node::items).unwrap_or_default();
    for item in items {
        let mut budget = text.len();
        for (object, is_ours) in kind::objects(item, &mut budget) {
            if is_ours {
                let report = evaluator.document(object, text.len(), None);
                is_rejected |= !report.allowed;
                incomplete += usize::from(!report.not_checked.is_empty());
                results.extend(results_of(object, &report, settings.strict));
            }
        }
    }
    messages.extend(results.iter().filter(|result| result["severity"] != "info").map(line));
    if incomplete > 0 && !settings.strict {
        messages.push(format!(
            "not all rules were checked for {incomplete} CustomNBImages; see the results"
        ));
    }
    Ok(Transformed {
        text: with_results(&root, &text, results)?,
        is_rejected,
        messages,
    })
}

fn read(text: &str) -> Result<Node, String> {
    let (mut documents, syntax_error) = yaml::read(text, 1);
    if let Some(syntax_error) = syntax_error {
        return Err(format!("line {}: {}", syntax_error.position.line, syntax_error.message));
    }
    match (documents.pop(), documents.is_empty()) {
        (Some(root), true) if root.text("kind") == Some("ResourceList") => Ok(root),
        _ => Err("standard input is not a ResourceList (config.kubernetes.io/v1)".to_owned()),
    }
}

fn read_config(function_config: &Value) -> Result<FunctionConfig, String> {
    // `data` if functionConfig is a ConfigMap, `spec` for other kinds.
    let of = |key: &str| {
        [&function_config["data"][key], &function_config["spec"][key]]
            .into_iter()
            .find(|value| !value.is_null())
    };
    let text = |key: &str| of(key).and_then(Value::as_str).map(str::to_owned);
    let flag = |key: &str| match of(key) {
        None | Some(Value::Bool(false)) => Ok(false),
        Some(Value::Bool(true)) => Ok(true),
        Some(Value::String(text)) if text == "true" => Ok(true),
        Some(Value::String(text)) if text == "false" => Ok(false),
        Some(_) => Err(format!("functionConfig: {key} must be true or false")),
    };
    let config = text(KEY).map(|text| config::read(&text)).transpose();
    let config = config.map_err(|error| format!("functionConfig: {KEY}: {error}"))?;
    Ok(FunctionConfig {
        defaults: flag("default")?,
        fix: flag("fix")?,
        creator: text("creator"),
        settings: Settings {
            config,
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
        let mut result = common.clone();
        result["message"] = with_hint(&finding.message, finding.hint.as_deref()).into();
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
        results.extend(report.not_checked.iter().map(|rule| {
            let mut result = common.clone();
            result["message"] = rule.message().into();
            result["severity"] = "error".into();
            result["tags"] = json!({"rule": rule.rule});
            result
        }));
    } else if let Some(message) = not_checked(report) {
        let mut result = common;
        result["message"] = message.into();
        result["severity"] = "info".into();
        results.push(result);
    }
    results
}

/// The rules that were not checked, in one sentence.
fn not_checked(report: &DocumentReport) -> Option<String> {
    let parts: Vec<String> = by_need(&report.not_checked)
        .into_iter()
        .map(|(need, rules)| format!("{rules} (needs {need})"))
        .collect();
    (!parts.is_empty()).then(|| format!("not checked: {}", parts.join("; ")))
}

/// A result as one line of text.
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

/// Appends the results to the list; the text before them is not changed.
fn with_results(root: &Node, text: &str, results: Vec<Value>) -> Result<String, String> {
    if results.is_empty() && root.get("results").is_none() {
        return Ok(text.to_owned());
    }
    let is_block = !text.trim_start().starts_with('{') && root.position.column == 1;
    if is_block && root.get("results").is_none() {
        // JSON is valid YAML.
        let results: Vec<String> = results.iter().map(|result| format!("- {result}\n")).collect();
        return Ok(format!("{}\nresults:\n{}", text.trim_end(), results.concat()));
    }
    let (mut value, _) = root.expand(BUDGET).map_err(|_| "the list is too large".to_owned())?;
    value["results"] = results.into();
    Ok(value.to_string() + "\n")
}

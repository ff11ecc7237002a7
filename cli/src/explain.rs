//! `kubectl cnbi explain`: documentation of rules, fields, conditions and reasons. Needs no cluster.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use clap::Args;
use cnbi_shared::api::crd::crd;
use cnbi_shared::contract::{self, ConditionType, Reason, ReportedIn};
use cnbi_shared::links;
use cnbi_shared::nearest::nearest_of;
use cnbi_shared::path::FieldId;
use cnbi_shared::rules::examples::Example;
use cnbi_shared::rules::{RULES, Rule};
use serde_json::Value;

use super::connection::CliError;
use super::terminal::{self, styled, styles};
use super::{FAILURE, SUCCESS, fail};

const EXAMPLES: &str = "\
Examples:
  kubectl cnbi explain                      # list everything
  kubectl cnbi explain CNB103               # a rule by id
  kubectl cnbi explain image-tagged         # a rule by name
  kubectl cnbi explain spec.fromImage       # a field and its rules
  kubectl cnbi explain ImageValidated       # a condition and its reasons
  kubectl cnbi explain RegistryUnauthorized # a reason and its remedy";

/// Minimum similarity of a suggested name, 0 to 1. High enough not to suggest rule ids with two other digits.
const SIMILARITY: f64 = 0.7;

/// Explain a rule, a field, a condition or a reason
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ExplainArgs {
    /// What to explain [default: list everything]
    #[arg(value_name = "RULE|FIELD|CONDITION|REASON")]
    pub what: Option<String>,
}

/// Runs the subcommand. Returns the exit status.
pub fn run(args: &ExplainArgs) -> u8 {
    let text = match &args.what {
        None => Some(list()),
        Some(what) => explain(what),
    };
    match text {
        Some(text) if terminal::print(&text) => SUCCESS,
        Some(_) => FAILURE,
        None => {
            let what = args.what.as_deref().unwrap_or_default();
            let suggestion = closest_name(what)
                .map(|name| format!("did you mean {name}? "))
                .unwrap_or_default();
            fail(&CliError(format!(
                "unknown name {what}; {suggestion}for a list run: kubectl cnbi explain"
            )))
        }
    }
}

/// The documentation of a rule, field, condition or reason. `None` if the name is unknown.
pub fn explain(what: &str) -> Option<String> {
    let matches = |name: &str| name.eq_ignore_ascii_case(what);
    if let Some(rule) = RULES.iter().find(|rule| matches(rule.id) || matches(rule.slug)) {
        return Some(explain_rule(rule));
    }
    if let Some(condition) = ConditionType::ALL
        .into_iter()
        .find(|condition| matches(condition.as_str()))
    {
        return Some(explain_condition(condition));
    }
    if let Some(reason) = contract::REASONS.iter().find(|reason| matches(reason.as_str())) {
        return Some(explain_reason(*reason));
    }
    fields()
        .into_iter()
        .find(|at| {
            let path = at.path().to_string();
            matches(&path) || at.keys().last().is_some_and(|key| matches(key))
        })
        .map(explain_field)
}

/// The most similar name.
fn closest_name(what: &str) -> Option<String> {
    let rules = RULES.iter().flat_map(|rule| [rule.id, rule.slug]).map(str::to_owned);
    let conditions = ConditionType::ALL
        .into_iter()
        .map(|condition| condition.as_str().to_owned());
    let reasons = contract::REASONS.iter().map(|reason| reason.as_str().to_owned());
    let paths = fields().into_iter().flat_map(|at| {
        let key = at.keys().last().map(|key| (*key).to_owned());
        key.into_iter().chain([at.path().to_string()])
    });
    nearest_of(what, SIMILARITY, rules.chain(conditions).chain(reasons).chain(paths))
}

fn fields() -> Vec<FieldId> {
    let is_field = |at: &FieldId| !matches!(at, FieldId::Object | FieldId::Metadata | FieldId::Annotations);
    FieldId::ALL.into_iter().filter(is_field).collect()
}

fn title(text: &str) -> String {
    styled(styles::TITLE, text)
}

fn enforcement(rule: &Rule) -> String {
    let level = rule.level;
    if rule.is_fixed {
        format!("{level}; cannot be changed by the configuration")
    } else {
        format!("{level} by default; the configuration can change it")
    }
}

fn explain_rule(rule: &Rule) -> String {
    let head = title(&format!("{} {}", rule.id, rule.slug));
    let (doc, page) = (rule.doc.trim(), links::rule(rule.id));
    format!("{head}: {}\n{}\n\n{doc}\n\n{page}\n", rule.title, enforcement(rule))
}

fn explain_condition(condition: ConditionType) -> String {
    let mut text = format!("{}: True means: {}.\n", title(condition.as_str()), condition.meaning());
    let reported_in = |reason: &&Reason| match reason.reported_in() {
        ReportedIn::Condition(of) => of == condition,
        ReportedIn::TaskCondition => contract::PIPELINES
            .iter()
            .flat_map(|pipeline| pipeline.all_tasks())
            .any(|task| task.condition == condition),
    };
    let reasons: Vec<&Reason> = contract::REASONS.iter().filter(reported_in).collect();
    if !reasons.is_empty() {
        text.push_str("\nReasons for False, and what to do:\n");
        for reason in reasons {
            let _ = writeln!(text, "  {reason}: {}", reason.remedy());
        }
    }
    text
}

fn explain_reason(reason: Reason) -> String {
    let retry = if reason.is_temporary() {
        "temporary: the controller retries"
    } else {
        "permanent: no retry until the spec or the cluster changes, or the annotation meteor.zone/retry changes"
    };
    let condition = match reason.reported_in() {
        ReportedIn::Condition(condition) => condition.as_str(),
        ReportedIn::TaskCondition => "the condition of the task that failed",
    };
    let name = title(reason.as_str());
    format!(
        "{name}: {retry}.\nCondition: {condition}\nWhat to do: {}.\n",
        reason.remedy()
    )
}

fn explain_field(at: FieldId) -> String {
    let path = at.path().to_string();
    let mut text = format!("{}: {}\n", title(&path), describe_field(at));
    let rules = rules_for(&path);
    if !rules.is_empty() {
        text.push_str("\nRules:\n");
        for rule in rules {
            let _ = writeln!(text, "  {} {}: {}", rule.id, rule.slug, rule.title);
        }
    }
    text
}

/// The description of a field, from the CRD.
fn describe_field(at: FieldId) -> String {
    let description = match at {
        FieldId::Name => "Name of the resource and of its ImageStream.",
        FieldId::Namespace => "Namespace of the resource and of its pull secret.",
        FieldId::DisplayName => "Name of the image in the spawner. Default: metadata.name.",
        FieldId::Description => "Description of the image for users.",
        FieldId::Creator => "User who requested the image. Default: the user who creates the resource.",
        _ => "",
    };
    if !description.is_empty() {
        return description.to_owned();
    }
    let schema = serde_json::to_value(crd()).unwrap_or_default();
    let root = &schema["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let node = at.keys().iter().fold(root, |node, key| &node["properties"][key]);
    let description = node["description"].as_str().unwrap_or_default();
    let kind = node["type"].as_str().unwrap_or_default();
    let one_of: Vec<&str> = node["enum"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let choices = if one_of.is_empty() {
        String::new()
    } else {
        format!(" One of {}.", one_of.join(", "))
    };
    format!("<{kind}> {}{choices}", description.replace('\n', " "))
}

/// The rules with an example that has a finding at this path.
fn rules_for(path: &str) -> Vec<&'static Rule> {
    let examples = Example::all().unwrap_or_default();
    let explain_field = |found: &str| {
        found
            .strip_prefix(path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
    };
    let ids: BTreeSet<String> = examples
        .iter()
        .flat_map(|example| &example.expected)
        .filter(|expected| explain_field(&expected.path))
        .map(|expected| expected.rule.clone())
        .collect();
    RULES.iter().copied().filter(|rule| ids.contains(rule.id)).collect()
}

fn list() -> String {
    let mut text = format!("{}\n", title("Rules"));
    for rule in RULES {
        let fixed = if rule.is_fixed { ", fixed" } else { "" };
        let _ = writeln!(
            text,
            "  {} {} ({}{fixed}): {}",
            rule.id, rule.slug, rule.level, rule.title
        );
    }
    let _ = writeln!(text, "\n{}", title("Fields"));
    for at in fields() {
        let _ = writeln!(text, "  {}", at.path());
    }
    let _ = writeln!(text, "\n{}", title("Conditions"));
    for condition in ConditionType::ALL {
        let _ = writeln!(text, "  {condition}: {}", condition.meaning());
    }
    let _ = writeln!(text, "\n{}", title("Reasons"));
    for reason in contract::REASONS {
        let _ = writeln!(text, "  {reason}: {}", reason.remedy());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_rules_conditions_reasons_and_fields_are_explained() {
        for rule in RULES {
            assert!(explain(rule.id).unwrap().contains(rule.title));
            assert!(explain(rule.slug).is_some());
        }
        for condition in ConditionType::ALL {
            assert!(explain(condition.as_str()).unwrap().contains("True means"));
        }
        for reason in contract::REASONS {
            assert!(explain(reason.as_str()).unwrap().contains(reason.remedy()));
        }
        for at in fields() {
            let text = explain(&at.path().to_string()).unwrap();
            assert!(
                text.lines().next().unwrap().len() > at.path().to_string().len() + 30,
                "{text}"
            );
        }
        assert!(explain("spec.fromImage").unwrap().contains("CNB103"));
        assert!(explain("fromimage").is_some());
        assert_eq!(explain("nonsense"), None);
    }
}

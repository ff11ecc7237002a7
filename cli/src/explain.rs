//! `kubectl cnbi explain`: what a rule asks, what a field is, what a condition or a reason means, without a cluster.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use clap::Args;
use cnbi_shared::api::crd::crd;
use cnbi_shared::contract::{self, ConditionType, Reason, Speaks};
use cnbi_shared::nearest::nearest_of;
use cnbi_shared::path::FieldId;
use cnbi_shared::rules::examples::Example;
use cnbi_shared::rules::{RULES, Rule};
use serde_json::Value;

use super::connection::Problem;
use super::terminal::{self, styled, styles};
use super::{DONE, UNUSABLE, give_up};

const EXAMPLES: &str = "\
Examples:
  kubectl cnbi explain                      # all of it, a line each
  kubectl cnbi explain CNB103               # a rule, by its id
  kubectl cnbi explain image-tagged         # or by its name
  kubectl cnbi explain spec.fromImage       # a field, and the rules about it
  kubectl cnbi explain ImageValidated       # a condition, and why it may be False
  kubectl cnbi explain RegistryUnauthorized # a reason, and what to do";

/// How alike a name has to be to be proposed. Ids of rules differ in three digits alone, and two wrong ones of them are no slip.
const ALIKE: f64 = 0.7;

/// Explain a rule, a field, a condition or a reason
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ExplainArgs {
    /// Which; without it, all are listed
    #[arg(value_name = "RULE|FIELD|CONDITION|REASON")]
    pub what: Option<String>,
}

/// Explains. The exit status.
pub fn run(args: &ExplainArgs) -> u8 {
    let text = match &args.what {
        None => Some(list()),
        Some(what) => explain(what),
    };
    match text {
        Some(text) if terminal::print(&text) => DONE,
        Some(_) => UNUSABLE,
        None => {
            let what = args.what.as_deref().unwrap_or_default();
            let proposal = meant(what)
                .map(|name| format!("did you mean {name}? "))
                .unwrap_or_default();
            give_up(&Problem(format!(
                "nothing is called {what}; {proposal}kubectl cnbi explain lists all rules, fields, conditions and reasons"
            )))
        }
    }
}

/// What there is to say of something; `None` where nothing is called so.
pub fn explain(what: &str) -> Option<String> {
    let is_called = |name: &str| name.eq_ignore_ascii_case(what);
    if let Some(rule) = RULES.iter().find(|rule| is_called(rule.id) || is_called(rule.slug)) {
        return Some(of_rule(rule));
    }
    if let Some(condition) = ConditionType::ALL
        .into_iter()
        .find(|condition| is_called(condition.as_str()))
    {
        return Some(of_condition(condition));
    }
    if let Some(reason) = contract::REASONS.iter().find(|reason| is_called(reason.as_str())) {
        return Some(of_reason(*reason));
    }
    fields()
        .into_iter()
        .find(|at| {
            let path = at.whole().to_string();
            is_called(&path) || at.keys().last().is_some_and(|key| is_called(key))
        })
        .map(of_field)
}

/// The name that a reader would take this for, if there is one.
fn meant(what: &str) -> Option<String> {
    let rules = RULES.iter().flat_map(|rule| [rule.id, rule.slug]).map(str::to_owned);
    let conditions = ConditionType::ALL
        .into_iter()
        .map(|condition| condition.as_str().to_owned());
    let reasons = contract::REASONS.iter().map(|reason| reason.as_str().to_owned());
    let paths = fields().into_iter().flat_map(|at| {
        let key = at.keys().last().map(|key| (*key).to_owned());
        key.into_iter().chain([at.whole().to_string()])
    });
    nearest_of(what, ALIKE, rules.chain(conditions).chain(reasons).chain(paths))
}

fn fields() -> Vec<FieldId> {
    let is_field = |at: &FieldId| !matches!(at, FieldId::Object | FieldId::Metadata | FieldId::Annotations);
    FieldId::ALL.into_iter().filter(is_field).collect()
}

fn title(text: &str) -> String {
    styled(styles::TITLE, text)
}

fn force(rule: &Rule) -> String {
    let level = rule.level;
    if rule.is_fixed {
        format!("{level}, and no configuration can relax it")
    } else {
        format!("{level}, unless the configuration says otherwise")
    }
}

fn of_rule(rule: &Rule) -> String {
    let head = title(&format!("{} {}", rule.id, rule.slug));
    format!("{head}: {}\n{}\n\n{}\n", rule.title, force(rule), rule.doc.trim())
}

/// What it means that a condition is True.
fn meaning(condition: ConditionType) -> &'static str {
    match condition {
        ConditionType::Ready => "the image is there and can be spawned",
        ConditionType::Reconciling => "work is under way, or will be without anybody doing anything",
        ConditionType::Stalled => "nothing will happen until the spec or the cluster changes",
        ConditionType::WellFormed => {
            "the resource passes the rules in force; its reason is the id of the rule that it breaks"
        }
        ConditionType::PullSecretReady => "the pull Secret that the resource names is there and can be used",
        ConditionType::PipelineRunCreated => "there is a run for this generation of the resource",
        ConditionType::SourcePrepared => {
            "the package list is resolved and locked, or the repository cloned and understood"
        }
        ConditionType::ImageValidated => "the image can be pulled and works as a notebook",
        ConditionType::ImageBuilt => "the image is pushed and its digest known",
        ConditionType::ImageStreamUpdated => "the tag of the ImageStream points at the image",
    }
}

fn of_condition(condition: ConditionType) -> String {
    let mut text = format!("{}: True means: {}.\n", title(condition.as_str()), meaning(condition));
    let speaks = |reason: &&Reason| match reason.speaks() {
        Speaks::Of(of) => of == condition,
        Speaks::OfItsTask => contract::PIPELINES
            .iter()
            .flat_map(|pipeline| pipeline.all_tasks())
            .any(|task| task.condition == condition),
    };
    let reasons: Vec<&Reason> = contract::REASONS.iter().filter(speaks).collect();
    if !reasons.is_empty() {
        text.push_str("\nWhy it may be False, and what to do:\n");
        for reason in reasons {
            let _ = writeln!(text, "  {reason}: {}", reason.advice());
        }
    }
    text
}

fn of_reason(reason: Reason) -> String {
    let retried = if reason.is_temporary() {
        "temporary: it is tried again by itself"
    } else {
        "permanent: nothing happens until the spec or the cluster changes, or meteor.zone/retry is set anew"
    };
    let told = match reason.speaks() {
        Speaks::Of(condition) => condition.as_str(),
        Speaks::OfItsTask => "the condition of the task that failed",
    };
    let name = title(reason.as_str());
    format!(
        "{name}: {retried}.\nTold in: {told}\nWhat to do: {}.\n",
        reason.advice()
    )
}

fn of_field(at: FieldId) -> String {
    let path = at.whole().to_string();
    let mut text = format!("{}: {}\n", title(&path), about(at));
    let rules = rules_about(&path);
    if !rules.is_empty() {
        text.push_str("\nRules:\n");
        for rule in rules {
            let _ = writeln!(text, "  {} {}: {}", rule.id, rule.slug, rule.title);
        }
    }
    text
}

/// What the schema says of a field.
fn about(at: FieldId) -> String {
    let known = match at {
        FieldId::Name => "Name of the resource, and of its ImageStream.",
        FieldId::Namespace => "Namespace of the resource; pull Secrets are looked for there.",
        FieldId::DisplayName => "What users see in the spawner; filled in with metadata.name.",
        FieldId::Description => "What users are told of the image.",
        FieldId::Creator => "Who asked for the image; filled in with the user who creates the resource.",
        _ => "",
    };
    if !known.is_empty() {
        return known.to_owned();
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

/// The rules whose examples find something there.
fn rules_about(path: &str) -> Vec<&'static Rule> {
    let examples = Example::all().unwrap_or_default();
    let of_field = |found: &str| {
        found
            .strip_prefix(path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
    };
    let ids: BTreeSet<String> = examples
        .iter()
        .flat_map(|example| &example.expected)
        .filter(|expected| of_field(&expected.path))
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
        let _ = writeln!(text, "  {}", at.whole());
    }
    let _ = writeln!(text, "\n{}", title("Conditions"));
    for condition in ConditionType::ALL {
        let _ = writeln!(text, "  {condition}: {}", meaning(condition));
    }
    let _ = writeln!(text, "\n{}", title("Reasons"));
    for reason in contract::REASONS {
        let _ = writeln!(text, "  {reason}: {}", reason.advice());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_has_a_name_is_explained() {
        for rule in RULES {
            assert!(explain(rule.id).unwrap().contains(rule.title));
            assert!(explain(rule.slug).is_some());
        }
        for condition in ConditionType::ALL {
            assert!(explain(condition.as_str()).unwrap().contains("True means"));
        }
        for reason in contract::REASONS {
            assert!(explain(reason.as_str()).unwrap().contains(reason.advice()));
        }
        for at in fields() {
            let text = explain(&at.whole().to_string()).unwrap();
            assert!(
                text.lines().next().unwrap().len() > at.whole().to_string().len() + 30,
                "{text}"
            );
        }
        assert!(explain("spec.fromImage").unwrap().contains("CNB103"));
        assert!(explain("fromimage").is_some());
        assert_eq!(explain("nonsense"), None);
    }
}

//! `docs/reference/rules`: an index and one page per rule.

use std::fmt::Write as _;

use cnbi_shared::rules::{RULES, Rule};

use super::NOTE;

const INTRODUCTION: &str = "\
# Rules

The rules that a `CustomNBImage` must pass. cnbi-webhook checks all of them at admission, `kubectl cnbi check` checks them
without a cluster, and cnbi-controller checks the fixed ones again before it creates a run.

The **level** decides what a finding does. `Deny` rejects the request. `Warn` accepts it with a warning. `Off` disables the rule.
The configuration can relax a rule (`rules: {CNB103: Warn}`), except a *fixed* one: nothing could be built from a resource that
breaks it.

An update is not rejected for a finding that the stored resource already has; it becomes a warning. A resource that is being
deleted is not rejected if its spec is unchanged.

The examples on the pages are tests. Fields that an example omits (`apiVersion`, `kind`, name and annotations) are filled in
before it is checked.

| rule | name | level | requirement |
|---|---|---|---|
";

/// The index of all rules.
pub fn index() -> String {
    let mut page = format!("{NOTE}{INTRODUCTION}");
    for rule in RULES {
        let Rule { id, slug, title, .. } = rule;
        let _ = writeln!(page, "| [{id}]({id}.md) | {slug} | {} | {title} |", level(rule));
    }
    page
}

/// The page of one rule.
pub fn page(rule: &Rule) -> String {
    let Rule {
        id, slug, title, doc, ..
    } = rule;
    format!(
        "{NOTE}# {id} {slug}\n\n*{title}* (level: {})\n\n{}\n",
        level(rule),
        doc.trim_end()
    )
}

fn level(rule: &Rule) -> String {
    if rule.is_fixed {
        format!("{}, fixed", rule.level)
    } else {
        rule.level.to_string()
    }
}

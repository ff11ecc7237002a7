//! The page of documentation that lists the rules: made from the table, so it cannot say anything else.

use std::fmt::Write as _;

use super::{RULES, Rule};

const INTRODUCTION: &str = "\
<!-- Generated from shared/src/rules; `UPDATE=1 cargo test -p cnbi-shared` writes it anew. -->
# Rules

What a `CustomNBImage` has to keep to. Admission asks all of it of every resource, `kubectl cnbi check` asks it without a
cluster, and the controller asks the fixed ones once more before it builds.

The **level** says what comes of breaking a rule: `Deny` refuses the request, `Warn` lets it pass and says so, `Off` says
nothing. The configuration can set another level for a rule (`rules: {CNB104: Deny}`), except for those marked *fixed*:
nothing could be built from a resource that breaks one.

An update is not refused for what the stored resource had already; that becomes a warning. A resource that is being
deleted, and whose spec stays as it is, is never refused anything.

The examples below are tests: each is judged in the tests as its comments say. What an example leaves out (`apiVersion`,
`kind`, name and annotations) is filled in there.

";

/// The reference of all rules, as Markdown.
pub fn reference() -> String {
    let mut page = INTRODUCTION.to_owned();
    page.push_str("| rule | name | level | what it asks for |\n|---|---|---|---|\n");
    for rule in RULES {
        let Rule { id, slug, title, .. } = rule;
        let anchor = format!("{}-{slug}", id.to_lowercase());
        let _ = writeln!(page, "| [{id}](#{anchor}) | {slug} | {} | {title} |", level(rule));
    }
    for rule in RULES {
        let Rule {
            id, slug, title, doc, ..
        } = rule;
        let _ = write!(
            page,
            "\n## {id} {slug}\n\n*{title}* ({})\n\n{}\n",
            level(rule),
            doc.trim_end()
        );
    }
    page
}

fn level(rule: &Rule) -> String {
    if rule.is_fixed {
        format!("{}, fixed", rule.level)
    } else {
        rule.level.to_string()
    }
}

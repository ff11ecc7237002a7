//! A partial reader of PromQL that finds the metrics and labels in a query.
//!
//! It does not validate queries.

use std::collections::BTreeSet;

/// The names in a query.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Metrics, each with its selector labels.
    pub metrics: Vec<(String, BTreeSet<String>)>,
    /// The grouping labels.
    pub grouped: BTreeSet<String>,
}

const OPERATORS: [&str; 9] = [
    "and", "or", "unless", "by", "without", "on", "ignoring", "bool", "offset",
];

/// Reads a query; `None` if a bracket or a quotation mark is not closed.
pub fn names(query: &str) -> Option<Names> {
    let mut names = Names::default();
    let mut rest = query;
    let mut open = 0_usize;
    while let Some(first) = rest.chars().next() {
        if first.is_ascii_alphabetic() || first == '_' {
            let end = rest
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':')
                .unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            rest = after.trim_start();
            if word == "by" || word == "without" {
                let (labels, after) = rest.strip_prefix('(')?.split_once(')')?;
                names
                    .grouped
                    .extend(labels.split(',').map(|label| label.trim().to_owned()));
                rest = after;
            } else if !OPERATORS.contains(&word) && !rest.starts_with('(') && !is_aggregation(word, rest) {
                let mut selected = BTreeSet::new();
                if let Some(inside) = rest.strip_prefix('{') {
                    let (matchers, after) = closed(inside)?;
                    selected.extend(matchers);
                    rest = after;
                }
                names.metrics.push((word.to_owned(), selected));
            }
        } else if first == '[' {
            rest = rest.split_once(']')?.1;
        } else if first.is_ascii_digit() {
            // Includes the unit of a duration, if present.
            rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '.');
        } else if first == '"' {
            rest = rest[1..].split_once('"')?.1;
        } else {
            match first {
                '(' => open += 1,
                ')' => open = open.checked_sub(1)?,
                _ => {}
            }
            rest = &rest[first.len_utf8()..];
        }
    }
    (open == 0).then_some(names)
}

/// `sum by (...)` has its labels before its operand.
fn is_aggregation(word: &str, rest: &str) -> bool {
    let follows = |keyword: &str| {
        rest.strip_prefix(keyword)
            .is_some_and(|rest| rest.trim_start().starts_with('('))
    };
    matches!(word, "sum" | "min" | "max" | "avg" | "count" | "topk") && (follows("by") || follows("without"))
}

/// The labels of matchers up to the closing bracket, and the rest.
fn closed(mut rest: &str) -> Option<(Vec<String>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let end = rest.find(['=', '!'])?;
        labels.push(rest[..end].trim().to_owned());
        rest = rest[end..].split_once('"')?.1.split_once('"')?.1;
    }
}

#[test]
fn metric_names_and_labels_are_extracted_from_queries() {
    let found =
        names("topk(10, sum by (le, a) (rate(x_bucket{b=\"c(d\", e=~\"f|g\"}[5m]))) > 0.5 and y - time() < 7 * 86400")
            .unwrap();
    let set = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(
        found.metrics,
        [("x_bucket".to_owned(), set(&["b", "e"])), ("y".to_owned(), set(&[]))]
    );
    assert_eq!(found.grouped, set(&["a", "le"]));
    for broken in ["sum(x", "x{a=\"b\"", "x[5m", "\"x"] {
        assert_eq!(names(broken), None, "{broken}");
    }
}

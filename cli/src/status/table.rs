//! The status of many resources, one line each.

use cnbi_shared::api::CustomNBImage;
use cnbi_shared::api::status::Phase;
use comfy_table::{ContentArrangement, Row, Table, presets};
use jiff::Timestamp;

use super::build_type;
use super::summary::{Summary, age};
use crate::terminal::{sanitize, styled, styles};

/// Renders the table. No line is longer than `columns`; without it, cells are not truncated.
pub fn render(resources: &[CustomNBImage], with_namespace: bool, now: Timestamp, columns: Option<usize>) -> String {
    if resources.is_empty() {
        return "No CustomNBImages found.\n".to_owned();
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_truncation_indicator("…");
    match columns.and_then(|columns| u16::try_from(columns).ok()) {
        Some(columns) => table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(columns),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    let visible = usize::from(!with_namespace)..;
    let add = |table: &mut Table, cells: [String; 6]| {
        let mut row = Row::from(cells[visible.clone()].to_vec());
        row.max_height(1);
        table.add_row(row);
    };
    add(
        &mut table,
        ["NAMESPACE", "NAME", "TYPE", "STATE", "AGE", "DETAILS"].map(str::to_owned),
    );
    let summaries: Vec<Summary> = resources.iter().map(Summary::of).collect();
    for (resource, summary) in resources.iter().zip(&summaries) {
        let metadata = &resource.metadata;
        let created = metadata.creation_timestamp.as_ref();
        add(
            &mut table,
            [
                sanitize(metadata.namespace.as_deref().unwrap_or_default()),
                sanitize(metadata.name.as_deref().unwrap_or_default()),
                build_type(resource)
                    .map_or("?", |build_type| build_type.as_str())
                    .to_owned(),
                summary.state.to_owned(),
                created.map_or_else(String::new, |time| age(time.0, now)),
                summary.why.clone().unwrap_or_default(),
            ],
        );
    }
    // Names are in lower case, so the first match is the column STATE.
    let mut lines: Vec<String> = table.lines().collect();
    for (line, (resource, summary)) in lines[1..].iter_mut().zip(resources.iter().zip(&summaries)) {
        let style = match resource.status.as_ref().and_then(|status| status.phase) {
            Some(Phase::Ready) => styles::OK,
            Some(Phase::Failed) => styles::ERROR,
            Some(_) => styles::IN_PROGRESS,
            None => continue,
        };
        *line = line.replacen(
            &format!(" {} ", summary.state),
            &format!(" {} ", styled(style, summary.state)),
            1,
        );
    }
    lines.iter().map(|line| line.trim().to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resource_has_one_line_within_the_width() {
        let resource = |name: &str, phase: &str, message: &str| -> CustomNBImage {
            serde_json::from_value(serde_json::json!({
                "apiVersion": "meteor.zone/v1alpha1", "kind": "CustomNBImage",
                "metadata": {"name": name, "namespace": "team-a", "generation": 1, "creationTimestamp": "2026-03-01T10:00:00Z"},
                "spec": {"buildType": "PackageList"},
                "status": {"phase": phase, "observedGeneration": 1, "conditions": [{
                    "type": "Ready", "status": "False", "reason": "BuildFailed", "message": message,
                    "lastTransitionTime": "2026-03-01T10:00:00Z",
                }]},
            }))
            .unwrap()
        };
        let resources = [
            resource("pandas-notebook", "Failed", &"no compiler ".repeat(20)),
            resource(&"x".repeat(60), "Building", ""),
        ];
        let now = "2026-03-01T11:00:00Z".parse().unwrap();
        for columns in [Some(40), Some(80), None] {
            for with_namespace in [false, true] {
                let text = anstream::adapter::strip_str(&render(&resources, with_namespace, now, columns)).to_string();
                assert_eq!(text.lines().count(), 3, "{text}");
                let width = text.lines().map(|line| line.chars().count()).max().unwrap();
                assert!(width <= columns.unwrap_or(1000), "{columns:?}:\n{text}");
            }
        }
        let text = render(&resources, false, now, None);
        let expected = "BuildFailed: Task build: no compiler";
        assert!(
            text.contains(&expected.replace("Task build: ", "")) && text.contains("\u{1b}["),
            "{text}"
        );
        assert!(text.starts_with("NAME ") && text.contains("  PackageList  "), "{text}");
    }
}

//! The statuses of the controller's golden cases.

use cnbi_controller::plan::plan;
use cnbi_shared::api::status::Phase;
use cnbi_shared::config::Config;
use serde_json::{Value, json};

use crate::model;

const CASES: &str = include_str!("../../controller/tests/builds.txt");

/// The time of the cases.
pub const NOW: &str = "2026-03-01T12:00:00Z";

/// A golden case of the controller.
pub struct Case {
    pub title: String,
    pub phase: Option<Phase>,
    /// The resource is Ready, and a new image is checked.
    pub is_looking_beside: bool,
    /// The resource as stored at that time.
    pub object: Value,
}

/// The controller's golden cases, as stored after the plan was applied.
pub fn cases() -> Vec<Case> {
    let read = |case: &str| {
        let (title, rest) = case.split_once('\n')?;
        let (yaml, _) = rest.split_once("-->\n").unwrap_or((rest, ""));
        let value: Option<Value> = serde_saphyr::from_str(yaml).ok()?;
        let value = value.unwrap_or(json!({}));
        let config = match value.get("config") {
            Some(config) => Config::from_yaml(&config.to_string()).ok()?,
            None => Config::shipped(),
        };
        let observed = model::observed(&value, &config);
        let planned = plan(&observed, NOW.parse().ok()?, &config).status;
        let status = planned.or(observed.status.clone())?;
        let is_true = |wanted: &str| {
            status
                .conditions
                .iter()
                .any(|said| said.type_ == wanted && said.status == "True")
        };
        Some(Case {
            title: title.to_owned(),
            phase: status.phase,
            is_looking_beside: is_true("Ready") && is_true("Reconciling"),
            object: json!({
                "apiVersion": "meteor.zone/v1alpha1", "kind": "CustomNBImage",
                "metadata": {"name": "example", "namespace": "team-a", "generation": observed.generation},
                "spec": value.get("spec").unwrap_or(&json!({"buildType": "ImageImport", "fromImage": "quay.io/a/b:v1"})),
                "status": status,
            }),
        })
    };
    CASES.split("=== ").skip(1).filter_map(read).collect()
}

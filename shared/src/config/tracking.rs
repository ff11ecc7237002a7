//! The section for tracking the tags of imported images.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Period;

/// `tracking`: whether the tag of an imported image is checked for updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Tracking {
    /// How often the registry of an imported image is checked for a new image behind the tag, for example `15m`. A new image is validated
    /// before the tag of the ImageStream is updated. `0s`: never.
    pub interval: Period,
}

impl Default for Tracking {
    fn default() -> Self {
        Self {
            interval: Period::seconds(0),
        }
    }
}

impl Tracking {
    /// The interval; `None`: never.
    pub fn every(self) -> Option<Period> {
        Some(self.interval).filter(|interval| interval.as_seconds() > 0)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn nothing_is_tracked_unless_an_interval_is_set() {
        for (yaml, seconds) in [
            ("{}", None),
            ("tracking: {interval: 0s}", None),
            ("tracking: {interval: 15m}", Some(900)),
        ] {
            let every = Config::from_yaml(yaml).unwrap().tracking.every();
            assert_eq!(every.map(super::Period::as_seconds), seconds, "{yaml}");
        }
    }
}

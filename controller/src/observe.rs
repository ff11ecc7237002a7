//! All that a decision about one resource needs, read before it is made. Decides nothing.

use cnbi_shared::api::{CustomNBImage, Draft, Status};

use crate::stored::Stored;

/// One resource as it is now.
#[derive(Clone, Debug)]
pub struct Observed {
    /// What was asked for, not judged yet, and without defaults.
    pub draft: Draft,
    /// `metadata.generation`: the version of the spec.
    pub generation: i64,
    /// What was said about it before.
    pub status: Option<Status>,
}

impl From<&Stored> for Observed {
    fn from(stored: &Stored) -> Self {
        let Stored { metadata, spec, status } = stored;
        let mut draft = Draft::from(&CustomNBImage {
            metadata: metadata.clone(),
            spec: spec.value().cloned().unwrap_or_default(),
            status: None,
        });
        // That there is no spec, or none that reads as one, is for the rules to find.
        draft.spec = spec.clone();
        Self {
            draft,
            generation: metadata.generation.unwrap_or_default(),
            status: status.clone(),
        }
    }
}

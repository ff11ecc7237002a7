//! The types of conditions in `status.conditions`.

use std::fmt;

use crate::api::BuildType;

/// What a condition speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// The image is there for spawning.
    Ready,
    /// Work is under way (kstatus).
    Reconciling,
    /// Nothing will happen until the spec or the cluster changes (kstatus).
    Stalled,
    /// The resource passes the rules in force.
    WellFormed,
    /// The named pull Secret is present and usable.
    PullSecretReady,
    /// A run for this generation exists.
    PipelineRunCreated,
    /// The list is resolved and locked, or the repository cloned and understood.
    SourcePrepared,
    /// The image meets the minimum requirements.
    ImageValidated,
    /// The image is pushed and its digest known.
    ImageBuilt,
    /// The tag of the ImageStream points at the image.
    ImageStreamUpdated,
}

/// The conditions that every resource has, whatever it asks for.
pub const APPLY_TO_ALL: [ConditionType; 4] = [
    ConditionType::Ready,
    ConditionType::Reconciling,
    ConditionType::Stalled,
    ConditionType::WellFormed,
];

impl ConditionType {
    /// All of them, in the order in which a status lists them.
    pub const ALL: [Self; 10] = [
        Self::Ready,
        Self::Reconciling,
        Self::Stalled,
        Self::WellFormed,
        Self::PullSecretReady,
        Self::PipelineRunCreated,
        Self::SourcePrepared,
        Self::ImageValidated,
        Self::ImageBuilt,
        Self::ImageStreamUpdated,
    ];

    /// As it stands in a status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::WellFormed => "WellFormed",
            Self::PullSecretReady => "PullSecretReady",
            Self::PipelineRunCreated => "PipelineRunCreated",
            Self::SourcePrepared => "SourcePrepared",
            Self::ImageValidated => "ImageValidated",
            Self::ImageBuilt => "ImageBuilt",
            Self::ImageStreamUpdated => "ImageStreamUpdated",
        }
    }

    /// What status `True` means, as the end of a sentence.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Ready => "the image is published and can be spawned",
            Self::Reconciling => "work is in progress or will continue without user action",
            Self::Stalled => "nothing happens until the spec or the cluster changes, or a retry is requested",
            Self::WellFormed => {
                "the resource passes all active rules; otherwise the reason is the id of the rule it breaks"
            }
            Self::PullSecretReady => "the pull secret exists and can be used",
            Self::PipelineRunCreated => "a PipelineRun for this generation exists",
            Self::SourcePrepared => {
                "the package list is resolved and locked, or the repository is cloned and understood"
            }
            Self::ImageValidated => "the image can be pulled and works as a notebook",
            Self::ImageBuilt => "the image is built and pushed, and its digest is recorded",
            Self::ImageStreamUpdated => "the tag of the ImageStream refers to the image",
        }
    }

    /// The condition of that name, if it is one of ours.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|condition| condition.as_str() == name)
    }

    /// Whether it means something for a resource of that build type. `has_pull_secret`: one is named in its spec.
    pub fn applies_to(self, build_type: BuildType, has_pull_secret: bool) -> bool {
        match self {
            Self::PullSecretReady => has_pull_secret,
            Self::SourcePrepared | Self::ImageBuilt => build_type != BuildType::ImageImport,
            _ => true,
        }
    }
}

impl fmt::Display for ConditionType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

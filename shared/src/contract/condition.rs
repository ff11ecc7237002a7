//! The types of the conditions in `status.conditions`.

use std::fmt;

use crate::api::BuildType;

macro_rules! conditions {
    ($($name:ident: $meaning:literal;)*) => {
        /// The type of a condition.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ConditionType {
            $(#[doc = concat!("True means: ", $meaning, ".")] $name,)*
        }

        impl ConditionType {
            /// All types, in the order of the status.
            pub const ALL: [Self; [$(stringify!($name)),*].len()] = [$(Self::$name,)*];

            /// The name of the type.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// What status `True` means, as the end of a sentence.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $meaning,)*
                }
            }
        }
    };
}

conditions! {
    Ready: "the image is published and can be used";
    Reconciling: "a build or another change is in progress or pending (kstatus)";
    Stalled: "nothing happens until the spec or the cluster changes (kstatus)";
    WellFormed: "the resource passes the validation rules; otherwise the reason is the id of the broken rule";
    PullSecretReady: "the pull secret exists and has credentials for the registry";
    PipelineRunCreated: "a PipelineRun for this generation exists";
    SourcePrepared: "the package list is locked, or the repository is cloned and its build is known";
    ImageValidated: "the image can be pulled and meets the minimum requirements of a notebook";
    ImageBuilt: "the image is pushed and its digest is known";
    ImageStreamUpdated: "the tag of the ImageStream points to the image";
}

/// The conditions of every resource, whatever its build type.
pub const COMMON_CONDITIONS: [ConditionType; 4] = [
    ConditionType::Ready,
    ConditionType::Reconciling,
    ConditionType::Stalled,
    ConditionType::WellFormed,
];

impl ConditionType {
    /// The type with this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|condition| condition.as_str() == name)
    }

    /// Whether resources of this build type have the condition. `has_pull_secret`: the spec names a pull secret.
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

//! The reasons of failures: for each, the condition that reports it, whether it is temporary, its meaning and a remedy.

use std::fmt;

use super::ConditionType;

/// The condition that reports a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportedIn {
    /// Always this condition.
    Condition(ConditionType),
    /// The condition of the failed task; the reason can occur in every task.
    TaskCondition,
}

macro_rules! reasons {
    ($($name:ident: $condition:ident, $temporary:literal, $meaning:literal, $remedy:literal;)*) => {
        /// The reason of a failure, as used in conditions, in Events and in the task result `reason`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $(#[doc = $meaning] $name,)*
        }

        /// All reasons.
        pub const REASONS: &[Reason] = &[$(Reason::$name,)*];

        impl Reason {
            /// The name of the reason.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// The condition that reports it.
            pub const fn reported_in(self) -> ReportedIn {
                match self {
                    $(Self::$name => reasons!(@reported_in $condition),)*
                }
            }

            /// Whether a retry can succeed without a change of the spec.
            pub const fn is_temporary(self) -> bool {
                match self {
                    $(Self::$name => $temporary,)*
                }
            }

            /// What it means, as one sentence.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $meaning,)*
                }
            }

            /// What the reader can do, as an imperative sentence without a full stop.
            pub const fn remedy(self) -> &'static str {
                match self {
                    $(Self::$name => $remedy,)*
                }
            }
        }
    };
    (@reported_in TaskCondition) => { ReportedIn::TaskCondition };
    (@reported_in $condition:ident) => { ReportedIn::Condition(ConditionType::$condition) };
}

reasons! {
    RequiredSecretMissing: PullSecretReady, true,
        "The pull secret does not exist.",
        "Create the Secret; the build continues automatically within 15 seconds";
    SecretTypeInvalid: PullSecretReady, false,
        "The Secret has the wrong type for registry credentials, or its content is invalid.",
        "Create it again with `kubectl create secret docker-registry`";
    NoCredentialsForRegistry: PullSecretReady, false,
        "The Secret has no entry for the registry of the image.",
        "Add an entry for the registry to the Secret, or use another Secret";

    Queued: PipelineRunCreated, true,
        "The limit of concurrent builds is reached.",
        "Wait for running builds to finish, or ask the cluster admin to raise pipelines.maxConcurrent";
    PipelineRunCreateFailed: PipelineRunCreated, true,
        "The API server did not accept the PipelineRun.",
        "Wait for the automatic retry; if it keeps failing, ask the cluster admin to check the controller log";
    QuotaExceeded: PipelineRunCreated, true,
        "A ResourceQuota does not allow another PipelineRun.",
        "Raise the quota of the build namespace or delete other PipelineRuns; the controller retries automatically";
    PipelineNotInstalled: PipelineRunCreated, true,
        "Tekton, the Pipeline or one of its Tasks does not exist.",
        "Ask the cluster admin to install Tekton and the CNBi pipelines";
    BuildNamespaceMissing: PipelineRunCreated, true,
        "The build namespace does not exist.",
        "Ask the cluster admin to create it and to install the CNBi pipelines in it";
    BuildAccountMissing: PipelineRunCreated, true,
        "A service account of the tasks does not exist.",
        "Ask the cluster admin to install the CNBi pipelines in the build namespace";
    BuildInputMissing: PipelineRunCreated, true,
        "A Secret or ConfigMap that the configuration names for builds does not exist.",
        "Ask the cluster admin to create it, or to correct the CNBi configuration";
    PipelineInvalid: PipelineRunCreated, false,
        "The installed Pipeline does not match the PipelineRun.",
        "Ask the cluster admin to install the pipelines of the same CNBi version";
    TargetNamespaceNotAllowed: PipelineRunCreated, false,
        "The configuration does not allow the target namespace for the namespace of the resource.",
        "Ask the cluster admin to allow it in targetNamespace.allowed";
    RuntimeEnvironmentUnknown: PipelineRunCreated, false,
        "The catalog has no image for the runtime environment.",
        "Use a runtime environment of the catalog, or set builderImage";

    PackageListUnavailable: SourcePrepared, false,
        "The packages could not be downloaded or locked.",
        "Check spec.packageVersions and the log of the task";
    SourceRepositoryUnavailable: SourcePrepared, true,
        "The Git repository or the package index could not be reached.",
        "Wait for the automatic retry; if it keeps failing, check the URL and the network";
    RequirementsUnsolvable: SourcePrepared, false,
        "No set of versions satisfies all requirements.",
        "Relax the conflicting requirements";
    GitRefNotFound: SourcePrepared, false,
        "The repository has no such branch, tag or commit.",
        "Correct spec.gitRef";
    GitUnauthorized: SourcePrepared, false,
        "The Git host denied access to the repository.",
        "Correct spec.repositoryUrl, or ask the cluster admin to configure credentials for the Git host";
    NothingToBuild: SourcePrepared, false,
        "The repository contains no file that describes a build.",
        "Add a Containerfile, requirements.txt, Pipfile, pyproject.toml or environment.yml to the repository";

    ImageInvalid: ImageValidated, false,
        "The image does not meet the minimum requirements of a notebook.",
        "Use an image with Python 3.8 or later, pip and JupyterLab";
    ImageNotFound: ImageValidated, false,
        "The registry has no such image.",
        "Correct the image reference";
    RegistryUnauthorized: ImageValidated, false,
        "The registry denied access to the image.",
        "Set spec.imagePullSecret to a Secret with credentials for the registry";
    RegistryUnavailable: ImageValidated, true,
        "The registry could not be reached.",
        "Wait for the automatic retry; if it keeps failing, check the registry and the network";
    SignatureInvalid: ImageValidated, false,
        "The signature of the image is invalid, or required but missing.",
        "Use an image with a signature that the policy of the cluster accepts";

    BuildFailed: TaskCondition, false,
        "A step of the build failed.",
        "Read the log of the step";
    PushFailed: ImageBuilt, true,
        "The image could not be pushed.",
        "Wait for the automatic retry; if it keeps failing, ask the cluster admin to check the push credentials";
    TimedOut: TaskCondition, false,
        "The build took longer than the configured timeout.",
        "Reduce the build, or ask the cluster admin to raise pipelines.timeouts";
    OutOfMemory: TaskCondition, false,
        "A step exceeded its memory limit.",
        "Reduce the build, or ask the cluster admin to raise the limits in pipelines.resources";
    Cancelled: TaskCondition, false,
        "The PipelineRun was cancelled.",
        "Set the annotation meteor.zone/retry to a new value to start again";
    Evicted: TaskCondition, true,
        "A pod of the build was evicted from its node.",
        "Wait for the automatic retry";
    StepImagePullFailed: TaskCondition, true,
        "The image of a step could not be pulled.",
        "Wait for the automatic retry; if it keeps failing, ask the cluster admin to check the step images";

    ImageStreamCreateFailed: ImageStreamUpdated, true,
        "The ImageStream could not be written.",
        "Wait for the automatic retry; if it keeps failing, ask the cluster admin to check the permissions of the build";
    ImageStreamConflict: ImageStreamUpdated, false,
        "An ImageStream with this name exists and does not belong to the resource.",
        "Use another name for the resource, or delete the ImageStream";
    ImageStreamApiMissing: ImageStreamUpdated, true,
        "The cluster does not serve ImageStreams.",
        "Ask the cluster admin to install the ImageStream CRD";
}

impl Reason {
    /// The reason with this name.
    pub fn by_name(name: &str) -> Option<Self> {
        REASONS.iter().copied().find(|reason| reason.as_str() == name)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

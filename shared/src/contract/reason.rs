//! Why something did not come about: one table of reasons, each with the condition that it is told in and whether trying
//! again can help.

use std::fmt;

use super::ConditionType;

/// Where a reason is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// Always in that condition.
    Of(ConditionType),
    /// In the condition of the task that failed: it can happen to any of them.
    OfItsTask,
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident: $condition:ident, $temporary:literal, $advice:literal;)*) => {
        /// A reason, as it stands in a condition, in an Event and in a task's result `reason`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)*
        }

        /// All reasons.
        pub const REASONS: &[Reason] = &[$(Reason::$name,)*];

        impl Reason {
            /// As it stands in a condition.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// What happened: its doc comment, a sentence.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),+).trim_start(),)*
                }
            }

            /// Where it is told.
            pub const fn speaks(self) -> Speaks {
                match self {
                    $(Self::$name => reasons!(@speaks $condition),)*
                }
            }

            /// Trying again can help without anybody changing the spec.
            pub const fn is_temporary(self) -> bool {
                match self {
                    $(Self::$name => $temporary,)*
                }
            }

            /// What a reader can do about it: a sentence without its full stop.
            pub const fn advice(self) -> &'static str {
                match self {
                    $(Self::$name => $advice,)*
                }
            }
        }
    };
    (@speaks OfItsTask) => { Speaks::OfItsTask };
    (@speaks $condition:ident) => { Speaks::Of(ConditionType::$condition) };
}

reasons! {
    /// The named Secret is not there.
    RequiredSecretMissing: PullSecretReady, true, "Create the Secret; the build goes on by itself within 15 seconds";
    /// The Secret is not of a type for registry credentials, or cannot be read as one.
    SecretTypeInvalid: PullSecretReady, false, "Make it anew with `kubectl create secret docker-registry`";
    /// The Secret has no entry for the registry.
    NoCredentialsForRegistry: PullSecretReady, false, "Add an entry for the registry to the Secret, or name another Secret";

    /// As many runs as the configuration allows are under way.
    Queued: PipelineRunCreated, true, "It starts when its turn comes";
    /// The API server did not take the run, for a reason that may pass.
    PipelineRunCreateFailed: PipelineRunCreated, true, "It is tried again";
    /// A quota leaves no room for the run.
    QuotaExceeded: PipelineRunCreated, true, "It is tried again; raise the quota of the build namespace, or end other runs";
    /// Tekton, or the Pipeline, or one of its Tasks, is not there.
    PipelineNotInstalled: PipelineRunCreated, true, "Ask the cluster's admin to install Tekton and CNBi's pipelines";
    /// The namespace for runs is not there.
    BuildNamespaceMissing: PipelineRunCreated, true, "Ask the cluster's admin to create it and to install CNBi's pipelines there";
    /// One of the service accounts of the tasks is not there.
    BuildAccountMissing: PipelineRunCreated, true, "Ask the cluster's admin to install CNBi's pipelines in the build namespace";
    /// A Secret or ConfigMap that the configuration names for runs is not there.
    BuildInputMissing: PipelineRunCreated, true, "Ask the cluster's admin to create it, or to correct CNBi's configuration";
    /// Pipeline and run do not fit each other.
    PipelineInvalid: PipelineRunCreated, false, "Ask the cluster's admin to install the pipelines of this version of CNBi";
    /// The configuration does not let resources of this namespace use the target namespace.
    TargetNamespaceNotAllowed: PipelineRunCreated, false, "Ask the cluster's admin to allow the pair of namespaces";
    /// The catalog has no image for the runtime environment.
    RuntimeEnvironmentUnknown: PipelineRunCreated, false, "Choose a runtime environment of the catalog, or set builderImage";

    /// The package list cannot be had.
    PackageListUnavailable: SourcePrepared, false, "Look at spec.packageVersions, and at the log of the task";
    /// The repository, or the package index, could not be reached.
    SourceRepositoryUnavailable: SourcePrepared, true, "It is tried again";
    /// No set of versions satisfies all requirements.
    RequirementsUnsolvable: SourcePrepared, false, "Relax the requirements that contradict each other";
    /// The repository has no such branch, tag or commit.
    GitRefNotFound: SourcePrepared, false, "Correct spec.gitRef";
    /// The Git host refuses us.
    GitUnauthorized: SourcePrepared, false, "Ask the cluster's admin for credentials to this Git host, or correct spec.repositoryUrl";
    /// The repository has nothing that says how to build it.
    NothingToBuild: SourcePrepared, false, "Add a Containerfile, requirements.txt, Pipfile, pyproject.toml or environment.yml to the repository";

    /// The image does not meet the minimum requirements of a notebook.
    ImageInvalid: ImageValidated, false, "Use an image with Python 3.8 or later, pip and JupyterLab";
    /// The registry has no such image.
    ImageNotFound: ImageValidated, false, "Correct the image reference";
    /// The registry refuses us.
    RegistryUnauthorized: ImageValidated, false, "Name a Secret with credentials for the registry in spec.imagePullSecret";
    /// The registry could not be reached.
    RegistryUnavailable: ImageValidated, true, "It is tried again";
    /// The signature is there but not valid, or is required and missing.
    SignatureInvalid: ImageValidated, false, "Use an image whose signature the cluster's policy accepts";

    /// A step ended with an error.
    BuildFailed: OfItsTask, false, "Read the log of the step";
    /// The image could not be pushed.
    PushFailed: ImageBuilt, true, "It is tried again";
    /// It took longer than the configuration allows.
    TimedOut: OfItsTask, false, "Ask for less, or have the cluster's admin raise the timeouts";
    /// A step needed more memory than it may have.
    OutOfMemory: OfItsTask, false, "Ask for less, or have the cluster's admin raise the limits";
    /// Somebody ended the run.
    Cancelled: OfItsTask, false, "Set the annotation meteor.zone/retry to anything new to start again";
    /// The node threw a pod out.
    Evicted: OfItsTask, true, "It is tried again";
    /// The image of a step could not be pulled.
    StepImagePullFailed: OfItsTask, true, "It is tried again";

    /// The ImageStream could not be written.
    ImageStreamCreateFailed: ImageStreamUpdated, true, "It is tried again";
    /// There is an ImageStream of that name that belongs to somebody else.
    ImageStreamConflict: ImageStreamUpdated, false, "Give the resource another name, or remove the ImageStream";
    /// The cluster knows no ImageStreams.
    ImageStreamApiMissing: ImageStreamUpdated, true, "Ask the cluster's admin to install the ImageStream definition";
}

impl Reason {
    /// The reason of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        REASONS.iter().copied().find(|reason| reason.as_str() == name)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

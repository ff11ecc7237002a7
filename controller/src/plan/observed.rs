//! The input of a plan, besides the time and the configuration.
//!
//! Two requirements for the code that fills it in: a run that the status names must be read from the API server before it is left
//! out of [`ObservedState::runs`], because a cache may be stale; and [`QueuePosition`] includes runs that were just created.

use std::collections::BTreeMap;

use cnbi_shared::api::Status;
use cnbi_shared::facts::{Fact, PullSecret};
use cnbi_shared::verdict::Report;
use jiff::Timestamp;

use super::request::{Display, Request};

/// One resource and its dependents.
#[derive(Clone, Debug)]
pub struct ObservedState {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// Its deletion timestamp.
    pub deleted: Option<Timestamp>,
    /// Whether it has the controller's finalizer.
    pub has_finalizer: bool,
    /// Value of the annotation that requests a retry.
    pub retry: Option<String>,
    /// The request; `None` if it is invalid, see `report`.
    pub request: Option<Request>,
    /// Findings of the active rules.
    pub report: Report,
    /// The stored status.
    pub status: Option<Status>,
    /// Its runs, of all generations.
    pub runs: Vec<Run>,
    /// The ImageStream of its name in the target namespace.
    pub stream: ImageStreamState,
    /// The pull secret. `Unknown` if none is named or it was not read.
    pub secret: Fact<PullSecret>,
    /// Resource version of that Secret, to find outdated copies.
    pub secret_version: Option<String>,
    /// Copies of it for this resource.
    pub copies: Vec<SecretCopy>,
    /// What runs need.
    pub prerequisites: Prerequisites,
    /// A missing Secret or ConfigMap of the configuration, for example `Secret keys`.
    pub missing_input: Option<String>,
    /// Its position in the build queue.
    pub queue: QueuePosition,
    /// The current digest of the tag of an imported image, if it was looked up.
    pub upstream: Option<UpstreamDigest>,
    /// The last rejection of its next run by the API server.
    pub rejection: Option<Rejection>,
}

/// A PipelineRun of the resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The generation of the resource that it builds.
    pub generation: i64,
    /// Number of the run within its generation, from 1.
    pub attempt: u32,
    /// Number of the run since the last change of the spec or of the retry annotation, from 1.
    pub tries: u32,
    /// The digest of a tracked tag that it builds, from the annotation [`UPSTREAM`]; empty if it builds the spec.
    ///
    /// [`UPSTREAM`]: super::manifest::UPSTREAM
    pub upstream: String,
    /// Value of the retry annotation when it was created.
    pub retry: Option<String>,
    /// Condition `Succeeded`.
    pub state: RunState,
    /// Reason of that condition, if it failed.
    pub reason: String,
    /// Message of that condition, if it failed.
    pub message: String,
    /// Whether it was cancelled.
    pub is_cancelled: bool,
    /// Start time.
    pub start: Option<Timestamp>,
    /// Completion time.
    pub completion: Option<Timestamp>,
    /// Its TaskRuns. May be empty if it succeeded.
    pub tasks: Vec<TaskRun>,
    /// Its results.
    pub results: BTreeMap<String, String>,
    /// Whether its volume may exist.
    pub has_volume: bool,
    /// Whether an ended pod is kept for its log. The pod keeps the volume.
    pub has_kept_pod: bool,
}

/// State of a run or a task, from the condition `Succeeded`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunState {
    /// It has not ended.
    #[default]
    Running,
    /// It succeeded.
    Succeeded,
    /// It failed.
    Failed,
}

/// A TaskRun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskRun {
    /// Name of the task in the pipeline.
    pub task: String,
    /// Condition `Succeeded`.
    pub state: RunState,
    /// Reason of that condition.
    pub reason: String,
    /// Message of that condition, if it failed.
    pub message: String,
    /// Name of its pod.
    pub pod: Option<String>,
    /// The step that failed.
    pub failed_step: Option<String>,
    /// Its results.
    pub results: BTreeMap<String, String>,
}

/// The ImageStream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ImageStreamState {
    /// Not read yet.
    #[default]
    Unknown,
    /// The cluster does not serve ImageStreams, or the target namespace does not exist.
    ApiMissing,
    /// It does not exist.
    Absent,
    /// It belongs to another resource, or to none.
    Foreign,
    /// It belongs to this resource.
    Owned {
        /// Its uid.
        uid: String,
        /// Its display annotations.
        display: Display,
        /// Its tags, by name.
        tags: BTreeMap<String, Tag>,
    },
}

/// One tag of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tag {
    /// Its image was imported.
    pub is_usable: bool,
    /// Reason and message of a failed import.
    pub failure: Option<(String, String)>,
}

/// A copy of the pull secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretCopy {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Resource version of the original when it was copied.
    pub version: Option<String>,
}

/// What runs need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "five independent facts")]
pub struct Prerequisites {
    /// Tekton's API.
    pub api: bool,
    /// The build namespace.
    pub namespace: bool,
    /// The pipeline of the build type.
    pub pipeline: bool,
    /// Both service accounts.
    pub accounts: bool,
    /// OpenShift's SecurityContextConstraints, which assign a group to the pods of each namespace.
    pub constraints: bool,
}

/// Position in the build queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueuePosition {
    /// Active runs of other resources.
    pub running: u32,
    /// Of these, for resources of the same namespace.
    pub running_in_namespace: u32,
    /// Older queued resources that would start first.
    pub ahead: u32,
    /// Of these, in the same namespace.
    pub ahead_in_namespace: u32,
}

/// Result of the lookup of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamDigest {
    /// The digest that the tag points at.
    pub digest: String,
    /// Time of the lookup.
    pub at: Timestamp,
}

/// A run that the API server has rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Name of the run.
    pub run: String,
    /// Kind of rejection.
    pub kind: RejectionKind,
    /// Time.
    pub at: Timestamp,
    /// Rejections in a row, from 1.
    pub times: u32,
    /// Value of the retry annotation at that time: a new value starts over.
    pub retry: Option<String>,
    /// Message of the API server.
    pub message: String,
}

/// Kind of a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectionKind {
    /// A quota is exhausted.
    Quota,
    /// The manifest is invalid for the schema or Tekton's webhook.
    Invalid,
    /// Any other, including a name that belongs to another run.
    Other,
}

impl Run {
    /// Whether it has succeeded or failed.
    pub fn has_ended(&self) -> bool {
        self.state != RunState::Running
    }
}

//! Everything that the plan of one resource's build depends on, but for the time and the configuration.
//!
//! Whoever fills this in reads and decides nothing. Two things it must keep: a run that the status names is looked for at
//! the API server before it is left out of [`ObservedState::runs`], because a cache may not know it yet; and [`QueuePosition`] counts
//! runs that were asked for a moment ago too.

use std::collections::BTreeMap;

use cnbi_shared::api::Status;
use cnbi_shared::facts::{Fact, PullSecret};
use cnbi_shared::verdict::Report;
use jiff::Timestamp;

use super::request::{Display, Request};

/// One resource and all that belongs to it.
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
    /// When deletion was asked for.
    pub deleted: Option<Timestamp>,
    /// Whether it carries our finalizer.
    pub has_finalizer: bool,
    /// Value of the annotation that asks for another try.
    pub retry: Option<String>,
    /// What it asks for. `None`: it breaks a fixed rule, which `report` tells.
    pub request: Option<Request>,
    /// What all rules in force say.
    pub report: Report,
    /// What was said about it before.
    pub status: Option<Status>,
    /// The runs that carry its uid, of all generations.
    pub runs: Vec<Run>,
    /// The ImageStream of its name in the target namespace.
    pub stream: ImageStreamState,
    /// The pull Secret. `Unknown` where none is named or nobody could look.
    pub secret: Fact<PullSecret>,
    /// Version of that Secret, to see that copies are out of step.
    pub secret_version: Option<String>,
    /// Copies of it that were made for this resource.
    pub copies: Vec<SecretCopy>,
    /// What runs need, as far as it is there.
    pub prerequisites: Prerequisites,
    /// The Secret or ConfigMap that the configuration names for runs and that is not there: `Secret keys`.
    pub missing_input: Option<String>,
    /// Runs of others.
    pub queue: QueuePosition,
    /// What the tag of an imported image names now, if anybody has asked.
    pub upstream: Option<UpstreamDigest>,
    /// What the API server said when this resource's next run was to be made, if it refused.
    pub rejection: Option<Rejection>,
}

/// A PipelineRun of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The generation of the resource that it builds.
    pub generation: i64,
    /// Which run of the generation it is, from 1.
    pub attempt: u32,
    /// Which run it is since somebody last asked for one, by the spec or the annotation; from 1.
    pub tries: u32,
    /// The digest behind a followed tag that it was made for, from the annotation [`UPSTREAM`]; empty where it was made for
    /// the spec.
    ///
    /// [`UPSTREAM`]: super::manifest::UPSTREAM
    pub upstream: String,
    /// Value of the annotation for retries when it was made.
    pub retry: Option<String>,
    /// Condition `Succeeded`.
    pub state: RunState,
    /// Reason of that condition, where it failed.
    pub reason: String,
    /// Message of that condition, where it failed.
    pub message: String,
    /// Whether it was asked to end.
    pub is_cancelled: bool,
    /// When it began.
    pub start: Option<Timestamp>,
    /// When it ended.
    pub completion: Option<Timestamp>,
    /// Its TaskRuns. Of a run that succeeded there need not be any: nothing about it is left to tell.
    pub tasks: Vec<TaskRun>,
    /// Its results.
    pub results: BTreeMap<String, String>,
    /// Whether its volume is still there.
    pub has_volume: bool,
    /// Whether a pod of its that has ended is kept for its log, and holds the volume.
    pub has_kept_pod: bool,
}

/// How something stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunState {
    /// Not decided yet.
    #[default]
    Running,
    /// It succeeded.
    Succeeded,
    /// It failed.
    Failed,
}

/// A TaskRun of one of our runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskRun {
    /// Name of the task in the pipeline.
    pub task: String,
    /// Condition `Succeeded`.
    pub state: RunState,
    /// Reason of that condition.
    pub reason: String,
    /// Message of that condition, where it failed.
    pub message: String,
    /// Name of its pod.
    pub pod: Option<String>,
    /// The step that ended with an error.
    pub failed_step: Option<String>,
    /// Its results, whole: they are bounded where they are used.
    pub results: BTreeMap<String, String>,
}

/// The ImageStream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ImageStreamState {
    /// Nobody could look.
    #[default]
    Unknown,
    /// The cluster knows no ImageStreams, or the target namespace is not there.
    ApiMissing,
    /// There is none.
    Absent,
    /// It belongs to somebody else.
    Foreign,
    /// It belongs to the resource of this namespace and name.
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
    /// There is an image behind it.
    pub is_usable: bool,
    /// Reason and message of an import that failed.
    pub failure: Option<(String, String)>,
}

/// A copy of the pull Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretCopy {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Version of the Secret that it was copied from.
    pub version: Option<String>,
}

/// What runs need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "five things that are there or not, each on its own"
)]
pub struct Prerequisites {
    /// Tekton's API.
    pub api: bool,
    /// The namespace of runs.
    pub namespace: bool,
    /// The pipeline of the build type.
    pub pipeline: bool,
    /// Both service accounts.
    pub accounts: bool,
    /// OpenShift's SecurityContextConstraints, which give the pods of each namespace a group of its own.
    pub constraints: bool,
}

/// Who else is building or waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueuePosition {
    /// Runs of other resources that have not ended.
    pub running: u32,
    /// Of these, for resources of the same namespace.
    pub running_in_namespace: u32,
    /// Older resources that wait for nothing but their turn.
    pub ahead: u32,
    /// Of these, in the same namespace.
    pub ahead_in_namespace: u32,
}

/// What a registry answered about a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamDigest {
    /// Digest of the image that the tag names.
    pub digest: String,
    /// When it was asked.
    pub at: Timestamp,
}

/// An answer of the API server to the creation of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The run that was to be made.
    pub run: String,
    /// What it was.
    pub kind: RejectionKind,
    /// When.
    pub at: Timestamp,
    /// How often in a row, from 1.
    pub times: u32,
    /// Value of the annotation for retries when it was asked: who sets it anew is not refused yet.
    pub retry: Option<String>,
    /// In the API server's words.
    pub message: String,
}

/// What a refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectionKind {
    /// A quota is used up.
    Quota,
    /// The manifest is not taken: by schema or by Tekton's webhook.
    Invalid,
    /// Anything else; also that the name is taken by a run that is not ours.
    Other,
}

impl Run {
    /// It has come to an end, well or badly.
    pub fn has_ended(&self) -> bool {
        self.state != RunState::Running
    }
}

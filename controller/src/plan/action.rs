//! Plans as data. [`crate::reconcile::apply`] executes them without further decisions.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use cnbi_shared::api::Status;
use serde_json::Value;

use super::manifest::UPSTREAM;

/// The actions for one resource, each executed only after the previous one succeeded, and then the status.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// In order.
    pub actions: Vec<Action>,
    /// The status to write; `None` if the stored one is up to date.
    pub status: Option<Status>,
    /// When to reconcile again although nothing has changed.
    pub requeue: Option<Duration>,
}

/// Namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespacedName {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// One write. Deleting an object that does not exist is a success.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Adds the finalizer.
    AddFinalizer,
    /// Removes the finalizer.
    RemoveFinalizer,
    /// Copies the entry for `image`'s registry, and no other, from the Secret `from`. Server-side apply.
    CopySecret {
        /// The original.
        from: NamespacedName,
        /// The copy.
        to: NamespacedName,
        /// The image that it is for.
        image: String,
        /// Labels of the copy.
        labels: BTreeMap<String, String>,
    },
    /// Deletes a copy.
    DeleteSecret(NamespacedName),
    /// Creates a run. A conflict is a success if the existing run has the uid of the resource in its label.
    CreateRun {
        /// The run.
        key: NamespacedName,
        /// The PipelineRun.
        manifest: Value,
    },
    /// Sets `spec.status: Cancelled`.
    CancelRun(NamespacedName),
    /// Deletes a run with its dependents.
    DeleteRun(NamespacedName),
    /// Deletes the volumes and the pods of a run. A volume is not deleted before its pods.
    DeleteVolume {
        /// The run.
        key: NamespacedName,
        /// The task whose pod is kept for its log.
        keep: Option<&'static str>,
    },
    /// Sets the display annotations, and removes those that are `None`. The uid is a precondition.
    PatchStreamAnnotations {
        /// The ImageStream.
        key: NamespacedName,
        /// Its uid.
        uid: String,
        /// Key and value.
        annotations: BTreeMap<String, Option<String>>,
    },
    /// Deletes the ImageStream, if it still has that uid.
    DeleteStream {
        /// The ImageStream.
        key: NamespacedName,
        /// Its uid.
        uid: String,
    },
    /// Writes an Event.
    Event {
        /// `Warning`, else `Normal`.
        is_warning: bool,
        /// As in the condition.
        reason: String,
        /// As in the condition.
        message: String,
    },
}

impl Plan {
    /// The run that it creates, if any. A plan creates one run at most.
    pub fn created_run(&self) -> Option<&NamespacedName> {
        self.actions.iter().find_map(|action| match action {
            Action::CreateRun { key, .. } => Some(key),
            _ => None,
        })
    }
}

impl NamespacedName {
    /// Creates a key.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

impl fmt::Display for NamespacedName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Display for Action {
    /// For the log and for tests, without messages.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddFinalizer => formatter.write_str("add the finalizer"),
            Self::RemoveFinalizer => formatter.write_str("remove the finalizer"),
            Self::CopySecret { from, to, image, .. } => write!(formatter, "copy Secret {from} to {to} for {image}"),
            Self::DeleteSecret(key) => write!(formatter, "delete Secret {key}"),
            Self::CreateRun { key, manifest } => {
                let pipeline = manifest["spec"]["pipelineRef"]["name"].as_str().unwrap_or_default();
                let upstream = manifest["metadata"]["annotations"][UPSTREAM].as_str();
                let upstream = upstream.map(|digest| format!(" for {digest}")).unwrap_or_default();
                write!(formatter, "create run {key} of {pipeline}{upstream}")
            }
            Self::CancelRun(key) => write!(formatter, "cancel run {key}"),
            Self::DeleteRun(key) => write!(formatter, "delete run {key}"),
            Self::DeleteVolume { key, keep: None } => write!(formatter, "delete volume and pods of run {key}"),
            Self::DeleteVolume { key, keep: Some(task) } => {
                write!(
                    formatter,
                    "delete volume and pods of run {key}, except the pod of {task}"
                )
            }
            Self::PatchStreamAnnotations { key, annotations, .. } => {
                let keys: Vec<_> = annotations.keys().map(String::as_str).collect();
                write!(formatter, "annotate ImageStream {key}: {}", keys.join(", "))
            }
            Self::DeleteStream { key, .. } => write!(formatter, "delete ImageStream {key}"),
            Self::Event { is_warning, reason, .. } => {
                write!(
                    formatter,
                    "event {} {reason}",
                    if *is_warning { "Warning" } else { "Normal" }
                )
            }
        }
    }
}

impl fmt::Display for Plan {
    /// For tests that compare plans as text.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            actions,
            status,
            requeue,
        } = self;
        for action in actions {
            writeln!(formatter, "{action}")?;
        }
        if let Some(status) = status {
            let phase = status
                .phase
                .map_or_else(|| "-".to_owned(), |phase| format!("{phase:?}"));
            let step = status.step.map_or_else(|| "-".to_owned(), |step| format!("{step:?}"));
            writeln!(formatter, "status: {phase}, {step}")?;
            for condition in &status.conditions {
                writeln!(
                    formatter,
                    "  {}={} {}",
                    condition.type_, condition.status, condition.reason
                )?;
            }
            if let Some(image) = &status.image {
                writeln!(formatter, "  image {}", image.reference.as_deref().unwrap_or("-"))?;
            }
            if let Some(run) = &status.pipeline_run {
                let failed = run
                    .failed_task
                    .as_deref()
                    .map(|task| format!(", failed at {task}"))
                    .unwrap_or_default();
                let attempt = run.attempt.unwrap_or_default();
                writeln!(
                    formatter,
                    "  run {}, attempt {attempt}{failed}",
                    run.name.as_deref().unwrap_or("-")
                )?;
            }
            for past in &status.history {
                writeln!(
                    formatter,
                    "  past {} {}",
                    past.name,
                    past.outcome.as_deref().unwrap_or("-")
                )?;
            }
        }
        if let Some(requeue) = requeue {
            writeln!(formatter, "requeue after {} s", requeue.as_secs())?;
        }
        if *self == Self::default() {
            writeln!(formatter, "nothing to do")?;
        }
        Ok(())
    }
}

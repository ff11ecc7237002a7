//! Reads and writes ImageStreams and reads runs, with the pod's token.

use std::time::Duration;

use cnbi_shared::config::Network;
use cnbi_shared::contract::{BuildRequest, Reason};
use jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::Value;

use super::outcome::{self, Outcome, TaskRun};
use super::{FIELD_MANAGER, Owner};
use crate::error::StepError;

/// Attempts of a write that conflicts with other clients.
const ATTEMPTS: u32 = 6;

/// Timeout of requests to the API server.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A client for the ImageStream of a resource and the runs in the pod's namespace.
pub struct ImageStreamClient {
    client: Client,
    streams: Api<DynamicObject>,
    owner: Owner,
}

fn api(client: &Client, namespace: &str, (group, kind, plural): (&str, &str, &str)) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk(group, "v1", kind);
    let resource = ApiResource::from_gvk_with_plural(&kind, plural);
    Api::namespaced_with(client.clone(), namespace, &resource)
}

impl ImageStreamClient {
    /// Connects with the pod's service account, or with the kubeconfig in `KUBECONFIG`.
    pub async fn connect(owner: Owner) -> Result<Self, StepError> {
        let refused = |error: String| {
            StepError::new(
                Reason::ImageStreamCreateFailed,
                format!("cannot connect to the API server: {error}"),
            )
        };
        let mut config = kube::Config::infer()
            .await
            .map_err(|error| refused(error.to_string()))?;
        config.read_timeout = Some(TIMEOUT);
        config.connect_timeout = Some(TIMEOUT);
        // The controller retries temporary failures with a new run.
        config.default_retry = false;
        let client = Client::try_from(config).map_err(|error| refused(error.to_string()))?;
        let kind = ("image.openshift.io", "ImageStream", "imagestreams");
        let streams = api(&client, &owner.target, kind);
        Ok(Self { client, streams, owner })
    }

    /// Creates the ImageStream for an active run, or takes it over. Returns its uid.
    pub async fn create(&self, run: &str, request: &BuildRequest) -> Result<String, StepError> {
        for _ in 0..ATTEMPTS {
            let found = self.read().await?;
            // Read after the ImageStream: if that belongs to a newer resource of the same name, the runs of the older one are deleted or
            // cancelled, and cannot take it back.
            let run = self.run(run).await?;
            if outcome::is_cancelled(&run) {
                return Err(self.owner.conflict("is not written, because the run was cancelled"));
            }
            let stream = match found {
                Some(stream) => stream,
                None => match self.create_object().await? {
                    Some(stream) => stream,
                    None => continue,
                },
            };
            self.owner.may_write(&stream, false)?;
            let body = self.owner.desired(&stream, request, &Outcome::Running);
            if let Some(stream) = self.apply(&body).await? {
                return Ok(stream["metadata"]["uid"].as_str().unwrap_or_default().to_owned());
            }
        }
        Err(self.conflict_error())
    }

    /// Writes the outcome of a run to the ImageStream.
    pub async fn update(&self, run: &str, request: &BuildRequest, network: &Network) -> Result<(), StepError> {
        // Read before the run, which is deleted together with the ImageStream, for a better message.
        let mut stream = self.get_owned().await?;
        let run = self.run(run).await?;
        let pipeline = outcome::pipeline(&run)?;
        let task_runs = self.task_runs(&run).await?;
        let outcome = outcome::read(pipeline, &task_runs, network);
        for _ in 0..ATTEMPTS {
            if outcome::stream_uid(&task_runs).is_some_and(|uid| stream["metadata"]["uid"] != uid) {
                return Err(self.owner.conflict("was deleted and recreated during the run"));
            }
            let body = self.owner.desired(&stream, request, &outcome);
            let Some(written) = self.apply(&body).await? else {
                stream = self.get_owned().await?;
                continue;
            };
            if let Outcome::Succeeded(image) = &outcome
                && self.has_no_importer().await?
            {
                let status = self.owner.status(&written, image, &Timestamp::now().to_string());
                let params = PatchParams::apply(FIELD_MANAGER).force();
                self.streams
                    .patch_status(&self.owner.name, &params, &Patch::Apply(&status))
                    .await
                    .map_err(|error| self.stream_error(&error))?;
            }
            return Ok(());
        }
        Err(self.conflict_error())
    }

    /// The ImageStream, which an earlier task of this run has written.
    async fn get_owned(&self) -> Result<Value, StepError> {
        let Some(stream) = self.read().await? else {
            return Err(self.owner.conflict("was deleted during the run"));
        };
        self.owner.may_write(&stream, true)?;
        Ok(stream)
    }

    async fn read(&self) -> Result<Option<Value>, StepError> {
        match self.streams.get(&self.owner.name).await {
            Ok(stream) => value(&stream).map(Some),
            Err(kube::Error::Api(status)) if status.code == 404 && names_a_kind(&status) => Ok(None),
            Err(error) => Err(self.stream_error(&error)),
        }
    }

    /// `None`: it exists by now.
    async fn create_object(&self) -> Result<Option<Value>, StepError> {
        let stream: DynamicObject = serde_json::from_value(self.owner.new_object())
            .map_err(|error| StepError::other(format!("cannot create the ImageStream: {error}")))?;
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        match self.streams.create(&params, &stream).await {
            Ok(stream) => value(&stream).map(Some),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(None),
            Err(error) => Err(self.stream_error(&error)),
        }
    }

    /// `None`: it was changed after it was read.
    async fn apply(&self, body: &Value) -> Result<Option<Value>, StepError> {
        let params = PatchParams::apply(FIELD_MANAGER).force();
        match self.streams.patch(&self.owner.name, &params, &Patch::Apply(body)).await {
            Ok(stream) => value(&stream).map(Some),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
            Err(error) => Err(self.stream_error(&error)),
        }
    }

    /// A run in this pod's namespace that is not being deleted.
    async fn run(&self, name: &str) -> Result<Value, StepError> {
        let namespace = self.client.default_namespace();
        let runs = api(&self.client, namespace, ("tekton.dev", "PipelineRun", "pipelineruns"));
        let deleted = || self.owner.conflict("is not written, because the run was deleted");
        let run = match runs.get(name).await {
            Ok(run) => value(&run)?,
            Err(kube::Error::Api(status)) if status.code == 404 && names_a_kind(&status) => return Err(deleted()),
            Err(error) => return Err(self.run_error(name, &error)),
        };
        if run["metadata"]["deletionTimestamp"].is_null() {
            Ok(run)
        } else {
            Err(deleted())
        }
    }

    /// The TaskRuns of a run.
    async fn task_runs(&self, run: &Value) -> Result<Vec<TaskRun>, StepError> {
        let namespace = self.client.default_namespace();
        let api = api(&self.client, namespace, ("tekton.dev", "TaskRun", "taskruns"));
        let mut task_runs = Vec::new();
        for (task, name) in outcome::task_run_names(run) {
            let found = api.get(&name).await;
            let task_run = value(&found.map_err(|error| self.run_error(&name, &error))?)?;
            task_runs.push(TaskRun { task, task_run });
        }
        Ok(task_runs)
    }

    fn run_error(&self, name: &str, error: &kube::Error) -> StepError {
        let (namespace, message) = (self.client.default_namespace(), public(error));
        StepError::new(
            Reason::ImageStreamCreateFailed,
            format!("cannot read {namespace}/{name}: {message}"),
        )
    }

    /// Whether the cluster has ImageStreams without OpenShift's image import.
    async fn has_no_importer(&self) -> Result<bool, StepError> {
        let served = self.client.list_api_group_resources("image.openshift.io/v1").await;
        let served = served.map_err(|error| self.stream_error(&error))?;
        Ok(!served
            .resources
            .iter()
            .any(|resource| resource.name == "imagestreamimports"))
    }

    fn conflict_error(&self) -> StepError {
        let Owner { target, name, .. } = &self.owner;
        StepError::new(
            Reason::ImageStreamCreateFailed,
            format!("The ImageStream {target}/{name} was changed by other clients during all {ATTEMPTS} attempts"),
        )
    }

    fn stream_error(&self, error: &kube::Error) -> StepError {
        let Owner { target, name, .. } = &self.owner;
        match error {
            kube::Error::Api(status) if status.code == 404 && !names_a_kind(status) => StepError::new(
                Reason::ImageStreamApiMissing,
                "The cluster has no ImageStreams (image.openshift.io/v1); ask the admin to install Open Data Hub's requirements",
            ),
            kube::Error::Api(status) if status.code == 403 => StepError::new(
                Reason::ImageStreamCreateFailed,
                format!(
                    "The tasks have no permission to write ImageStreams in {target}; ask the admin to install CNBi's role there"
                ),
            ),
            error => StepError::new(
                Reason::ImageStreamCreateFailed,
                format!("cannot write the ImageStream {target}/{name}: {}", public(error)),
            ),
        }
    }
}

/// A 404 of a known kind contains kind and name; one of an unknown kind does not.
fn names_a_kind(status: &kube::core::Status) -> bool {
    status
        .details
        .as_ref()
        .is_some_and(|details| !details.kind.is_empty() && !details.name.is_empty())
}

/// The part of an error that may be published.
fn public(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        _ => "cannot connect to the API server".to_owned(),
    }
}

fn value(object: &DynamicObject) -> Result<Value, StepError> {
    serde_json::to_value(object)
        .map_err(|error| StepError::other(format!("invalid response of the API server: {error}")))
}

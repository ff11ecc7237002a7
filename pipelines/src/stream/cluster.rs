//! Reads and writes ImageStreams and reads runs, with the pod's own token. Decides nothing.

use std::time::Duration;

use cnbi_shared::config::Network;
use cnbi_shared::contract::{Asked, Reason};
use jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::Value;

use super::outcome::{self, Child, Outcome};
use super::{FIELD_MANAGER, Owner};
use crate::failure::Failure;

/// How often a write is begun anew because somebody else wrote meanwhile.
const ATTEMPTS: u32 = 6;

/// How long the API server may take for one answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Access to what this task needs.
pub struct Cluster {
    client: Client,
    streams: Api<DynamicObject>,
    owner: Owner,
}

fn api(client: &Client, namespace: &str, (group, kind, plural): (&str, &str, &str)) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk(group, "v1", kind);
    let resource = ApiResource::from_gvk_with_plural(&kind, plural);
    Api::namespaced_with(client.clone(), namespace, &resource)
}

impl Cluster {
    /// With the identity of the pod, or that of a kubeconfig that `KUBECONFIG` names.
    pub async fn connect(owner: Owner) -> Result<Self, Failure> {
        let refused = |error: String| {
            Failure::new(
                Reason::ImageStreamCreateFailed,
                format!("There is no access to the cluster: {error}"),
            )
        };
        let mut config = kube::Config::infer()
            .await
            .map_err(|error| refused(error.to_string()))?;
        config.read_timeout = Some(PATIENCE);
        config.connect_timeout = Some(PATIENCE);
        // A failure that may pass is one that the controller tries again, as a run of its own.
        config.default_retry = false;
        let client = Client::try_from(config).map_err(|error| refused(error.to_string()))?;
        let kind = ("image.openshift.io", "ImageStream", "imagestreams");
        let streams = api(&client, &owner.target, kind);
        Ok(Self { client, streams, owner })
    }

    /// Makes the stream, or takes it up, for a run that is under way. Says its uid.
    pub async fn create(&self, run: &str, asked: &Asked) -> Result<String, Failure> {
        for _ in 0..ATTEMPTS {
            let found = self.read().await?;
            // After the stream: where that is already of a later resource with the same name, the runs of the earlier one are
            // gone or on their way, and none of them takes it back.
            let run = self.run(run).await?;
            if outcome::is_cancelled(&run) {
                return Err(self.owner.conflict("is not written for a run that is cancelled"));
            }
            let stream = match found {
                Some(stream) => stream,
                None => match self.make().await? {
                    Some(stream) => stream,
                    None => continue,
                },
            };
            self.owner.may_write(&stream, false)?;
            let body = self.owner.applied(&stream, asked, &Outcome::Running);
            if let Some(stream) = self.apply(&body).await? {
                return Ok(stream["metadata"]["uid"].as_str().unwrap_or_default().to_owned());
            }
        }
        Err(self.contended())
    }

    /// Says on the stream what has come of a run.
    pub async fn update(&self, run: &str, asked: &Asked, network: &Network) -> Result<(), Failure> {
        // Before the run, which goes together with the stream: what happened to the stream is what there is to say.
        let mut stream = self.own().await?;
        let run = self.run(run).await?;
        let pipeline = outcome::pipeline(&run)?;
        let children = self.children(&run).await?;
        let outcome = outcome::read(pipeline, &children, network);
        for _ in 0..ATTEMPTS {
            if outcome::stream_uid(&children).is_some_and(|uid| stream["metadata"]["uid"] != uid) {
                return Err(self.owner.conflict("was deleted meanwhile, and made anew"));
            }
            let body = self.owner.applied(&stream, asked, &outcome);
            let Some(written) = self.apply(&body).await? else {
                stream = self.own().await?;
                continue;
            };
            if let Outcome::Succeeded(image) = &outcome
                && self.nobody_imports().await?
            {
                let status = self.owner.status(&written, image, &Timestamp::now().to_string());
                let params = PatchParams::apply(FIELD_MANAGER).force();
                self.streams
                    .patch_status(&self.owner.name, &params, &Patch::Apply(&status))
                    .await
                    .map_err(|error| self.failure(&error))?;
            }
            return Ok(());
        }
        Err(self.contended())
    }

    /// The stream, which was written before in this run.
    async fn own(&self) -> Result<Value, Failure> {
        let Some(stream) = self.read().await? else {
            return Err(self.owner.conflict("was deleted meanwhile"));
        };
        self.owner.may_write(&stream, true)?;
        Ok(stream)
    }

    async fn read(&self) -> Result<Option<Value>, Failure> {
        match self.streams.get(&self.owner.name).await {
            Ok(stream) => value(&stream).map(Some),
            Err(kube::Error::Api(status)) if status.code == 404 && names_a_kind(&status) => Ok(None),
            Err(error) => Err(self.failure(&error)),
        }
    }

    /// `None`: somebody was first.
    async fn make(&self) -> Result<Option<Value>, Failure> {
        let stream: DynamicObject = serde_json::from_value(self.owner.made())
            .map_err(|error| Failure::unforeseen(format!("The ImageStream cannot be written: {error}")))?;
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        match self.streams.create(&params, &stream).await {
            Ok(stream) => value(&stream).map(Some),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(None),
            Err(error) => Err(self.failure(&error)),
        }
    }

    /// `None`: it is not as it was when it was read.
    async fn apply(&self, body: &Value) -> Result<Option<Value>, Failure> {
        let params = PatchParams::apply(FIELD_MANAGER).force();
        match self.streams.patch(&self.owner.name, &params, &Patch::Apply(body)).await {
            Ok(stream) => value(&stream).map(Some),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
            Err(error) => Err(self.failure(&error)),
        }
    }

    /// A run in this pod's namespace that nobody has deleted: who deletes one waits for no task of it.
    async fn run(&self, name: &str) -> Result<Value, Failure> {
        let namespace = self.client.default_namespace();
        let runs = api(&self.client, namespace, ("tekton.dev", "PipelineRun", "pipelineruns"));
        let deleted = || self.owner.conflict("is not written for a run that was deleted");
        let run = match runs.get(name).await {
            Ok(run) => value(&run)?,
            Err(kube::Error::Api(status)) if status.code == 404 && names_a_kind(&status) => return Err(deleted()),
            Err(error) => return Err(self.unread(name, &error)),
        };
        if run["metadata"]["deletionTimestamp"].is_null() {
            Ok(run)
        } else {
            Err(deleted())
        }
    }

    /// The tasks of a run.
    async fn children(&self, run: &Value) -> Result<Vec<Child>, Failure> {
        let namespace = self.client.default_namespace();
        let task_runs = api(&self.client, namespace, ("tekton.dev", "TaskRun", "taskruns"));
        let mut children = Vec::new();
        for (task, name) in outcome::children(run) {
            let found = task_runs.get(&name).await;
            let task_run = value(&found.map_err(|error| self.unread(&name, &error))?)?;
            children.push(Child { task, task_run });
        }
        Ok(children)
    }

    fn unread(&self, name: &str, error: &kube::Error) -> Failure {
        let (namespace, said) = (self.client.default_namespace(), public(error));
        Failure::new(
            Reason::ImageStreamCreateFailed,
            format!("The run {namespace}/{name} cannot be read: {said}"),
        )
    }

    /// OpenShift serves ImageStreams with much besides; a stand-in has nothing but them.
    async fn nobody_imports(&self) -> Result<bool, Failure> {
        let served = self.client.list_api_group_resources("image.openshift.io/v1").await;
        let served = served.map_err(|error| self.failure(&error))?;
        Ok(!served
            .resources
            .iter()
            .any(|resource| resource.name == "imagestreamimports"))
    }

    fn contended(&self) -> Failure {
        let Owner { target, name, .. } = &self.owner;
        Failure::new(
            Reason::ImageStreamCreateFailed,
            format!("The ImageStream {target}/{name} was written by others {ATTEMPTS} times meanwhile"),
        )
    }

    fn failure(&self, error: &kube::Error) -> Failure {
        let Owner { target, name, .. } = &self.owner;
        match error {
            kube::Error::Api(status) if status.code == 404 && !names_a_kind(status) => Failure::new(
                Reason::ImageStreamApiMissing,
                "The cluster knows no ImageStreams (image.openshift.io/v1)",
            ),
            kube::Error::Api(status) if status.code == 403 => Failure::new(
                Reason::ImageStreamCreateFailed,
                format!(
                    "The tasks' service account may not write ImageStreams in {target}; the cluster's admin has to bind it there"
                ),
            ),
            error => Failure::new(
                Reason::ImageStreamCreateFailed,
                format!("The ImageStream {target}/{name} cannot be written: {}", public(error)),
            ),
        }
    }
}

/// That something of a known kind is not there is told with the kind; that the kind is not known, without.
fn names_a_kind(status: &kube::core::Status) -> bool {
    status
        .details
        .as_ref()
        .is_some_and(|details| !details.kind.is_empty() && !details.name.is_empty())
}

/// What may be repeated of an error.
fn public(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        _ => "the API server cannot be reached".to_owned(),
    }
}

fn value(object: &DynamicObject) -> Result<Value, Failure> {
    serde_json::to_value(object).map_err(|error| Failure::unforeseen(format!("The API server's answer: {error}")))
}

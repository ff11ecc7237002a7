//! A cluster with CNBi, and helper functions of the controller tests.

use std::fs;
use std::time::{Duration, Instant};

use cnbi_shared::contract::{self, Pipeline};
use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::fake_tekton::FakeTekton;
use cnbi_tests::fake_tekton::image_import::{self, Import};
use cnbi_tests::fake_tekton::scenario::{Scenario, Tasks};
use cnbi_tests::fake_tekton::{image_streams, install, pipeline_runs};
use cnbi_tests::installation::{Installation, Replica, shipped};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

pub type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Timeout of one operation on a busy machine.
pub const WITHIN: Duration = Duration::from_secs(60);

/// The build namespace.
pub const BUILDS: &str = "cnbi-builds";

/// The namespace of the ImageStreams.
pub const TARGET: &str = "opendatahub";

/// A digest that tasks report.
pub const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The namespace that CNBi is installed in.
const INSTALLED: &str = "tested";

/// A cluster.
pub struct Cluster {
    pub control_plane: ControlPlane,
}

impl Cluster {
    /// A cluster without Tekton and OpenShift.
    pub async fn bare() -> Result<Self> {
        let control_plane = ControlPlane::start().await?;
        let cluster = Self { control_plane };
        cluster.apply(&namespace(TARGET)).await?;
        Ok(cluster)
    }

    /// A cluster with all prerequisites of a PipelineRun.
    pub async fn whole() -> Result<Self> {
        let cluster = Self::bare().await?;
        install(&cluster.control_plane).await?;
        cluster.install_builds(BUILDS).await?;
        Ok(cluster)
    }

    /// A shared cluster with a running controller. Resources need unique names, because they share the target namespace.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<Cluster> = OnceCell::const_new();
        static RUNNING: OnceCell<(Installation<'static>, Replica)> = OnceCell::const_new();
        let cluster = SHARED
            .get_or_try_init(|| async { Self::whole().await.map_err(|error| anyhow(&*error)) })
            .await?;
        RUNNING
            .get_or_try_init(|| async {
                let installation = cluster.install().await.map_err(|error| anyhow(&*error))?;
                let mut controller = installation.start(shipped::CONTROLLER).await?;
                controller.ready(WITHIN).await?;
                Ok::<_, anyhow::Error>((installation, controller))
            })
            .await?;
        Ok(cluster)
    }

    /// Installs CNBi without starting a program.
    pub async fn install(&self) -> Result<Installation<'_>> {
        Ok(Installation::install(&self.control_plane, shipped::default(Some(INSTALLED))).await?)
    }

    /// Installs controllers that are all active without delay, so only their own logic prevents duplicate objects.
    pub async fn install_without_election(&self) -> Result<Installation<'_>> {
        let mut options = shipped::default(Some(INSTALLED));
        let flag = ("--leader-elect".to_owned(), "false".to_owned());
        options.flags.insert(shipped::CONTROLLER.to_owned(), vec![flag]);
        Ok(Installation::install(&self.control_plane, options).await?)
    }

    /// What an admin installs in the build namespace: RBAC, Pipelines and service accounts.
    pub async fn install_builds(&self, builds: &str) -> Result {
        self.install_as_shipped("builds", builds).await?;
        self.install_pipelines(builds).await
    }

    /// Applies another folder of `deploy` to a namespace.
    pub async fn install_as_shipped(&self, folder: &str, namespace: &str) -> Result {
        let folder = shipped::deploy().join(folder);
        let args = [std::path::Path::new("kustomize"), &folder];
        let text = self.control_plane.kubectl().args(args).ok().await?;
        for mut object in serde_saphyr::from_multiple::<Value>(&text)? {
            if object["kind"] == "Namespace" {
                object["metadata"]["name"] = namespace.into();
            } else {
                object["metadata"]["namespace"] = namespace.into();
            }
            if object["kind"] == "RoleBinding" {
                object["subjects"][0]["namespace"] = INSTALLED.into();
            }
            self.apply(&object).await?;
        }
        Ok(())
    }

    /// The Pipelines, reduced to the fields that these tests use, and the service accounts of their tasks.
    pub async fn install_pipelines(&self, builds: &str) -> Result {
        for pipeline in contract::PIPELINES {
            let name = pipeline.name;
            self.apply(&json!({
                "apiVersion": "tekton.dev/v1", "kind": "Pipeline",
                "metadata": {"name": name, "namespace": builds}, "spec": {"tasks": []},
            }))
            .await?;
        }
        for account in ["cnbi-trusted", "cnbi-untrusted"] {
            self.apply(&json!({
                "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": builds},
            }))
            .await?;
        }
        Ok(())
    }

    pub async fn apply(&self, object: &Value) -> Result {
        let apply = self.control_plane.kubectl().args(["apply", "-f", "-"]);
        apply.stdin(object.to_string()).ok().await?;
        Ok(())
    }

    pub async fn kubectl(&self, args: &[&str]) -> Result<String> {
        Ok(self.control_plane.kubectl().args(args).ok().await?)
    }

    /// A namespace for one test, without admission webhook: resources are stored as sent.
    pub async fn test_ns(&self, namespace: &str) -> Result<TestNamespace> {
        self.apply(&self::namespace(namespace)).await?;
        let client = self.control_plane.client().await?;
        Ok(TestNamespace {
            client,
            namespace: namespace.to_owned(),
        })
    }

    pub async fn configure(&self, yaml: &str) -> Result {
        let patch = json!({"data": {"config.yaml": yaml}}).to_string();
        let args = [
            "-n",
            INSTALLED,
            "patch",
            "configmap",
            "cnbi-config",
            "--type=merge",
            "-p",
            &patch,
        ];
        self.kubectl(&args).await?;
        Ok(())
    }

    /// The controller's API requests as `verb resource code`; subresources such as `status` follow the resource.
    pub fn requests(&self) -> Result<Vec<String>> {
        let user = format!("system:serviceaccount:{INSTALLED}:cnbi-controller");
        let log = fs::read_to_string(self.control_plane.audit_log())?;
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(events
            .filter(|event| event["user"]["username"] == *user && event["stage"] == "ResponseComplete")
            // A leader renews its Lease all the time.
            .filter(|event| event["objectRef"]["resource"] != "leases")
            .map(|event| {
                let of = &event["objectRef"];
                let sub = of["subresource"]
                    .as_str()
                    .map(|sub| format!("/{sub}"))
                    .unwrap_or_default();
                let (verb, resource) = (text(&event["verb"]), text(&of["resource"]));
                format!("{verb} {resource}{sub} {}", event["responseStatus"]["code"])
            })
            .collect())
    }

    /// The write requests, without Events.
    pub fn writes(&self) -> Result<Vec<String>> {
        let mut requests = self.requests()?;
        requests.retain(|request| is_write(request));
        Ok(requests)
    }

    /// Asserts that the API server rejected no request of the controller for missing RBAC.
    pub fn assert_nothing_was_forbidden(&self) -> Result {
        let requests = self.requests()?;
        let forbidden: Vec<_> = requests.iter().filter(|request| request.ends_with(" 403")).collect();
        assert!(forbidden.is_empty(), "{forbidden:?}");
        Ok(())
    }
}

/// Whether an entry of [`Cluster::requests`] is a write request; Events are ignored.
pub fn is_write(request: &str) -> bool {
    let reads = ["get ", "list ", "watch "];
    !reads.iter().any(|read| request.starts_with(read)) && !request.contains(" events ")
}

fn anyhow(error: &dyn std::error::Error) -> anyhow::Error {
    anyhow::Error::msg(error.to_string())
}

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

/// A namespace with resources.
#[derive(Clone)]
pub struct TestNamespace {
    pub client: Client,
    pub namespace: String,
}

impl TestNamespace {
    pub fn resources(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("meteor.zone", "v1alpha1", "CustomNBImage");
        let kind = ApiResource::from_gvk_with_plural(&kind, "customnbimages");
        Api::namespaced_with(self.client.clone(), &self.namespace, &kind)
    }

    pub fn runs(&self) -> Api<DynamicObject> {
        pipeline_runs(&self.client, BUILDS)
    }

    pub fn streams(&self) -> Api<DynamicObject> {
        image_streams(&self.client, TARGET)
    }

    pub fn secrets(&self, namespace: &str) -> Api<DynamicObject> {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Secret"));
        Api::namespaced_with(self.client.clone(), namespace, &kind)
    }

    pub fn tekton(&self) -> FakeTekton {
        FakeTekton::new(self.client.clone(), BUILDS)
    }

    /// Creates a resource and returns its uid.
    pub async fn create(&self, name: &str, spec: Value) -> Result<String> {
        self.create_by(name, "alice", spec).await
    }

    pub async fn create_by(&self, name: &str, creator: &str, spec: Value) -> Result<String> {
        let resource = serde_json::from_value(json!({
            "apiVersion": "meteor.zone/v1alpha1", "kind": "CustomNBImage",
            "metadata": {
                "name": name, "namespace": self.namespace,
                "annotations": {
                    "opendatahub.io/notebook-image-name": name,
                    "opendatahub.io/notebook-image-creator": creator,
                },
            },
            "spec": spec,
        }))?;
        let made = self.resources().create(&PostParams::default(), &resource).await?;
        Ok(made.metadata.uid.unwrap_or_default())
    }

    pub async fn read(&self, name: &str) -> Result<Value> {
        Ok(serde_json::to_value(self.resources().get(name).await?)?)
    }

    pub async fn patch(&self, name: &str, patch: Value) -> Result {
        let patch = Patch::Merge(patch);
        self.resources().patch(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    pub async fn delete(&self, name: &str) -> Result {
        self.resources()
            .delete(name, &kube::api::DeleteParams::default())
            .await?;
        Ok(())
    }

    /// Waits for the condition of the stored generation and returns the resource.
    pub async fn until(&self, name: &str, condition: &str, status: &str, reason: &str) -> Result<Value> {
        let begin = Instant::now();
        loop {
            let resource = self.read(name).await?;
            let said = said(&resource, condition);
            if said["status"] == status
                && said["reason"] == reason
                && resource["status"]["observedGeneration"] == resource["metadata"]["generation"]
            {
                return Ok(resource);
            }
            if begin.elapsed() > WITHIN {
                let told = &resource["status"];
                return Err(format!("{name} is not {condition}={status} {reason} but {told:#}").into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn until_ready(&self, name: &str) -> Result<Value> {
        self.until(name, "Ready", "True", "ImageReady").await
    }

    pub async fn until_gone(&self, name: &str) -> Result {
        let what = format!("{name} is gone");
        until(&what, async || Ok(self.resources().get_opt(name).await?.is_none())).await
    }

    /// The name of the resource's next PipelineRun that was not simulated yet.
    pub async fn run_of(&self, uid: &str) -> Result<String> {
        Ok(self.tekton().wait_for_run(&format!("meteor.zone/uid={uid}")).await?)
    }

    /// All PipelineRuns of a resource.
    pub async fn runs_of(&self, uid: &str) -> Result<Vec<Value>> {
        let params = ListParams::default().labels(&format!("meteor.zone/uid={uid}"));
        let list = self.runs().list(&params).await?;
        Ok(list
            .items
            .iter()
            .map(serde_json::to_value)
            .collect::<std::result::Result<_, _>>()?)
    }

    /// Simulates the last task: creates the ImageStream with its tag and, as without OpenShift, its image.
    pub async fn publish(&self, name: &str, tag: &str) -> Result {
        let stream = json!({
            "apiVersion": "image.openshift.io/v1", "kind": "ImageStream",
            "metadata": {
                "name": name, "namespace": TARGET,
                "labels": {"opendatahub.io/notebook-image": "true"},
                "annotations": {
                    "meteor.zone/owned-by": format!("{}/{name}", self.namespace),
                    "opendatahub.io/notebook-image-name": name,
                    "opendatahub.io/notebook-image-creator": "alice",
                },
            },
            "spec": {"lookupPolicy": {"local": true}, "tags": [
                {"name": tag, "from": {"kind": "DockerImage", "name": format!("quay.io/a/b@{DIGEST}")}},
            ]},
        });
        let params = PatchParams::apply("fake-task").force();
        self.streams().patch(name, &params, &Patch::Apply(stream)).await?;
        let import = Import::succeeds(DIGEST);
        Ok(image_import::simulate(&self.client, TARGET, name, tag, &import).await?)
    }

    /// Simulates a successful PipelineRun and its ImageStream.
    pub async fn build(&self, name: &str, uid: &str, pipeline: &Pipeline, tag: &str) -> Result<String> {
        let run = self.run_of(uid).await?;
        let mut simulation = self.tekton().start(&run, success(pipeline)).await?;
        simulation.until_running(pipeline.finally[0].name).await?;
        self.publish(name, tag).await?;
        simulation.finish().await?;
        Ok(run)
    }
}

/// The condition of that type, or null.
pub fn said<'a>(resource: &'a Value, condition: &str) -> &'a Value {
    let mut conditions = resource["status"]["conditions"].as_array().into_iter().flatten();
    conditions
        .find(|said| said["type"] == condition)
        .unwrap_or(&Value::Null)
}

pub fn tasks(pipeline: &Pipeline) -> Tasks {
    let names = |tasks: &'static [contract::Task]| tasks.iter().map(|task| task.name).collect::<Vec<_>>();
    Tasks::new(&names(pipeline.tasks), &names(pipeline.finally))
}

pub fn success(pipeline: &Pipeline) -> Scenario {
    Scenario::succeeds(&tasks(pipeline))
        .with_result("digest", DIGEST)
        .with_result("reference", &format!("quay.io/a/b@{DIGEST}"))
}

/// A valid import; its tag is `v0.2.2`.
pub fn import() -> Value {
    json!({"buildType": "ImageImport", "fromImage": "quay.io/thoth-station/s2i-minimal-py38-notebook:v0.2.2"})
}

pub async fn until(what: &str, holds: impl AsyncFn() -> Result<bool>) -> Result {
    let begin = Instant::now();
    while !holds().await? {
        if begin.elapsed() > WITHIN {
            return Err(format!("not within {WITHIN:?}: {what}").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

pub async fn get(replica: &Replica, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", replica.port("metrics")?)).await?;
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// The value of a metric with its printed labels; 0 if it is missing.
pub async fn metric(replica: &Replica, name: &str) -> Result<u64> {
    let text = get(replica, "/metrics").await?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    Ok(value.unwrap_or(0))
}

pub async fn until_metric(replica: &Replica, name: &str, at_least: u64) -> Result {
    let what = format!("{name} is {at_least}");
    until(&what, async || Ok(metric(replica, name).await? >= at_least)).await
}

/// Waits, because metrics follow the API server with a delay.
pub async fn until_metric_is(replica: &Replica, name: &str, value: u64) -> Result {
    let what = format!("{name} is exactly {value}");
    until(&what, async || Ok(metric(replica, name).await? == value)).await
}

/// A PipelineRun that stays in its second task.
pub fn held(pipeline: &Pipeline) -> Result<Scenario> {
    Ok(Scenario::hangs_at(&tasks(pipeline), pipeline.tasks[1].name)?)
}

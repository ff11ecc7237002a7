//! Self-managed certificates on a real API server, with the documented permissions only.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cnbi_certs::bundle::Bundle;
use cnbi_certs::{Clock, FIELD_MANAGER, Names, Policy, SelfManaged, Status};
use cnbi_tests::control_plane::{self, ControlPlane};
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const CA_SECRET: &str = "hook-ca";

/// Poll interval of most replicas.
const OFTEN: Duration = Duration::from_millis(200);
/// Longer than any test runs, so that only watch events make a replica reconcile.
const NEVER: Duration = Duration::from_secs(3_600);

/// A namespace with a ServiceAccount, its RBAC and two webhook configurations, all with the same name.
struct Installation {
    name: &'static str,
    admin: Client,
    /// Uses the ServiceAccount.
    client: Client,
}

/// A replica that runs until it is dropped.
struct Replica {
    status: watch::Receiver<Status>,
    task: JoinHandle<()>,
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Replica {
    async fn until(&mut self, what: &str, holds: impl FnMut(&Status) -> bool) -> Outcome<Status> {
        let wait = self.status.wait_for(holds);
        let told = match tokio::time::timeout(Duration::from_secs(60), wait).await {
            Ok(told) => Some(told?.clone()),
            Err(_) => None,
        };
        told.ok_or_else(|| format!("not {what} after 60 s: {:?}", *self.status.borrow()).into())
    }

    async fn trusted(&mut self) -> Outcome<Status> {
        self.until("trusted", |status| status.trusted).await
    }
}

impl Installation {
    async fn new(name: &'static str) -> Outcome<Self> {
        Self::on(ControlPlane::shared().await?, name).await
    }

    async fn on(cluster: &ControlPlane, name: &'static str) -> Outcome<Self> {
        let objects = serde_json::to_string(&json!({ "apiVersion": "v1", "kind": "List", "items": objects(name) }))?;
        cluster.kubectl().args(["apply", "-f", "-"]).stdin(objects).ok().await?;
        let account = cluster.service_account_kubeconfig(name, "hook").await?;
        Ok(Self {
            name,
            admin: cluster.client().await?,
            client: control_plane::client(&account).await?,
        })
    }

    fn replica(&self) -> Outcome<Replica> {
        self.replica_that_looks(OFTEN)
    }

    fn replica_that_looks(&self, poll: Duration) -> Outcome<Replica> {
        self.replica_with(poll, Clock::default())
    }

    fn replica_with(&self, poll: Duration, clock: Clock) -> Outcome<Replica> {
        let names = Names {
            namespace: self.name.to_owned(),
            service: "hook".to_owned(),
            secret: CA_SECRET.to_owned(),
            mutating: vec![self.name.to_owned()],
            validating: vec![self.name.to_owned()],
            cluster_domain: "cluster.local".to_owned(),
            extra_sans: vec!["127.0.0.1".to_owned()],
            instance: "hook-0".to_owned(),
        };
        let policy = Policy {
            poll,
            ..Policy::default()
        };
        let managed = SelfManaged::new(self.client.clone(), &names, policy, clock)?;
        let status = managed.status();
        Ok(Replica {
            status,
            task: tokio::spawn(managed.run(std::future::pending())),
        })
    }

    fn mutating(&self) -> Api<MutatingWebhookConfiguration> {
        Api::all(self.admin.clone())
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.admin.clone(), self.name)
    }

    /// Clears the bundle of one entry of each configuration, like an admin who applies one without a bundle.
    async fn clear(&self) -> Outcome {
        let validating = Api::<ValidatingWebhookConfiguration>::all(self.admin.clone());
        let params = PatchParams::apply("a-person").force();
        let of = |kind: &str| {
            let entry = json!({ "name": "one.hook.example", "clientConfig": { "caBundle": "" } });
            Patch::Apply(json!({ "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "webhooks": [entry] }))
        };
        let (mutating, kind) = (self.mutating(), "MutatingWebhookConfiguration");
        mutating.patch(self.name, &params, &of(kind)).await?;
        let kind = "ValidatingWebhookConfiguration";
        validating.patch(self.name, &params, &of(kind)).await?;
        Ok(())
    }

    /// Every `caBundle` of both configurations.
    async fn bundles(&self) -> Outcome<Vec<Vec<u8>>> {
        let mutating = self.mutating().get(self.name).await?.webhooks.unwrap_or_default();
        let validating = Api::<ValidatingWebhookConfiguration>::all(self.admin.clone());
        let validating = validating.get(self.name).await?.webhooks.unwrap_or_default();
        let clients = mutating.into_iter().map(|it| it.client_config);
        let clients = clients.chain(validating.into_iter().map(|it| it.client_config));
        Ok(clients.map(|client| client.ca_bundle.unwrap_or_default().0).collect())
    }

    async fn reasons(&self) -> Outcome<BTreeSet<String>> {
        let events = Api::<Event>::namespaced(self.admin.clone(), self.name);
        let events = events.list(&ListParams::default()).await?;
        Ok(events.items.into_iter().filter_map(|event| event.reason).collect())
    }
}

/// The objects that an admin installs. The rules match an API group that does not exist, so the webhooks are never called.
fn objects(name: &str) -> Vec<Value> {
    let entry = |webhook: &str| {
        json!({
            "name": webhook,
            "clientConfig": { "service": { "namespace": name, "name": "hook", "path": "/" } },
            "rules": [{ "apiGroups": [format!("{name}.example")], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["things"] }],
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        })
    };
    let rbac = "rbac.authorization.k8s.io/v1";
    let subjects = json!([{ "kind": "ServiceAccount", "namespace": name, "name": "hook" }]);
    let binding = |kind: &str, role: &str, namespace: Option<&str>| {
        json!({
            "apiVersion": rbac, "kind": kind, "metadata": { "name": name, "namespace": namespace },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": name }, "subjects": subjects,
        })
    };
    let admission = "admissionregistration.k8s.io";
    vec![
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }),
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "hook", "namespace": name } }),
        json!({ "apiVersion": rbac, "kind": "ClusterRole", "metadata": { "name": name }, "rules": [{
            "apiGroups": [admission], "resources": ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"],
            "resourceNames": [name], "verbs": ["get", "patch", "watch"],
        }] }),
        binding("ClusterRoleBinding", "ClusterRole", None),
        json!({ "apiVersion": rbac, "kind": "Role", "metadata": { "name": name, "namespace": name }, "rules": [
            { "apiGroups": [""], "resources": ["secrets"], "resourceNames": [CA_SECRET], "verbs": ["get", "update"] },
            { "apiGroups": [""], "resources": ["secrets"], "verbs": ["create"] },
            { "apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create"] },
        ] }),
        binding("RoleBinding", "Role", Some(name)),
        json!({ "apiVersion": format!("{admission}/v1"), "kind": "MutatingWebhookConfiguration",
            "metadata": { "name": name }, "webhooks": [entry("one.hook.example"), entry("two.hook.example")] }),
        json!({ "apiVersion": format!("{admission}/v1"), "kind": "ValidatingWebhookConfiguration",
            "metadata": { "name": name }, "webhooks": [entry("one.hook.example")] }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn three_concurrent_replicas_create_one_ca() -> Outcome {
    let installation = Installation::new("certs-race").await?;
    let mut replicas = [
        installation.replica()?,
        installation.replica()?,
        installation.replica()?,
    ];
    let mut ends = BTreeSet::new();
    for replica in &mut replicas {
        ends.insert(replica.trusted().await?.ca_not_after);
    }
    assert_eq!(ends.len(), 1, "all replicas use the same CA");
    let bundles = installation.bundles().await?;
    assert_eq!(bundles.len(), 3);
    assert!(
        bundles.iter().all(|bundle| *bundle == bundles[0]),
        "all bundles are equal"
    );
    let secret = installation.secrets().get(CA_SECRET).await?;
    assert_eq!(
        secret.data.ok_or("no data")?["tls.crt"].0,
        bundles[0],
        "the bundle is the CA in the Secret"
    );
    assert_eq!(installation.reasons().await?, BTreeSet::new(), "no events");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_field_manager_owns_only_the_bundle() -> Outcome {
    let installation = Installation::new("certs-fields").await?;
    installation.replica()?.trusted().await?;
    let configuration = installation.mutating().get(installation.name).await?;
    let managed = configuration.metadata.managed_fields.ok_or("no managed fields")?;
    let ours = managed
        .iter()
        .find(|it| it.manager.as_deref() == Some(FIELD_MANAGER))
        .ok_or("not ours")?;
    assert_eq!(ours.operation.as_deref(), Some("Apply"));
    // Server-side apply records the item and its key as owned too.
    let item = json!({ ".": {}, "f:name": {}, "f:clientConfig": { "f:caBundle": {} } });
    let expected = json!({ "f:webhooks": {
        "k:{\"name\":\"one.hook.example\"}": item, "k:{\"name\":\"two.hook.example\"}": item,
    } });
    assert_eq!(ours.fields_v1.as_ref().ok_or("no fields")?.0, expected);

    // Applying the manifest without a bundle again keeps the bundle.
    let before = installation.bundles().await?;
    let again = serde_json::to_string(&objects(installation.name)[6])?;
    let cluster = ControlPlane::shared().await?;
    for side in ["--server-side=false", "--server-side=true"] {
        let apply = ["apply", "--force-conflicts=true", side, "-f", "-"];
        let arguments = apply
            .into_iter()
            .filter(|it| side.ends_with("true") || !it.starts_with("--force"));
        cluster.kubectl().args(arguments).stdin(again.clone()).ok().await?;
        assert_eq!(installation.bundles().await?, before, "{side}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_based_on_an_older_version_conflict() -> Outcome {
    let installation = Installation::new("certs-stale").await?;
    let api = Api::<MutatingWebhookConfiguration>::all(installation.client.clone());
    let stale = api.get(installation.name).await?.metadata.resource_version;
    installation.replica()?.trusted().await?;
    let before = installation.bundles().await?;
    let body = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": { "name": installation.name, "resourceVersion": stale },
        "webhooks": [{ "name": "one.hook.example", "clientConfig": { "caBundle": "" } }],
    });
    let apply = PatchParams::apply(FIELD_MANAGER).force();
    let refused = api.patch(installation.name, &apply, &Patch::Apply(&body)).await;
    assert!(
        matches!(&refused, Err(kube::Error::Api(status)) if status.code == 409 && status.is_conflict()),
        "{refused:?}"
    );
    assert_eq!(installation.bundles().await?, before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cleared_or_changed_bundle_is_restored() -> Outcome {
    let installation = Installation::new("certs-cleared").await?;
    let mut replica = installation.replica()?;
    replica.trusted().await?;
    let before = installation.bundles().await?;
    let stranger = cnbi_certs::Authority::issue(jiff::Timestamp::now(), &Policy::default())?;
    for bundle in [Vec::new(), stranger.certificate_pem().as_bytes().to_vec()] {
        let bundle = serde_json::to_value(k8s_openapi::ByteString(bundle))?;
        let change = json!([{ "op": "add", "path": "/webhooks/1/clientConfig/caBundle", "value": bundle }]);
        let change = change.to_string();
        let cluster = ControlPlane::shared().await?;
        let patch = [
            "patch",
            "mutatingwebhookconfiguration",
            installation.name,
            "--type=json",
            "-p",
            &change,
        ];
        cluster.kubectl().args(patch).ok().await?;
        until("the bundle is restored", async || {
            Ok(installation.bundles().await? == before)
        })
        .await?;
        replica.trusted().await?;
    }
    Ok(())
}

/// The replicas poll once an hour, so the bundle is restored by watch events.
#[tokio::test(flavor = "multi_thread")]
async fn a_cleared_bundle_is_restored_after_a_watch_event() -> Outcome {
    let installation = Installation::new("certs-told").await?;
    let mut replicas = [
        installation.replica_that_looks(NEVER)?,
        installation.replica_that_looks(NEVER)?,
    ];
    for replica in &mut replicas {
        replica.trusted().await?;
    }
    let before = installation.bundles().await?;
    for _ in 0..3 {
        installation.clear().await?;
        until("the bundle is restored", async || {
            Ok(installation.bundles().await? == before)
        })
        .await?;
    }
    // Delete and create, like `kubectl replace --force`.
    installation
        .mutating()
        .delete(installation.name, &DeleteParams::default())
        .await?;
    let again = serde_json::to_string(&objects(installation.name)[6])?;
    let cluster = ControlPlane::shared().await?;
    cluster.kubectl().args(["create", "-f", "-"]).stdin(again).ok().await?;
    until("the bundle is restored", async || {
        Ok(installation.bundles().await? == before)
    })
    .await?;
    for replica in &mut replicas {
        replica.trusted().await?;
    }
    Ok(())
}

const YEARS: jiff::SignedDuration = jiff::SignedDuration::from_hours(3 * 365 * 24);

/// One clock is three years ahead. Certificates of both replicas are valid by the clock of the API server.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_with_a_wrong_clock_uses_the_clock_of_the_api_server() -> Outcome {
    let installation = Installation::new("certs-ahead").await?;
    let ahead = Clock::new(|| jiff::Timestamp::now() + YEARS).possibly_wrong();
    let mut ahead = installation.replica_with(OFTEN, ahead)?;
    let told = ahead.trusted().await?;
    let now = jiff::Timestamp::now();
    let ends = told.ca_not_after.ok_or("no CA")?;
    assert!((now..now + YEARS / 2).contains(&ends), "{ends}");
    let bundles = installation.bundles().await?;
    assert!(installation.replica()?.trusted().await?.trusted);
    assert_eq!(installation.bundles().await?, bundles, "both replicas use the same CA");
    assert_eq!(installation.reasons().await?, BTreeSet::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_that_is_not_valid_yet_is_replaced_with_an_event() -> Outcome {
    let installation = Installation::new("certs-early").await?;
    let future = cnbi_certs::Authority::issue(jiff::Timestamp::now() + YEARS, &Policy::default())?;
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": CA_SECRET }, "type": "kubernetes.io/tls",
        "stringData": { "tls.crt": future.certificate_pem(), "tls.key": future.key_pem() } });
    let apply = PatchParams::apply("a-person");
    installation
        .secrets()
        .patch(CA_SECRET, &apply, &Patch::Apply(&secret))
        .await?;
    let mut replica = installation.replica()?;
    replica.trusted().await?;
    until("the Event is created", async || {
        Ok(installation.reasons().await?.contains("CANotYetValid"))
    })
    .await?;
    let bundles = installation.bundles().await?;
    assert!(
        bundles
            .iter()
            .all(|bundle| !Bundle::pem_contains(bundle, future.certificate()))
    );
    Ok(())
}

/// Another client clears the bundle each time that the replica restores it. The replica gives up after a few rounds; the next
/// poll is an hour away.
#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_over_the_bundle_does_not_loop() -> Outcome {
    let installation = Installation::new("certs-fight").await?;
    let mut replica = installation.replica_that_looks(NEVER)?;
    replica.trusted().await?;
    let (mut rounds, mut put_right) = (0, Instant::now());
    installation.clear().await?;
    while put_right.elapsed() < Duration::from_secs(3) {
        if installation.bundles().await?.iter().all(|bundle| !bundle.is_empty()) {
            (rounds, put_right) = (rounds + 1, Instant::now());
            assert!(rounds < 100, "the replica keeps restoring the bundle");
            installation.clear().await?;
        }
    }
    assert!((1..=10).contains(&rounds), "{rounds} rounds");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_resume_after_an_api_server_restart() -> Outcome {
    let cluster = ControlPlane::start().await?;
    let installation = Installation::on(&cluster, "certs-back").await?;
    let mut replica = installation.replica_that_looks(NEVER)?;
    replica.trusted().await?;
    let before = installation.bundles().await?;
    cluster.stop_api_server().await?;
    cluster.start_api_server().await?;
    installation.clear().await?;
    until("the bundle is restored", async || {
        Ok(installation.bundles().await? == before)
    })
    .await
}

/// Older versions have no watch permission.
#[tokio::test(flavor = "multi_thread")]
async fn without_watch_permission_replicas_poll() -> Outcome {
    let installation = Installation::new("certs-untold").await?;
    let narrow = json!([{ "op": "replace", "path": "/rules/0/verbs", "value": ["get", "patch"] }]).to_string();
    let cluster = ControlPlane::shared().await?;
    let patch = ["patch", "clusterrole", installation.name, "--type=json", "-p", &narrow];
    cluster.kubectl().args(patch).ok().await?;
    let mut replica = installation.replica()?;
    replica.trusted().await?;
    let before = installation.bundles().await?;
    installation.clear().await?;
    until("the bundle is restored", async || {
        Ok(installation.bundles().await? == before)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_or_corrupted_secret_is_replaced_with_an_event() -> Outcome {
    let installation = Installation::new("certs-lost").await?;
    let mut replica = installation.replica()?;
    replica.trusted().await?;
    let secrets = installation.secrets();
    let current = async || -> Outcome<Vec<u8>> {
        let secret = secrets.get_opt(CA_SECRET).await?;
        let data = secret.and_then(|secret| secret.data).unwrap_or_default();
        Ok(data.get("tls.crt").map(|it| it.0.clone()).unwrap_or_default())
    };
    let first = current().await?;

    secrets.delete(CA_SECRET, &DeleteParams::default()).await?;
    until("the Event is created", async || {
        Ok(installation.reasons().await?.contains("CASecretMissing"))
    })
    .await?;
    let second = current().await?;
    assert_ne!(first, second);
    let served = Bundle::parse(&first);
    until("both CAs are published", async || {
        let bundles = installation.bundles().await?;
        let both = Bundle::of(
            Bundle::parse(&[first.clone(), second.clone()].concat())
                .certificates()
                .to_vec(),
        );
        Ok(bundles.iter().all(|bundle| Bundle::parse(bundle) == both))
    })
    .await?;
    assert_eq!(served.certificates().len(), 1);
    assert!(
        replica.status.borrow().trusted,
        "the served certificate is still trusted"
    );

    let nonsense = Patch::Merge(json!({ "stringData": { "tls.key": "nonsense" } }));
    secrets.patch(CA_SECRET, &PatchParams::default(), &nonsense).await?;
    until("the Event is created", async || {
        Ok(installation.reasons().await?.contains("CASecretInvalid"))
    })
    .await?;
    until("the CA is replaced", async || {
        let now = current().await?;
        Ok(now != first && now != second && !now.is_empty())
    })
    .await?;
    replica.trusted().await?;
    let keys = installation.secrets().get(CA_SECRET).await?.data.ok_or("no data")?;
    let events = Api::<Event>::namespaced(installation.admin.clone(), installation.name);
    let events = serde_json::to_string(&events.list(&ListParams::default()).await?)?;
    let key = String::from_utf8(keys["tls.key"].0.clone())?;
    assert!(
        key.lines()
            .filter(|line| !line.starts_with('-'))
            .all(|line| !events.contains(line))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_write_permission_no_untrusted_certificate_is_served() -> Outcome {
    let installation = Installation::new("certs-forbidden").await?;
    let cluster = ControlPlane::shared().await?;
    let revoke = ["delete", "clusterrolebinding", installation.name];
    cluster.kubectl().args(revoke).ok().await?;
    let mut replica = installation.replica()?;
    let told = replica.until("reporting an error", |status| {
        status
            .last_error
            .as_deref()
            .is_some_and(|error| error.contains("webhookconfigurations"))
    });
    let told = told.await?;
    assert!(!told.trusted);
    let error = told.last_error.unwrap_or_default();
    assert!(
        error.contains("is forbidden") || error.contains("cannot get"),
        "{error}"
    );
    Ok(())
}

/// Waits until the condition holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> Outcome<bool>) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds().await? {
        if Instant::now() > deadline {
            return Err(format!("timed out waiting until {what}").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

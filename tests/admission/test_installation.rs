//! What every test stands on: an installation of its own whose webhook is asked.
//!
//! Whoever uses a [`TestInstallation`] has it looked at when the test is over: nothing panicked, and nothing was refused for want of a
//! right but what the test itself took away.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Result, ensure};
use cnbi_shared::config::KEY;
use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::installation::{FaultProxy, Installation, Options, Replica, shipped};
use cnbi_tests::kubectl::Kubectl;
use cnbi_tests::process::Fault;
use http::Method;
use kube::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::api_response::{ApiResponse, samples, send_request};
use crate::cluster::{ADMIN, TARGET, WITHIN, cluster, collection, path_of, resource, until, until_allowed};

/// An installation, and its webhook at work.
pub struct TestInstallation<'a> {
    pub cluster: &'a ControlPlane,
    /// The administrator's.
    pub client: Client,
    pub installation: Installation<'a>,
    pub webhook: Replica,
    /// Parts of the URLs at which the webhook may be refused, because the test took the right away.
    pub refused: Vec<&'static str>,
}

impl<'a> TestInstallation<'a> {
    /// Runs a test in an installation of this name on the control plane that all share.
    pub async fn run(name: &str, test: impl AsyncFnOnce(&mut TestInstallation<'static>) -> Result<()>) -> Result<()> {
        TestInstallation::run_on(cluster().await?, name, test).await
    }

    /// Runs a test in an installation of this name.
    pub async fn run_on(
        cluster: &'a ControlPlane,
        name: &str,
        test: impl AsyncFnOnce(&mut TestInstallation<'a>) -> Result<()>,
    ) -> Result<()> {
        TestInstallation::run_with(cluster, shipped::default(Some(name)), test).await
    }

    /// Runs a test in an installation that is as these options say.
    pub async fn run_with(
        cluster: &'a ControlPlane,
        options: Options,
        test: impl AsyncFnOnce(&mut TestInstallation<'a>) -> Result<()>,
    ) -> Result<()> {
        let installation = Installation::install(cluster, options).await?;
        let mut setup = Self {
            cluster,
            client: cluster.client().await?,
            webhook: start(cluster, &installation).await?,
            installation,
            refused: Vec::new(),
        };
        setup.webhook.ready(WITHIN).await?;
        setup.installation.create_namespace(&setup.namespace()).await?;
        setup.until_asked(&setup.namespace()).await?;
        test(&mut setup).await?;
        setup.ended_well().await
    }

    /// Waits until the API server asks the webhook about a namespace: it learns of certificates and labels by watches.
    pub async fn until_asked(&self, namespace: &str) -> Result<()> {
        until("the webhook is asked", async || {
            let response = self
                .dry_run(ADMIN, &resource(namespace, "probe", json!({"targetNamespace": "Bad"})))
                .await?;
            Ok(response.lines().iter().any(|(_, rule, _)| rule == "CNB020"))
        })
        .await
    }

    /// A call of kubectl as administrator in that namespace.
    pub fn kubectl(&self, command: &str) -> Kubectl {
        self.cluster
            .kubectl()
            .arg(command)
            .arg("--namespace")
            .arg(self.namespace())
    }

    /// A namespace whose resources this webhook is asked about.
    pub fn namespace(&self) -> String {
        format!("{}-team", self.installation.namespace())
    }

    /// Creates a resource of ours in its namespace.
    pub async fn create(&self, user: &str, object: &Value) -> Result<ApiResponse> {
        send_request(&self.client, Some(user), Method::POST, &collection(object, ""), object).await
    }

    /// Asks what would come of creating it.
    pub async fn dry_run(&self, user: &str, object: &Value) -> Result<ApiResponse> {
        send_request(
            &self.client,
            Some(user),
            Method::POST,
            &collection(object, "?dryRun=All"),
            object,
        )
        .await
    }

    /// Replaces a resource of ours.
    pub async fn replace(&self, user: &str, object: &Value) -> Result<ApiResponse> {
        send_request(&self.client, Some(user), Method::PUT, &path_of(object), object).await
    }

    /// Asks as administrator.
    pub async fn send_request(&self, method: Method, path: &str, body: &Value) -> Result<ApiResponse> {
        send_request(&self.client, None, method, path, body).await
    }

    /// Asks as administrator for something that has to succeed.
    pub async fn done(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        let response = self.send_request(method.clone(), path, body).await?;
        ensure!(response.is_success(), "{method} {path}: {}", response.body);
        Ok(response.body)
    }

    /// The URL path of the ConfigMap that holds the configuration.
    pub fn config_map(&self) -> String {
        format!(
            "/api/v1/namespaces/{}/configmaps/cnbi-config",
            self.installation.namespace()
        )
    }

    /// Puts another configuration into force.
    pub async fn configure(&self, yaml: &str) -> Result<()> {
        let before = self.metric("cnbi_webhook_config_generation").await?;
        let patch = json!({"data": {KEY: yaml}});
        self.done(Method::PATCH, &self.config_map(), &patch).await?;
        until("the configuration is in force", async || {
            Ok(self.metric("cnbi_webhook_config_generation").await? > before)
        })
        .await
    }

    /// The metrics of this webhook.
    pub async fn metrics(&self) -> Result<BTreeMap<String, i64>> {
        Ok(samples(&get(&self.webhook, "/metrics").await?))
    }

    /// One metric, by its name with labels; 0 where it was never counted.
    pub async fn metric(&self, name: &str) -> Result<i64> {
        Ok(self.metrics().await?.get(name).copied().unwrap_or_default())
    }

    /// How often the webhook has read something for a review.
    pub async fn facts(&self) -> Result<i64> {
        let all = self.metrics().await?;
        Ok(all
            .iter()
            .filter(|(name, _)| name.starts_with("cnbi_webhook_lookups_total{"))
            .map(|(_, count)| count)
            .sum())
    }

    /// Ends the webhook on the spot, as a crash would, and waits until it has ended.
    pub async fn stop_webhook(&mut self) -> Result<()> {
        self.webhook.send(Fault::Kill)?;
        self.webhook.wait(WITHIN).await.map(drop)
    }

    /// Starts the webhook again where it was, after it has ended.
    pub async fn restart(&mut self) -> Result<()> {
        self.webhook = self.installation.start(shipped::WEBHOOK).await?;
        self.webhook.ready(WITHIN).await
    }

    /// Ends the webhook, and starts it again with something between it and the API server, which passes on until told otherwise.
    pub async fn restart_behind(&mut self) -> Result<FaultProxy> {
        let fault_proxy = FaultProxy::start(&self.cluster.kubeconfig()).await?;
        self.stop_webhook().await?;
        self.webhook = self
            .installation
            .start_behind(shipped::WEBHOOK, fault_proxy.url())
            .await?;
        self.webhook.ready(WITHIN).await?;
        self.until_asked(&self.namespace()).await?;
        Ok(fault_proxy)
    }

    /// The user that the webhook is to the API server.
    pub fn account(&self) -> String {
        account(&self.installation)
    }

    async fn ended_well(&mut self) -> Result<()> {
        self.webhook.ensure_running()?;
        let metrics = self.metrics().await?;
        let panics = metrics.get("cnbi_webhook_panics_total");
        ensure!(panics == Some(&0), "panics: {panics:?}");
        let user = self.account();
        let mut own = 0;
        for line in fs::read_to_string(self.cluster.audit_log())?.lines() {
            let Ok(event) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            if event["user"]["username"] != *user {
                continue;
            }
            own += 1;
            let url = event["requestURI"].as_str().unwrap_or_default();
            let is_known = self.refused.iter().any(|part| url.contains(part));
            ensure!(is_known || event["responseStatus"]["code"] != 403, "{event}");
        }
        ensure!(own > 0, "the audit log says nothing of {user}");
        Ok(())
    }
}

fn account(installation: &Installation<'_>) -> String {
    format!("system:serviceaccount:{}:cnbi-webhook", installation.namespace())
}

/// Starts the webhook once its rights are in force, as they long are when a node starts a pod.
async fn start(cluster: &ControlPlane, installation: &Installation<'_>) -> Result<Replica> {
    let own = installation.name_of("cnbi-webhook");
    let namespace = installation.namespace();
    for (group, resource, verb, name, namespace) in [
        ("", "configmaps", "watch", "cnbi-config", namespace),
        ("", "secrets", "update", "cnbi-webhook-ca", namespace),
        ("", "secrets", "get", "any", TARGET),
        (
            "admissionregistration.k8s.io",
            "validatingwebhookconfigurations",
            "patch",
            &own,
            "",
        ),
    ] {
        let attributes =
            json!({"group": group, "resource": resource, "verb": verb, "name": name, "namespace": namespace});
        until_allowed(&cluster.client().await?, &account(installation), &attributes, true).await?;
    }
    installation.start(shipped::WEBHOOK).await
}

/// What the webhook says on its port for status.
pub async fn get(replica: &Replica, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", replica.port("metrics")?)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

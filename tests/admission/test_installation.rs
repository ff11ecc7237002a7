//! An installation for one test, with a running webhook.
//!
//! At the end, [`TestInstallation`] checks that the webhook did not panic and got no 403, except for permissions that the test
//! revoked.

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

/// An installation with a running webhook.
pub struct TestInstallation<'a> {
    pub cluster: &'a ControlPlane,
    /// Uses administrator permissions.
    pub client: Client,
    pub installation: Installation<'a>,
    pub webhook: Replica,
    /// Parts of URLs for which the webhook may get 403, because the test revoked the permission.
    pub refused: Vec<&'static str>,
}

impl<'a> TestInstallation<'a> {
    /// Runs a test in an installation of this name on the shared control plane.
    pub async fn run(name: &str, test: impl AsyncFnOnce(&mut TestInstallation<'static>) -> Result<()>) -> Result<()> {
        TestInstallation::run_on(cluster().await?, name, test).await
    }

    /// Runs a test in an installation of this name on the given control plane.
    pub async fn run_on(
        cluster: &'a ControlPlane,
        name: &str,
        test: impl AsyncFnOnce(&mut TestInstallation<'a>) -> Result<()>,
    ) -> Result<()> {
        TestInstallation::run_with(cluster, shipped::default(Some(name)), test).await
    }

    /// Runs a test in an installation with these options.
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

    /// Waits until the API server calls the webhook for a namespace. It watches webhook configurations and namespace labels.
    pub async fn until_asked(&self, namespace: &str) -> Result<()> {
        until("the webhook is called", async || {
            let response = self
                .dry_run(ADMIN, &resource(namespace, "probe", json!({"targetNamespace": "Bad"})))
                .await?;
            Ok(response.lines().iter().any(|(_, rule, _)| rule == "CNB020"))
        })
        .await
    }

    /// Runs kubectl as administrator in the test namespace.
    pub fn kubectl(&self, command: &str) -> Kubectl {
        self.cluster
            .kubectl()
            .arg(command)
            .arg("--namespace")
            .arg(self.namespace())
    }

    /// The test namespace, for which this webhook is called.
    pub fn namespace(&self) -> String {
        format!("{}-team", self.installation.namespace())
    }

    /// Creates a CustomNBImage.
    pub async fn create(&self, user: &str, object: &Value) -> Result<ApiResponse> {
        send_request(&self.client, Some(user), Method::POST, &collection(object, ""), object).await
    }

    /// Creates a CustomNBImage as a dry run.
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

    /// Replaces a CustomNBImage.
    pub async fn replace(&self, user: &str, object: &Value) -> Result<ApiResponse> {
        send_request(&self.client, Some(user), Method::PUT, &path_of(object), object).await
    }

    /// Sends a request as administrator.
    pub async fn send_request(&self, method: Method, path: &str, body: &Value) -> Result<ApiResponse> {
        send_request(&self.client, None, method, path, body).await
    }

    /// Sends a request as administrator; fails unless it succeeds.
    pub async fn done(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        let response = self.send_request(method.clone(), path, body).await?;
        ensure!(response.is_success(), "{method} {path}: {}", response.body);
        Ok(response.body)
    }

    /// The URL path of the configuration's ConfigMap.
    pub fn config_map(&self) -> String {
        format!(
            "/api/v1/namespaces/{}/configmaps/cnbi-config",
            self.installation.namespace()
        )
    }

    /// Changes the configuration and waits until the webhook uses it.
    pub async fn configure(&self, yaml: &str) -> Result<()> {
        let before = self.metric("cnbi_webhook_config_generation").await?;
        let patch = json!({"data": {KEY: yaml}});
        self.done(Method::PATCH, &self.config_map(), &patch).await?;
        until("the configuration is active", async || {
            Ok(self.metric("cnbi_webhook_config_generation").await? > before)
        })
        .await
    }

    /// The metrics of this webhook.
    pub async fn metrics(&self) -> Result<BTreeMap<String, i64>> {
        Ok(samples(&get(&self.webhook, "/metrics").await?))
    }

    /// One metric, by name with labels; 0 if it is missing.
    pub async fn metric(&self, name: &str) -> Result<i64> {
        Ok(self.metrics().await?.get(name).copied().unwrap_or_default())
    }

    /// Number of reads from the API server for reviews.
    pub async fn facts(&self) -> Result<i64> {
        let all = self.metrics().await?;
        Ok(all
            .iter()
            .filter(|(name, _)| name.starts_with("cnbi_webhook_lookups_total{"))
            .map(|(_, count)| count)
            .sum())
    }

    /// Kills the webhook and waits until it has ended.
    pub async fn stop_webhook(&mut self) -> Result<()> {
        self.webhook.send(Fault::Kill)?;
        self.webhook.wait(WITHIN).await.map(drop)
    }

    /// Starts the webhook again after it has ended, on the same port.
    pub async fn restart(&mut self) -> Result<()> {
        self.webhook = self.installation.start(shipped::WEBHOOK).await?;
        self.webhook.ready(WITHIN).await
    }

    /// Restarts the webhook behind a proxy to the API server. The proxy forwards requests until a fault is set.
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

    /// The user name of the webhook's ServiceAccount.
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
        ensure!(own > 0, "the audit log has no request of {user}");
        Ok(())
    }
}

fn account(installation: &Installation<'_>) -> String {
    format!("system:serviceaccount:{}:cnbi-webhook", installation.namespace())
}

/// Starts the webhook once its RBAC permissions are effective.
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

/// Sends a GET request to the webhook's port for probes and metrics; returns the raw response.
pub async fn get(replica: &Replica, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", replica.port("metrics")?)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

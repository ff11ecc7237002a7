//! Service accounts' own credentials, so that a program runs with the rights of its account and no others.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;

use super::kubeconfig::{self, Credential};
use super::{ControlPlane, fs};

/// Longer than any control plane of ours lives, in seconds.
const A_YEAR: i64 = 365 * 24 * 60 * 60;

impl ControlPlane {
    /// A kubeconfig that speaks as a service account, with its namespace as the default one.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                expiration_seconds: Some(A_YEAR),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let token = accounts
            .create_token_request(name, &kube::api::PostParams::default(), &request)
            .await
            .with_context(|| format!("requesting a token of the service account {namespace}/{name}"))?
            .status
            .context("the API server answered without a token")?
            .token;
        let folder = self.data().join("service-accounts");
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{namespace}.{name}.kubeconfig"));
        let user = format!("system:serviceaccount:{namespace}:{name}");
        kubeconfig::write(
            &path,
            &self.pki,
            self.server(),
            namespace,
            &user,
            &Credential::Token(&token),
        )?;
        Ok(path)
    }
}

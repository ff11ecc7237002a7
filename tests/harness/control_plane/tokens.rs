//! Tokens of service accounts, so that a program runs with exactly the permissions of its account.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;

use super::kubeconfig::{self, Credential};
use super::{ControlPlane, fs};

/// In seconds; longer than any control plane runs.
const A_YEAR: i64 = 365 * 24 * 60 * 60;

impl ControlPlane {
    /// A kubeconfig for a service account, with the account's namespace as the default.
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
            .context("the response of the API server has no token")?
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

//! The kubeconfig files of a control plane, written as JSON, which is valid YAML.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::pki::{Pki, write_private};

/// Credentials of a client.
pub(super) enum Credential<'a> {
    /// A certificate issued by the control plane's CA.
    Certificate(&'a str),
    /// A bearer token.
    Token(&'a str),
}

/// Writes a kubeconfig that only the owner can read.
pub(super) fn write(
    path: &Path,
    pki: &Pki,
    server: &str,
    namespace: &str,
    user: &str,
    credential: &Credential<'_>,
) -> Result<()> {
    let credential: Value = match credential {
        Credential::Certificate(of) => {
            json!({"client-certificate": pki.certificate(of), "client-key": pki.key(of)})
        }
        Credential::Token(token) => json!({"token": token}),
    };
    let text = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cnbi", "cluster": {"server": server, "certificate-authority": pki.authority()}}],
        "users": [{"name": user, "user": credential}],
        "contexts": [{"name": "cnbi", "context": {"cluster": "cnbi", "user": user, "namespace": namespace}}],
        "current-context": "cnbi",
    });
    write_private(path, &format!("{text:#}\n"))
}

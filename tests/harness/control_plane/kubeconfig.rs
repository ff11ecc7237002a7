//! The kubeconfig files of a control plane. JSON is YAML, so that is how they are written.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::pki::{Pki, write_private};

/// How a client says who it is.
pub(super) enum Credential<'a> {
    /// One of the certificates that the control plane's authority issued.
    Certificate(&'a str),
    /// A bearer token.
    Token(&'a str),
}

/// Writes one, readable by its owner alone.
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

//! Certificate authorities that an admin wants trusted: every PEM certificate in any entry of a mounted ConfigMap.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::credentials::entries;
use crate::failure::Failure;

/// Most certificates. The public ones are some 150.
const MOST: usize = 1000;

/// The service account's own certificate authorities, which vouch for what runs in the cluster.
const OF_CLUSTER: &str = "/var/run/secrets/kubernetes.io/serviceaccount/service-ca.crt";

/// Reads them, as DER. An empty path: there are none.
pub fn read(folder: &str) -> Result<Vec<Vec<u8>>, Failure> {
    let mut found = Vec::new();
    for (name, text) in entries(folder)? {
        for certificate in CertificateDer::pem_slice_iter(&text) {
            let certificate = certificate
                .map_err(|error| Failure::unforeseen(format!("The certificate authorities in {name:?}: {error}")))?;
            found.push(certificate.to_vec());
        }
    }
    if found.len() > MOST {
        return Err(Failure::unforeseen(format!(
            "There are more than {MOST} certificate authorities"
        )));
    }
    Ok(found)
}

/// Those of the cluster itself, where it gives pods some.
pub fn of_cluster() -> Vec<Vec<u8>> {
    let text = std::fs::read(Path::new(OF_CLUSTER)).unwrap_or_default();
    CertificateDer::pem_slice_iter(&text)
        .filter_map(Result::ok)
        .map(|certificate| certificate.to_vec())
        .collect()
}

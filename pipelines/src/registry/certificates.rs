//! Additional CA certificates: all PEM certificates in a mounted ConfigMap.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::credentials::entries;
use crate::error::StepError;

/// Maximum number of certificates. About 150 are public.
const MOST: usize = 1000;

/// OpenShift's CA certificates for services in the cluster.
const SERVICE_CA: &str = "/var/run/secrets/kubernetes.io/serviceaccount/service-ca.crt";

/// Reads the certificates as DER. None if the path is empty.
pub fn read(folder: &str) -> Result<Vec<Vec<u8>>, StepError> {
    let mut found = Vec::new();
    for (name, text) in entries(folder)? {
        for certificate in CertificateDer::pem_slice_iter(&text) {
            let certificate = certificate.map_err(|error| {
                StepError::other(format!(
                    "Entry {name:?} of network.caConfigMap is not a PEM certificate: {error}"
                ))
            })?;
            found.push(certificate.to_vec());
        }
    }
    if found.len() > MOST {
        return Err(StepError::other(format!(
            "The ConfigMap of network.caConfigMap has more than {MOST} certificates"
        )));
    }
    Ok(found)
}

/// The CA certificates for services in the cluster, if the pod has them.
pub fn service_ca() -> Vec<Vec<u8>> {
    let text = std::fs::read(Path::new(SERVICE_CA)).unwrap_or_default();
    CertificateDer::pem_slice_iter(&text)
        .filter_map(Result::ok)
        .map(|certificate| certificate.to_vec())
        .collect()
}

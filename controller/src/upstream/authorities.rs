//! Additional CA certificates, from the ConfigMap `network.caConfigMap`.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::plan::action::NamespacedName;
use crate::reconcile::error::Error;

/// Reads all PEM certificates of all entries. `None` if the ConfigMap does not exist or contains none.
pub async fn read(client: &Client, key: &NamespacedName) -> Result<Option<Vec<CertificateDer<'static>>>, Error> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &key.namespace);
    let found = maps.get_opt(&key.name).await?;
    let authorities = found.as_ref().map(certificates).unwrap_or_default();
    Ok(Some(authorities).filter(|authorities| !authorities.is_empty()))
}

/// Anything else than a certificate is ignored, as in the tasks of a run.
fn certificates(map: &ConfigMap) -> Vec<CertificateDer<'static>> {
    let texts = map.data.iter().flatten().map(|(_, text)| text.as_bytes());
    let bytes = map.binary_data.iter().flatten().map(|(_, bytes)| bytes.0.as_slice());
    texts
        .chain(bytes)
        .flat_map(|entry| CertificateDer::pem_slice_iter(entry).filter_map(Result::ok))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_entries_are_read_and_only_certificates_used() {
        let pem = |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        let map: ConfigMap = serde_json::from_value(json!({
            "data": {
                "README": "not PEM", "a.crt": format!("a comment\n{}{}", pem("AQ=="), pem("Ag==")),
                "key": "-----BEGIN PRIVATE KEY-----\nBA==\n-----END PRIVATE KEY-----\n",
            },
            // base64 of a certificate in PEM, as kubectl stores files that are not UTF-8.
            "binaryData": {"b": "/////woKLS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCkF3PT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo="},
        }))
        .unwrap();
        let found: Vec<_> = certificates(&map).iter().map(|der| der.to_vec()).collect();
        assert_eq!(found, [[1], [2], [3]]);
        assert!(certificates(&ConfigMap::default()).is_empty());
    }
}

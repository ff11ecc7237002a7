//! The test registry stores pushed images and rejects unauthorized clients.

use cnbi_tests::registry::{Image, Registry, Setup};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;

#[tokio::test]
async fn a_pushed_image_is_found_by_its_digest() {
    let registry = Registry::start(Setup::default()).await.unwrap();
    let one = registry.push("team/base:v1", &Image::new()).await.unwrap();
    assert_eq!(registry.digest("team/base:v1").await.unwrap(), one);
    let other = Image::new().label("version", "2");
    let two = registry.push("team/base:v1", &other).await.unwrap();
    assert_ne!(one, two);
    assert_eq!(registry.digest("team/base:v1").await.unwrap(), two);
    assert_eq!(registry.digest(&format!("team/base@{one}")).await.unwrap(), one);
}

#[tokio::test]
async fn the_registry_requires_password_and_certificate() {
    let setup = Setup {
        has_password: true,
        has_tls: true,
    };
    let registry = Registry::start(setup).await.unwrap();
    let digest = registry.push("team/base:v1", &Image::new()).await.unwrap();
    assert_eq!(registry.digest("team/base:v1").await.unwrap(), digest);

    let reference = registry.reference("team/base:v1").unwrap();
    let stranger = oci_client::Client::try_from(oci_client::client::ClientConfig::default()).unwrap();
    let refused = stranger
        .fetch_manifest_digest(&reference, &RegistryAuth::Anonymous)
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, OciDistributionError::RequestError(error) if error.is_connect()),
        "{refused:?}"
    );
}

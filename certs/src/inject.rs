//! Reads the `caBundle` of webhook configurations, and writes it by server-side apply.
//!
//! The field manager owns `caBundle` alone, so whoever installs the configurations keeps all the rest. An apply carries
//! the resourceVersion that the bundle was derived from. What the bundle is, and when it is written, is decided elsewhere.

use std::fmt::Debug;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{GetParams, Patch, PatchParams};
use kube::client::Body;
use kube::core::{Request, Status};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::bundle::Bundle;
use crate::deadline::in_time;
use crate::keeper::Failure;
use crate::names::Names;
use crate::published::{Configuration, Entry, Kind, Published, Seen};

/// The field manager under which `caBundle` is written.
pub const FIELD_MANAGER: &str = "cnbi-ca-bundle";

/// Reads and writes the configurations of one installation.
#[derive(Clone)]
pub(crate) struct Injector {
    mutating: Api<MutatingWebhookConfiguration>,
    validating: Api<ValidatingWebhookConfiguration>,
    names: Names,
}

impl Injector {
    pub(crate) fn new(client: Client, names: &Names) -> Self {
        Self {
            mutating: Api::all(client.clone()),
            validating: Api::all(client),
            names: names.clone(),
        }
    }

    /// What is published, what the API server's clock said, and the first failure to find it out; a configuration that cannot
    /// be read stands as such.
    pub(crate) async fn read(&self) -> (Published, Option<Timestamp>, Option<Failure>) {
        let mut clock = None;
        let mut failure = None;
        let mut configurations = Vec::new();
        for name in &self.names.mutating {
            let read = in_time(get(&self.mutating, name, &mut clock)).await.map(|found| {
                found.map(|it| {
                    let webhooks = it.webhooks.unwrap_or_default();
                    self.seen(
                        it.metadata,
                        webhooks.into_iter().map(|entry| (entry.name, entry.client_config)),
                    )
                })
            });
            configurations.push(configuration(Kind::Mutating, name, read, &mut failure));
        }
        for name in &self.names.validating {
            let read = in_time(get(&self.validating, name, &mut clock)).await.map(|found| {
                found.map(|it| {
                    let webhooks = it.webhooks.unwrap_or_default();
                    self.seen(
                        it.metadata,
                        webhooks.into_iter().map(|entry| (entry.name, entry.client_config)),
                    )
                })
            });
            configurations.push(configuration(Kind::Validating, name, read, &mut failure));
        }
        (Published { configurations }, clock, failure)
    }

    /// Writes the bundle into each target; the first failure, after all have been tried.
    pub(crate) async fn publish(&self, bundle: &Bundle, targets: &[Configuration]) -> Result<(), Failure> {
        let mut outcome = Ok(());
        for target in targets {
            let written = match target.kind {
                Kind::Mutating => apply(&self.mutating, target, bundle).await,
                Kind::Validating => apply(&self.validating, target, bundle).await,
            };
            outcome = outcome.and(written);
        }
        outcome
    }

    fn seen(&self, metadata: ObjectMeta, webhooks: impl Iterator<Item = (String, WebhookClientConfig)>) -> Seen {
        let entries = webhooks
            .filter(|(_, client)| self.is_ours(client))
            .map(|(name, client)| Entry {
                name,
                ca_bundle: client.ca_bundle.unwrap_or_default().0,
            })
            .collect();
        Seen::Found {
            resource_version: metadata.resource_version.unwrap_or_default(),
            entries,
        }
    }

    /// An entry that names another Service is somebody else's; one with a URL is taken for ours, since the
    /// configuration was given to us by name.
    fn is_ours(&self, client: &WebhookClientConfig) -> bool {
        client
            .service
            .as_ref()
            .is_none_or(|service| service.name == self.names.service && service.namespace == self.names.namespace)
    }
}

/// Reads an object that need not be there, and by the way the API server's clock, which is on every answer (RFC 9110, 6.6.1).
async fn get<K>(api: &Api<K>, name: &str, clock: &mut Option<Timestamp>) -> kube::Result<Option<K>>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let request = Request::new(api.resource_url()).get(name, &GetParams::default());
    let request = request.map_err(kube::Error::BuildRequest)?;
    let answer = api.clone().into_client().send(request.map(Body::from)).await?;
    let status = answer.status();
    // Whoever does not know us (401) may be no API server of ours, or one whose clock is so far off that our token does not hold.
    if status.as_u16() != 401 {
        *clock = answer
            .headers()
            .get("date")
            .and_then(|date| rfc2822::parse(date.to_str().ok()?).ok())
            .map(|date| date.timestamp())
            .or(*clock);
    }
    let body = answer.into_body().collect_bytes().await?;
    if status.is_success() {
        return serde_json::from_slice(&body).map(Some).map_err(kube::Error::SerdeError);
    }
    if status.as_u16() == 404 {
        return Ok(None);
    }
    let refusal = serde_json::from_slice(&body).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(&body);
        Status::failure(text.trim(), "not a Status").with_code(status.as_u16())
    });
    Err(kube::Error::Api(refusal.boxed()))
}

fn configuration(
    kind: Kind,
    name: &str,
    read: Result<Option<Seen>, Failure>,
    failure: &mut Option<Failure>,
) -> Configuration {
    let seen = match read {
        Ok(found) => found.unwrap_or(Seen::Missing),
        Err(error) => {
            failure.get_or_insert(error);
            Seen::Unreadable
        }
    };
    Configuration {
        kind,
        name: name.to_owned(),
        seen,
    }
}

async fn apply<K>(api: &Api<K>, target: &Configuration, bundle: &Bundle) -> Result<(), Failure>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let Some(body) = application(target, bundle, &K::kind(&()), &K::api_version(&())) else {
        return Ok(());
    };
    let params = PatchParams::apply(FIELD_MANAGER).force();
    in_time(api.patch(&target.name, &params, &Patch::Apply(&body))).await?;
    Ok(())
}

/// The apply configuration: what identifies the entries, their bundle, and the version it is based on.
fn application(target: &Configuration, bundle: &Bundle, kind: &str, api_version: &str) -> Option<Value> {
    use base64::Engine;
    let Seen::Found {
        resource_version,
        entries,
    } = &target.seen
    else {
        return None;
    };
    let pem = base64::engine::general_purpose::STANDARD.encode(bundle.to_pem());
    let webhooks: Vec<_> = entries
        .iter()
        .map(|entry| json!({ "name": entry.name, "clientConfig": { "caBundle": pem } }))
        .collect();
    Some(json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": { "name": target.name, "resourceVersion": resource_version },
        "webhooks": webhooks,
    }))
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use k8s_openapi::ByteString;
    use k8s_openapi::api::admissionregistration::v1::ServiceReference;

    use super::*;
    use crate::testing::{authority, names};

    fn entry(name: &str) -> Entry {
        Entry {
            name: name.to_owned(),
            ca_bundle: Vec::new(),
        }
    }

    fn found(entries: &[&str]) -> Configuration {
        let seen = Seen::Found {
            resource_version: "17".to_owned(),
            entries: entries.iter().map(|name| entry(name)).collect(),
        };
        Configuration {
            kind: Kind::Mutating,
            name: "hook".to_owned(),
            seen,
        }
    }

    #[test]
    fn an_application_names_the_bundle_the_version_and_nothing_else() {
        let bundle = Bundle::of([authority(0).certificate().clone()]);
        let pem = base64::engine::general_purpose::STANDARD.encode(bundle.to_pem());
        let body = application(
            &found(&["a.hook", "b.hook"]),
            &bundle,
            "MutatingWebhookConfiguration",
            "v1",
        )
        .unwrap();
        assert_eq!(
            body,
            json!({
                "apiVersion": "v1",
                "kind": "MutatingWebhookConfiguration",
                "metadata": { "name": "hook", "resourceVersion": "17" },
                "webhooks": [
                    { "name": "a.hook", "clientConfig": { "caBundle": pem } },
                    { "name": "b.hook", "clientConfig": { "caBundle": pem } },
                ],
            })
        );
    }

    #[test]
    fn what_was_not_found_is_not_written() {
        for seen in [Seen::Missing, Seen::Unreadable] {
            let target = Configuration { seen, ..found(&[]) };
            assert_eq!(application(&target, &Bundle::default(), "kind", "v1"), None);
        }
    }

    #[tokio::test]
    async fn entries_of_other_services_are_left_alone() {
        let injector = Injector::new(unused_client(), &names());
        let client = |service: Option<(&str, &str)>, bundle: &[u8]| WebhookClientConfig {
            ca_bundle: (!bundle.is_empty()).then(|| ByteString(bundle.to_vec())),
            service: service.map(|(namespace, name)| ServiceReference {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                ..ServiceReference::default()
            }),
            url: service.is_none().then(|| "https://127.0.0.1:8443/mutate".to_owned()),
        };
        let webhooks = [
            ("ours", client(Some(("system", "hook")), b"pem")),
            ("elsewhere", client(Some(("other", "hook")), b"pem")),
            ("stranger", client(Some(("system", "other")), b"pem")),
            ("url", client(None, b"")),
        ];
        let metadata = ObjectMeta {
            resource_version: Some("3".to_owned()),
            ..ObjectMeta::default()
        };
        let seen = injector.seen(
            metadata,
            webhooks.into_iter().map(|(name, client)| (name.to_owned(), client)),
        );
        let ours = Entry {
            ca_bundle: b"pem".to_vec(),
            ..entry("ours")
        };
        let expected = Seen::Found {
            resource_version: "3".to_owned(),
            entries: vec![ours, entry("url")],
        };
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_failed_read_is_told_once_and_claims_nothing() {
        let mut failure = None;
        let one = configuration(Kind::Mutating, "one", Err(Failure::Deadline), &mut failure);
        let two = configuration(Kind::Validating, "two", Err(Failure::Conflict), &mut failure);
        let three = configuration(Kind::Validating, "three", Ok(None), &mut failure);
        assert_eq!(
            [one.seen, two.seen, three.seen],
            [Seen::Unreadable, Seen::Unreadable, Seen::Missing]
        );
        assert!(matches!(failure, Some(Failure::Deadline)));
    }

    /// A client that is never used.
    fn unused_client() -> Client {
        Client::try_from(kube::Config::new("http://127.0.0.1:9".parse().unwrap())).unwrap()
    }
}

//! Looks up at which digests the tags of imported images point, at the configured interval.
//!
//! Only for resources that are Ready. Each registry gets a few requests per round, so that a slow one does not delay the others.
//! [`crate::plan`] decides what a new digest means. Digests are in memory only and are looked up again after a restart.

mod access;
pub mod authorities;
pub mod registry;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cnbi_shared::active_config::ActiveConfig;
use cnbi_shared::api::BuildType;
use cnbi_shared::api::status::Phase;
use cnbi_shared::config::{Config, Period};
use cnbi_shared::credentials;
use cnbi_shared::grammar::image::ImageReference;
use futures::StreamExt as _;
use futures::channel::mpsc::UnboundedSender;
use jiff::Timestamp;
use kube::Client;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::watch;

use crate::metrics::Metrics;
use crate::plan::action::NamespacedName;
use crate::plan::observed::UpstreamDigest;
use crate::plan::tag_tracking::{LastLookup, is_trackable, until_next_lookup};
use crate::reconcile::secrets;
use crate::upstream::registry::RegistryError;
use crate::watch::stored::Stored;
use access::RegistryClients;

/// How many registries are called concurrently.
const CONCURRENT_REGISTRIES: usize = 8;
/// Limit of lookups per registry in one round.
const LOOKUPS_PER_ROUND: usize = 4;
/// The shortest time between two rounds.
const MIN_WAIT: Duration = Duration::from_millis(100);
/// The longest time between two rounds: resources become Ready meanwhile.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Digests of tags, by the uids of resources.
#[derive(Debug, Default)]
pub struct Upstreams(Mutex<HashMap<String, Entry>>);

/// The lookups of one resource.
#[derive(Clone, Debug)]
struct Entry {
    image: Box<str>,
    /// When tracking began.
    began: Timestamp,
    last: Option<LastLookup>,
    digest: Option<UpstreamDigest>,
}

/// A lookup that is due.
#[derive(Debug)]
struct DigestLookup {
    uid: String,
    image: ImageReference,
    /// The pull secret.
    secret: Option<NamespacedName>,
    /// The digest of the published image.
    published: Option<String>,
    resource: ObjectRef<Stored>,
}

/// Why a lookup failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LookupError {
    /// The pull secret is missing, or has no entry for the registry.
    NoCredential,
    /// The ConfigMap with CA certificates is missing, or contains no valid one.
    NoAuthorities,
    Registry(RegistryError),
}

impl LookupError {
    fn label(self) -> &'static str {
        match self {
            Self::NoCredential => "no_credential",
            Self::NoAuthorities => "no_authorities",
            Self::Registry(error) => error.label(),
        }
    }
}

/// The image of an import that is named by a tag.
fn image(resource: &Stored) -> Option<ImageReference> {
    let spec = resource.spec.value()?;
    let is_import = spec.build_type() == Some(BuildType::ImageImport);
    let image = ImageReference::parse(spec.from_image.text().filter(|_| is_import)?).ok()?;
    is_trackable(&image).then_some(image)
}

/// The image whose tag is tracked: the resource is Ready.
fn tracked_image(resource: &Stored) -> Option<ImageReference> {
    let status = resource.status.as_ref()?;
    let is_ready = status.phase == Some(Phase::Ready) && status.observed_generation == resource.metadata.generation;
    let is_staying = resource.metadata.deletion_timestamp.is_none();
    image(resource).filter(|_| is_ready && is_staying)
}

fn lookup(resource: &Stored, image: ImageReference) -> Option<DigestLookup> {
    let namespace = resource.metadata.namespace.as_deref()?;
    let secret = resource.spec.value()?.pull_secret();
    let published = resource.status.as_ref()?.image.as_ref();
    Some(DigestLookup {
        uid: resource.uid().to_owned(),
        image,
        secret: secret.map(|name| NamespacedName::new(namespace, name)),
        published: published.and_then(|image| image.digest.clone()),
        resource: ObjectRef::from_obj(resource),
    })
}

impl Upstreams {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last digest of the resource's tag, if one was looked up.
    pub fn digest(&self, resource: &Stored) -> Option<UpstreamDigest> {
        let all = self.all();
        let entry = all.get(resource.metadata.uid.as_deref()?)?;
        let image = image(resource)?;
        entry.digest.clone().filter(|_| *entry.image == *image.as_str())
    }

    /// Runs forever. Requests a reconcile of each resource whose tag points at a new digest.
    pub async fn run(
        &self,
        client: &Client,
        resources: &Store<Stored>,
        mut active_config: watch::Receiver<ActiveConfig>,
        metrics: &Metrics,
        reconcile_requests: &UnboundedSender<ObjectRef<Stored>>,
    ) {
        let clients = RegistryClients::default();
        loop {
            let config = active_config.borrow_and_update().config().cloned();
            let every = config.as_ref().and_then(|config| config.tracking.every());
            let wait = if let (Some(config), Some(every)) = (config, every) {
                let (due, wait) = self.due(&resources.state(), every, Timestamp::now());
                let look_up =
                    |lookups| self.look_up_in_order(client, &clients, &config, metrics, reconcile_requests, lookups);
                futures::stream::iter(due)
                    .for_each_concurrent(CONCURRENT_REGISTRIES, look_up)
                    .await;
                wait
            } else {
                self.all().clear();
                MAX_WAIT
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                changed = active_config.changed() => if changed.is_err() { return },
            }
        }
    }

    /// The lookups that are due, by registry, and the time until the next round.
    fn due(&self, resources: &[Arc<Stored>], every: Period, now: Timestamp) -> (Vec<Vec<DigestLookup>>, Duration) {
        let mut all = self.all();
        let mut tracked = HashMap::new();
        let mut due: BTreeMap<String, Vec<DigestLookup>> = BTreeMap::new();
        let mut wait = MAX_WAIT;
        for resource in resources {
            let Some(image) = tracked_image(resource) else {
                continue;
            };
            let known = all
                .remove(resource.uid())
                .filter(|known| *known.image == *image.as_str());
            let entry = known.unwrap_or_else(|| Entry {
                image: image.as_str().into(),
                began: now,
                last: None,
                digest: None,
            });
            let remaining = until_next_lookup(every, resource.uid(), entry.began, entry.last, now);
            tracked.insert(resource.uid().to_owned(), entry);
            if let Some(remaining) = remaining {
                wait = wait.min(remaining);
                continue;
            }
            let of_registry = due.entry(credentials::registry_host(&image).to_owned()).or_default();
            if of_registry.len() < LOOKUPS_PER_ROUND {
                of_registry.extend(lookup(resource, image));
            } else {
                wait = MIN_WAIT;
            }
        }
        *all = tracked;
        let due = due
            .into_values()
            .filter(|of_registry| !of_registry.is_empty())
            .collect();
        (due, wait.max(MIN_WAIT))
    }

    async fn look_up_in_order(
        &self,
        client: &Client,
        clients: &RegistryClients,
        config: &Config,
        metrics: &Metrics,
        reconcile_requests: &UnboundedSender<ObjectRef<Stored>>,
        lookups: Vec<DigestLookup>,
    ) {
        let mut unavailable = None;
        for lookup in lookups {
            let digest = match unavailable {
                Some(error) => Err(error),
                None => look_up(client, clients, config, &lookup).await,
            };
            if let Err(error @ LookupError::Registry(RegistryError::Busy(_) | RegistryError::Unreachable)) = digest {
                unavailable = Some(error);
            }
            metrics.registry_request(digest.as_ref().map_or_else(|error| error.label(), |_| "success"));
            let namespace = lookup.resource.namespace.as_deref().unwrap_or_default();
            let name = &lookup.resource.name;
            match &digest {
                Ok(digest) if lookup.published.as_ref() != Some(digest) => {
                    tracing::info!(namespace, name, digest, "the tag points at a new digest");
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(
                    namespace,
                    name,
                    reason = error.label(),
                    "cannot look up the digest of the tag"
                ),
            }
            let is_new = digest
                .as_ref()
                .is_ok_and(|digest| lookup.published.as_ref() != Some(digest));
            self.record(&lookup.uid, digest, Timestamp::now());
            // Fails only while the program shuts down.
            if is_new {
                let _ = reconcile_requests.unbounded_send(lookup.resource);
            }
        }
    }

    fn record(&self, uid: &str, digest: Result<String, LookupError>, at: Timestamp) {
        let mut all = self.all();
        let Some(entry) = all.get_mut(uid) else { return };
        let failures = entry.last.map_or(0, |last| last.failures);
        entry.last = Some(match &digest {
            Ok(_) => LastLookup {
                at,
                failures: 0,
                retry_after: Duration::ZERO,
            },
            Err(error) => LastLookup {
                at,
                failures: failures.saturating_add(1),
                retry_after: match error {
                    LookupError::Registry(RegistryError::Busy(wait)) => *wait,
                    _ => Duration::ZERO,
                },
            },
        });
        if let Ok(digest) = digest {
            entry.digest = Some(UpstreamDigest { digest, at });
        }
    }
}

async fn look_up(
    client: &Client,
    clients: &RegistryClients,
    config: &Config,
    lookup: &DigestLookup,
) -> Result<String, LookupError> {
    let namespace = lookup.resource.namespace.as_deref().unwrap_or_default();
    let registries = clients.client(client, config, namespace).await?;
    let mut credential = None;
    if let Some(secret) = &lookup.secret {
        let found = secrets::authorization(client, secret, &lookup.image).await;
        credential = Some(found.ok().flatten().ok_or(LookupError::NoCredential)?);
    }
    let registry = credentials::registry_host(&lookup.image);
    let is_insecure = config
        .network
        .insecure_registries
        .iter()
        .any(|insecure| insecure.eq_ignore_ascii_case(registry));
    let digest = registries.digest(&lookup.image, credential, is_insecure).await;
    digest.map_err(LookupError::Registry)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use serde_json::json;

    use super::*;

    const EVERY: Period = Period::seconds(60);

    fn resource(uid: usize, image: &str, phase: &str) -> Arc<Stored> {
        let resource = json!({
            "metadata": {"name": format!("r{uid}"), "namespace": "a", "uid": uid.to_string(), "generation": 1},
            "spec": {"buildType": "ImageImport", "fromImage": image},
            "status": {"phase": phase, "observedGeneration": 1, "image": {"digest": "sha256:old"}},
        });
        Arc::new(serde_json::from_value(resource).unwrap())
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_800_000_000 + seconds)
    }

    fn uids(due: &[Vec<DigestLookup>]) -> Vec<Vec<&str>> {
        fn of_registry(lookups: &[DigestLookup]) -> Vec<&str> {
            lookups.iter().map(|lookup| lookup.uid.as_str()).collect()
        }
        due.iter().map(|lookups| of_registry(lookups)).collect()
    }

    #[test]
    fn only_ready_resources_with_a_tag_are_looked_up() {
        let upstreams = Upstreams::default();
        let digest = format!("quay.io/a/b:v1@sha256:{}", "0".repeat(64));
        let all = [
            resource(1, "quay.io/a/b:v1", "Ready"),
            resource(2, "quay.io/a/b:v1", "Building"),
            resource(3, &digest, "Ready"),
            resource(4, "ghcr.io/a/b:v1", "Ready"),
        ];
        assert!(
            upstreams.due(&all, EVERY, at(0)).0.is_empty(),
            "the first lookups are spread over the interval"
        );
        let (due, _) = upstreams.due(&all, EVERY, at(60));
        assert_eq!(uids(&due), [["4"], ["1"]]);
        upstreams.record("1", Ok("sha256:new".into()), at(61));
        assert_eq!(upstreams.digest(&all[0]).unwrap().digest, "sha256:new");
        let (due, wait) = upstreams.due(&all, EVERY, at(62));
        assert_eq!(uids(&due), [["4"]]);
        assert!(wait <= MAX_WAIT);
        let other = resource(1, "quay.io/a/b:v2", "Ready");
        assert_eq!(upstreams.digest(&other), None, "the digest belongs to another tag");
        upstreams.due(&[], EVERY, at(63));
        assert_eq!(upstreams.digest(&all[0]), None, "deleted resources are forgotten");
    }

    #[test]
    fn a_registry_gets_a_limited_number_of_lookups_per_round() {
        let upstreams = Upstreams::default();
        let all: Vec<_> = (0..10).map(|uid| resource(uid, "quay.io/a/b:v1", "Ready")).collect();
        upstreams.due(&all, EVERY, at(0));
        let (due, wait) = upstreams.due(&all, EVERY, at(60));
        assert_eq!((due.len(), due[0].len(), wait), (1, LOOKUPS_PER_ROUND, MIN_WAIT));
    }

    #[test]
    fn failures_back_off_and_keep_the_last_digest() {
        let upstreams = Upstreams::default();
        let all = [resource(1, "quay.io/a/b:v1", "Ready")];
        upstreams.due(&all, EVERY, at(0));
        upstreams.record("1", Ok("sha256:new".into()), at(60));
        upstreams.record("1", Err(LookupError::Registry(RegistryError::Unreachable)), at(130));
        assert!(upstreams.due(&all, EVERY, at(130 + 70)).0.is_empty());
        assert_eq!(uids(&upstreams.due(&all, EVERY, at(130 + 133)).0), [["1"]]);
        assert!(upstreams.digest(&all[0]).is_some());
        upstreams.record(
            "1",
            Err(LookupError::Registry(RegistryError::Busy(Duration::from_secs(3600)))),
            at(300),
        );
        assert!(upstreams.due(&all, EVERY, at(300 + 3599)).0.is_empty());
    }
}

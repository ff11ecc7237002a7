//! Follows the tags of imported images: asks their registries, when it is time to, what they name now.
//!
//! Only about resources that are Ready, so that whoever never got an image makes no traffic; and one registry after the other
//! is asked a few questions at a time, so that a slow one holds up nobody else for long. What an answer means is for
//! [`crate::plan::plan`]; answers are kept in memory only and asked for again after a restart.

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
use crate::plan::action::Place;
use crate::plan::observed::Upstream;
use crate::plan::tag_tracking::{Asked, is_followed, until_asked};
use crate::reconcile::secrets;
use crate::upstream::registry::Unanswered;
use crate::watch::packed::Packed;
use crate::watch::stored::Stored;
use access::Access;

/// How many registries are asked side by side.
const SIDE_BY_SIDE: usize = 8;
/// How many questions one registry gets in a row before the others have theirs.
const IN_A_ROW: usize = 4;
/// How soon to look whose time has come.
const SOONEST: Duration = Duration::from_millis(100);
/// How late to look for resources that have become Ready.
const LATEST: Duration = Duration::from_secs(5);

/// What is known of tags, by the uids of resources.
#[derive(Debug, Default)]
pub struct Upstreams(Mutex<HashMap<String, Entry>>);

/// What is known for one resource.
#[derive(Clone, Debug)]
struct Entry {
    image: Arc<str>,
    /// When it began to be followed.
    began: Timestamp,
    last: Option<Asked>,
    answer: Option<Upstream>,
}

/// What is to be asked for one resource.
#[derive(Debug)]
struct Question {
    uid: String,
    image: ImageReference,
    /// The pull Secret.
    secret: Option<Place>,
    /// The digest that it has.
    has: Option<String>,
    resource: ObjectRef<Packed>,
}

/// Why nothing is known after a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failed {
    /// The pull Secret is not there, or has nothing for that registry.
    NoCredential,
    /// The ConfigMap with further authorities is not there, or has none that can be used.
    NoAuthorities,
    Registry(Unanswered),
}

impl Failed {
    fn label(self) -> &'static str {
        match self {
            Self::NoCredential => "no_credential",
            Self::NoAuthorities => "no_authorities",
            Self::Registry(unanswered) => unanswered.label(),
        }
    }
}

/// The image whose tag may be followed.
fn image(resource: &Stored) -> Option<ImageReference> {
    let spec = resource.spec.value()?;
    let is_import = spec.build_type() == Some(BuildType::ImageImport);
    let image = ImageReference::parse(spec.from_image.text().filter(|_| is_import)?).ok()?;
    is_followed(&image).then_some(image)
}

/// The image whose tag is followed: the resource is Ready.
pub fn followed(resource: &Stored) -> Option<ImageReference> {
    let status = resource.status.as_ref()?;
    let is_ready = status.phase == Some(Phase::Ready) && status.observed_generation == resource.metadata.generation;
    let is_staying = resource.metadata.deletion_timestamp.is_none();
    image(resource).filter(|_| is_ready && is_staying)
}

/// What is to be asked about it.
fn question(resource: &Packed, image: ImageReference) -> Option<Question> {
    let stored = resource.unpack();
    let namespace = stored.metadata.namespace.as_deref()?;
    let secret = stored.spec.value()?.pull_secret();
    let has = stored.status.as_ref()?.image.as_ref();
    Some(Question {
        uid: resource.uid().to_owned(),
        image,
        secret: secret.map(|name| Place::new(namespace, name)),
        has: has.and_then(|image| image.digest.clone()),
        resource: ObjectRef::from_obj(resource),
    })
}

impl Upstreams {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the tag of the resource's image names, as far as anybody has asked.
    pub fn known(&self, resource: &Stored) -> Option<Upstream> {
        let all = self.all();
        let entry = all.get(resource.metadata.uid.as_deref()?)?;
        let image = image(resource)?;
        entry.answer.clone().filter(|_| *entry.image == *image.as_str())
    }

    /// Asks for as long as it is polled, and says which resources are touched by an answer.
    pub async fn follow(
        &self,
        client: &Client,
        resources: &Store<Packed>,
        mut in_force: watch::Receiver<ActiveConfig>,
        metrics: &Metrics,
        touched: &UnboundedSender<ObjectRef<Packed>>,
    ) {
        let access = Access::default();
        loop {
            let config = in_force.borrow_and_update().config().cloned();
            let every = config.as_ref().and_then(|config| config.tracking.every());
            let wait = if let (Some(config), Some(every)) = (config, every) {
                let (due, wait) = self.due(&resources.state(), every, Timestamp::now());
                let ask = |of_registry| self.ask_in_a_row(client, &access, &config, metrics, touched, of_registry);
                futures::stream::iter(due).for_each_concurrent(SIDE_BY_SIDE, ask).await;
                wait
            } else {
                self.all().clear();
                LATEST
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                changed = in_force.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Whose time has come, by registry, and how long until the next one's.
    fn due(&self, resources: &[Arc<Packed>], every: Period, now: Timestamp) -> (Vec<Vec<Question>>, Duration) {
        let mut all = self.all();
        let mut followed = HashMap::new();
        let mut due: BTreeMap<String, Vec<Question>> = BTreeMap::new();
        let mut wait = LATEST;
        for resource in resources {
            let Some(follows) = &resource.glance.follows else {
                continue;
            };
            let known = all.remove(resource.uid()).filter(|known| known.image == *follows);
            let entry = known.unwrap_or_else(|| Entry {
                image: Arc::clone(follows),
                began: now,
                last: None,
                answer: None,
            });
            let left = until_asked(every, resource.uid(), entry.began, entry.last, now);
            followed.insert(resource.uid().to_owned(), entry);
            if let Some(left) = left {
                wait = wait.min(left);
                continue;
            }
            let Ok(image) = ImageReference::parse(follows) else {
                continue;
            };
            let of_registry = due.entry(credentials::registry(&image).to_owned()).or_default();
            if of_registry.len() < IN_A_ROW {
                of_registry.extend(question(resource, image));
            } else {
                wait = SOONEST;
            }
        }
        *all = followed;
        let due = due
            .into_values()
            .filter(|of_registry| !of_registry.is_empty())
            .collect();
        (due, wait.max(SOONEST))
    }

    async fn ask_in_a_row(
        &self,
        client: &Client,
        access: &Access,
        config: &Config,
        metrics: &Metrics,
        touched: &UnboundedSender<ObjectRef<Packed>>,
        questions: Vec<Question>,
    ) {
        let mut out_of_order = None;
        for question in questions {
            let answer = match out_of_order {
                Some(failed) => Err(failed),
                None => ask(client, access, config, &question).await,
            };
            if let Err(failed @ Failed::Registry(Unanswered::Busy(_) | Unanswered::Unreachable)) = answer {
                out_of_order = Some(failed);
            }
            metrics.registry_request(answer.as_ref().map_or_else(|failed| failed.label(), |_| "success"));
            let namespace = question.resource.namespace.as_deref().unwrap_or_default();
            let name = &question.resource.name;
            match &answer {
                Ok(digest) if question.has.as_ref() != Some(digest) => {
                    tracing::info!(namespace, name, digest, "the tag names another image");
                }
                Ok(_) => {}
                Err(failed) => tracing::warn!(
                    namespace,
                    name,
                    why = failed.label(),
                    "it is not known what the tag names"
                ),
            }
            let is_news = answer
                .as_ref()
                .is_ok_and(|digest| question.has.as_ref() != Some(digest));
            self.answered(&question.uid, answer, Timestamp::now());
            // Nobody listens any more when the program ends.
            if is_news {
                let _ = touched.unbounded_send(question.resource);
            }
        }
    }

    fn answered(&self, uid: &str, answer: Result<String, Failed>, at: Timestamp) {
        let mut all = self.all();
        let Some(entry) = all.get_mut(uid) else { return };
        let failures = entry.last.map_or(0, |last| last.failures);
        entry.last = Some(match &answer {
            Ok(_) => Asked {
                at,
                failures: 0,
                told_to_wait: Duration::ZERO,
            },
            Err(failed) => Asked {
                at,
                failures: failures.saturating_add(1),
                told_to_wait: match failed {
                    Failed::Registry(Unanswered::Busy(wait)) => *wait,
                    _ => Duration::ZERO,
                },
            },
        });
        if let Ok(digest) = answer {
            entry.answer = Some(Upstream { digest, at });
        }
    }
}

async fn ask(client: &Client, access: &Access, config: &Config, question: &Question) -> Result<String, Failed> {
    let namespace = question.resource.namespace.as_deref().unwrap_or_default();
    let registries = access.registries(client, config, namespace).await?;
    let mut credential = None;
    if let Some(secret) = &question.secret {
        let found = secrets::authorization(client, secret, &question.image).await;
        credential = Some(found.ok().flatten().ok_or(Failed::NoCredential)?);
    }
    let registry = credentials::registry(&question.image);
    let is_insecure = config
        .network
        .insecure_registries
        .iter()
        .any(|insecure| insecure.eq_ignore_ascii_case(registry));
    let digest = registries.digest(&question.image, credential, is_insecure).await;
    digest.map_err(Failed::Registry)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use serde_json::json;

    use super::*;

    const EVERY: Period = Period::seconds(60);

    fn resource(uid: usize, image: &str, phase: &str) -> Arc<Packed> {
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

    fn uids(due: &[Vec<Question>]) -> Vec<Vec<&str>> {
        fn of_registry(questions: &[Question]) -> Vec<&str> {
            questions.iter().map(|question| question.uid.as_str()).collect()
        }
        due.iter().map(|questions| of_registry(questions)).collect()
    }

    #[test]
    fn only_ready_resources_with_a_tag_are_asked_about() {
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
            "each has its moment of the interval"
        );
        let (due, _) = upstreams.due(&all, EVERY, at(60));
        assert_eq!(uids(&due), [["4"], ["1"]]);
        upstreams.answered("1", Ok("sha256:new".into()), at(61));
        assert_eq!(upstreams.known(&all[0].unpack()).unwrap().digest, "sha256:new");
        let (due, wait) = upstreams.due(&all, EVERY, at(62));
        assert_eq!(uids(&due), [["4"]]);
        assert!(wait <= LATEST);
        let other = resource(1, "quay.io/a/b:v2", "Ready");
        assert_eq!(
            upstreams.known(&other.unpack()),
            None,
            "the answer was about another tag"
        );
        upstreams.due(&[], EVERY, at(63));
        assert_eq!(
            upstreams.known(&all[0].unpack()),
            None,
            "nothing is kept of resources that are gone"
        );
    }

    #[test]
    fn a_registry_with_many_images_waits_its_turn() {
        let upstreams = Upstreams::default();
        let all: Vec<_> = (0..10).map(|uid| resource(uid, "quay.io/a/b:v1", "Ready")).collect();
        upstreams.due(&all, EVERY, at(0));
        let (due, wait) = upstreams.due(&all, EVERY, at(60));
        assert_eq!((due.len(), due[0].len(), wait), (1, IN_A_ROW, SOONEST));
    }

    #[test]
    fn failures_wait_longer_and_keep_what_is_known() {
        let upstreams = Upstreams::default();
        let all = [resource(1, "quay.io/a/b:v1", "Ready")];
        upstreams.due(&all, EVERY, at(0));
        upstreams.answered("1", Ok("sha256:new".into()), at(60));
        upstreams.answered("1", Err(Failed::Registry(Unanswered::Unreachable)), at(130));
        assert!(upstreams.due(&all, EVERY, at(130 + 70)).0.is_empty());
        assert_eq!(uids(&upstreams.due(&all, EVERY, at(130 + 133)).0), [["1"]]);
        assert!(upstreams.known(&all[0].unpack()).is_some());
        upstreams.answered(
            "1",
            Err(Failed::Registry(Unanswered::Busy(Duration::from_secs(3600)))),
            at(300),
        );
        assert!(upstreams.due(&all, EVERY, at(300 + 3599)).0.is_empty());
    }
}

//! Looks up what a run needs: namespaces, Pipelines, service accounts, Secrets and ConfigMaps. Results are cached for some seconds,
//! so that many resources cause no more requests than one.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cnbi_shared::config::Config;
use cnbi_shared::contract::WorkspaceKind;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, ServiceAccount};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};

use crate::plan::observed::Prerequisites;
use crate::reconcile::error::Error;

/// How long results are cached.
const TTL: Duration = Duration::from_secs(5);

/// Looks up prerequisites.
pub struct PrerequisiteChecker {
    client: Client,
    namespaces: TtlCache<String, bool>,
    builds: TtlCache<(String, String), (bool, bool)>,
    inputs: TtlCache<(String, bool, String), bool>,
    constraints: TtlCache<(), bool>,
}

/// A cache whose entries expire.
#[derive(Debug)]
struct TtlCache<K, V>(Mutex<HashMap<K, (Instant, V)>>);

impl<K: Eq + Hash, V: Copy> TtlCache<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, (read, _)| read.elapsed() < TTL);
        entries.get(key).map(|(_, value)| *value)
    }

    fn set(&self, key: K, value: V) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.insert(key, (Instant::now(), value));
    }
}

impl PrerequisiteChecker {
    /// With empty caches.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            namespaces: TtlCache(Mutex::default()),
            builds: TtlCache(Mutex::default()),
            inputs: TtlCache(Mutex::default()),
            constraints: TtlCache(Mutex::default()),
        }
    }

    /// Whether the namespace exists and is not terminating.
    pub async fn has_namespace(&self, name: &str) -> Result<bool, Error> {
        let key = name.to_owned();
        if let Some(value) = self.namespaces.get(&key) {
            return Ok(value);
        }
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let found = namespaces.get_metadata_opt(name).await?;
        let is_there = found.is_some_and(|found| found.metadata.deletion_timestamp.is_none());
        self.namespaces.set(key, is_there);
        Ok(is_there)
    }

    /// Whether the Secret or ConfigMap for a workspace of that kind exists.
    pub async fn has_input(&self, namespace: &str, kind: WorkspaceKind, name: &str) -> Result<bool, Error> {
        let is_map = kind == WorkspaceKind::OptionalConfigMap;
        let key = (namespace.to_owned(), is_map, name.to_owned());
        if let Some(value) = self.inputs.get(&key) {
            return Ok(value);
        }
        let value = if is_map {
            let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
            is_there(maps.get_metadata_opt(name).await, namespace)?
        } else {
            let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
            is_there(secrets.get_metadata_opt(name).await, namespace)?
        };
        self.inputs.set(key, value);
        Ok(value)
    }

    /// The prerequisites of a run of that pipeline. `api` is whether the cluster serves Tekton's API.
    pub async fn prerequisites(
        &self,
        api: bool,
        namespace: &str,
        pipeline: &str,
        config: &Config,
    ) -> Result<Prerequisites, Error> {
        let mut prerequisites = Prerequisites {
            api,
            namespace: false,
            pipeline: false,
            accounts: false,
            constraints: false,
        };
        prerequisites.namespace = self.has_namespace(namespace).await?;
        if !api || !prerequisites.namespace {
            return Ok(prerequisites);
        }
        prerequisites.constraints = self.has_constraints().await?;
        let key = (namespace.to_owned(), pipeline.to_owned());
        if let Some((pipeline, accounts)) = self.builds.get(&key) {
            return Ok(Prerequisites {
                pipeline,
                accounts,
                ..prerequisites
            });
        }
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("tekton.dev", "v1", "Pipeline"));
        let pipelines: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &kind);
        prerequisites.pipeline = is_there(pipelines.get_metadata_opt(pipeline).await, namespace)?;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let names = &config.pipelines.service_accounts;
        prerequisites.accounts = is_there(accounts.get_metadata_opt(&names.trusted).await, namespace)?
            && is_there(accounts.get_metadata_opt(&names.untrusted).await, namespace)?;
        self.builds.set(key, (prerequisites.pipeline, prerequisites.accounts));
        Ok(prerequisites)
    }

    /// Whether the cluster has SecurityContextConstraints. Discovery needs no extra permission.
    async fn has_constraints(&self) -> Result<bool, Error> {
        if let Some(value) = self.constraints.get(&()) {
            return Ok(value);
        }
        let groups = self.client.list_api_groups().await?.groups;
        let is_there = groups.iter().any(|group| group.name == "security.openshift.io");
        self.constraints.set((), is_there);
        Ok(is_there)
    }
}

/// The permission to read is installed together with the objects, so 403 means that they are missing.
fn is_there<T>(found: kube::Result<Option<T>>, namespace: &str) -> Result<bool, Error> {
    match found {
        Ok(found) => Ok(found.is_some()),
        Err(kube::Error::Api(status)) if status.code == 403 => {
            tracing::warn!(namespace, error = %status.message, "no permission to look up the prerequisites of runs");
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

//! Whether what runs need is there: namespaces, Pipelines, service accounts. Looked up when somebody needs to know, and
//! believed for some seconds, so that many resources cost no more than one.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cnbi_shared::config::Config;
use cnbi_shared::contract::WorkspaceKind;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, ServiceAccount};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};

use crate::plan::observed::Installed;
use crate::reconcile::error::Failure;

/// How long an answer is believed.
const BELIEVED: Duration = Duration::from_secs(5);

/// What was looked up lately.
pub struct Sites {
    client: Client,
    namespaces: Lately<String, bool>,
    builds: Lately<(String, String), (bool, bool)>,
    inputs: Lately<(String, bool, String), bool>,
    constraints: Lately<(), bool>,
}

/// Answers with the time of their asking.
#[derive(Debug)]
struct Lately<K, V>(Mutex<HashMap<K, (Instant, V)>>);

impl<K: Eq + Hash, V: Copy> Lately<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers.retain(|_, (asked, _)| asked.elapsed() < BELIEVED);
        answers.get(key).map(|(_, answer)| *answer)
    }

    fn set(&self, key: K, answer: V) {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(key, (Instant::now(), answer));
    }
}

impl Sites {
    /// Nothing is known yet.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            namespaces: Lately(Mutex::default()),
            builds: Lately(Mutex::default()),
            inputs: Lately(Mutex::default()),
            constraints: Lately(Mutex::default()),
        }
    }

    /// Whether that namespace is there, and is not on its way out.
    pub async fn has_namespace(&self, name: &str) -> Result<bool, Failure> {
        let key = name.to_owned();
        if let Some(answer) = self.namespaces.get(&key) {
            return Ok(answer);
        }
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let found = namespaces.get_metadata_opt(name).await?;
        let is_there = found.is_some_and(|found| found.metadata.deletion_timestamp.is_none());
        self.namespaces.set(key, is_there);
        Ok(is_there)
    }

    /// Whether the Secret or the ConfigMap is there that a workspace of that kind is bound to.
    pub async fn has_input(&self, namespace: &str, kind: WorkspaceKind, name: &str) -> Result<bool, Failure> {
        let is_map = kind == WorkspaceKind::OptionalConfigMap;
        let key = (namespace.to_owned(), is_map, name.to_owned());
        if let Some(answer) = self.inputs.get(&key) {
            return Ok(answer);
        }
        let answer = if is_map {
            let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
            is_there(maps.get_metadata_opt(name).await, namespace)?
        } else {
            let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
            is_there(secrets.get_metadata_opt(name).await, namespace)?
        };
        self.inputs.set(key, answer);
        Ok(answer)
    }

    /// What is there of what a run of that pipeline needs; `api` says whether Tekton's API is.
    pub async fn installed(
        &self,
        api: bool,
        namespace: &str,
        pipeline: &str,
        config: &Config,
    ) -> Result<Installed, Failure> {
        let mut installed = Installed {
            api,
            namespace: false,
            pipeline: false,
            accounts: false,
            constraints: false,
        };
        installed.namespace = self.has_namespace(namespace).await?;
        if !api || !installed.namespace {
            return Ok(installed);
        }
        installed.constraints = self.has_constraints().await?;
        let key = (namespace.to_owned(), pipeline.to_owned());
        if let Some((pipeline, accounts)) = self.builds.get(&key) {
            return Ok(Installed {
                pipeline,
                accounts,
                ..installed
            });
        }
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("tekton.dev", "v1", "Pipeline"));
        let pipelines: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &kind);
        installed.pipeline = is_there(pipelines.get_metadata_opt(pipeline).await, namespace)?;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let names = &config.pipelines.service_accounts;
        installed.accounts = is_there(accounts.get_metadata_opt(&names.trusted).await, namespace)?
            && is_there(accounts.get_metadata_opt(&names.untrusted).await, namespace)?;
        self.builds.set(key, (installed.pipeline, installed.accounts));
        Ok(installed)
    }

    /// Whether the cluster has SecurityContextConstraints. Everybody who may log in may ask which APIs there are.
    async fn has_constraints(&self) -> Result<bool, Failure> {
        if let Some(answer) = self.constraints.get(&()) {
            return Ok(answer);
        }
        let groups = self.client.list_api_groups().await?.groups;
        let is_there = groups.iter().any(|group| group.name == "security.openshift.io");
        self.constraints.set((), is_there);
        Ok(is_there)
    }
}

/// The rights to look are installed with what is looked for, so who may not look finds nothing.
fn is_there<T>(found: kube::Result<Option<T>>, namespace: &str) -> Result<bool, Failure> {
    match found {
        Ok(found) => Ok(found.is_some()),
        Err(kube::Error::Api(status)) if status.code == 403 => {
            tracing::warn!(namespace, error = %status.message, "what runs need cannot be looked up there");
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

//! `kubectl cnbi audit`: checks all stored resources, before an upgrade or a change of the configuration.
//!
//! Resources are evaluated as new objects, so violations that existed before are reported too. The audit is read-only.

pub mod report;

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use cnbi_shared::api::{API_VERSION, Field, KIND, UnvalidatedImage, annotations};
use cnbi_shared::config::{Config, KEY};
use cnbi_shared::facts::{Lookup, LookupResult, StreamOwner};
use cnbi_shared::verdict::Report;
use futures::StreamExt as _;
use futures::stream;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

use super::connection::{CliError, ClusterArgs, Connection, block_on, describe};
use super::status::api_error;
use super::terminal;
use super::{FAILURE, FINDINGS, SUCCESS, fail};
use crate::check::{self, KnownFacts};

use report::{Audit, table};

/// Resources per page of a list.
const PAGE: u32 = 500;
/// Concurrent requests for facts.
const CONCURRENCY: usize = 8;
/// Known facts can require further facts, at most this often.
const ROUNDS: usize = 3;

const EXAMPLES: &str = "\
Examples:
  # before an upgrade: check with this version's rules and the cluster's configuration
  kubectl cnbi audit

  # before a change of the configuration
  kubectl cnbi audit --config new-config.yaml

Exit status:
  0  no resource would be rejected
  1  a resource would be rejected; with --strict, also if rules were not checked
  2  invalid arguments, or the cluster cannot be read";

/// Check all stored resources with this version's rules
///
/// Shows which resources would be rejected if they were created now, with the cluster's configuration or another one. Reads
/// CustomNBImages and the Secrets, Namespaces and ImageStreams that they refer to, as far as permitted. Changes nothing.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct AuditArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,

    /// Configuration to use instead of the cluster's: config.yaml, or a manifest of the ConfigMap cnbi-config
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Namespace of the CNBi installation
    #[arg(long, value_name = "NAMESPACE", default_value = "cnbi-system")]
    pub system_namespace: String,

    /// Exit with status 1 if rules were not checked
    #[arg(long)]
    pub strict: bool,

    /// Output format
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Text
    Table,
    /// JSON
    Json,
}

/// Runs the subcommand. Returns the exit status.
pub fn run(args: &AuditArgs) -> u8 {
    let config = match args.config.as_deref().map(check::read_config).transpose() {
        Ok(config) => config,
        Err(message) => return fail(&CliError(message)),
    };
    let audit = match block_on(gather(args, config)) {
        Ok(audit) => audit,
        Err(error) => return fail(&error),
    };
    let text = match args.output {
        Output::Table => table(&audit),
        Output::Json => serde_json::to_string(&audit).unwrap_or_default() + "\n",
    };
    let has_findings =
        audit.rejected > 0 || (args.strict && audit.resources.iter().any(|one| !one.not_checked.is_empty()));
    match (terminal::print(&text), has_findings) {
        (false, _) => FAILURE,
        (true, false) => SUCCESS,
        (true, true) => FINDINGS,
    }
}

async fn gather(args: &AuditArgs, given: Option<Config>) -> Result<Audit, CliError> {
    let connection = args.cluster.connect().await?;
    let config = match given {
        Some(config) => Some(config),
        None => cluster_config(&connection, &args.system_namespace).await,
    };
    let objects = list(&connection, args.cluster.namespace.is_some()).await?;
    let mut images = Vec::new();
    for object in &objects {
        let mut image: UnvalidatedImage = serde_json::from_value(object.clone())
            .map_err(|error| CliError(format!("cannot parse a resource: {error}")))?;
        if image.is_being_deleted() {
            continue;
        }
        // Items of a list do not have these fields.
        image.api_version = Field::Set(API_VERSION.to_owned());
        image.kind = Field::Set(KIND.to_owned());
        images.push(image);
    }
    let mut known = KnownFacts::default();
    known.insert(Lookup::Requester, LookupResult::Yes);
    let mut requested = BTreeSet::new();
    let evaluate_all = |known: &KnownFacts| -> Vec<Report> {
        let evaluate = |image: &UnvalidatedImage| check::evaluate(&mut image.clone(), &[], config.as_ref(), known);
        images.iter().map(evaluate).collect()
    };
    let mut reports = evaluate_all(&known);
    for _ in 0..ROUNDS {
        let needs: BTreeSet<Lookup> = reports.iter().flat_map(Report::pending_lookups).cloned().collect();
        // Access depends on the requesting user, and an audit has none.
        let needs: Vec<Lookup> = needs
            .into_iter()
            .filter(|lookup| {
                !matches!(
                    lookup,
                    Lookup::Access { .. } | Lookup::Configuration | Lookup::Requester
                )
            })
            .filter(|lookup| requested.insert(lookup.clone()))
            .collect();
        if needs.is_empty() {
            break;
        }
        let client = &connection.client;
        let lookups = stream::iter(needs).map(|lookup| async move {
            let result = look_up(client, &lookup).await?;
            Some((lookup, result))
        });
        let results: Vec<_> = lookups.buffer_unordered(CONCURRENCY).collect().await;
        for (lookup, result) in results.into_iter().flatten() {
            known.insert(lookup, result);
        }
        reports = evaluate_all(&known);
    }
    Ok(Audit::of(&images, reports))
}

/// Reads an object that a rule refers to. `None` if it cannot be read, for example for lack of permission.
async fn look_up(client: &Client, lookup: &Lookup) -> Option<LookupResult> {
    let found = match lookup {
        Lookup::Secret { namespace, name } => {
            let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
            match secrets.get_opt(name).await.ok()? {
                Some(secret) => Some(LookupResult::Secret(check::pull_secret(&json!(secret))?)),
                None => None,
            }
        }
        Lookup::Namespace { name } => {
            let namespaces: Api<Namespace> = Api::all(client.clone());
            namespaces.get_opt(name).await.ok()?.map(|_| LookupResult::Yes)
        }
        Lookup::ImageStream { namespace, name } => {
            let kind = GroupVersionKind::gvk("image.openshift.io", "v1", "ImageStream");
            let kind = ApiResource::from_gvk_with_plural(&kind, "imagestreams");
            let streams: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
            let stream = streams.get_opt(name).await.ok()?;
            stream.map(|stream| {
                let owner = stream.annotations().get(annotations::OWNED_BY);
                LookupResult::ImageStream(StreamOwner::from_annotation(owner.map(String::as_str)))
            })
        }
        Lookup::Access { .. } | Lookup::Configuration | Lookup::Requester => return None,
    };
    Some(found.unwrap_or(LookupResult::No))
}

/// The cluster's configuration. `None` if it cannot be read; rules that need it are then not checked.
async fn cluster_config(connection: &Connection, namespace: &str) -> Option<Config> {
    const NAME: &str = "cnbi-config";
    let maps: Api<ConfigMap> = Api::namespaced(connection.client.clone(), namespace);
    let read = match maps.get(NAME).await {
        Err(error) => Err(describe(&error)),
        Ok(map) => match map.data.and_then(|mut data| data.remove(KEY)) {
            None => Err(format!("the key {KEY} is missing")),
            Some(yaml) => Config::from_yaml(&yaml).map_err(|error| error.to_string()),
        },
    };
    match read {
        Ok(config) => Some(config),
        Err(why) => {
            terminal::print_error(&format!(
                "ConfigMap {namespace}/{NAME}: {why}; rules that need the configuration are not checked (or use --config)"
            ));
            None
        }
    }
}

async fn list(connection: &Connection, only_namespace: bool) -> Result<Vec<Value>, CliError> {
    let kind = GroupVersionKind::gvk("meteor.zone", "v1alpha1", KIND);
    let kind = ApiResource::from_gvk_with_plural(&kind, "customnbimages");
    let client = connection.client.clone();
    let api: Api<DynamicObject> = if only_namespace {
        Api::namespaced_with(client, &connection.namespace, &kind)
    } else {
        Api::all_with(client, &kind)
    };
    let mut objects = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = api
            .list(&params)
            .await
            .map_err(|error| api_error("list of CustomNBImages", &error))?;
        objects.extend(page.items.iter().filter_map(|object| serde_json::to_value(object).ok()));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(objects),
        }
    }
}

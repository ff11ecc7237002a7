//! `kubectl cnbi audit`: what this version's rules say of everything that is stored, before an upgrade or a change of policy
//! makes it felt.
//!
//! Each resource is judged as if it were applied anew: nothing is forgiven for having been there before. Nothing is written.

pub mod report;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use cnbi_shared::admission_input::AdmissionInput;
use cnbi_shared::api::{API_VERSION, Field, KIND, UnvalidatedImage, annotations};
use cnbi_shared::config::{Config, KEY};
use cnbi_shared::defaults::Defaults;
use cnbi_shared::facts::{Facts, Lookup, LookupResult, StreamOwner};
use cnbi_shared::rules;
use cnbi_shared::verdict::Report;
use futures::StreamExt as _;
use futures::stream;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

use super::connection::{ClusterArgs, Connection, Problem, block_on, words};
use super::status::unserved;
use super::terminal;
use super::{DONE, FOUND, UNUSABLE, give_up};
use crate::check;

use report::{Audit, table};

/// Resources that are asked for at once.
const PAGE: u32 = 500;
/// Facts that are read side by side.
const SIDE_BY_SIDE: usize = 8;
/// How often facts that are known raise further questions.
const ROUNDS: usize = 3;

const EXAMPLES: &str = "\
Examples:
  # before an upgrade: everything that is stored, by this version's rules and the cluster's configuration
  kubectl cnbi audit

  # before a change of policy
  kubectl cnbi audit --config new-config.yaml

Exit status:
  0  nothing would be refused
  1  something would be; with --strict, also where something is undecided
  2  it could not be found out";

/// Judge all stored resources by this version's rules
///
/// Tells what would be refused, what warned about and what cannot be decided if each were applied anew, under the cluster's
/// configuration or a given one. Reads resources, and the Secrets, Namespaces and ImageStreams that they name, as far as you
/// may; writes nothing.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct AuditArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,

    /// The policy to judge by, a config.yaml or the manifest of its ConfigMap, instead of the cluster's
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Namespace that CNBi is installed in, where its configuration is
    #[arg(long, value_name = "NAMESPACE", default_value = "cnbi-system")]
    pub system_namespace: String,

    /// Count undecided rules as refusals
    #[arg(long)]
    pub strict: bool,

    /// How to print what was found
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Form of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Table,
    /// For programs
    Json,
}

/// Audits. The exit status.
pub fn run(args: &AuditArgs) -> u8 {
    let config = match args.config.as_deref().map(check::read_config).transpose() {
        Ok(config) => config,
        Err(message) => return give_up(&Problem(message)),
    };
    let audit = match block_on(gather(args, config)) {
        Ok(audit) => audit,
        Err(problem) => return give_up(&problem),
    };
    let text = match args.output {
        Output::Table => table(&audit),
        Output::Json => serde_json::to_string(&audit).unwrap_or_default() + "\n",
    };
    let is_bad = audit.refused > 0 || (args.strict && audit.resources.iter().any(|one| !one.undecided.is_empty()));
    match (terminal::print(&text), is_bad) {
        (false, _) => UNUSABLE,
        (true, false) => DONE,
        (true, true) => FOUND,
    }
}

async fn gather(args: &AuditArgs, given: Option<Config>) -> Result<Audit, Problem> {
    let connection = args.cluster.connect().await?;
    let config = match given {
        Some(config) => Some(config),
        None => cluster_config(&connection, &args.system_namespace).await,
    };
    let objects = list(&connection, args.cluster.namespace.is_some()).await?;
    let mut drafts = Vec::new();
    for object in &objects {
        let mut draft: UnvalidatedImage = serde_json::from_value(object.clone())
            .map_err(|error| Problem(format!("a resource cannot be read: {error}")))?;
        if draft.is_being_deleted() {
            continue;
        }
        // Items of a list leave these out.
        draft.api_version = Field::Set(API_VERSION.to_owned());
        draft.kind = Field::Set(KIND.to_owned());
        drafts.push(draft);
    }
    let mut known: HashMap<Lookup, LookupResult> = HashMap::new();
    known.insert(Lookup::Requester, LookupResult::Yes);
    if config.is_some() {
        known.insert(Lookup::Configuration, LookupResult::Yes);
    }
    let mut asked = BTreeSet::new();
    let mut reports = judge(&drafts, &known, config.as_ref());
    for _ in 0..ROUNDS {
        let needs: BTreeSet<Lookup> = reports.iter().flat_map(Report::needs).cloned().collect();
        // Whether somebody may do something is asked of whoever asks, and here nobody does.
        let needs: Vec<Lookup> = needs
            .into_iter()
            .filter(|need| !matches!(need, Lookup::Access { .. } | Lookup::Configuration | Lookup::Requester))
            .filter(|need| asked.insert(need.clone()))
            .collect();
        if needs.is_empty() {
            break;
        }
        let client = &connection.client;
        let lookups = stream::iter(needs).map(|need| async move {
            let result = look_up(client, &need).await?;
            Some((need, result))
        });
        let results: Vec<_> = lookups.buffer_unordered(SIDE_BY_SIDE).collect().await;
        known.extend(results.into_iter().flatten());
        reports = judge(&drafts, &known, config.as_ref());
    }
    Ok(Audit::of(&drafts, reports))
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
                LookupResult::ImageStream(StreamOwner::read(owner.map(String::as_str)))
            })
        }
        Lookup::Access { .. } | Lookup::Configuration | Lookup::Requester => return None,
    };
    Some(found.unwrap_or(LookupResult::No))
}

/// The cluster's policy; what depends on it is undecided where it cannot be read.
async fn cluster_config(connection: &Connection, namespace: &str) -> Option<Config> {
    const NAME: &str = "cnbi-config";
    let maps: Api<ConfigMap> = Api::namespaced(connection.client.clone(), namespace);
    let read = match maps.get(NAME).await {
        Err(error) => Err(words(&error)),
        Ok(map) => match map.data.and_then(|mut data| data.remove(KEY)) {
            None => Err(format!("it has no key {KEY}")),
            Some(yaml) => Config::from_yaml(&yaml).map_err(|error| error.to_string()),
        },
    };
    match read {
        Ok(config) => Some(config),
        Err(why) => {
            terminal::complain(&format!(
                "ConfigMap {namespace}/{NAME}: {why}; what depends on the policy is undecided (--config gives one)"
            ));
            None
        }
    }
}

async fn list(connection: &Connection, only_namespace: bool) -> Result<Vec<Value>, Problem> {
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
            .map_err(|error| unserved("the list of CustomNBImages", &error))?;
        objects.extend(page.items.iter().filter_map(|object| serde_json::to_value(object).ok()));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(objects),
        }
    }
}

/// Judges all by what is known.
fn judge(drafts: &[UnvalidatedImage], known: &HashMap<Lookup, LookupResult>, config: Option<&Config>) -> Vec<Report> {
    let nothing = Config::default();
    let judge_one = |draft: &UnvalidatedImage| {
        let mut draft = draft.clone();
        let mut defaults = Defaults::of(&AdmissionInput::create(&draft), config.unwrap_or(&nothing), None);
        if config.is_none() {
            defaults.target_namespace = None;
        }
        defaults.apply(&mut draft);
        let subject = AdmissionInput::create(&draft);
        let mut facts = Facts::none();
        let mut report = rules::evaluate(&subject, &facts, config.unwrap_or(&nothing));
        for _ in 0..ROUNDS {
            let answers: Vec<_> = report
                .needs()
                .into_iter()
                .filter_map(|need| Some((need.clone(), known.get(need)?.clone())))
                .collect();
            if answers.is_empty() {
                break;
            }
            for (need, answer) in answers {
                facts.insert(need, answer);
            }
            report = rules::evaluate(&subject, &facts, config.unwrap_or(&nothing));
        }
        report
    };
    drafts.iter().map(judge_one).collect()
}

//! The examples in the pages of the rules, as test cases.
//!
//! Every fenced `yaml` block of a page `<slug>.md` is a test case for the rules, for the webhook over HTTP and for a real API server. A block
//! consists of one or more YAML documents. Leading comments state the conditions and the expected result:
//!
//! ```yaml
//! # accepted
//! # rejected: CNB103 at spec.fromImage
//! # warned: CNB104 at spec.fromImage
//! # not checked: CNB110 at spec.imagePullSecret.name
//! # offline                 without a cluster, configuration and requesting user
//! # as: alice               requested by alice, who may create ImageStreams only in the
//! # granted: gpu            granted namespaces; without `as`, by an admin
//! ```
//!
//! All findings must be listed. Documents of the kinds Secret, Namespace and ImageStream are existing objects; a document with the comment
//! `# configuration` is the configuration; a document with `# before` is the stored resource that the last document updates. Missing
//! `apiVersion`, `kind` and `metadata` are filled in.

use serde_json::{Map, Value, json};

use super::{RULES, Rule};
use crate::admission_input::{AdmissionInput, unknown_keys};
use crate::api::annotations;
use crate::api::{API_VERSION, KIND, UnvalidatedImage};
use crate::config::Config;
use crate::defaults::Defaults;
use crate::facts::{Facts, Lookup, LookupResult, PullSecret, StreamOwner};
use crate::path::FieldId;
use crate::verdict::{Level, Report};

/// Default namespace of the resource of an example.
pub const NAMESPACE: &str = "team-a";
/// Default requesting user.
pub const REQUESTER: &str = "admin";

/// One test case.
#[derive(Clone, Debug)]
pub struct Example {
    /// The rule of the page.
    pub rule: &'static str,
    /// Its number on the page, from 1.
    pub number: usize,
    /// The expected findings, sorted.
    pub expected: Vec<Expected>,
    /// The complete resource.
    pub resource: Value,
    /// The stored resource, for an update.
    pub before: Option<Value>,
    /// Other existing objects.
    pub objects: Vec<Value>,
    /// The configuration, if it is not the default installation.
    pub configuration: Option<String>,
    /// Without a cluster.
    pub offline: bool,
    /// The requesting user, if given.
    pub requester: Option<String>,
    /// Namespaces in which this user may create ImageStreams.
    pub granted: Vec<String>,
}

/// One expected finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expected {
    /// `rejected`, `warned` or `not checked`.
    pub verdict: &'static str,
    /// Id of the rule.
    pub rule: String,
    /// The printed path.
    pub path: String,
}

impl Example {
    /// All examples of all rules.
    ///
    /// # Errors
    /// A page has an invalid block; the message contains the rule and the number.
    pub fn all() -> Result<Vec<Self>, String> {
        let mut all = Vec::new();
        for rule in RULES {
            all.extend(Self::of(rule)?);
        }
        Ok(all)
    }

    /// The examples of one rule.
    ///
    /// # Errors
    /// See [`Example::all`].
    pub fn of(rule: &'static Rule) -> Result<Vec<Self>, String> {
        blocks(rule.doc)
            .enumerate()
            .map(|(index, block)| {
                Self::read(rule.id, index + 1, block)
                    .map_err(|error| format!("{} example {}: {error}", rule.id, index + 1))
            })
            .collect()
    }

    fn read(rule: &'static str, number: usize, block: &str) -> Result<Self, String> {
        let mut example = Self {
            rule,
            number,
            expected: Vec::new(),
            resource: Value::Null,
            before: None,
            objects: Vec::new(),
            configuration: None,
            offline: false,
            requester: None,
            granted: Vec::new(),
        };
        let mut is_accepted = false;
        for document in block.split("\n---\n") {
            let mut is_before = false;
            let mut is_configuration = false;
            for comment in document.lines().map_while(|line| line.strip_prefix("# ")) {
                let (word, rest) = comment.split_once(": ").unwrap_or((comment, ""));
                match word {
                    "accepted" => is_accepted = true,
                    "rejected" => example.expected.push(expected("rejected", rest)?),
                    "warned" => example.expected.push(expected("warned", rest)?),
                    "not checked" => example.expected.push(expected("not checked", rest)?),
                    "offline" => example.offline = true,
                    "as" => example.requester = Some(rest.to_owned()),
                    "granted" => example.granted.push(rest.to_owned()),
                    "before" => is_before = true,
                    "configuration" => is_configuration = true,
                    _ => return Err(format!("unknown directive: # {comment}")),
                }
            }
            if is_configuration {
                example.configuration = Some(document.to_owned());
                continue;
            }
            let value: Value = serde_saphyr::from_str(document).map_err(|error| error.to_string())?;
            let kind = value.get("kind").and_then(Value::as_str).unwrap_or(KIND);
            match (kind, is_before) {
                (KIND, true) => example.before = Some(complete(value)?),
                (KIND, false) => example.resource = complete(value)?,
                _ => example.objects.push(value),
            }
        }
        if example.resource.is_null() {
            return Err("the resource is missing".to_owned());
        }
        if is_accepted == example.expected.iter().any(|expected| expected.verdict == "rejected") {
            return Err("expected either `# accepted` or `# rejected`".to_owned());
        }
        example.expected.sort();
        Ok(example)
    }

    /// A name for messages.
    pub fn title(&self) -> String {
        format!("{} example {}", self.rule, self.number)
    }

    /// The active configuration.
    ///
    /// # Errors
    /// The configuration of the example is invalid.
    pub fn config(&self) -> Result<Config, String> {
        match (&self.configuration, self.offline) {
            (Some(yaml), _) => Config::from_yaml(yaml).map_err(|error| error.to_string()),
            (None, true) => Ok(Config::default()),
            (None, false) => Ok(Config::shipped()),
        }
    }

    /// Evaluates the rules after defaulting, as admission does.
    ///
    /// # Errors
    /// The example is invalid.
    pub fn judge(&self) -> Result<Report, String> {
        let config = self.config()?;
        let facts = self.facts(&config);
        let requester = (!self.offline).then(|| self.requester.as_deref().unwrap_or(REQUESTER));
        let unvalidated = |value: &Value| {
            serde_json::from_value::<UnvalidatedImage>(value.clone()).map_err(|error| error.to_string())
        };
        let old = self.before.as_ref().map(unvalidated).transpose()?;
        let old = old.map(|mut old| {
            let defaults = Defaults::of(&AdmissionInput::create(&old), &config, requester);
            defaults.apply(&mut old);
            old
        });
        let mut object = unvalidated(&self.resource)?;
        let keys = if self.offline {
            unknown_keys(&self.resource)
        } else {
            Vec::new()
        };
        let mut defaults = Defaults::of(
            &AdmissionInput {
                object: &object,
                old: old.as_ref(),
                unknown_keys: &[],
            },
            &config,
            requester,
        );
        if facts.is_confirmed(&Lookup::Configuration).is_none() {
            // The configured default is not known.
            defaults.target_namespace = None;
        }
        defaults.apply(&mut object);
        let input = AdmissionInput {
            object: &object,
            old: old.as_ref(),
            unknown_keys: &keys,
        };
        Ok(super::evaluate(&input, &facts, &config))
    }

    /// Converts a report to the form of the expected findings.
    pub fn outcome(report: &Report) -> Vec<Expected> {
        let findings = report.findings.iter().map(|finding| Expected {
            verdict: if finding.level == Level::Deny {
                "rejected"
            } else {
                "warned"
            },
            rule: finding.rule.id.to_owned(),
            path: finding.path.to_string(),
        });
        let not_checked = report.not_checked.iter().map(|not_checked| Expected {
            verdict: "not checked",
            rule: not_checked.rule.id.to_owned(),
            path: not_checked.path.to_string(),
        });
        let mut outcome: Vec<Expected> = findings.chain(not_checked).collect();
        outcome.sort();
        outcome
    }

    fn facts(&self, config: &Config) -> Facts {
        let mut facts = Facts::none();
        if self.configuration.is_some() {
            facts.insert(Lookup::Configuration, LookupResult::Yes);
        }
        if self.offline {
            return facts;
        }
        facts.insert(Lookup::Configuration, LookupResult::Yes);
        facts.insert(Lookup::Requester, LookupResult::Yes);
        // All lookups have a result: objects that the example does not contain do not exist.
        for value in [Some(&self.resource), self.before.as_ref()].into_iter().flatten() {
            let Ok(object) = serde_json::from_value::<UnvalidatedImage>(value.clone()) else {
                continue;
            };
            let report = super::evaluate(&AdmissionInput::create(&object), &facts, config);
            for lookup in report.pending_lookups().into_iter().cloned().collect::<Vec<_>>() {
                let lookup_result = self.lookup_result(&lookup);
                facts.insert(lookup, lookup_result);
            }
        }
        facts
    }

    /// What the example says about one need; what it does not mention is not there.
    pub fn lookup_result(&self, lookup: &Lookup) -> LookupResult {
        let find = |kind: &str, namespace: &str, name: &str| {
            self.objects.iter().find(|object| {
                let metadata = &object["metadata"];
                object["kind"] == kind
                    && metadata["name"] == name
                    && (kind == "Namespace" || metadata["namespace"].as_str().unwrap_or(NAMESPACE) == namespace)
            })
        };
        match lookup {
            Lookup::Secret { namespace, name } => find("Secret", namespace, name).map_or(LookupResult::No, |secret| {
                let secret_type = secret["type"].as_str().unwrap_or("Opaque");
                let content = PullSecret::data_key(secret_type).and_then(|key| secret["stringData"][key].as_str());
                LookupResult::Secret(PullSecret::parse(secret_type, content.map(str::as_bytes)))
            }),
            Lookup::Namespace { name } => {
                let exists = name == NAMESPACE || name == "opendatahub" || find("Namespace", "", name).is_some();
                if exists { LookupResult::Yes } else { LookupResult::No }
            }
            Lookup::ImageStream { namespace, name } => {
                find("ImageStream", namespace, name).map_or(LookupResult::No, |stream| {
                    LookupResult::ImageStream(StreamOwner::from_annotation(
                        stream["metadata"]["annotations"][annotations::OWNED_BY].as_str(),
                    ))
                })
            }
            Lookup::Access { namespace } => {
                let is_allowed = self.requester.is_none() || self.granted.contains(namespace);
                if is_allowed {
                    LookupResult::Yes
                } else {
                    LookupResult::No
                }
            }
            Lookup::Configuration | Lookup::Requester => LookupResult::Yes,
        }
    }
}

fn expected(verdict: &'static str, text: &str) -> Result<Expected, String> {
    let (rule, path) = text
        .split_once(" at ")
        .ok_or_else(|| format!("write `# {verdict}: RULE at PATH`"))?;
    Ok(Expected {
        verdict,
        rule: rule.to_owned(),
        path: path.to_owned(),
    })
}

/// The fenced `yaml` blocks of a page.
fn blocks(page: &str) -> impl Iterator<Item = &str> {
    page.split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split_once("\n```").map(|(block, _)| block))
}

/// Fills in missing fields.
fn complete(mut resource: Value) -> Result<Value, String> {
    let object = resource.as_object_mut().ok_or("the resource must be an object")?;
    object.entry("apiVersion").or_insert(json!(API_VERSION));
    object.entry("kind").or_insert(json!(KIND));
    let metadata = object.entry("metadata").or_insert_with(|| {
        json!({"annotations": {annotations::DISPLAY_NAME: "An example", annotations::DESCRIPTION: "For the tests."}})
    });
    if let Some(metadata) = metadata.as_object_mut() {
        let defaults: Map<String, Value> = [("name", "example"), ("namespace", NAMESPACE)]
            .into_iter()
            .map(|(key, value)| (key.to_owned(), json!(value)))
            .collect();
        for (key, value) in defaults {
            let has_generated_name = key == "name" && metadata.contains_key("generateName");
            if !has_generated_name {
                metadata.entry(key).or_insert(value);
            }
        }
    }
    Ok(resource)
}

/// Hostile input for tests: control and direction characters, expansions, options, quotes, paths.
pub const HOSTILE_TEXTS: [&str; 9] = [
    "a\nb\r\u{7f}\u{1b}[31m",
    "nul\u{0}nul",
    "\u{202e}\u{2066}\u{200b}\u{feff}\u{e9}\u{1d54f}",
    "$(params.x)",
    "$(tasks.a.results.b)`id`${IFS}",
    "'; rm -rf / #",
    "\"><script>",
    "../../etc/passwd%2f%00",
    "--help",
];

/// The value at a printed path; `None` if it does not exist.
pub fn resolve<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let field = FieldId::ALL
        .into_iter()
        .filter(|field| path.starts_with(&field.path().to_string()))
        .max_by_key(|field| field.path().to_string().len())?;
    let parent = field.keys().iter().try_fold(object, |value, key| value.get(key))?;
    let rest = path.strip_prefix(&field.path().to_string())?;
    match rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(index) => index
            .parse::<usize>()
            .ok()
            .and_then(|index| parent.get(index))
            .or_else(|| parent.get(index)),
        None if rest.is_empty() => Some(parent),
        None => parent.get(rest.trim_start_matches('.')),
    }
}

//! The examples in the rules' pages, read as tests.
//!
//! A page `<slug>.md` explains a rule to people; every fenced `yaml` block in it is also a case, which runs in this
//! process, over HTTP and on a real API server. A block is one or more YAML documents. Leading comments say what it is
//! about and what comes of it:
//!
//! ```yaml
//! # accepted
//! # refused: CNB103 at spec.fromImage
//! # warned: CNB104 at spec.fromImage
//! # undecided: CNB110 at spec.imagePullSecret.name
//! # offline                 judged with no cluster, no configuration and nobody asking
//! # as: alice               asked by alice, who may create ImageStreams only where
//! # granted: gpu            this says; without `as`, by somebody who may do everything
//! ```
//!
//! The findings that are listed must be all findings. Documents of the kinds Secret, Namespace and ImageStream are the
//! world that the resource meets; one that begins with the comment `# configuration` is the admin's policy; one that
//! begins with `# before` is the stored resource that the last document replaces. `apiVersion`, `kind` and a `metadata`
//! with all that the rules ask for are filled in where a resource leaves them out.

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

/// Namespace of an example's resource, where it names none.
pub const NAMESPACE: &str = "team-a";
/// Who makes the request, where the example does not say.
pub const REQUESTER: &str = "admin";

/// One case.
#[derive(Clone, Debug)]
pub struct Example {
    /// The rule on whose page it stands.
    pub rule: &'static str,
    /// Which one on the page, from 1.
    pub number: usize,
    /// What has to come of it, in no order.
    pub expected: Vec<Expected>,
    /// The resource, whole.
    pub resource: Value,
    /// The stored resource that it replaces.
    pub before: Option<Value>,
    /// Other objects that are there.
    pub world: Vec<Value>,
    /// The admin's policy, where it is not the shipped one.
    pub configuration: Option<String>,
    /// Judged with no cluster.
    pub offline: bool,
    /// The requesting user, where it matters.
    pub requester: Option<String>,
    /// Namespaces in which that user may create ImageStreams.
    pub granted: Vec<String>,
}

/// One line of what has to come of an example.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expected {
    /// `refused`, `warned` or `undecided`.
    pub verdict: &'static str,
    /// Id of the rule.
    pub rule: String,
    /// The path, as it is printed.
    pub path: String,
}

impl Example {
    /// All examples of all rules.
    ///
    /// # Errors
    /// A page that does not read as described, with its rule and the number of the block.
    pub fn all() -> Result<Vec<Self>, String> {
        let mut all = Vec::new();
        for rule in RULES {
            all.extend(Self::of(rule)?);
        }
        Ok(all)
    }

    /// The examples on one rule's page.
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
            world: Vec::new(),
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
                    "refused" => example.expected.push(expected("refused", rest)?),
                    "warned" => example.expected.push(expected("warned", rest)?),
                    "undecided" => example.expected.push(expected("undecided", rest)?),
                    "offline" => example.offline = true,
                    "as" => example.requester = Some(rest.to_owned()),
                    "granted" => example.granted.push(rest.to_owned()),
                    "before" => is_before = true,
                    "configuration" => is_configuration = true,
                    _ => return Err(format!("no such directive: # {comment}")),
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
                _ => example.world.push(value),
            }
        }
        if example.resource.is_null() {
            return Err("there is no resource".to_owned());
        }
        if is_accepted == example.expected.iter().any(|expected| expected.verdict == "refused") {
            return Err("say either `# accepted` or what is refused".to_owned());
        }
        example.expected.sort();
        Ok(example)
    }

    /// Where the case stands, for messages.
    pub fn title(&self) -> String {
        format!("{} example {}", self.rule, self.number)
    }

    /// The configuration in force.
    ///
    /// # Errors
    /// The configuration in the example does not read as one.
    pub fn config(&self) -> Result<Config, String> {
        match (&self.configuration, self.offline) {
            (Some(yaml), _) => Config::from_yaml(yaml).map_err(|error| error.to_string()),
            (None, true) => Ok(Config::default()),
            (None, false) => Ok(Config::shipped()),
        }
    }

    /// Judges the example in this process, after defaulting, as admission does.
    ///
    /// # Errors
    /// The example itself is at fault.
    pub fn judge(&self) -> Result<Report, String> {
        let config = self.config()?;
        let facts = self.facts(&config);
        let requester = (!self.offline).then(|| self.requester.as_deref().unwrap_or(REQUESTER));
        let draft = |value: &Value| {
            serde_json::from_value::<UnvalidatedImage>(value.clone()).map_err(|error| error.to_string())
        };
        let old = self.before.as_ref().map(draft).transpose()?;
        let old = old.map(|mut old| {
            let defaults = Defaults::of(&AdmissionInput::create(&old), &config, requester);
            defaults.apply(&mut old);
            old
        });
        let mut object = draft(&self.resource)?;
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
        if facts.holds(&Lookup::Configuration).is_none() {
            // What an admin would have filled in is not known.
            defaults.target_namespace = None;
        }
        defaults.apply(&mut object);
        let subject = AdmissionInput {
            object: &object,
            old: old.as_ref(),
            unknown_keys: &keys,
        };
        Ok(super::evaluate(&subject, &facts, &config))
    }

    /// What a report says, in the form in which examples expect it.
    pub fn outcome(report: &Report) -> Vec<Expected> {
        let findings = report.findings.iter().map(|finding| Expected {
            verdict: if finding.level == Level::Deny {
                "refused"
            } else {
                "warned"
            },
            rule: finding.rule.id.to_owned(),
            path: finding.path.to_string(),
        });
        let undecided = report.undecided.iter().map(|undecided| Expected {
            verdict: "undecided",
            rule: undecided.rule.id.to_owned(),
            path: undecided.path.to_string(),
        });
        let mut outcome: Vec<Expected> = findings.chain(undecided).collect();
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
        // Everything that the rules ask for is answered: what the example does not mention is not there.
        for value in [Some(&self.resource), self.before.as_ref()].into_iter().flatten() {
            let Ok(object) = serde_json::from_value::<UnvalidatedImage>(value.clone()) else {
                continue;
            };
            let report = super::evaluate(&AdmissionInput::create(&object), &facts, config);
            for need in report.needs().into_iter().cloned().collect::<Vec<_>>() {
                let answer = self.answer(&need);
                facts.insert(need, answer);
            }
        }
        facts
    }

    /// What the example says about one need; what it does not mention is not there.
    pub fn answer(&self, need: &Lookup) -> LookupResult {
        let find = |kind: &str, namespace: &str, name: &str| {
            self.world.iter().find(|object| {
                let metadata = &object["metadata"];
                object["kind"] == kind
                    && metadata["name"] == name
                    && (kind == "Namespace" || metadata["namespace"].as_str().unwrap_or(NAMESPACE) == namespace)
            })
        };
        match need {
            Lookup::Secret { namespace, name } => find("Secret", namespace, name).map_or(LookupResult::No, |secret| {
                let secret_type = secret["type"].as_str().unwrap_or("Opaque");
                let content = PullSecret::data_key(secret_type).and_then(|key| secret["stringData"][key].as_str());
                LookupResult::Secret(PullSecret::read(secret_type, content.map(str::as_bytes)))
            }),
            Lookup::Namespace { name } => {
                let is_there = name == NAMESPACE || name == "opendatahub" || find("Namespace", "", name).is_some();
                if is_there { LookupResult::Yes } else { LookupResult::No }
            }
            Lookup::ImageStream { namespace, name } => {
                find("ImageStream", namespace, name).map_or(LookupResult::No, |stream| {
                    LookupResult::ImageStream(StreamOwner::read(
                        stream["metadata"]["annotations"][annotations::OWNED_BY].as_str(),
                    ))
                })
            }
            Lookup::Access { namespace } => {
                let may = self.requester.is_none() || self.granted.contains(namespace);
                if may { LookupResult::Yes } else { LookupResult::No }
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

/// The contents of the fenced `yaml` blocks of a page.
fn blocks(page: &str) -> impl Iterator<Item = &str> {
    page.split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split_once("\n```").map(|(block, _)| block))
}

/// Fills in what an example leaves out because it is not about it.
fn complete(mut resource: Value) -> Result<Value, String> {
    let object = resource.as_object_mut().ok_or("a resource is an object")?;
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

/// Follows a printed path in an object; `None` where it leads nowhere.
pub fn resolve<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let at = FieldId::ALL
        .into_iter()
        .filter(|at| path.starts_with(&at.whole().to_string()))
        .max_by_key(|at| at.whole().to_string().len())?;
    let parent = at.keys().iter().try_fold(object, |value, key| value.get(key))?;
    let rest = path.strip_prefix(&at.whole().to_string())?;
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

//! Finds granted permissions that no test used, from the API servers' audit logs of a full test run.
//!
//! Each test program has its own control planes, whose logs are deleted with them. If `CNBI_RIGHTS` names a folder, the used
//! permissions are first saved to a file in it; `cnbi-local rights` then compares these files with the granted permissions. An
//! unused permission must be listed in `unused-rights.txt` with a reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::installation::shipped;
use crate::process::POLL;

/// The variable that names the folder for the files.
const VARIABLE: &str = "CNBI_RIGHTS";

/// Permissions that no test uses, one per line, with the reason after `#`.
const UNUSED: &str = include_str!("../unused-rights.txt");

/// Timeout for the last files after the tests have ended.
const NOTED_WITHIN: Duration = Duration::from_secs(180);

/// `role verb group/resource`, where the role includes its kind: `Role/cnbi-webhook get /secrets`.
type Right = String;

/// The fields of an audit event that are read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    verb: String,
    object_ref: Option<ObjectRef>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObjectRef {
    #[serde(default)]
    api_group: String,
    #[serde(default)]
    resource: String,
    #[serde(default)]
    subresource: String,
}

/// A file of used permissions, finished or not.
#[derive(Debug)]
pub struct Note {
    unfinished: PathBuf,
    finished: PathBuf,
}

impl Note {
    /// Creates the unfinished file, if `CNBI_RIGHTS` is set.
    pub fn begin() -> Result<Option<Self>> {
        let Some(folder) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let name = format!("{}-{}", std::process::id(), uniquely());
        let note = Self {
            unfinished: Path::new(&folder).join(format!("{name}.unfinished")),
            finished: Path::new(&folder).join(name),
        };
        File::create(&note.unfinished).with_context(|| format!("creating {}", note.unfinished.display()))?;
        Ok(Some(note))
    }

    /// Saves the permissions that an audit log contains.
    pub fn finish(self, audit_log: &Path) -> Result<()> {
        let used: Vec<Right> = used(audit_log)?.into_iter().collect();
        fs::write(&self.unfinished, used.join("\n")).context("writing the used permissions")?;
        fs::rename(&self.unfinished, &self.finished).context("renaming the file of used permissions")
    }
}

/// Process IDs are reused.
fn uniquely() -> u128 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_nanos())
}

/// The used permissions, whether or not the request succeeded.
fn used(audit_log: &Path) -> Result<BTreeSet<Right>> {
    let mut used = BTreeSet::new();
    // A control plane that never started has no audit log.
    let Ok(file) = File::open(audit_log) else {
        return Ok(used);
    };
    for line in BufReader::new(file).lines() {
        let line = line.context("reading the audit log")?;
        // Most lines belong to other users, and parsing is slow.
        if !line.contains(":cnbi-") {
            continue;
        }
        // The last line may be incomplete.
        let Ok(event) = serde_json::from_str::<Event>(&line) else {
            continue;
        };
        used.extend(event.right());
    }
    Ok(used)
}

impl Event {
    /// The role by which the API server allowed the request, if any.
    fn right(&self) -> Option<Right> {
        let reason = self.annotations.get("authorization.k8s.io/reason")?;
        let of = self.object_ref.as_ref()?;
        // RBAC: allowed by RoleBinding "name/namespace" of Role "name" to ServiceAccount "name/namespace"
        let (_, role) = reason.split_once("\" of ")?;
        let (kind, rest) = role.split_once(" \"")?;
        let (name, _) = rest.split_once('"')?;
        let sub = if of.subresource.is_empty() { "" } else { "/" };
        Some(format!(
            "{kind}/{name} {} {}/{}{sub}{}",
            self.verb, of.api_group, of.resource, of.subresource
        ))
    }
}

/// All permissions that `deploy` and `pipelines` grant to CNBi's programs.
fn granted() -> Result<BTreeSet<Right>> {
    let mut granted = BTreeSet::new();
    let pipelines = shipped::deploy().join("../pipelines/tekton");
    let folders = ["base", "builds", "pull-secrets"].map(|name| shipped::deploy().join(name));
    for folder in folders
        .into_iter()
        .chain([pipelines.clone()])
        .chain(["target", "target-without-openshift"].map(|name| pipelines.join(name)))
    {
        for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let text = fs::read_to_string(&path)?;
            let objects: Vec<Value> =
                serde_saphyr::from_multiple(&text).with_context(|| format!("reading {}", path.display()))?;
            for object in objects {
                grants(&object, &mut granted);
            }
        }
    }
    ensure!(!granted.is_empty(), "no permissions are granted");
    Ok(granted)
}

fn grants(object: &Value, granted: &mut BTreeSet<Right>) {
    let words = |rule: &Value, key: &str| -> Vec<String> {
        let words = rule[key].as_array().into_iter().flatten();
        words.filter_map(|word| Some(word.as_str()?.to_owned())).collect()
    };
    let kind = object["kind"].as_str().unwrap_or_default();
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    if !kind.ends_with("Role") {
        return;
    }
    for rule in object["rules"].as_array().into_iter().flatten() {
        for group in words(rule, "apiGroups") {
            for resource in words(rule, "resources") {
                for verb in words(rule, "verbs") {
                    granted.insert(format!("{kind}/{name} {verb} {group}/{resource}"));
                }
            }
        }
    }
}

/// Waits until all files are written, and returns the errors: permissions that are unused and not listed with a reason.
pub fn compare(folder: &Path) -> Result<Vec<String>> {
    let begin = Instant::now();
    let mut used = BTreeSet::new();
    loop {
        let mut unfinished = Vec::new();
        let mut notes = Vec::new();
        for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            let is_unfinished = path.extension().is_some_and(|extension| extension == "unfinished");
            if is_unfinished { &mut unfinished } else { &mut notes }.push(path);
        }
        if unfinished.is_empty() {
            ensure!(
                !notes.is_empty(),
                "no test saved its permissions in {}",
                folder.display()
            );
            for note in notes {
                used.extend(fs::read_to_string(&note)?.lines().map(str::to_owned));
            }
            break;
        }
        if begin.elapsed() > NOTED_WITHIN {
            bail!("unfinished files after the timeout: {unfinished:?}");
        }
        std::thread::sleep(POLL);
    }
    Ok(judge(&granted()?, &used, UNUSED))
}

fn judge(granted: &BTreeSet<Right>, used: &BTreeSet<Right>, unused: &str) -> Vec<String> {
    // A role of a named installation is called ROLE-INSTALLATION.
    let is_of = |used: &str, granted: &str| {
        let both = used.split_once(' ').zip(granted.split_once(' '));
        both.is_some_and(|((by, what), (role, right))| {
            let rest = by.strip_prefix(role);
            what == right && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        })
    };
    let was_used = |right: &Right| used.iter().any(|used| is_of(used, right));
    let known: BTreeMap<&str, &str> = unused
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| line.split_once('#').unwrap_or((line, "")))
        .map(|(right, reason)| (right.trim(), reason.trim()))
        .collect();
    let mut wrong = Vec::new();
    for right in granted {
        // A listed permission may still be used: if two roles grant it, the API server logs the one it loaded first.
        if !was_used(right) && !known.contains_key(right.as_str()) {
            wrong.push(format!("granted, and nothing used it: {right}"));
        }
    }
    for (right, reason) in &known {
        if !granted.contains(*right) {
            wrong.push(format!("said to be unused, and nobody has it: {right}"));
        }
        if reason.is_empty() {
            wrong.push(format!("said to be unused, without a reason: {right}"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"verb": "patch", "user": {"username": "system:serviceaccount:x:cnbi-a"},
        "objectRef": {"resource": "things", "subresource": "status", "apiGroup": "g", "name": "n"},
        "annotations": {"authorization.k8s.io/decision": "allow",
        "authorization.k8s.io/reason": "RBAC: allowed by RoleBinding \"a/x\" of Role \"a-tested\" to ServiceAccount \"cnbi-a/x\""}}"#;

    fn set(rights: &[&str]) -> BTreeSet<Right> {
        rights.iter().map(|right| (*right).to_owned()).collect()
    }

    #[test]
    fn a_right_is_read_from_what_the_api_server_says_of_it() {
        let event: Event = serde_json::from_str(EVENT).unwrap();
        assert_eq!(event.right().unwrap(), "Role/a-tested patch g/things/status");
        let refused = EVENT.replace("authorization.k8s.io/reason", "other");
        let event: Event = serde_json::from_str(&refused).unwrap();
        assert_eq!(event.right(), None);
    }

    #[test]
    fn everything_that_is_wrong_is_said() {
        let granted = set(&[
            "Role/a get /x",
            "Role/a list /x",
            "Role/a watch /x",
            "Role/a create /x",
            "Role/b get /x",
        ]);
        let used = set(&["Role/a-tested get /x", "Role/a watch /x", "ClusterRole/b get /x"]);
        let unused = "# What nothing uses.\nRole/a create /x  # because\nRole/a watch /x # because\nRole/c get /x #\n";
        assert_eq!(
            judge(&granted, &used, unused),
            [
                "granted, and nothing used it: Role/a list /x",
                "granted, and nothing used it: Role/b get /x",
                "said to be unused, and nobody has it: Role/c get /x",
                "said to be unused, without a reason: Role/c get /x",
            ]
        );
    }

    #[test]
    fn what_is_granted_is_read_from_the_files() {
        let granted = granted().unwrap();
        for right in [
            "ClusterRole/cnbi-webhook get /secrets",
            "Role/cnbi-controller-builds deletecollection /pods",
            "Role/cnbi-publisher update image.openshift.io/imagestreams/layers",
        ] {
            assert!(granted.contains(right), "{right}");
        }
    }
}

//! Tests the snippets in `docs/how-to/gitops.md` in a small repository.
//!
//! GitHub and GitLab are not available here. The snippets are validated against the schemas that editors use (GitLab's own and
//! SchemaStore's for GitHub workflows), and their scripts are run.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use cnbi_tests::assets;
use cnbi_tests::process::binary;
use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::Result;
use crate::running_cluster::RunningCluster;
use crate::sarif::judged_by;

const PAGE: &str = include_str!("../../docs/how-to/gitops.md");

const GOOD: &str = "apiVersion: meteor.zone/v1alpha1
kind: CustomNBImage
metadata:
  name: good
  annotations: {opendatahub.io/notebook-image-desc: Private}
spec:
  buildType: ImageImport
  fromImage: quay.io/a/b:v1
  imagePullSecret: {name: pull}
";
const SECRET: &str = "apiVersion: v1
kind: Secret
metadata: {name: pull}
type: kubernetes.io/dockerconfigjson
stringData: {.dockerconfigjson: '{\"auths\":{\"quay.io\":{\"auth\":\"dTpw\"}}}'}
";
const POLICY: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: cnbi-config}
data:
  config.yaml: |
    targetNamespace: {default: opendatahub}
    images: {allowed: [quay.io]}
";

/// The YAML block after that word of the page.
fn snippet(title: &str) -> Result<&'static str> {
    let missing = || format!("the page has no {title}");
    let (_, rest) = PAGE.split_once(&format!("\n{title}, ")).ok_or_else(missing)?;
    let (_, rest) = rest.split_once("```yaml\n").ok_or_else(missing)?;
    Ok(rest.split_once("```").ok_or_else(missing)?.0)
}

fn yaml(title: &str) -> Result<Value> {
    Ok(serde_saphyr::from_str(snippet(title)?)?)
}

/// A repository as the snippets expect it, with one more notebook.
fn repository(image: &str) -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    for (name, text) in [
        ("notebooks/good.yaml", GOOD),
        (
            "notebooks/team/other.yaml",
            &GOOD
                .replace("name: good", "name: other")
                .replace("quay.io/a/b:v1", image),
        ),
        ("secrets/pull.yaml", SECRET),
        ("policy/cnbi-config.yaml", POLICY),
    ] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().ok_or("no folder")?)?;
        fs::write(path, text)?;
    }
    Ok(folder)
}

/// Runs a script as the CI system does, with the program in PATH.
fn run(folder: &Path, shell: &[&str], script: &str) -> Result<Output> {
    let program = binary("kubectl-cnbi")?;
    let programs = program.parent().ok_or("no folder")?.display();
    let path = std::env::var("PATH").unwrap_or_default();
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), script)?;
    Ok(Command::new(shell[0])
        .args(&shell[1..])
        .arg(file.path())
        .current_dir(folder)
        .env_clear()
        .env("PATH", format!("{programs}:{path}"))
        .output()?)
}

/// Valid manifests pass; for an invalid one, the output names the location.
fn assert_checks(shell: &[&str], script: &str, place: &str) -> Result {
    let good = repository("quay.io/a/b:v2")?;
    let output = run(good.path(), shell, script)?;
    let told = |output: &Output| {
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    };
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    for (image, rule) in [("quay.io/a/b", "CNB103"), ("ghcr.io/a/b:v1", "CNB106")] {
        let bad = repository(image)?;
        let output = run(bad.path(), shell, script)?;
        assert_eq!(output.status.code(), Some(1), "{}", told(&output));
        let line = told(&output)
            .lines()
            .find(|line| line.contains(rule))
            .map(str::to_owned);
        let all = told(&output);
        assert!(line.is_some() && all.contains(place), "{rule}: {all}");
    }
    Ok(())
}

fn lines(list: &Value) -> Vec<&str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// A mistake: the value of a key moves to another key or is replaced.
enum Slip {
    Key(&'static str, &'static str, &'static str),
    Value(&'static str, &'static str, Value),
}

/// The schema accepts the snippet and rejects it with each mistake.
fn assert_is_of(schema: &str, snippet: &Value, slips: &[Slip]) -> Result {
    let mut all = vec![snippet.clone()];
    for slip in slips {
        let mut changed = snippet.clone();
        let (Slip::Key(parent, key, _) | Slip::Value(parent, key, _)) = slip;
        let object = changed
            .pointer_mut(parent)
            .and_then(Value::as_object_mut)
            .ok_or(*parent)?;
        let value = object.remove(*key).ok_or(*key)?;
        match slip {
            Slip::Key(_, _, other) => object.insert((*other).to_owned(), value),
            Slip::Value(_, _, other) => object.insert((*key).to_owned(), other.clone()),
        };
        all.push(changed);
    }
    let told = judged_by(&[&assets::ci_schema(schema)?], &all)?;
    assert_eq!(told[0], "ok");
    for (changed, told) in all.iter().zip(&told).skip(1) {
        assert_ne!(told, "ok", "{changed}");
    }
    Ok(())
}

#[test]
fn the_github_workflow_matches_its_schema_and_typos_do_not() -> Result {
    let workflow = yaml("GitHub Actions")?;
    let slips = [
        Slip::Key("", "on", "when"),
        Slip::Key("", "jobs", "job"),
        Slip::Key("", "permissions", "permission"),
        Slip::Key("/permissions", "contents", "content"),
        Slip::Key("/jobs/check", "runs-on", "runs_on"),
        Slip::Key("/jobs/check", "container", "image"),
        Slip::Key("/jobs/check", "steps", "step"),
        Slip::Key("/jobs/check/steps/0", "uses", "use"),
        Slip::Key("/jobs/check/steps/1", "run", "script"),
        Slip::Value("", "on", "pull-request".into()),
        Slip::Value("/permissions", "contents", "reed".into()),
        Slip::Value("/jobs/check/steps/1", "run", vec!["a", "b"].into()),
    ];
    assert_is_of("github-workflows", &workflow, &slips)
}

#[test]
fn the_gitlab_pipeline_matches_its_schema_and_typos_do_not() -> Result {
    let pipeline = yaml("GitLab CI")?;
    let slips = [
        Slip::Key("/notebooks", "image", "container"),
        Slip::Key("/notebooks", "script", "run"),
        Slip::Key("/notebooks", "after_script", "after-script"),
        Slip::Key("/notebooks", "artifacts", "artefacts"),
        Slip::Key("/notebooks/artifacts", "when", "if"),
        Slip::Key("/notebooks/artifacts", "paths", "path"),
        Slip::Value("/notebooks/artifacts", "when", "allways".into()),
        Slip::Value("/notebooks/artifacts", "paths", "cnbi.sarif".into()),
    ];
    assert_is_of("gitlab-ci", &pipeline, &slips)
}

#[test]
fn github_actions_fail_on_an_invalid_manifest_and_name_its_line() -> Result {
    let workflow = yaml("GitHub Actions")?;
    let steps = workflow["jobs"]["check"]["steps"].as_array().ok_or("no steps")?;
    let scripts: Vec<&str> = steps.iter().filter_map(|step| step["run"].as_str()).collect();
    assert_eq!(scripts.len(), 1);
    // In a container, the shell of a step is `sh -e`.
    assert_checks(&["sh", "-e"], scripts[0], "file=notebooks/team/other.yaml,line=8,")
}

#[test]
fn gitlab_fails_on_an_invalid_manifest_and_keeps_the_report() -> Result {
    let pipeline = yaml("GitLab CI")?;
    let job = &pipeline["notebooks"];
    assert_checks(
        &["sh", "-e"],
        &lines(&job["script"]).join("\n"),
        "notebooks/team/other.yaml:8:",
    )?;
    // Later steps run even if the script failed.
    let bad = repository("quay.io/a/b")?;
    run(bad.path(), &["sh", "-e"], &lines(&job["after_script"]).join("\n"))?;
    for path in lines(&job["artifacts"]["paths"]) {
        let log: Value = serde_json::from_str(&fs::read_to_string(bad.path().join(path))?)?;
        let place = &log["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "notebooks/team/other.yaml");
        assert_eq!(
            (&place["region"]["startLine"], &job["artifacts"]["when"]),
            (&8.into(), &"always".into())
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_tekton_task_is_accepted_and_fails_on_an_invalid_manifest() -> Result {
    let task = yaml("Tekton")?;
    let steps = task["spec"]["steps"].as_array().ok_or("no steps")?;
    for step in steps {
        let script = step["script"].as_str().ok_or("no script")?;
        let shell = script
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("#!"))
            .ok_or("no shell")?;
        assert_checks(&[shell], script, "notebooks/team/other.yaml:8:")?;
    }
    let running = RunningCluster::shared().await?;
    running.test_ns("snippets").await?;
    // An unknown field is rejected.
    let apply = ["apply", "--validate=strict", "-f", "-"];
    let told = running
        .kubectl("snippets")
        .args(apply)
        .stdin(snippet("Tekton")?)
        .ok()
        .await?;
    assert_eq!(told.trim(), "task.tekton.dev/check-notebooks created");
    let stored = running
        .kubectl("snippets")
        .args(["get", "task", "check-notebooks", "-o", "json"])
        .ok()
        .await?;
    let stored: Value = serde_json::from_str(&stored)?;
    for (key, value) in steps[0].as_object().ok_or("no step")? {
        assert_eq!(stored["spec"]["steps"][0][key], *value, "{key}");
    }
    Ok(())
}

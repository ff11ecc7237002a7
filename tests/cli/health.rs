//! Health of every status of the controller, computed by kstatus as in Flux and kpt.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use cnbi_shared::api::CustomNBImage;
use cnbi_shared::api::status::Phase;
use cnbi_tests::assets;
use serde_json::{Value, json};

use crate::cluster::Result;
use crate::golden_statuses::{NOW, cases};
use crate::running_cluster::{RunningCluster, resource};

const PAGE: &str = include_str!("../../docs/how-to/gitops.md");

/// The kstatus results of the objects, in order.
fn kstatus(objects: &[Value]) -> Result<Vec<String>> {
    health(objects, &[])
}

/// The results of the documented health script, run as in Argo CD.
fn argo_cd(objects: &[Value]) -> Result<Vec<String>> {
    let (_, rest) = PAGE.split_once("```lua\n").ok_or("the page has no script")?;
    let (script, _) = rest.split_once("```").ok_or("the script has no end")?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), script)?;
    health(objects, &[file.path()])
}

fn health(objects: &[Value], arguments: &[&Path]) -> Result<Vec<String>> {
    let mut child = Command::new(assets::kstatus()?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let lines = objects.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let mut stdin = child.stdin.take().ok_or("no stdin")?;
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output()?;
    writer.join().map_err(|_| "the writer panicked")??;
    if !output.status.success() {
        return Err("kstatus failed; stderr says why".into());
    }
    let text = String::from_utf8(output.stdout)?;
    let read = |line: &str| -> Result<String> {
        let told: Value = serde_json::from_str(line)?;
        Ok(told["status"].as_str().unwrap_or_default().to_owned())
    };
    text.lines().map(read).collect()
}

#[test]
fn every_state_has_the_right_health() -> Result {
    let cases = cases();
    let objects: Vec<Value> = cases.iter().map(|case| case.object.clone()).collect();
    let (told, by_script) = (kstatus(&objects)?, argo_cd(&objects)?);
    assert_eq!((told.len(), by_script.len()), (cases.len(), cases.len()));
    assert!(cases.len() > 100, "only {} cases have a status", cases.len());
    let mut counts = [0; 3];
    for (case, told) in cases.iter().zip(told.iter().zip(&by_script)) {
        let (expected, at) = match case.phase {
            // A new image behind a followed tag is in progress, and the existing image remains.
            Some(Phase::Ready) if case.is_looking_beside => (("InProgress", "Healthy"), 0),
            Some(Phase::Ready) => (("Current", "Healthy"), 1),
            Some(Phase::Failed) => (("Failed", "Degraded"), 2),
            Some(Phase::Pending | Phase::Building) | None => (("InProgress", "Progressing"), 0),
        };
        let told = (told.0.as_str(), told.1.as_str());
        assert_eq!(told, expected, "{}: {:#}", case.title, case.object["status"]);
        counts[at] += 1;
    }
    println!("{} in progress, {} current, {} failed", counts[0], counts[1], counts[2]);
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    Ok(())
}

#[test]
fn an_unobserved_generation_is_in_progress() -> Result {
    let mut changed: Vec<Value> = cases().into_iter().map(|case| case.object).collect();
    for object in &mut changed {
        object["metadata"]["generation"] = 1000.into();
    }
    assert!(kstatus(&changed)?.iter().all(|told| told == "InProgress"));
    assert!(argo_cd(&changed)?.iter().all(|told| told == "Progressing"));
    for object in &mut changed {
        object["metadata"]["deletionTimestamp"] = NOW.into();
    }
    assert!(kstatus(&changed)?.iter().all(|told| told == "Terminating"));
    Ok(())
}

/// Without an initial status, a new resource would be reported as complete before its first reconcile.
#[tokio::test]
async fn a_resource_without_status_is_in_progress() -> Result {
    let running = RunningCluster::shared().await?;
    running.test_ns("health-new").await?;
    let spec = json!({"buildType": "ImageImport", "fromImage": "quay.io/a/b:v1"});
    let stored = running
        .kubectl("health-new")
        .args(["create", "-o", "json", "-f", "-"])
        .stdin(resource("health-new", "health-new", &spec).to_string())
        .ok()
        .await?;
    let stored: Value = serde_json::from_str(&stored)?;
    assert_eq!(stored["status"], json!({"observedGeneration": -1}));
    let told = tokio::task::spawn_blocking(move || kstatus(&[stored]).map_err(|error| error.to_string())).await??;
    assert_eq!(told, ["InProgress"]);
    // The stored object is still a valid resource.
    let read: CustomNBImage = serde_json::from_str(
        &running
            .kubectl("health-new")
            .args(["get", "cnbi", "health-new", "-o", "json"])
            .ok()
            .await?,
    )?;
    assert!(read.status.is_some());
    Ok(())
}

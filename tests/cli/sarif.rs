//! Validates the output of `check -o sarif` against the SARIF 2.1.0 schema from OASIS.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use cnbi_tests::assets;
use cnbi_tests::process::binary;
use serde_json::Value;

use crate::cluster::Result;

/// The manifests of the check's own tests: valid, mixed, unreadable and empty.
const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cli/tests/check");

fn log(folder: &Path, arguments: &[&str]) -> Result<Value> {
    let check = Command::new(binary("kubectl-cnbi")?)
        .args(["check", "-o", "sarif"])
        .args(arguments)
        .current_dir(folder)
        .output()?;
    Ok(serde_json::from_slice(&check.stdout)?)
}

/// The SARIF schema result of each log: `ok` or the error.
fn judged(logs: &[Value]) -> Result<Vec<String>> {
    judged_by(&[], logs)
}

/// The schema result of each document: `ok` or the error. The default is the SARIF schema.
pub fn judged_by(schema: &[&Path], logs: &[Value]) -> Result<Vec<String>> {
    let mut child = Command::new(assets::sarif()?)
        .args(schema)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let lines = logs.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let mut stdin = child.stdin.take().ok_or("no stdin")?;
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output()?;
    writer.join().map_err(|_| "the writer panicked")??;
    let told: Vec<String> = String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect();
    assert!(output.status.success() && told.len() == logs.len(), "{told:?}");
    Ok(told)
}

#[test]
fn every_sarif_log_matches_the_schema() -> Result {
    let folder = tempfile::tempdir()?;
    let mixed = fs::read_to_string(Path::new(MANIFESTS).join("mixed.yaml"))?;
    fs::write(
        folder.path().join("\u{e4} %:b\u{1b}.yaml"),
        mixed.replace("pandas", "\\e[31m\u{202e}"),
    )?;
    let manifests = Path::new(MANIFESTS);
    let logs = [
        log(manifests, &["."])?,
        log(manifests, &[".", "--strict"])?,
        log(manifests, &["clean.yaml", "--config", "config.yaml"])?,
        log(manifests, &["latin1.yaml"])?,
        log(manifests, &["config.yaml"])?,
        log(folder.path(), &["."])?,
        log(
            Path::new("/"),
            &[folder.path().to_str().ok_or("a path that is no text")?],
        )?,
    ];
    let results: Vec<usize> = logs
        .iter()
        .map(|log| log["runs"][0]["results"].as_array().map_or(0, Vec::len))
        .collect();
    assert!(
        results[0] > 10 && results[1] > results[0] && results[4] == 0,
        "{results:?}"
    );
    assert!(results[5] > 5 && results[5] == results[6], "{results:?}");
    assert_eq!(judged(&logs)?, ["ok"; 7]);
    Ok(())
}

/// Invalid logs are rejected, so the test above can fail.
#[test]
fn an_invalid_sarif_log_is_detected() -> Result {
    let good = log(Path::new(MANIFESTS), &["mixed.yaml"])?;
    let result = "/runs/0/results/0";
    let cases: [(&str, &str, Value, &str); 7] = [
        (result, "level", "deny".into(), "level must be one of"),
        (result, "message", Value::Null, "message: Invalid type"),
        (result, "line", 1.into(), "Additional property line"),
        (
            "/runs/0/results/0/locations/0/physicalLocation/region",
            "startLine",
            0.into(),
            "startLine: Must be greater than or equal to 1",
        ),
        (
            "/runs/0/results/0/locations/0/physicalLocation/artifactLocation",
            "uri",
            "a%zz.yaml".into(),
            "uri: Does not match format",
        ),
        ("/runs/0", "columnKind", "bytes".into(), "columnKind must be one of"),
        ("", "version", "2.1".into(), "version must be one of"),
    ];
    let mut logs = Vec::new();
    for (parent, key, value, _) in &cases {
        let mut log = good.clone();
        log.pointer_mut(parent).ok_or(*parent)?[*key] = value.clone();
        logs.push(log);
    }
    for ((_, key, _, expected), told) in cases.iter().zip(judged(&logs)?) {
        assert!(told.contains(expected), "{key}: {told}");
    }
    Ok(())
}

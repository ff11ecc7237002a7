//! `prepare package-list`

use std::fs;

use serde_json::json;

use crate::git_server::git;
use crate::https::Server;
use crate::index;
use crate::step_runner::{StepOutput, StepRunner, digest, uv};

fn runner(server: &Server, path: &str) -> StepRunner {
    let runner = StepRunner::new(&format!("python: {{indexUrl: '{}'}}", server.url(path))).with_ca(&server.authority);
    runner.write_base_image("3.11");
    runner
}

fn prepare(runner: &StepRunner, packages: &[&str]) -> StepOutput {
    let uv = uv();
    let request = json!({"builderImage": "quay.io/a/b:v1", "packageVersions": packages});
    runner.run_with_request(&["prepare", "package-list", "--uv", uv.to_str().unwrap()], &request)
}

#[test]
fn equal_requests_have_equal_files_and_commits() {
    let server = index::start();
    let made = |runner: &StepRunner| {
        let output = prepare(runner, &["alpha", "beta>=1"]).done();
        let source = runner.path("work/source");
        let files = ["requirements.in", "requirements.txt", "Containerfile"]
            .map(|name| fs::read_to_string(source.join(name)).unwrap());
        (
            git(&source, &["rev-parse", "main"]),
            output.result("lock-digest"),
            files,
        )
    };
    let first = runner(&server, "/simple");
    let (commit, lock_digest, files) = made(&first);
    let [requirements, lock, containerfile] = &files;
    assert_eq!(requirements, "alpha\nbeta>=1\n");
    assert!(
        lock.starts_with(&format!("--index-url {}\n", server.url("/simple"))),
        "{lock}"
    );
    assert!(
        lock.contains("alpha==1.0 \\\n    --hash=sha256:") && lock.contains("beta==2.0 \\\n"),
        "{lock}"
    );
    assert_eq!(lock_digest, digest(lock.as_bytes()));
    let base = fs::read_to_string(first.path("work/base/index.json")).unwrap();
    let base: serde_json::Value = serde_json::from_str(&base).unwrap();
    let from = format!(
        "\nFROM quay.io/a/b@{}\n",
        base["manifests"][0]["digest"].as_str().unwrap()
    );
    assert!(
        containerfile.contains(&from) && containerfile.contains("for Python 3.11"),
        "{containerfile}"
    );

    let source = first.path("work/source");
    assert_eq!(git(&source, &["status", "--porcelain"]), "");
    let output = git(&source, &["log", "-1", "--format=%an <%ae> %aI"]);
    assert_eq!(output, "CNBi <cnbi@meteor.zone> 2000-01-01T00:00:00+00:00");

    // A retry in the same workspace, and another workspace.
    assert_eq!(made(&first), (commit.clone(), lock_digest.clone(), files.clone()));
    assert_eq!(made(&runner(&server, "/simple")), (commit, lock_digest, files));
}

#[test]
fn the_lock_is_for_the_python_of_the_base_image() {
    let server = index::start();
    for (python, version) in [("3.12", "modern==1.0"), ("3.9", "modern==0.9")] {
        let runner = runner(&server, "/simple");
        runner.write_base_image(python);
        prepare(&runner, &["modern"]).done();
        let lock = fs::read_to_string(runner.path("work/source/requirements.txt")).unwrap();
        assert!(lock.contains(version), "{python}: {lock}");
    }
    let old = runner(&server, "/simple");
    old.write_base_image("3.6");
    prepare(&old, &["modern"]).failed("", "has Python 3.6; notebooks need 3.8");
}

#[test]
fn conflicting_requirements_are_reported_with_the_cause() {
    let server = index::start();
    let runner = runner(&server, "/simple");
    prepare(&runner, &["alpha==1.0", "beta<2"]).failed(
        "RequirementsUnsolvable",
        "the requirements conflict: alpha>=1.0 requires beta>=2; you require alpha==1.0; you require beta<2",
    );
    prepare(&runner, &["beta==7"]).failed("RequirementsUnsolvable", "there is no version of beta==7");
    prepare(&runner, &["gamma"]).failed("RequirementsUnsolvable", "nosuch was not found");
    prepare(&runner, &["alpha", "missing"]).failed("PackageListUnavailable", "not found in the package index: missing");
}

#[test]
fn index_errors_are_temporary() {
    let server = index::start();
    for (path, message) in [
        ("/broken/simple", "503"),
        ("/refusing/simple", "it rejected the credentials"),
    ] {
        prepare(&runner(&server, path), &["alpha"]).failed("SourceRepositoryUnavailable", message);
    }
}

#[test]
fn connection_errors_of_the_index_are_temporary() {
    let unreachable = StepRunner::new("python: {indexUrl: 'https://localhost:1/simple'}");
    unreachable.write_base_image("3.11");
    prepare(&unreachable, &["alpha"]).failed("SourceRepositoryUnavailable", "cannot reach the package index");
}

#[test]
fn an_index_with_an_unknown_ca_is_rejected() {
    let server = index::start();
    let stranger = StepRunner::new(&format!("python: {{indexUrl: '{}'}}", server.url("/simple")));
    stranger.write_base_image("3.11");
    prepare(&stranger, &["alpha"]).failed("SourceRepositoryUnavailable", "cannot reach the package index");
}

#[test]
fn only_requirements_are_passed_to_uv() {
    let runner = StepRunner::new("");
    runner.write_base_image("3.11");
    for package in [
        "-r /etc/passwd",
        "--index-url https://evil.invalid",
        "-e .",
        "alpha\n--index-url https://evil.invalid",
        "alpha @ file:///etc/passwd",
        "$(rm -rf /)",
    ] {
        prepare(&runner, &[package]).failed("PackageListUnavailable", "");
        assert!(!runner.path("work/source").exists(), "{package}");
    }
}

#[test]
fn a_base_image_without_python_is_reported() {
    let runner = StepRunner::new("");
    runner.write_base_image("none");
    prepare(&runner, &["alpha"]).failed("", "found no Python in quay.io/a/b@sha256:");
}

/// Locks with the public index, and checks the lock file with pip.
#[test]
fn pip_accepts_a_lock_of_the_public_index() {
    let runner = StepRunner::new("");
    runner.write_base_image("3.11");
    prepare(&runner, &["six>=1.16", "python-dateutil==2.9.0.post0"]).done();
    let source = runner.path("work/source");
    let target = runner.path("installed");
    let output = std::process::Command::new("python3")
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-input",
            "--disable-pip-version-check",
            "--no-deps",
        ])
        .args(["--require-hashes", "--target"])
        .arg(&target)
        .args(["--requirement", "requirements.txt"])
        .current_dir(&source)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(target.join("six.py").is_file() && target.join("dateutil").is_dir());
    prepare(&runner, &["pandas==2.2.2", "numpy<1.20"])
        .failed("RequirementsUnsolvable", "pandas==2.2.2 requires numpy>=1.2");
}

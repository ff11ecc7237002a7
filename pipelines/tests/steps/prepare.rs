//! `prepare package-list`

use std::fs;

use serde_json::json;

use crate::https::Server;
use crate::index;
use crate::place::{Place, Told, digest, uv};
use crate::served::git;

fn place(server: &Server, path: &str) -> Place {
    let place = Place::new(&format!("python: {{indexUrl: '{}'}}", server.url(path))).trusting(&server.authority);
    place.has_base("3.11");
    place
}

fn prepare(place: &Place, packages: &[&str]) -> Told {
    let uv = uv();
    let request = json!({"builderImage": "quay.io/a/b:v1", "packageVersions": packages});
    place.ask(&["prepare", "package-list", "--uv", uv.to_str().unwrap()], &request)
}

#[test]
fn the_same_request_is_the_same_bytes_and_the_same_commit() {
    let server = index::start();
    let made = |place: &Place| {
        let told = prepare(place, &["alpha", "beta>=1"]).done();
        let source = place.path("work/source");
        let files = ["requirements.in", "requirements.txt", "Containerfile"]
            .map(|name| fs::read_to_string(source.join(name)).unwrap());
        (git(&source, &["rev-parse", "main"]), told.result("lock-digest"), files)
    };
    let first = place(&server, "/simple");
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
    let told = git(&source, &["log", "-1", "--format=%an <%ae> %aI"]);
    assert_eq!(told, "CNBi <cnbi@meteor.zone> 2000-01-01T00:00:00+00:00");

    // Again in the same place, as after a retry, and in another one.
    assert_eq!(made(&first), (commit.clone(), lock_digest.clone(), files.clone()));
    assert_eq!(made(&place(&server, "/simple")), (commit, lock_digest, files));
}

#[test]
fn the_lock_is_for_the_images_python() {
    let server = index::start();
    for (python, version) in [("3.12", "modern==1.0"), ("3.9", "modern==0.9")] {
        let place = place(&server, "/simple");
        place.has_base(python);
        prepare(&place, &["modern"]).done();
        let lock = fs::read_to_string(place.path("work/source/requirements.txt")).unwrap();
        assert!(lock.contains(version), "{python}: {lock}");
    }
    let old = place(&server, "/simple");
    old.has_base("3.6");
    prepare(&old, &["modern"]).failed("", "has Python 3.6, and a notebook needs 3.8");
}

#[test]
fn what_cannot_be_solved_is_told_with_its_cause() {
    let server = index::start();
    let place = place(&server, "/simple");
    prepare(&place, &["alpha==1.0", "beta<2"]).failed(
        "RequirementsUnsolvable",
        "requirements cannot be solved: alpha>=1.0 requires beta>=2; you require alpha==1.0; you require beta<2",
    );
    prepare(&place, &["beta==7"]).failed("RequirementsUnsolvable", "there is no version of beta==7");
    prepare(&place, &["gamma"]).failed("RequirementsUnsolvable", "nosuch was not found");
    prepare(&place, &["alpha", "missing"]).failed(
        "PackageListUnavailable",
        "the package index has no package named missing",
    );
}

#[test]
fn an_index_that_does_not_answer_is_a_matter_of_time() {
    let server = index::start();
    for (path, message) in [("/broken/simple", "503"), ("/refusing/simple", "it refuses us")] {
        prepare(&place(&server, path), &["alpha"]).failed("SourceRepositoryUnavailable", message);
    }
}

#[test]
fn an_index_that_cannot_be_reached_is_a_matter_of_time() {
    let nobody = Place::new("python: {indexUrl: 'https://localhost:1/simple'}");
    nobody.has_base("3.11");
    prepare(&nobody, &["alpha"]).failed("SourceRepositoryUnavailable", "could not be asked");
}

#[test]
fn an_index_of_an_unknown_authority_is_not_trusted() {
    let server = index::start();
    let stranger = Place::new(&format!("python: {{indexUrl: '{}'}}", server.url("/simple")));
    stranger.has_base("3.11");
    prepare(&stranger, &["alpha"]).failed("SourceRepositoryUnavailable", "could not be asked");
}

#[test]
fn nothing_but_requirements_gets_to_uv() {
    let place = Place::new("");
    place.has_base("3.11");
    for package in [
        "-r /etc/passwd",
        "--index-url https://evil.invalid",
        "-e .",
        "alpha\n--index-url https://evil.invalid",
        "alpha @ file:///etc/passwd",
        "$(rm -rf /)",
    ] {
        prepare(&place, &[package]).failed("PackageListUnavailable", "");
        assert!(!place.path("work/source").exists(), "{package}");
    }
}

#[test]
fn a_base_without_python_is_told() {
    let place = Place::new("");
    place.has_base("none");
    prepare(&place, &["alpha"]).failed("", "no Python was found in quay.io/a/b@sha256:");
}

/// The lock of the public index, and pip's word that it is one.
#[test]
fn a_lock_of_the_public_index_is_what_pip_installs() {
    let place = Place::new("");
    place.has_base("3.11");
    prepare(&place, &["six>=1.16", "python-dateutil==2.9.0.post0"]).done();
    let source = place.path("work/source");
    let target = place.path("installed");
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
    prepare(&place, &["pandas==2.2.2", "numpy<1.20"])
        .failed("RequirementsUnsolvable", "pandas==2.2.2 requires numpy>=1.2");
}

//! `fetch git`

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use serde_json::{Value, json};

use crate::git_server::{GitServer, USER, git};
use crate::step_runner::{StepOutput, StepRunner};

fn fetch(runner: &StepRunner, url: &str, git_ref: Option<&str>) -> StepOutput {
    fetch_with(runner, url, git_ref, &[])
}

fn fetch_with(runner: &StepRunner, url: &str, git_ref: Option<&str>, more: &[&str]) -> StepOutput {
    let mut request: Value = json!({ "repositoryUrl": url });
    if let Some(git_ref) = git_ref {
        request["gitRef"] = json!(git_ref);
    }
    let secret = runner.path("secret");
    let is_bound = fs::read_dir(&secret).unwrap().next().is_some();
    let secret = if is_bound { secret.to_str().unwrap() } else { "" };
    let secret = format!("--git-credentials={secret}");
    let mut args = vec!["fetch", "git", &secret];
    args.extend(more);
    runner.run_with_request(&args, &request)
}

fn runner(git_server: &GitServer) -> StepRunner {
    StepRunner::new("").with_ca(&git_server.server.authority)
}

#[test]
fn branches_tags_and_commits_are_fetched_as_plain_files() {
    let git_server = GitServer::start();
    let commit = git_server.repository("a.git", |work| {
        fs::write(work.join("README"), "first").unwrap();
        symlink("README", work.join("link")).unwrap();
    });
    let runner = runner(&git_server);
    let refs = [
        None,
        Some("HEAD"),
        Some("main"),
        Some("v1"),
        Some("refs/tags/v1"),
        Some(commit.as_str()),
    ];
    for git_ref in refs {
        let output = fetch(&runner, &git_server.url("a.git"), git_ref).done();
        assert_eq!(output.result("commit"), commit, "{git_ref:?}");
        let source = runner.path("work/source");
        assert_eq!(fs::read_to_string(source.join("README")).unwrap(), "first");
        assert!(!source.join(".git").exists());
    }
}

#[test]
fn a_repository_of_sha256_ids_is_read_too() {
    let git_server = GitServer::start();
    let folder = git_server.path("long.git");
    fs::create_dir(&folder).unwrap();
    git(
        &folder,
        &[
            "init",
            "--quiet",
            "--bare",
            "--object-format=sha256",
            "--initial-branch=main",
            ".",
        ],
    );
    let tree = git(&folder, &["hash-object", "-w", "-t", "tree", "/dev/null"]);
    let commit = git(&folder, &["commit-tree", "-m", "first", &tree]);
    git(&folder, &["update-ref", "refs/heads/main", &commit]);
    assert_eq!(commit.len(), 64);
    for git_ref in [None, Some("main"), Some(commit.as_str())] {
        let output = fetch(&runner(&git_server), &git_server.url("long.git"), git_ref).done();
        assert_eq!(output.result("commit"), commit);
    }
}

#[test]
fn a_missing_ref_is_reported() {
    let git_server = GitServer::start();
    let commit = git_server.repository("a.git", |_| {});
    git_server.run_plain("empty.git");
    let runner = runner(&git_server);
    let url = git_server.url("a.git");
    for git_ref in ["nosuch", "refs/heads/nosuch", &commit[..12], &"0".repeat(40)] {
        fetch(&runner, &url, Some(git_ref)).failed("GitRefNotFound", git_ref);
    }
    fetch(&runner, &git_server.url("empty.git"), None).failed("GitRefNotFound", "the repository is empty");
    let tree = git(&git_server.path("a.git"), &["rev-parse", "HEAD^{tree}"]);
    git(&git_server.path("a.git"), &["tag", "tree", &tree]);
    fetch(&runner, &url, Some("tree")).failed("GitRefNotFound", "\"tree\" is not a commit");
}

#[test]
fn a_private_repository_needs_the_admins_credential() {
    let git_server = GitServer::start();
    let commit = git_server.repository("private/a.git", |_| {});
    let url = git_server.url("private/a.git");
    let output = fetch(&runner(&git_server), &url, None).failed("GitUnauthorized", "denied access");
    assert!(!output.log.contains("hunter2"));

    let wrong = runner(&git_server).with_secret(&[("username", USER.0), ("password", "wrong-s3cret")]);
    let output = fetch(&wrong, &url, None).failed("GitUnauthorized", "denied access");
    assert!(!format!("{output:?}").contains("wrong-s3cret"), "{output:?}");

    let right = runner(&git_server).with_secret(&[("username", USER.0), ("password", USER.1)]);
    let output = fetch(&right, &url, None).done();
    assert_eq!(output.result("commit"), commit);
    assert!(!output.log.contains("hunter2"));

    let lacking = runner(&git_server).with_secret(&[("ssh-privatekey", "x")]);
    fetch(&lacking, &url, None).failed("GitUnauthorized", "no entry \"password\" or \"token\"");
}

#[test]
fn fetch_errors_have_distinct_reasons() {
    let git_server = GitServer::start();
    git_server.repository("a.git", |_| {});
    let known = runner(&git_server);
    fetch(&known, &git_server.url("nosuch.git"), None).failed("GitUnauthorized", "no such repository");
    fetch(&known, &git_server.url("moved/a.git"), None).failed("GitUnauthorized", "has moved");
    fetch(&known, &git_server.url("broken/a.git"), None).failed("SourceRepositoryUnavailable", "cannot fetch from");
    fetch(&known, "https://localhost:1/a.git", None)
        .failed("SourceRepositoryUnavailable", "cannot fetch from localhost:1");
    fetch(&known, "git@localhost:a.git", None).failed("GitUnauthorized", "no key for localhost");
    let stranger = StepRunner::new("");
    fetch(&stranger, &git_server.url("a.git"), None).failed("SourceRepositoryUnavailable", "cannot fetch from");
}

#[test]
fn an_unreachable_ssh_host_is_reported() {
    let git_server = GitServer::start();
    let runner = runner(&git_server).with_secret(&[
        ("ssh-privatekey", "not a key"),
        ("known_hosts", "localhost ssh-ed25519 AAAA"),
    ]);
    fetch(&runner, "ssh://git@localhost:1/a.git", None).failed("SourceRepositoryUnavailable", "cannot fetch from");
}

#[test]
fn hooks_filters_and_submodules_of_a_repository_are_ignored() {
    let git_server = GitServer::start();
    git_server.repository("inner.git", |_| {});
    let inner = git_server.url("inner.git");
    let marker = git_server.path("ran");
    git_server.repository("hostile.git", |work| {
        let hook = format!("#!/bin/sh\ntouch {}\n", marker.display());
        for folder in ["hooks", ".githooks"] {
            fs::create_dir(work.join(folder)).unwrap();
            fs::write(work.join(folder).join("post-checkout"), &hook).unwrap();
            fs::set_permissions(
                work.join(folder).join("post-checkout"),
                fs::Permissions::from_mode(0o755),
            )
            .unwrap();
        }
        fs::write(work.join(".gitattributes"), "* filter=evil\n").unwrap();
        fs::write(work.join(".gitconfig"), "[core]\n\thooksPath = .githooks\n").unwrap();
        let text = format!(
            "[submodule \"x\"]\n\tpath = x\n\turl = {inner}\n\tupdate = !touch {}\n",
            marker.display()
        );
        fs::write(work.join(".gitmodules"), text).unwrap();
        let id = "1".repeat(40);
        git(
            work,
            &["update-index", "--add", "--cacheinfo", &format!("160000,{id},x")],
        );
    });
    let before = git_server.seen().len();
    fetch(&runner(&git_server), &git_server.url("hostile.git"), None).done();
    assert!(!marker.exists());
    let asked = git_server.seen();
    assert!(
        asked[before..].iter().all(|line| line.contains("hostile.git")),
        "{asked:?}"
    );
}

#[test]
fn large_repositories_are_rejected() {
    let git_server = GitServer::start();
    git_server.repository("big.git", |work| {
        let mut state = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .take(24 << 20)
        .collect();
        fs::write(work.join("noise"), noise).unwrap();
    });
    let output = fetch_with(&runner(&git_server), &git_server.url("big.git"), None, &["--most", "1"]);
    output.failed("", "larger than 1 MiB");
}

#[test]
fn invalid_urls_and_refs_are_rejected_before_git_runs() {
    let runner = StepRunner::new("");
    for (url, git_ref) in [
        ("--upload-pack=touch x", None),
        ("ext::sh -c true", None),
        ("file:///etc", None),
        ("http://localhost/a", None),
        ("https://localhost/a", Some("--upload-pack=x")),
        ("https://localhost/a", Some("$(rm -rf /)\n")),
    ] {
        let output = fetch(&runner, url, git_ref);
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(!runner.path("work/source").exists());
    }
}

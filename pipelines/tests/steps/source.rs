//! `fetch git`

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use serde_json::{Value, json};

use crate::place::{Place, Told};
use crate::served::{Served, USER, git};

fn fetch(place: &Place, url: &str, git_ref: Option<&str>) -> Told {
    fetch_with(place, url, git_ref, &[])
}

fn fetch_with(place: &Place, url: &str, git_ref: Option<&str>, more: &[&str]) -> Told {
    let mut request: Value = json!({ "repositoryUrl": url });
    if let Some(git_ref) = git_ref {
        request["gitRef"] = json!(git_ref);
    }
    let secret = place.path("secret");
    let is_bound = fs::read_dir(&secret).unwrap().next().is_some();
    let secret = if is_bound { secret.to_str().unwrap() } else { "" };
    let secret = format!("--git-credentials={secret}");
    let mut args = vec!["fetch", "git", &secret];
    args.extend(more);
    place.ask(&args, &request)
}

fn place(served: &Served) -> Place {
    Place::new("").trusting(&served.server.authority)
}

#[test]
fn branches_tags_and_commits_are_brought_as_plain_files() {
    let served = Served::start();
    let commit = served.repository("a.git", |work| {
        fs::write(work.join("README"), "first").unwrap();
        symlink("README", work.join("link")).unwrap();
    });
    let place = place(&served);
    let refs = [
        None,
        Some("HEAD"),
        Some("main"),
        Some("v1"),
        Some("refs/tags/v1"),
        Some(commit.as_str()),
    ];
    for git_ref in refs {
        let told = fetch(&place, &served.url("a.git"), git_ref).done();
        assert_eq!(told.result("commit"), commit, "{git_ref:?}");
        let source = place.path("work/source");
        assert_eq!(fs::read_to_string(source.join("README")).unwrap(), "first");
        assert!(!source.join(".git").exists());
    }
}

#[test]
fn a_repository_of_sha256_ids_is_read_too() {
    let served = Served::start();
    let folder = served.path("long.git");
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
        let told = fetch(&place(&served), &served.url("long.git"), git_ref).done();
        assert_eq!(told.result("commit"), commit);
    }
}

#[test]
fn a_ref_that_is_not_there_is_told_as_such() {
    let served = Served::start();
    let commit = served.repository("a.git", |_| {});
    served.bare("empty.git");
    let place = place(&served);
    let url = served.url("a.git");
    for git_ref in ["nosuch", "refs/heads/nosuch", &commit[..12], &"0".repeat(40)] {
        fetch(&place, &url, Some(git_ref)).failed("GitRefNotFound", git_ref);
    }
    fetch(&place, &served.url("empty.git"), None).failed("GitRefNotFound", "the repository is empty");
    let tree = git(&served.path("a.git"), &["rev-parse", "HEAD^{tree}"]);
    git(&served.path("a.git"), &["tag", "tree", &tree]);
    fetch(&place, &url, Some("tree")).failed("GitRefNotFound", "\"tree\" is no commit");
}

#[test]
fn a_private_repository_needs_the_admins_credential() {
    let served = Served::start();
    let commit = served.repository("private/a.git", |_| {});
    let url = served.url("private/a.git");
    let told = fetch(&place(&served), &url, None).failed("GitUnauthorized", "does not let us read");
    assert!(!told.log.contains("hunter2"));

    let wrong = place(&served).knowing(&[("username", USER.0), ("password", "wrong-s3cret")]);
    let told = fetch(&wrong, &url, None).failed("GitUnauthorized", "does not let us read");
    assert!(!format!("{told:?}").contains("wrong-s3cret"), "{told:?}");

    let right = place(&served).knowing(&[("username", USER.0), ("password", USER.1)]);
    let told = fetch(&right, &url, None).done();
    assert_eq!(told.result("commit"), commit);
    assert!(!told.log.contains("hunter2"));

    let lacking = place(&served).knowing(&[("ssh-privatekey", "x")]);
    fetch(&lacking, &url, None).failed("GitUnauthorized", "no entry password or token");
}

#[test]
fn what_is_not_to_be_had_is_told_apart() {
    let served = Served::start();
    served.repository("a.git", |_| {});
    let known = place(&served);
    fetch(&known, &served.url("nosuch.git"), None).failed("GitUnauthorized", "no such repository");
    fetch(&known, &served.url("moved/a.git"), None).failed("GitUnauthorized", "has another URL now");
    fetch(&known, &served.url("broken/a.git"), None).failed("SourceRepositoryUnavailable", "could not be reached");
    fetch(&known, "https://localhost:1/a.git", None)
        .failed("SourceRepositoryUnavailable", "localhost:1 could not be reached");
    fetch(&known, "git@localhost:a.git", None).failed("GitUnauthorized", "no key for localhost");
    let stranger = Place::new("");
    fetch(&stranger, &served.url("a.git"), None).failed("SourceRepositoryUnavailable", "could not be reached");
}

#[test]
fn an_ssh_host_that_cannot_be_reached_is_told_with_its_key_at_hand() {
    let served = Served::start();
    let place = place(&served).knowing(&[
        ("ssh-privatekey", "not a key"),
        ("known_hosts", "localhost ssh-ed25519 AAAA"),
    ]);
    fetch(&place, "ssh://git@localhost:1/a.git", None).failed("SourceRepositoryUnavailable", "could not be reached");
}

#[test]
fn nothing_in_a_repository_runs_or_leads_git_elsewhere() {
    let served = Served::start();
    served.repository("inner.git", |_| {});
    let inner = served.url("inner.git");
    let marker = served.path("ran");
    served.repository("hostile.git", |work| {
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
    let before = served.seen().len();
    fetch(&place(&served), &served.url("hostile.git"), None).done();
    assert!(!marker.exists());
    let asked = served.seen();
    assert!(
        asked[before..].iter().all(|line| line.contains("hostile.git")),
        "{asked:?}"
    );
}

#[test]
fn a_repository_has_bounds() {
    let served = Served::start();
    served.repository("big.git", |work| {
        let mut state = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .take(24 << 20)
        .collect();
        fs::write(work.join("noise"), noise).unwrap();
    });
    let told = fetch_with(&place(&served), &served.url("big.git"), None, &["--most", "1"]);
    told.failed("", "more than 1 MiB");
}

#[test]
fn what_the_rules_refuse_never_reaches_git() {
    let place = Place::new("");
    for (url, git_ref) in [
        ("--upload-pack=touch x", None),
        ("ext::sh -c true", None),
        ("file:///etc", None),
        ("http://localhost/a", None),
        ("https://localhost/a", Some("--upload-pack=x")),
        ("https://localhost/a", Some("$(rm -rf /)\n")),
    ] {
        let told = fetch(&place, url, git_ref);
        assert_eq!(told.code, Some(2), "{told:?}");
        assert!(!place.path("work/source").exists());
    }
}

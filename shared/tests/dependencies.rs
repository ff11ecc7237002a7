//! The dependency directions between the crates, as cargo sees them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names of all direct and indirect dependencies of a package.
fn needed_by(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--locked",
            "-p",
            package,
            "-e",
            "normal",
            "--prefix",
            "none",
            "-f",
            "{lib}",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let names = tree.lines().filter_map(|line| line.split_whitespace().next());
    let own = package.replace('-', "_");
    names.map(str::to_owned).filter(|name| *name != own).collect()
}

fn does_not_need(package: &str, banned: &[&str]) {
    let needed = needed_by(package);
    assert!(needed.len() > 5, "{needed:?}");
    let found: Vec<_> = banned.iter().filter(|name| needed.contains(**name)).collect();
    assert!(found.is_empty(), "{package} depends on {found:?}");
}

#[test]
fn the_core_has_no_network_no_runtime_and_no_clock() {
    does_not_need(
        "cnbi-shared",
        &[
            "async_std",
            "axum",
            "hyper",
            "hyper_util",
            "kube_client",
            "kube_runtime",
            "mio",
            "reqwest",
            "ring",
            "rustls",
            "smol",
            "socket2",
            "tokio",
            "tower",
            "walkdir",
            "cnbi_certs",
            "cnbi_runtime",
            "cnbi_webhook",
            "cnbi_controller",
        ],
    );
}

#[test]
fn certificates_do_not_depend_on_resources_or_programs() {
    does_not_need(
        "cnbi-certs",
        &["cnbi_shared", "cnbi_runtime", "cnbi_webhook", "cnbi_controller"],
    );
}

#[test]
fn the_runtime_does_not_depend_on_programs_or_certificates() {
    let programs = ["cnbi_webhook", "cnbi_controller", "cnbi_cli", "cnbi_pipelines"];
    does_not_need("cnbi-runtime", &[&programs[..], &["cnbi_certs"]].concat());
    assert!(needed_by("cnbi-runtime").contains("cnbi_shared"));
}

#[test]
fn programs_do_not_depend_on_each_other() {
    does_not_need("cnbi-webhook", &["cnbi_controller", "cnbi_cli"]);
    does_not_need("cnbi-controller", &["cnbi_webhook", "cnbi_certs"]);
    // Programs that run once.
    let long_running = ["cnbi_webhook", "cnbi_certs", "cnbi_controller", "cnbi_runtime"];
    does_not_need("cnbi-cli", &long_running);
    does_not_need("cnbi-pipelines", &long_running);
    for program in ["cnbi-webhook", "cnbi-controller"] {
        assert!(needed_by(program).is_superset(&["cnbi_runtime", "cnbi_shared"].map(str::to_owned).into()));
    }
}

/// `cnbi_runtime::tasks` supervises long-running tasks. Only tasks that serve one connection may be detached.
#[test]
fn long_running_tasks_are_started_by_the_supervisor() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut detached = Vec::new();
    for folder in ["certs/src", "controller/src", "runtime/src", "webhook/src"] {
        for file in sources(&root.join(folder)) {
            let text = fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
            if ["tokio::spawn(", "task::spawn(", "spawn_local("]
                .iter()
                .any(|spawn| code.contains(spawn))
            {
                detached.push(file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    detached.sort_unstable();
    assert_eq!(detached, ["runtime/src/status_server.rs", "webhook/src/serve.rs"]);
}

/// Rust files of a folder, without test modules in files of their own.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                sources(&path)
            } else if path.extension().is_some_and(|extension| extension == "rs") && !name.ends_with("tests.rs") {
                vec![path]
            } else {
                Vec::new()
            }
        })
        .collect()
}

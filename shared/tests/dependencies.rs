//! The arrows between the rooms, as cargo sees them: what a crate must never come to need.

use std::collections::BTreeSet;
use std::process::Command;

/// Names of all crates that a package is built with, itself left out.
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
    assert!(found.is_empty(), "{package} comes with {found:?}");
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
            "cnbi_webhook",
            "cnbi_controller",
        ],
    );
}

#[test]
fn certificates_know_no_resource() {
    does_not_need("cnbi-certs", &["cnbi_shared", "cnbi_webhook", "cnbi_controller"]);
}

#[test]
fn the_programs_do_not_know_each_other() {
    does_not_need("cnbi-webhook", &["cnbi_controller", "cnbi_cli"]);
    does_not_need("cnbi-cli", &["cnbi_webhook", "cnbi_certs", "cnbi_controller"]);
    does_not_need("cnbi-controller", &["cnbi_webhook", "cnbi_certs"]);
    does_not_need("cnbi-pipelines", &["cnbi_webhook", "cnbi_certs", "cnbi_controller"]);
    assert!(needed_by("cnbi-webhook").contains("cnbi_shared"));
}

//! cnbi-step as a step of a task: arguments, results and exit codes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

fn step(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cnbi-step"))
        .args(args)
        .env_clear()
        .output()
        .unwrap()
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn install_copies_the_program_and_reports_no_results() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("copy");
    let results = folder.path().to_str().unwrap();
    let output = step(&["install", "--to", to.to_str().unwrap(), "--results", results]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o555);
    assert_eq!(text(&folder.path().join("reason")), "");
    let copied = Command::new(&to).arg("--version").env_clear().output().unwrap();
    assert!(copied.stdout.starts_with(b"cnbi-step "), "{copied:?}");
}

#[test]
fn errors_are_in_results_and_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().to_str().unwrap();
    let output = step(&["--results", results, "install", "--to", "/nowhere/at/all"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(text(&folder.path().join("reason")), "");
    assert!(text(&folder.path().join("message")).starts_with("cannot copy cnbi-step to /nowhere/at/all: "));
}

#[test]
fn unwritable_results_and_usage_errors_have_their_own_exit_codes() {
    let output = step(&["--results", "/nowhere", "install", "--to", "/nowhere/at/all"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("cannot copy cnbi-step to /nowhere/at/all"), "{log}");
    assert_eq!(step(&["install"]).status.code(), Some(2));
    let help = String::from_utf8(step(&["--help"]).stdout).unwrap();
    assert!(help.contains("Exit codes:"), "{help}");
}

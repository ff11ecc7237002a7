//! The real program: every task is supervised, signals end it, and the API server sees its User-Agent.

#[path = "../../runtime/tests/process/mod.rs"]
mod process;

use std::io::Write as _;

use process::{Process, assert_a_panic_in_any_task_ends_the_process};

const PROGRAM: &str = env!("CARGO_BIN_EXE_cnbi-webhook");

const TASKS: [&str; 6] = [
    "admission-server",
    "certificates",
    "client-ca",
    "config-watch",
    "heap-trim",
    "status-server",
];

fn with_client_ca(test: impl FnOnce(&[&str])) {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(ca.pem().as_bytes()).unwrap();
    let client_ca = format!("--client-ca={}", file.path().display());
    test(&["--listen=127.0.0.1:0", "--grace-ms=0", &client_ca]);
}

#[test]
fn a_panic_in_any_task_ends_the_process() {
    with_client_ca(|args| assert_a_panic_in_any_task_ends_the_process(PROGRAM, args, &TASKS));
}

#[test]
fn the_program_supervises_its_tasks_and_ends_with_code_0_after_sigterm() {
    with_client_ca(|args| {
        let mut process = Process::start(PROGRAM, args);
        assert_eq!(process.tasks(), format!("{TASKS:?}"));
        let user_agent = process.user_agent();
        assert!(user_agent.starts_with("cnbi-webhook/"), "{user_agent}");
        process.terminate();
        assert_eq!(process.exit_code(), Some(0));
    });
}

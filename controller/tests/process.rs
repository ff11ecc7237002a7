//! The real program: every task is supervised, signals end it, and the API server sees its User-Agent.

#[path = "../../runtime/tests/process/mod.rs"]
mod process;

use process::{Process, assert_a_panic_in_any_task_ends_the_process};

const PROGRAM: &str = env!("CARGO_BIN_EXE_cnbi-controller");

const TASKS: [&str; 3] = ["config-watch", "reconciler", "status-server"];

#[test]
fn a_panic_in_any_task_ends_the_process() {
    assert_a_panic_in_any_task_ends_the_process(PROGRAM, &[], &TASKS);
}

#[test]
fn the_program_supervises_its_tasks_and_ends_with_code_0_after_sigterm() {
    let mut process = Process::start(PROGRAM, &[]);
    assert_eq!(process.tasks(), format!("{TASKS:?}"));
    let user_agent = process.user_agent();
    assert!(user_agent.starts_with("cnbi-controller/"), "{user_agent}");
    process.terminate();
    assert_eq!(process.exit_code(), Some(0));
}

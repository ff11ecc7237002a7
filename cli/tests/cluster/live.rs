//! Tests of `kubectl cnbi status --watch` on a pseudo terminal.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;
use vt100::Parser;

use crate::api::Api;
use crate::status::{LIST, LOG, RESOURCE, TASK_RUNS, condition, failed, list, resource, task_run, tasks_of_failure};

const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-cnbi");

const WITHIN: Duration = Duration::from_secs(60);

/// Text on the terminal before the program starts.
const BEFORE: &str = "$ cnbi\r\n";

/// A terminal that runs the program.
struct Terminal {
    child: Child,
    orders: ChildStdin,
    written: Receiver<Vec<u8>>,
    /// All output so far.
    bytes: Vec<u8>,
    parser: Parser,
}

impl Terminal {
    fn start(api: &Api, environment: &[(&str, &str)]) -> Self {
        let driver = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/terminal.py");
        let mut child = Command::new("python3")
            .args([driver, "24", "80", PROGRAM, "status", "pandas-notebook", "--watch"])
            .env("KUBECONFIG", api.folder.path().join("kubeconfig"))
            .env("TERM", "xterm-256color")
            .env_remove("ENV")
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR_FORCE")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, written) = channel();
        let mut stdout = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 65536];
            while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        let mut parser = Parser::new(24, 80, 1000);
        parser.process(BEFORE.as_bytes());
        Self {
            orders: child.stdin.take().unwrap(),
            child,
            written,
            bytes: Vec::new(),
            parser,
        }
    }

    fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
    }

    fn type_in(&mut self, text: &str) {
        self.order(&format!("type {}", json!(text)));
    }

    /// The screen without [`BEFORE`].
    fn shown(&self) -> String {
        let contents = self.parser.screen().contents();
        let view = contents.strip_prefix(BEFORE.trim_end()).unwrap_or(&contents);
        view.trim_start().to_owned()
    }

    /// Reads until the responses of [`begin`] are shown.
    async fn until_first_view(&mut self) {
        self.until("first view", |shown| shown.contains("running prepare"))
            .await;
    }

    async fn until(&mut self, what: &str, is_wanted: impl Fn(&str) -> bool) {
        let begin = Instant::now();
        while !is_wanted(&self.shown()) {
            match self.written.try_recv() {
                Ok(bytes) => self.take(&bytes),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
            assert!(
                begin.elapsed() < WITHIN,
                "no {what}:\n{}\n{}",
                self.shown(),
                self.bytes.escape_ascii()
            );
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.parser.process(bytes);
    }

    /// Reads to the end and returns the exit status.
    async fn ended(&mut self) -> i32 {
        let begin = Instant::now();
        loop {
            match self.written.recv_timeout(Duration::from_millis(20)) {
                Ok(bytes) => self.take(&bytes),
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().unwrap().code().unwrap(),
                Err(RecvTimeoutError::Timeout) => tokio::task::yield_now().await,
            }
            assert!(begin.elapsed() < WITHIN, "the program does not exit:\n{}", self.shown());
        }
    }

    /// The normal screen is in use, the cursor is visible, and lines wrap.
    fn assert_usable(&self) {
        let screen = self.parser.screen();
        let text = String::from_utf8_lossy(&self.bytes);
        assert!(!screen.alternate_screen() && !screen.hide_cursor(), "{text:?}");
        assert_eq!(text.matches("\u{1b}[?7l").count(), text.matches("\u{1b}[?7h").count());
    }

    /// [`Self::assert_usable`], and the text above the view is unchanged.
    fn assert_in_place(&mut self) {
        self.assert_usable();
        self.parser.screen_mut().set_scrollback(usize::MAX);
        let contents = self.parser.screen().contents();
        assert!(contents.starts_with(BEFORE.trim_end()), "{contents}");
        self.parser.screen_mut().set_scrollback(0);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Still running if the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn building() -> Value {
    resource(&json!({
        "observedGeneration": 2, "phase": "Building", "step": "Preparing",
        "conditions": [
            condition("Ready", "Unknown", "Building", "The build is under way"),
            condition("WellFormed", "True", "RulesPassed", ""),
            condition("PipelineRunCreated", "True", "RunCreated", ""),
            condition("SourcePrepared", "Unknown", "Pending", ""),
        ],
        "pipelineRun": {"namespace": "cnbi-builds", "name": "pandas-notebook-26ae3db9f603", "attempt": 1,
            "startTime": "2026-03-01T11:00:00Z"},
    }))
}

/// A build in progress, and a channel for changes.
fn begin(api: &Api) -> UnboundedSender<String> {
    let building = building();
    let mut all = list(std::slice::from_ref(&building));
    all["kind"] = "CustomNBImageList".into();
    all["apiVersion"] = "meteor.zone/v1alpha1".into();
    api.responses.set(RESOURCE, &building);
    api.responses.set(LIST, &all);
    api.responses.set(
        TASK_RUNS,
        &list(&[task_run("fetch", 11, Some(0)), task_run("prepare", 0, None)]),
    );
    api.responses.changes(LIST)
}

fn change(changes: &UnboundedSender<String>, resource: &Value) {
    let mut resource = resource.clone();
    resource["metadata"]["resourceVersion"] = "2".into();
    let event = json!({"type": "MODIFIED", "object": resource});
    changes.send(event.to_string()).unwrap();
}

fn fail(api: &Api, changes: &UnboundedSender<String>) {
    api.responses.set(TASK_RUNS, &tasks_of_failure());
    api.responses
        .text(LOG, "ERROR: No matching distribution found for numpy==99\n");
    change(changes, &failed("pip ended with code 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_view_is_redrawn_in_place_and_its_last_state_stays() {
    let api = Api::start().await;
    let changes = begin(&api);
    let mut terminal = Terminal::start(&api, &[]);
    terminal.until_first_view().await;
    assert!(
        terminal.shown().starts_with("team-a/pandas-notebook: Preparing"),
        "{}",
        terminal.shown()
    );

    let mut next = building();
    next["status"]["step"] = "Building".into();
    let tasks = [task_run("prepare", 41, Some(0)), task_run("build", 0, None)];
    api.responses.set(TASK_RUNS, &list(&tasks));
    change(&changes, &next);
    terminal
        .until("second view", |shown| shown.contains("running build"))
        .await;
    assert!(
        terminal.shown().starts_with("team-a/pandas-notebook: Building"),
        "{}",
        terminal.shown()
    );
    assert_eq!(
        terminal.shown().matches("pandas-notebook: ").count(),
        1,
        "{}",
        terminal.shown()
    );

    // In a small window the cause is still shown.
    terminal.parser.screen_mut().set_size(14, 40);
    terminal.order("size 14 40");
    terminal.until("narrow view", |shown| shown.contains('…')).await;
    fail(&api, &changes);
    assert_eq!(terminal.ended().await, 1);
    terminal.assert_usable();
    let narrow = terminal.shown();
    let words = narrow.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(narrow.lines().all(|line| line.chars().count() <= 40), "{narrow}");
    for expected in [
        "Failed at build",
        "BuildFailed",
        "pip ended with code 1",
        "kubectl cnbi logs",
    ] {
        assert!(words.contains(expected), "{expected}:\n{narrow}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_view_is_redrawn_after_a_change_of_the_window_size() {
    let api = Api::start().await;
    let _changes = begin(&api);
    let mut terminal = Terminal::start(&api, &[]);
    terminal.until_first_view().await;
    let frames = |terminal: &Terminal| String::from_utf8_lossy(&terminal.bytes).matches("\u{1b}[H").count();
    for (lines, columns) in [(24, 40), (12, 40), (30, 120)] {
        // Terminals wrap old lines differently; all of them are removed.
        let before = frames(&terminal);
        terminal.parser.screen_mut().set_size(lines, columns);
        let noise = "x".repeat(usize::from(columns)).repeat(usize::from(lines));
        terminal.parser.process(noise.as_bytes());
        terminal.order(&format!("size {lines} {columns}"));
        terminal.until("view", |shown| !shown.contains('x')).await;
        assert!(frames(&terminal) > before);
        let shown = terminal.shown();
        assert!(shown.starts_with("team-a/pandas-notebook: Preparing"), "{shown}");
        assert!(shown.contains("running prepare"), "{lines}x{columns}:\n{shown}");
        assert!(shown.lines().count() < usize::from(lines), "{shown}");
    }
    terminal.type_in("\u{3}");
    assert_eq!(terminal.ended().await, 130);
    terminal.assert_usable();
    assert_eq!(
        terminal.shown().matches("pandas-notebook: Preparing").count(),
        1,
        "{}",
        terminal.shown()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_colors_the_view_is_redrawn_in_place() {
    let api = Api::start().await;
    let changes = begin(&api);
    let mut terminal = Terminal::start(&api, &[("NO_COLOR", "1")]);
    terminal.until_first_view().await;
    assert!(
        terminal.shown().starts_with("team-a/pandas-notebook: Preparing"),
        "{}",
        terminal.shown()
    );
    fail(&api, &changes);
    assert_eq!(terminal.ended().await, 1);
    terminal.assert_in_place();
    assert_eq!(
        terminal.shown().matches("pandas-notebook: ").count(),
        1,
        "{}",
        terminal.shown()
    );
    let text = String::from_utf8_lossy(&terminal.bytes).into_owned();
    let is_colored = text.split("\u{1b}[").skip(1).any(|rest| {
        let end = rest.find(|character: char| character.is_ascii_alphabetic());
        end.is_some_and(|end| rest[end..].starts_with('m'))
    });
    assert!(!is_colored, "{}", text.escape_debug());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_signal_the_terminal_is_usable() {
    let orders = [
        ("signal 15", 143),
        ("signal 1", 129),
        ("type \"\\u001c\"", 131),
        ("type \"\\u0003\"", 130),
    ];
    for (order, status) in orders {
        let api = Api::start().await;
        let _changes = begin(&api);
        let mut terminal = Terminal::start(&api, &[]);
        terminal.until_first_view().await;
        terminal.order(order);
        assert_eq!(terminal.ended().await, status, "{order}");
        terminal.assert_in_place();
    }
    // The program ends when the window is closed.
    let api = Api::start().await;
    let _changes = begin(&api);
    let mut terminal = Terminal::start(&api, &[]);
    terminal.until_first_view().await;
    terminal.order("close");
    // By SIGHUP or by a write error, not with the status of success.
    let status = terminal.ended().await;
    assert!(matches!(status, 129 | 2), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dumb_terminal_gets_one_line_per_change() {
    let api = Api::start().await;
    let changes = begin(&api);
    let mut terminal = Terminal::start(&api, &[("TERM", "dumb")]);
    terminal
        .until("first line", |shown| shown.contains("pandas-notebook Preparing"))
        .await;
    fail(&api, &changes);
    assert_eq!(terminal.ended().await, 1);
    assert!(!terminal.bytes.contains(&0x1b), "{}", terminal.bytes.escape_ascii());
    let output: Vec<String> = String::from_utf8_lossy(&terminal.bytes)
        .lines()
        .map(str::to_owned)
        .collect();
    assert_eq!(output.len(), 2, "{output:?}");
    assert!(
        output[1].contains("Failed: BuildFailed: Task build: pip ended with code 1"),
        "{output:?}"
    );
}

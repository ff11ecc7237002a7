//! The live view on a real terminal: what its screen shows, and what it leaves behind.

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

/// What stood on the terminal before.
const BEFORE: &str = "$ cnbi\r\n";

/// A terminal with the program on it.
struct Terminal {
    child: Child,
    orders: ChildStdin,
    written: Receiver<Vec<u8>>,
    /// All that was written.
    bytes: Vec<u8>,
    parser: Parser,
}

impl Terminal {
    fn start(api: &Api, environment: &[(&str, &str)]) -> Self {
        Self::run(api, environment, &[PROGRAM, "status", "pandas-notebook", "--watch"])
    }

    /// A shell with job control, to type commands at.
    fn shell(api: &Api) -> Self {
        Self::run(api, &[("PS1", "% ")], &["sh", "-i"])
    }

    fn run(api: &Api, environment: &[(&str, &str)], command: &[&str]) -> Self {
        let driver = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/plugin/terminal.py");
        let mut child = Command::new("python3")
            .args([driver, "24", "80"])
            .args(command)
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

    fn is_filled(&self) -> bool {
        self.parser.screen().alternate_screen()
    }

    /// How often the view has taken the terminal.
    fn taken(&self) -> usize {
        String::from_utf8_lossy(&self.bytes).matches("\u{1b}[?1049h").count()
    }

    fn shown(&self) -> String {
        self.parser.screen().contents()
    }

    /// Reads on until the screen is as wanted.
    /// What [`begin`] has answered is shown.
    async fn until_first_view(&mut self) {
        self.until("first view", |shown| shown.contains("runs    prepare"))
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

    /// Reads to the end. The exit status.
    async fn ended(&mut self) -> i32 {
        let begin = Instant::now();
        loop {
            match self.written.recv_timeout(Duration::from_millis(20)) {
                Ok(bytes) => self.take(&bytes),
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().unwrap().code().unwrap(),
                Err(RecvTimeoutError::Timeout) => tokio::task::yield_now().await,
            }
            assert!(begin.elapsed() < WITHIN, "it does not end:\n{}", self.shown());
        }
    }

    /// As a shell wants to find it: what was there before comes first, the cursor is seen, lines wrap.
    fn assert_restored(&mut self) {
        self.parser.screen_mut().set_scrollback(usize::MAX);
        let screen = self.parser.screen();
        assert!(
            !screen.alternate_screen() && !screen.hide_cursor(),
            "{}",
            self.bytes.escape_ascii()
        );
        assert!(
            screen.contents().starts_with(BEFORE.trim_end()),
            "{}",
            screen.contents()
        );
        let text = String::from_utf8_lossy(&self.bytes);
        assert_eq!(text.matches("\u{1b}[?7l").count(), text.matches("\u{1b}[?7h").count());
        assert_eq!(
            text.matches("\u{1b}[?1049h").count(),
            text.matches("\u{1b}[?1049l").count()
        );
        self.parser.screen_mut().set_scrollback(0);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It has ended, unless the test has failed.
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

/// A build that goes on, and a way to change it.
fn begin(api: &Api) -> UnboundedSender<String> {
    let building = building();
    let mut all = list(std::slice::from_ref(&building));
    all["kind"] = "CustomNBImageList".into();
    all["apiVersion"] = "meteor.zone/v1alpha1".into();
    api.answers.set(RESOURCE, &building);
    api.answers.set(LIST, &all);
    api.answers.set(
        TASK_RUNS,
        &list(&[task_run("fetch", 11, Some(0)), task_run("prepare", 0, None)]),
    );
    api.answers.changes(LIST)
}

fn change(changes: &UnboundedSender<String>, resource: &Value) {
    let mut resource = resource.clone();
    resource["metadata"]["resourceVersion"] = "2".into();
    let event = json!({"type": "MODIFIED", "object": resource});
    changes.send(event.to_string()).unwrap();
}

fn fail(api: &Api, changes: &UnboundedSender<String>) {
    api.answers.set(TASK_RUNS, &tasks_of_failure());
    api.answers
        .text(LOG, "ERROR: No matching distribution found for numpy==99\n");
    change(changes, &failed("pip ended with code 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_is_drawn_in_place_and_its_end_stays() {
    let api = Api::start().await;
    let changes = begin(&api);
    let mut terminal = Terminal::start(&api, &[]);
    terminal.until_first_view().await;
    assert!(terminal.is_filled());
    assert!(
        terminal.shown().starts_with("team-a/pandas-notebook: Preparing"),
        "{}",
        terminal.shown()
    );

    let mut next = building();
    next["status"]["step"] = "Building".into();
    let tasks = [task_run("prepare", 41, Some(0)), task_run("build", 0, None)];
    api.answers.set(TASK_RUNS, &list(&tasks));
    change(&changes, &next);
    terminal
        .until("second view", |shown| shown.contains("runs    build"))
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

    // A window that is narrow, and one that is low: nothing is left of what was there, and the cause is still told.
    terminal.parser.screen_mut().set_size(14, 40);
    terminal.order("size 14 40");
    terminal.until("narrow view", |shown| shown.contains('…')).await;
    fail(&api, &changes);
    assert_eq!(terminal.ended().await, 1);
    terminal.assert_restored();
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
async fn a_window_of_another_size_is_drawn_anew() {
    let api = Api::start().await;
    let _changes = begin(&api);
    let mut terminal = Terminal::start(&api, &[]);
    terminal.until_first_view().await;
    let frames = |terminal: &Terminal| String::from_utf8_lossy(&terminal.bytes).matches("\u{1b}[H").count();
    for (lines, columns) in [(24, 40), (12, 40), (30, 120)] {
        // What a terminal makes of the old lines is its own affair; all of it has to go.
        let before = frames(&terminal);
        terminal.parser.screen_mut().set_size(lines, columns);
        let noise = "x".repeat(usize::from(columns)).repeat(usize::from(lines));
        terminal.parser.process(noise.as_bytes());
        terminal.order(&format!("size {lines} {columns}"));
        terminal.until("view", |shown| !shown.contains('x')).await;
        assert!(frames(&terminal) > before);
        let shown = terminal.shown();
        assert!(shown.starts_with("team-a/pandas-notebook: Preparing"), "{shown}");
        assert!(shown.contains("runs    prepare"), "{lines}x{columns}:\n{shown}");
        assert!(shown.lines().count() < usize::from(lines), "{shown}");
    }
    terminal.type_in("\u{3}");
    assert_eq!(terminal.ended().await, 130);
    terminal.assert_restored();
    assert_eq!(
        terminal.shown().matches("pandas-notebook: Preparing").count(),
        1,
        "{}",
        terminal.shown()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_colours_it_is_drawn_in_place_all_the_same() {
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
    terminal.assert_restored();
    assert_eq!(
        terminal.shown().matches("pandas-notebook: ").count(),
        1,
        "{}",
        terminal.shown()
    );
    let text = String::from_utf8_lossy(&terminal.bytes).into_owned();
    let is_coloured = text.split("\u{1b}[").skip(1).any(|rest| {
        let end = rest.find(|character: char| character.is_ascii_alphabetic());
        end.is_some_and(|end| rest[end..].starts_with('m'))
    });
    assert!(!is_coloured, "{}", text.escape_debug());
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_or_in_the_background_it_leaves_the_terminal_to_the_shell() {
    let api = Api::start().await;
    let changes = begin(&api);
    let mut terminal = Terminal::shell(&api);
    terminal.type_in(&format!("{PROGRAM} status pandas-notebook --watch\r"));
    terminal.until_first_view().await;
    assert!(terminal.is_filled());

    terminal.type_in("\u{1a}");
    terminal.type_in("echo a''nswer\r");
    terminal
        .until("answer of the shell", |shown| shown.contains("answer"))
        .await;
    terminal.assert_restored();
    assert!(!terminal.shown().contains("runs    prepare"), "{}", terminal.shown());

    // What has changed meanwhile is seen at once.
    let mut next = building();
    next["status"]["step"] = "Building".into();
    api.answers.set(TASK_RUNS, &list(&[task_run("build", 0, None)]));
    change(&changes, &next);
    terminal.type_in("fg\r");
    terminal
        .until("second view", |shown| shown.contains("runs    build"))
        .await;
    assert!(terminal.is_filled());
    assert_eq!(terminal.taken(), 2);

    terminal.type_in("\u{1a}");
    terminal.type_in("bg; echo a''gain\r");
    terminal
        .until("answer of the shell", |shown| shown.contains("again"))
        .await;
    fail(&api, &changes);
    terminal.until("end", |shown| shown.contains("Failed at build")).await;
    assert_eq!(terminal.taken(), 2, "{}", terminal.bytes.escape_ascii());
    terminal.assert_restored();
    terminal.type_in("exit 7\r");
    assert_eq!(terminal.ended().await, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_background_of_a_terminal_that_bears_no_writers_it_waits_to_be_fetched() {
    let api = Api::start().await;
    let changes = begin(&api);
    let mut terminal = Terminal::shell(&api);
    terminal.type_in(&format!(
        "stty tostop; {PROGRAM} status pandas-notebook --watch & echo b''egun\r"
    ));
    terminal
        .until("answer of the shell", |shown| shown.contains("begun"))
        .await;
    fail(&api, &changes);
    terminal.type_in("fg; echo status $?\r");
    terminal.until("end", |shown| shown.contains("status 1")).await;
    assert!(terminal.shown().contains("Failed at build"), "{}", terminal.shown());
    terminal.assert_restored();
    terminal.type_in("exit 7\r");
    assert_eq!(terminal.ended().await, 7);
}

/// Where nobody could wake it up, as in a container, Ctrl-Z is as if it had not been typed.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_shell_it_does_not_stop() {
    let api = Api::start().await;
    let changes = begin(&api);
    let mut terminal = Terminal::start(&api, &[]);
    terminal.until_first_view().await;
    terminal.type_in("\u{1a}");
    fail(&api, &changes);
    assert_eq!(terminal.ended().await, 1);
    assert_eq!(terminal.taken(), 1);
    terminal.assert_restored();
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_ends_it_the_terminal_is_as_before() {
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
        terminal.assert_restored();
    }
    // A window that is closed leaves nothing to restore, and no program behind.
    let api = Api::start().await;
    let _changes = begin(&api);
    let mut terminal = Terminal::start(&api, &[]);
    terminal.until_first_view().await;
    terminal.order("close");
    // It hears of that, or finds that it cannot draw any more: never as if the build had gone well.
    let status = terminal.ended().await;
    assert!(matches!(status, 129 | 2), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_knows_nothing_gets_lines() {
    let api = Api::start().await;
    let changes = begin(&api);
    let mut terminal = Terminal::start(&api, &[("TERM", "dumb")]);
    terminal
        .until("first line", |shown| shown.contains("pandas-notebook Preparing"))
        .await;
    fail(&api, &changes);
    assert_eq!(terminal.ended().await, 1);
    assert!(!terminal.bytes.contains(&0x1b), "{}", terminal.bytes.escape_ascii());
    let told: Vec<String> = String::from_utf8_lossy(&terminal.bytes)
        .lines()
        .map(str::to_owned)
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[1].contains("Failed: BuildFailed: Task build: pip ended with code 1"),
        "{told:?}"
    );
}

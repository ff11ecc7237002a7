//! Prints the tour, and keeps count of what was not as told.

use std::time::{Duration, Instant};

use anstream::{eprintln, println};
use anyhow::Result;

use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::kubectl::Answer;
use cnbi_tests::process::POLL;

use super::{NAMESPACE, WITHIN};

const BOLD: &str = "\u{1b}[1m";
const DIM: &str = "\u{1b}[2m";
const GREEN: &str = "\u{1b}[32m";
const RED: &str = "\u{1b}[31m";
const PLAIN: &str = "\u{1b}[0m";

/// Says what is being waited for while nothing can be shown yet.
pub(super) struct Progress {
    began: Instant,
}

impl Progress {
    pub(super) fn begin() -> Self {
        Self { began: Instant::now() }
    }

    pub(super) fn step(&mut self, what: &str) {
        eprintln!("{DIM}[{:>3} s] {what}{PLAIN}", self.began.elapsed().as_secs());
    }

    pub(super) fn end(mut self) {
        self.step("ready");
    }
}

/// Runs kubectl in front of the reader.
pub(super) struct Narrator<'a> {
    control_plane: &'a ControlPlane,
    chapter: usize,
    held: usize,
    failed: Vec<String>,
}

impl<'a> Narrator<'a> {
    pub(super) fn new(control_plane: &'a ControlPlane) -> Self {
        println!("\n{BOLD}A tour of CNBi{PLAIN}");
        println!(
            "The API server, etcd, kubectl, certificates and rights are real. There are no nodes: the programs of the"
        );
        println!(
            "Deployments run as processes on this machine, with the arguments and the service accounts that deploy/ gives them."
        );
        println!("Tekton and OpenShift are not here either: where their part is played, the tour says so.");
        Self {
            control_plane,
            chapter: 0,
            held: 0,
            failed: Vec::new(),
        }
    }

    /// Begins a chapter.
    pub(super) fn chapter(&mut self, title: &str, about: &str) {
        self.chapter += 1;
        println!("\n{BOLD}{}. {title}{PLAIN}\n{about}", self.chapter);
    }

    /// Says something between commands.
    pub(super) fn say(text: &str) {
        println!("{text}");
    }

    /// Runs kubectl as the reader would type it, and shows what it prints. It works in the tour's namespace.
    pub(super) async fn kubectl(&self, arguments: &[&str]) -> Result<Answer> {
        self.with_input(arguments, None).await
    }

    /// The same, with something on its standard input.
    pub(super) async fn with_input(&self, arguments: &[&str], input: Option<&str>) -> Result<Answer> {
        let shown: Vec<String> = arguments.iter().map(|argument| quoted(argument)).collect();
        println!("\n{BOLD}$ kubectl {}{PLAIN}", shown.join(" "));
        let answer = self.quietly(arguments, input).await?;
        for line in answer.stdout.lines().chain(answer.stderr.lines()) {
            println!("  {line}");
        }
        Ok(answer)
    }

    /// Asks without showing.
    pub(super) async fn quietly(&self, arguments: &[&str], input: Option<&str>) -> Result<Answer> {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent();
        let mut kubectl = self
            .control_plane
            .kubectl()
            .args(["--namespace", NAMESPACE])
            .args(arguments);
        if let Some(root) = root {
            kubectl = kubectl.folder(root);
        }
        if let Some(input) = input {
            kubectl = kubectl.stdin(input);
        }
        kubectl.run().await
    }

    /// The uid of a resource.
    pub(super) async fn uid(&self, name: &str) -> Result<String> {
        let answer = self
            .quietly(&["get", "cnbi", name, "-o", "jsonpath={.metadata.uid}"], None)
            .await?;
        Ok(answer.stdout)
    }

    /// Asks again and again, without showing, until the answer is as wanted.
    pub(super) async fn until(
        &self,
        arguments: &[&str],
        input: Option<&str>,
        wanted: impl Fn(&Answer) -> bool,
    ) -> Result<bool> {
        let deadline = Instant::now() + WITHIN;
        while Instant::now() < deadline {
            if wanted(&self.quietly(arguments, input).await?) {
                return Ok(true);
            }
            tokio::time::sleep(POLL.max(Duration::from_millis(100))).await;
        }
        Ok(false)
    }

    /// Tells the reader something, and whether it is so.
    pub(super) fn claim(&mut self, what: &str, holds: bool) {
        if holds {
            self.held += 1;
            println!("  {GREEN}✓{PLAIN} {what}");
        } else {
            self.failed.push(format!("{}. {what}", self.chapter));
            println!("  {RED}✗ not so: {what}{PLAIN}");
        }
    }

    /// Sums up; `true` when everything was as told.
    pub(super) fn end(self) -> bool {
        println!();
        if self.failed.is_empty() {
            println!(
                "{BOLD}All {} things were as told.{PLAIN} `make up` leaves such a cluster running for you.",
                self.held
            );
            return true;
        }
        println!(
            "{RED}{} of {} things were not as told:{PLAIN}",
            self.failed.len(),
            self.failed.len() + self.held
        );
        for failed in &self.failed {
            println!("  {failed}");
        }
        false
    }
}

/// As a shell needs it.
fn quoted(argument: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,@".contains(&byte);
    if !argument.is_empty() && argument.bytes().all(is_plain) {
        argument.to_owned()
    } else {
        format!("'{argument}'")
    }
}

//! Prints the demo and counts the statements that were wrong.

use std::time::{Duration, Instant};

use anstream::{eprintln, println};
use anyhow::Result;

use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::kubectl::KubectlOutput;
use cnbi_tests::process::POLL;

use super::{NAMESPACE, WITHIN};

const BOLD: &str = "\u{1b}[1m";
const DIM: &str = "\u{1b}[2m";
const GREEN: &str = "\u{1b}[32m";
const RED: &str = "\u{1b}[31m";
const PLAIN: &str = "\u{1b}[0m";

/// Reports the progress of the setup on stderr.
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

/// Runs kubectl, prints commands, output and checked statements.
pub(super) struct Narrator<'a> {
    control_plane: &'a ControlPlane,
    chapter: usize,
    held: usize,
    failed: Vec<String>,
}

impl<'a> Narrator<'a> {
    pub(super) fn new(control_plane: &'a ControlPlane) -> Self {
        println!("\n{BOLD}CNBi demo{PLAIN}");
        println!(
            "The API server, etcd, kubectl, certificates and RBAC are real. There are no nodes: the programs of the Deployments"
        );
        println!("run as processes on this machine, with the arguments and service accounts that deploy/ defines.");
        println!("Tekton and OpenShift do not run here. Sections that simulate them say so.");
        Self {
            control_plane,
            chapter: 0,
            held: 0,
            failed: Vec::new(),
        }
    }

    /// Starts a section.
    pub(super) fn chapter(&mut self, title: &str, about: &str) {
        self.chapter += 1;
        println!("\n{BOLD}{}. {title}{PLAIN}\n{about}", self.chapter);
    }

    /// Prints a text.
    pub(super) fn say(text: &str) {
        println!("{text}");
    }

    /// Runs kubectl in the data scientist's namespace, and prints the command and its output.
    pub(super) async fn kubectl(&self, arguments: &[&str]) -> Result<KubectlOutput> {
        self.with_input(arguments, None).await
    }

    /// Like [`Self::kubectl`], with text for stdin.
    pub(super) async fn with_input(&self, arguments: &[&str], input: Option<&str>) -> Result<KubectlOutput> {
        let shown: Vec<String> = arguments.iter().map(|argument| quoted(argument)).collect();
        println!("\n{BOLD}$ kubectl {}{PLAIN}", shown.join(" "));
        let answer = self.quietly(arguments, input).await?;
        for line in answer.stdout.lines().chain(answer.stderr.lines()) {
            println!("  {line}");
        }
        Ok(answer)
    }

    /// Runs kubectl and prints nothing.
    pub(super) async fn quietly(&self, arguments: &[&str], input: Option<&str>) -> Result<KubectlOutput> {
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

    /// The UID of a resource.
    pub(super) async fn uid(&self, name: &str) -> Result<String> {
        let answer = self
            .quietly(&["get", "cnbi", name, "-o", "jsonpath={.metadata.uid}"], None)
            .await?;
        Ok(answer.stdout)
    }

    /// Repeats a command without printing until its output is as wanted; `false` after the timeout.
    pub(super) async fn until(
        &self,
        arguments: &[&str],
        input: Option<&str>,
        wanted: impl Fn(&KubectlOutput) -> bool,
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

    /// Prints a statement and whether it holds.
    pub(super) fn claim(&mut self, what: &str, holds: bool) {
        if holds {
            self.held += 1;
            println!("  {GREEN}✓{PLAIN} {what}");
        } else {
            self.failed.push(format!("{}. {what}", self.chapter));
            println!("  {RED}✗ wrong: {what}{PLAIN}");
        }
    }

    /// Prints the summary. Returns whether every statement holds.
    pub(super) fn end(self) -> bool {
        println!();
        if self.failed.is_empty() {
            println!(
                "{BOLD}All {} checks passed.{PLAIN} `make up` starts such a cluster and leaves it running.",
                self.held
            );
            return true;
        }
        println!(
            "{RED}{} of {} checks failed:{PLAIN}",
            self.failed.len(),
            self.failed.len() + self.held
        );
        for failed in &self.failed {
            println!("  {failed}");
        }
        false
    }
}

/// Quotes an argument for a shell.
fn quoted(argument: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,@".contains(&byte);
    if !argument.is_empty() && argument.bytes().all(is_plain) {
        argument.to_owned()
    } else {
        format!("'{argument}'")
    }
}

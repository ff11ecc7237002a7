//! Shell completion, and completion for kubectl.
//!
//! kubectl runs `kubectl_complete-cnbi` with the words after `kubectl cnbi` and expects the output of Cobra's `__complete`:
//! one candidate per line, then a colon and a directive number.

use std::io;
use std::time::Duration;

use clap::{Args, Command, ValueEnum};
use clap_complete::Shell;
use cnbi_shared::contract::{ConditionType, REASONS};
use cnbi_shared::rules::RULES;
use kube::api::ListParams;

use super::SUCCESS;
use super::connection::{ClusterArgs, block_on};
use super::status::resources;
use super::terminal::{self, sanitize};

/// Timeout for reading names from the cluster.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Cobra's `ShellCompDirectiveDefault`: the shell completes file names if there are no candidates.
const FILES: u8 = 0;
/// Cobra's `ShellCompDirectiveNoFileComp`.
const NO_FILES: u8 = 4;

const FOR_KUBECTL: &str = "\
#!/bin/sh
# Save as executable kubectl_complete-cnbi on the PATH. kubectl then completes `kubectl cnbi`.
exec kubectl-cnbi __complete \"$@\"
";

/// Print a completion script for a shell
///
/// `kubectl` prints a script to save as executable kubectl_complete-cnbi on the PATH, for kubectl's own completion.
#[derive(Clone, Debug, Args)]
pub struct CompletionArgs {
    /// Shell
    pub shell: CompletionShell,
}

/// Target of a completion script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the names are self-explanatory")]
pub enum CompletionShell {
    Kubectl,
    Bash,
    Zsh,
    Fish,
    Powershell,
}

/// The words of the command line; the last one is incomplete.
#[derive(Clone, Debug, Args)]
pub struct CompleteArgs {
    /// Words after `kubectl cnbi`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// Prints a script. Returns the exit status.
pub fn script(args: &CompletionArgs, mut command: Command) -> u8 {
    let shell = match args.shell {
        CompletionShell::Kubectl => {
            terminal::print(FOR_KUBECTL);
            return SUCCESS;
        }
        CompletionShell::Bash => Shell::Bash,
        CompletionShell::Zsh => Shell::Zsh,
        CompletionShell::Fish => Shell::Fish,
        CompletionShell::Powershell => Shell::PowerShell,
    };
    clap_complete::generate(shell, &mut command, "kubectl-cnbi", &mut io::stdout().lock());
    SUCCESS
}

/// Prints candidates in the format of Cobra. Returns the exit status.
pub fn candidates(args: &CompleteArgs, command: &Command) -> u8 {
    let (mut found, directive) = complete(command, &args.words, names);
    found.push(format!(":{directive}\n"));
    terminal::print(&found.join("\n"));
    SUCCESS
}

/// Candidates for the last word, and the directive. `names` reads the names of resources from the cluster.
fn complete(root: &Command, words: &[String], names: impl Fn(&ClusterArgs) -> Vec<String>) -> (Vec<String>, u8) {
    let (last, before) = words
        .split_last()
        .map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let mut command = root;
    let mut cluster = ClusterArgs::default();
    let mut awaited = None;
    let mut positionals = 0;
    for word in before {
        if let Some(argument) = awaited.take() {
            note(&mut cluster, argument, word);
        } else if word.starts_with('-') {
            let (name, value) = word
                .split_once('=')
                .map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
            let argument = option(command, name);
            match (argument, value) {
                (Some(argument), Some(value)) => note(&mut cluster, argument, value),
                (Some(argument), None) if argument.get_action().takes_values() => awaited = Some(argument),
                _ => {}
            }
        } else if let Some(below) = command.find_subcommand(word) {
            command = below;
        } else {
            positionals += 1;
        }
    }
    let fitting = |all: Vec<String>| all.into_iter().filter(|one| one.starts_with(last)).collect::<Vec<_>>();
    if let Some(argument) = awaited {
        let values = argument.get_possible_values();
        let values = values
            .iter()
            .map(|value| value.get_name().to_owned())
            .collect::<Vec<_>>();
        let directive = if values.is_empty() { FILES } else { NO_FILES };
        return (fitting(values), directive);
    }
    if last.starts_with('-') {
        let options = command.get_arguments().filter_map(|argument| {
            let long = argument.get_long()?;
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            Some(format!("--{long}\t{help}"))
        });
        return (fitting(options.collect()), NO_FILES);
    }
    let below: Vec<String> = command
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
        .map(|below| {
            let describe_field = below.get_about().map(ToString::to_string).unwrap_or_default();
            format!("{}\t{describe_field}", below.get_name())
        })
        .collect();
    if !below.is_empty() {
        return (fitting(below), NO_FILES);
    }
    match command.get_name() {
        "status" | "logs" if positionals == 0 => (fitting(names(&cluster)), NO_FILES),
        "explain" if positionals == 0 => {
            let rules = RULES.iter().map(|rule| format!("{}\t{}", rule.id, rule.title));
            let conditions = ConditionType::ALL.iter().map(ToString::to_string);
            let reasons = REASONS.iter().map(ToString::to_string);
            (fitting(rules.chain(conditions).chain(reasons).collect()), NO_FILES)
        }
        "check" => (Vec::new(), FILES),
        _ => (Vec::new(), NO_FILES),
    }
}

fn option<'c>(command: &'c Command, name: &str) -> Option<&'c clap::Arg> {
    command.get_arguments().find(|argument| match name.strip_prefix("--") {
        Some(long) => argument.get_long() == Some(long),
        None => argument.get_short() == name.chars().nth(1) && name.chars().count() == 2,
    })
}

fn note(cluster: &mut ClusterArgs, argument: &clap::Arg, value: &str) {
    match argument.get_long() {
        Some("namespace") => cluster.namespace = Some(value.to_owned()),
        Some("context") => cluster.context = Some(value.to_owned()),
        Some("kubeconfig") => cluster.kubeconfig = Some(value.into()),
        _ => {}
    }
}

/// Names of resources; empty on errors and timeouts.
fn names(cluster: &ClusterArgs) -> Vec<String> {
    let ask = async {
        let list = async {
            let connection = cluster.connect().await?;
            let list = resources(&connection, false)
                .list_metadata(&ListParams::default())
                .await;
            Ok(list.map(|list| list.items).unwrap_or_default())
        };
        tokio::time::timeout(TIMEOUT, list)
            .await
            .unwrap_or_else(|_| Ok(Vec::new()))
    };
    let found = block_on(ask).unwrap_or_default();
    found
        .into_iter()
        .filter_map(|object| object.metadata.name)
        .map(|name| sanitize(&name))
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command};

    use super::*;
    use crate::status::StatusArgs;

    fn root() -> Command {
        Command::new("cnbi")
            .subcommand(StatusArgs::augment_args(Command::new("status")))
            .subcommand(Command::new("check"))
            .subcommand(Command::new("explain"))
            .subcommand(Command::new("__complete").hide(true))
    }

    fn completed(words: &[&str]) -> (Vec<String>, u8) {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let names = |cluster: &ClusterArgs| vec!["pandas".to_owned(), cluster.namespace.clone().unwrap_or_default()];
        let (found, directive) = complete(&root(), &words, names);
        let first = |line: String| line.split('\t').next().unwrap_or_default().to_owned();
        (found.into_iter().map(first).collect(), directive)
    }

    #[test]
    fn candidates_and_directives_follow_cobra() {
        let found = |words: &[&str], expected: &[&str], directive| {
            let expected: Vec<String> = expected.iter().map(|one| (*one).to_owned()).collect();
            assert_eq!(completed(words), (expected, directive), "{words:?}");
        };
        found(&[""], &["status", "check", "explain"], NO_FILES);
        found(&["st"], &["status"], NO_FILES);
        found(&["status", "pa"], &["pandas"], NO_FILES);
        found(&["status", "-n", "prod", "p"], &["pandas", "prod"], NO_FILES);
        found(&["status", "--namespace=prod", "pr"], &["prod"], NO_FILES);
        found(&["status", "-o", "j"], &["json"], NO_FILES);
        found(&["status", "--wat"], &["--watch"], NO_FILES);
        found(&["status", "--kubeconfig", ""], &[], FILES);
        found(&["check", ""], &[], FILES);
        found(&["explain", "CNB103"], &["CNB103"], NO_FILES);
    }
}

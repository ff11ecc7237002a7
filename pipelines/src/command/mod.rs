//! The subcommands, one module each, and what each may report.
//!
//! To add one: write a module with a `CONTRACT`, clap arguments and `run`; add a variant to [`Command`], an arm to both functions below and
//! a line to [`CONTRACTS`]. Tests compare these with [`cnbi_shared::contract`] and with the command line.

mod build;
mod fetch;
mod imagestream;
mod inspect;
mod install;
mod prepare;
mod pull;
mod push;
mod record_source;
mod validate;

use clap::Subcommand;
use cnbi_shared::contract::{Pipeline, Reason};

use crate::error::StepError;
use crate::report::Report;

/// What a subcommand may report, and in which tasks it is a step.
#[derive(Clone, Copy, Debug)]
pub struct StepContract {
    /// Name on the command line, such as `imagestream create`.
    pub name: &'static str,
    /// Tasks that have this subcommand as a step.
    pub tasks: &'static [(&'static Pipeline, &'static str)],
    /// Reasons of failures. Each of the tasks must allow all of them.
    pub reasons: &'static [Reason],
    /// Results besides reason and message. All of them are always written.
    pub results: &'static [&'static str],
}

/// The contracts of all subcommands.
pub const CONTRACTS: &[&StepContract] = &[
    &build::CONTRACT,
    &fetch::git::CONTRACT,
    &fetch::image::CONTRACT,
    &imagestream::CREATE,
    &imagestream::UPDATE,
    &inspect::CONTRACT,
    &install::CONTRACT,
    &prepare::git_repository::CONTRACT,
    &prepare::package_list::CONTRACT,
    &push::CONTRACT,
    &record_source::CONTRACT,
    &validate::CONTRACT,
];

/// Subcommand
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Write the ImageStream of a resource
    #[command(subcommand)]
    Imagestream(imagestream::Command),
    /// Build the image with buildah
    Build(build::Args),
    /// Download source or base image
    #[command(subcommand)]
    Fetch(fetch::Fetch),
    /// Resolve the image to import and verify its signature
    Inspect(inspect::Args),
    /// Copy this program to a volume, to run it in a container of another image
    Install(install::Args),
    /// Lock packages and generate the build instructions
    #[command(subcommand)]
    Prepare(prepare::Prepare),
    /// Push the built image
    Push(push::Args),
    /// Push the source of a package list to Git
    RecordSource(record_source::Args),
    /// Check in a container of an image that it works as a notebook image
    Validate(validate::Args),
}

impl Command {
    /// The contract of this subcommand.
    pub fn contract(&self) -> &'static StepContract {
        match self {
            Self::Imagestream(command) => command.contract(),
            Self::Build(_) => &build::CONTRACT,
            Self::Fetch(fetch::Fetch::Git(_)) => &fetch::git::CONTRACT,
            Self::Fetch(fetch::Fetch::Image(_)) => &fetch::image::CONTRACT,
            Self::Inspect(_) => &inspect::CONTRACT,
            Self::Push(_) => &push::CONTRACT,
            Self::Install(_) => &install::CONTRACT,
            Self::Prepare(prepare::Prepare::GitRepository(_)) => &prepare::git_repository::CONTRACT,
            Self::Prepare(prepare::Prepare::PackageList(_)) => &prepare::package_list::CONTRACT,
            Self::RecordSource(_) => &record_source::CONTRACT,
            Self::Validate(_) => &validate::CONTRACT,
        }
    }

    /// Runs this subcommand.
    pub async fn run(self) -> Result<Report, StepError> {
        match self {
            Self::Imagestream(command) => imagestream::run(&command).await,
            Self::Build(args) => build::run(&args),
            Self::Fetch(fetch::Fetch::Git(args)) => fetch::git::run(&args),
            Self::Fetch(fetch::Fetch::Image(args)) => fetch::image::run(&args).await,
            Self::Inspect(args) => inspect::run(&args).await,
            Self::Push(args) => push::run(&args).await,
            Self::Install(args) => install::run(&args),
            Self::Prepare(prepare::Prepare::GitRepository(args)) => prepare::git_repository::run(&args),
            Self::Prepare(prepare::Prepare::PackageList(args)) => prepare::package_list::run(&args),
            Self::RecordSource(args) => record_source::run(&args),
            Self::Validate(args) => validate::run(&args),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory as _;

    use super::*;
    use crate::args::Cli;

    #[test]
    fn contracts_are_part_of_the_contracts_of_their_tasks() {
        for contract in CONTRACTS {
            assert!(!contract.tasks.is_empty(), "{}", contract.name);
            for (pipeline, task) in contract.tasks {
                let task = pipeline.task(task).expect(contract.name);
                for reason in contract.reasons {
                    assert!(
                        task.reasons.contains(reason),
                        "{} in {}: {reason}",
                        contract.name,
                        task.name
                    );
                }
                for result in contract.results {
                    assert!(
                        task.results.contains(result),
                        "{} in {}: {result}",
                        contract.name,
                        task.name
                    );
                }
            }
        }
    }

    #[test]
    fn every_subcommand_has_a_contract() {
        fn leaves(command: &clap::Command, prefix: &str, found: &mut BTreeSet<String>) {
            for sub in command.get_subcommands() {
                let name = format!("{prefix}{}", sub.get_name());
                if sub.has_subcommands() {
                    leaves(sub, &format!("{name} "), found);
                } else {
                    found.insert(name);
                }
            }
        }
        let mut found = BTreeSet::new();
        leaves(&Cli::command(), "", &mut found);
        let contracts: BTreeSet<_> = CONTRACTS.iter().map(|contract| contract.name.to_owned()).collect();
        assert_eq!(found, contracts);
        assert_eq!(contracts.len(), CONTRACTS.len());
    }
}

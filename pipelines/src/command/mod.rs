//! The subcommands, one file or folder each, and what each of them owes to the contract.
//!
//! To add one: write a file here with a `DUTY`, its clap arguments and a `run`; give it a variant in [`Command`], an arm in both
//! functions below and a line in [`DUTIES`]. The tests compare duties with the contract and with the command line.

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

use crate::failure::Failure;
use crate::report::Report;

/// What a subcommand may say, and in which tasks.
#[derive(Clone, Copy, Debug)]
pub struct Duty {
    /// As it is called: `imagestream create`.
    pub name: &'static str,
    /// The tasks that it is a step of.
    pub tasks: &'static [(&'static Pipeline, &'static str)],
    /// The reasons that it fails with. Each of its tasks may give all of them.
    pub reasons: &'static [Reason],
    /// What it reports besides reason and message. All are written, whatever comes of it.
    pub results: &'static [&'static str],
}

/// All subcommands.
pub const DUTIES: &[&Duty] = &[
    &build::DUTY,
    &fetch::git::DUTY,
    &fetch::image::DUTY,
    &imagestream::CREATE,
    &imagestream::UPDATE,
    &inspect::DUTY,
    &install::DUTY,
    &prepare::git_repository::DUTY,
    &prepare::package_list::DUTY,
    &push::DUTY,
    &record_source::DUTY,
    &validate::DUTY,
];

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Write the ImageStream that Open Data Hub shows
    #[command(subcommand)]
    Imagestream(imagestream::Command),
    /// Build the image that was prepared
    Build(build::Args),
    /// Bring what is needed from outside
    #[command(subcommand)]
    Fetch(fetch::Fetch),
    /// Find out what the image to import is, and whether it may be used
    Inspect(inspect::Args),
    /// Copy this program, so that it can run in a container of another image
    Install(install::Args),
    /// Find out what is to be built, and lock it
    #[command(subcommand)]
    Prepare(prepare::Prepare),
    /// Send the image that was built to its registry
    Push(push::Args),
    /// Push the source of a package list to where the admin keeps it
    RecordSource(record_source::Args),
    /// Look from inside an image whether it can serve as a notebook
    Validate(validate::Args),
}

impl Command {
    /// What it may say.
    pub fn duty(&self) -> &'static Duty {
        match self {
            Self::Imagestream(command) => command.duty(),
            Self::Build(_) => &build::DUTY,
            Self::Fetch(fetch::Fetch::Git(_)) => &fetch::git::DUTY,
            Self::Fetch(fetch::Fetch::Image(_)) => &fetch::image::DUTY,
            Self::Inspect(_) => &inspect::DUTY,
            Self::Push(_) => &push::DUTY,
            Self::Install(_) => &install::DUTY,
            Self::Prepare(prepare::Prepare::GitRepository(_)) => &prepare::git_repository::DUTY,
            Self::Prepare(prepare::Prepare::PackageList(_)) => &prepare::package_list::DUTY,
            Self::RecordSource(_) => &record_source::DUTY,
            Self::Validate(_) => &validate::DUTY,
        }
    }

    /// Does it.
    pub async fn run(self) -> Result<Report, Failure> {
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
    fn every_subcommand_says_only_what_its_tasks_may() {
        for duty in DUTIES {
            assert!(!duty.tasks.is_empty(), "{}", duty.name);
            for (pipeline, task) in duty.tasks {
                let task = pipeline.task(task).expect(duty.name);
                for reason in duty.reasons {
                    assert!(
                        task.reasons.contains(reason),
                        "{} in {}: {reason}",
                        duty.name,
                        task.name
                    );
                }
                for result in duty.results {
                    assert!(
                        task.results.contains(result),
                        "{} in {}: {result}",
                        duty.name,
                        task.name
                    );
                }
            }
        }
    }

    #[test]
    fn the_command_line_and_the_duties_are_the_same_list() {
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
        let duties: BTreeSet<_> = DUTIES.iter().map(|duty| duty.name.to_owned()).collect();
        assert_eq!(found, duties);
        assert_eq!(duties.len(), DUTIES.len());
    }
}

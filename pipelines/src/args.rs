//! How the program is called, and the arguments that several subcommands share.

use std::path::PathBuf;

use clap::{Args, Parser};
use cnbi_shared::contract::{Asked, Settings};

use crate::command::Command;
use crate::encoded;
use crate::failure::Failure;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed; the results `reason` and `message` say why
  2  called wrongly, or with parameters of another version of CNBi; `message` says how, unless the command line itself is wrong
  3  the results could not be written; standard error says what they would have been";

/// Does the work of a step of CNBi's Tekton tasks
#[derive(Clone, Debug, Parser)]
#[command(name = "cnbi-step", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// Folder for Tekton's results, one file each. What a subcommand can report is always written, empty where there is nothing to tell
    #[arg(long, global = true, default_value = "/tekton/results", value_name = "FOLDER")]
    pub results: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The parameter `request`.
#[derive(Clone, Debug, Args)]
pub struct RequestArgs {
    /// What the resource asks for, encoded: all items of the parameter `request`, `"$(params.request[*])"`
    #[arg(long, required = true, num_args = 1.., value_name = "ITEM")]
    pub request: Vec<String>,
}

impl RequestArgs {
    /// Reads it.
    pub fn read(&self) -> Result<Asked, Failure> {
        let asked = encoded::decode(&self.request).map_err(|error| Failure::usage(format!("--request {error}")))?;
        encoded::bounded(&asked).map_err(|error| Failure::usage(format!("--request {error}")))?;
        Ok(asked)
    }
}

/// The parameter `settings`.
#[derive(Clone, Debug, Args)]
pub struct SettingsArgs {
    /// What the admin decided, encoded: all items of the parameter `settings`, `"$(params.settings[*])"`
    #[arg(long, required = true, num_args = 1.., value_name = "ITEM")]
    pub settings: Vec<String>,
}

impl SettingsArgs {
    /// Reads it.
    pub fn read(&self) -> Result<Settings, Failure> {
        encoded::decode(&self.settings).map_err(|error| Failure::usage(format!("--settings {error}")))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_are_sound() {
        Cli::command().debug_assert();
    }
}

//! How the program is called, and the arguments that several subcommands share.

use std::path::PathBuf;

use clap::{Args, Parser};
use cnbi_shared::contract::{Asked, Settings};
use tempfile::TempDir;

use crate::command::Command;
use crate::encoded;
use crate::failure::Failure;
use crate::outside::Outside;
use crate::work::{self, WorkArgs};

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
    /// Decodes it.
    pub fn read(&self) -> Result<Settings, Failure> {
        encoded::decode(&self.settings).map_err(|error| Failure::usage(format!("--settings {error}")))
    }
}

/// What the subcommands have in common that run another program on the volume, and let it reach what is outside.
#[derive(Clone, Debug, Args)]
pub struct TaskArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Where the volume is.
    #[command(flatten)]
    pub work: WorkArgs,
    /// Folder with further certificate authorities. Left out, or empty, where there is none
    #[arg(long, value_name = "FOLDER", value_parser = work::optional_folder)]
    ca_bundle: Option<PathBuf>,
}

/// What such a subcommand begins with.
#[derive(Debug)]
pub struct Begun {
    /// What the admin decided.
    pub settings: Settings,
    /// The home of the programs that it runs, which goes when this does.
    pub home: TempDir,
    /// How they reach what is outside.
    pub outside: Outside,
}

impl TaskArgs {
    /// Reads the settings and makes a home.
    pub fn begin(&self) -> Result<Begun, Failure> {
        let settings = self.settings.read()?;
        let home = work::scratch()?;
        let outside = Outside::new(
            &settings.network,
            self.ca_bundle.as_deref().filter(|folder| folder.is_dir()),
            &home.path().join("ca.pem"),
        )
        .map_err(|error| Failure::unforeseen(format!("reading the certificate authorities: {error}")))?;
        Ok(Begun {
            settings,
            home,
            outside,
        })
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

//! The command line and the arguments that several subcommands share.

use std::path::PathBuf;

use clap::{Args, Parser};
use cnbi_shared::contract::{BuildRequest, Settings};
use tempfile::TempDir;

use crate::command::Command;
use crate::egress::Egress;
use crate::error::StepError;
use crate::param;
use crate::workspace::{self, WorkspaceArgs};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed; the results `reason` and `message` say why
  2  called wrongly, or with parameters of another version of CNBi; `message` says how, unless the command line itself is wrong
  3  the results could not be written; standard error says what they would have been";

/// Runs a step of CNBi's Tekton tasks
#[derive(Clone, Debug, Parser)]
#[command(name = "cnbi-step", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// Folder for Tekton results. Every result of a subcommand is written, empty if it has no value
    #[arg(long, global = true, default_value = "/tekton/results", value_name = "FOLDER")]
    pub results: PathBuf,
    /// Subcommand.
    #[command(subcommand)]
    pub command: Command,
}

/// The parameter `request`.
#[derive(Clone, Debug, Args)]
pub struct RequestArgs {
    /// The user's request: all items of the parameter `request`, `"$(params.request[*])"` (base64 of JSON)
    #[arg(long, required = true, num_args = 1.., value_name = "ITEM")]
    pub request: Vec<String>,
}

impl RequestArgs {
    /// Decodes the parameter and checks its limits.
    pub fn read(&self) -> Result<BuildRequest, StepError> {
        let request = param::decode(&self.request).map_err(|error| StepError::usage(format!("--request {error}")))?;
        param::bounded(&request).map_err(|error| StepError::usage(format!("--request {error}")))?;
        Ok(request)
    }
}

/// The parameter `settings`.
#[derive(Clone, Debug, Args)]
pub struct SettingsArgs {
    /// The admin's settings: all items of the parameter `settings`, `"$(params.settings[*])"` (base64 of JSON)
    #[arg(long, required = true, num_args = 1.., value_name = "ITEM")]
    pub settings: Vec<String>,
}

impl SettingsArgs {
    /// Decodes the parameter.
    pub fn read(&self) -> Result<Settings, StepError> {
        param::decode(&self.settings).map_err(|error| StepError::usage(format!("--settings {error}")))
    }
}

/// Arguments of subcommands that run other programs on the workspace with network access.
#[derive(Clone, Debug, Args)]
pub struct TaskArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// The workspace.
    #[command(flatten)]
    pub work: WorkspaceArgs,
    /// Folder of the ConfigMap with additional CA certificates (network.caConfigMap). Empty if not configured
    #[arg(long, value_name = "FOLDER", value_parser = workspace::optional_folder)]
    ca_bundle: Option<PathBuf>,
}

/// Settings and environment of the programs that a subcommand runs.
#[derive(Debug)]
pub struct TaskContext {
    /// The admin's settings.
    pub settings: Settings,
    /// HOME of these programs, removed at the end.
    pub home: TempDir,
    /// Proxy and CA certificates.
    pub egress: Egress,
}

impl TaskArgs {
    /// Reads the settings and creates the home folder.
    pub fn context(&self) -> Result<TaskContext, StepError> {
        let settings = self.settings.read()?;
        let home = workspace::scratch()?;
        let egress = Egress::new(
            &settings.network,
            self.ca_bundle.as_deref().filter(|folder| folder.is_dir()),
            &home.path().join("ca.pem"),
        )?;
        Ok(TaskContext { settings, home, egress })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_definition_is_valid() {
        Cli::command().debug_assert();
    }
}

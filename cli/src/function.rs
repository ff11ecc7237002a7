//! `kubectl cnbi function`: check, fixes and defaults as a KRM function for kustomize and kpt.

use std::path::PathBuf;

use clap::Args;

use super::connection::CliError;
use super::terminal;
use super::{FAILURE, FINDINGS, SUCCESS, fail};
use crate::check;

const CONFIGURATION: &str = "\
functionConfig, under data or spec, all optional:
  default: \"true\"      add defaults
  fix: \"true\"          apply unambiguous fixes
  strict: \"true\"       reject resources with rules that were not checked
  namespace: NAME       namespace of resources without metadata.namespace
  creator: USER         value of the creator annotation
  config.yaml: |        configuration of the cluster

Exit status:
  0  no resource was rejected
  1  a resource was rejected; see the results
  2  the input is not a ResourceList, or functionConfig is invalid";

/// Run as a KRM function: reads a ResourceList from stdin and writes it with results to stdout
#[derive(Clone, Debug, Args)]
#[command(after_help = CONFIGURATION)]
pub struct FunctionArgs {}

/// Runs the subcommand. Returns the exit status.
pub fn run(_: &FunctionArgs) -> u8 {
    let texts = check::read_texts(&[PathBuf::from("-")]);
    let text = texts.map(|texts| texts.into_iter().map(|(_, text)| text).collect::<String>());
    match text.and_then(|text| check::transform(&text)) {
        Err(error) => fail(&CliError(error)),
        Ok(transformed) => {
            for line in &transformed.messages {
                terminal::print_error(line);
            }
            match (terminal::print_raw(&transformed.text), transformed.is_rejected) {
                (false, _) => FAILURE,
                (true, false) => SUCCESS,
                (true, true) => FINDINGS,
            }
        }
    }
}

//! `kubectl cnbi function`: the check, and the defaults, as a KRM function for kustomize and kpt.

use std::path::PathBuf;

use clap::Args;

use super::connection::Problem;
use super::terminal;
use super::{DONE, FOUND, UNUSABLE, give_up};
use crate::check;

const CONFIGURATION: &str = "\
Configuration, in functionConfig under data or spec, all optional:
  default: \"true\"      fill in defaults
  fix: \"true\"          write corrections of which there is only one
  strict: \"true\"       count undecided rules as refusals
  namespace: NAME       namespace of resources that name none
  creator: USER         who asks for the images
  config.yaml: |        the policy of the cluster

Exit status:
  0  nothing was refused
  1  something was; the results say what
  2  the input is no ResourceList, or its configuration makes no sense";

/// Be a KRM function: a ResourceList on stdin, the same with results on stdout
#[derive(Clone, Debug, Args)]
#[command(after_help = CONFIGURATION)]
pub struct FunctionArgs {}

/// Transforms standard input. The exit status.
pub fn run(_: &FunctionArgs) -> u8 {
    let texts = check::read_texts(&[PathBuf::from("-")]);
    let text = texts.map(|texts| texts.into_iter().map(|(_, text)| text).collect::<String>());
    match text.and_then(|text| check::transform(&text)) {
        Err(problem) => give_up(&Problem(problem)),
        Ok(transformed) => {
            for line in &transformed.told {
                terminal::complain(line);
            }
            match (terminal::print_raw(&transformed.text), transformed.is_refused) {
                (false, _) => UNUSABLE,
                (true, false) => DONE,
                (true, true) => FOUND,
            }
        }
    }
}

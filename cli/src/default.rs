//! `kubectl cnbi default`: manifests with what admission would fill in, for Git.

use std::path::PathBuf;

use clap::Args;

use super::connection::Problem;
use super::terminal;
use super::{DONE, FOUND, UNUSABLE, give_up};
use crate::check::{self, Settings, fill};

const EXAMPLES: &str = "\
Examples:
  kubectl cnbi default -f notebook.yaml --config config.yaml
  helm template . | kubectl cnbi default -f - --config config.yaml | kubectl apply -f -

Exit status:
  0  everything is filled in
  1  something could not be; stderr says where
  2  nothing was printed";

/// Print manifests with the defaults that admission would fill in
///
/// Comments and order stay, and other kinds pass through. The target namespace is known only with the cluster's policy.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DefaultArgs {
    /// Manifests; `-` for standard input; may be repeated
    #[arg(short, long, value_name = "FILE|DIR|-", required = true)]
    pub filename: Vec<PathBuf>,

    /// The cluster's policy: a config.yaml or the manifest of its ConfigMap
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Namespace of resources that name none
    #[arg(short, long, default_value = "default")]
    pub namespace: String,

    /// Who asks for the images; admission fills in the user who creates the resource
    #[arg(long, value_name = "USER")]
    pub creator: Option<String>,
}

/// Prints them. The exit status.
pub fn run(args: &DefaultArgs) -> u8 {
    filled(args).unwrap_or_else(|problem| give_up(&problem))
}

fn filled(args: &DefaultArgs) -> Result<u8, Problem> {
    let config = args.config.as_deref().map(check::read_config).transpose();
    let settings = Settings {
        config: config.map_err(Problem)?,
        namespace: args.namespace.clone(),
        ..Settings::default()
    };
    let mut status = DONE;
    let mut whole = String::new();
    for (file, text) in check::read_texts(&args.filename).map_err(Problem)? {
        let filled = fill(&settings, &file, &text, args.creator.as_deref());
        for note in &filled.notes {
            status = FOUND;
            terminal::complain(note);
        }
        if !whole.is_empty() {
            if !whole.ends_with('\n') {
                whole.push('\n');
            }
            whole.push_str("---\n");
        }
        whole.push_str(&filled.text);
    }
    // The text is the user's own, so it goes out as it came in.
    Ok(if terminal::print_raw(&whole) { status } else { UNUSABLE })
}

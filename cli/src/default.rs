//! `kubectl cnbi default`: prints manifests with the defaults of the webhook.

use std::path::PathBuf;

use clap::Args;

use super::connection::CliError;
use super::terminal;
use super::{FAILURE, FINDINGS, SUCCESS, fail};
use crate::check::{self, Settings, apply_defaults};

const EXAMPLES: &str = "\
Examples:
  kubectl cnbi default -f notebook.yaml --config config.yaml
  helm template . | kubectl cnbi default -f - --config config.yaml | kubectl apply -f -

Exit status:
  0  all defaults were added
  1  some defaults could not be added; stderr shows where
  2  invalid arguments, or a file cannot be read";

/// Print manifests with the defaults that the webhook would add
///
/// Keeps comments, order and documents of other kinds. The default of spec.targetNamespace requires --config.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DefaultArgs {
    /// Manifests; `-` for standard input; can be repeated
    #[arg(short, long, value_name = "FILE|DIR|-", required = true)]
    pub filename: Vec<PathBuf>,

    /// Configuration of the cluster: config.yaml, or a manifest of the ConfigMap cnbi-config
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Namespace of resources without metadata.namespace
    #[arg(short, long, default_value = "default")]
    pub namespace: String,

    /// Value of the creator annotation; the webhook uses the requesting user
    #[arg(long, value_name = "USER")]
    pub creator: Option<String>,
}

/// Runs the subcommand. Returns the exit status.
pub fn run(args: &DefaultArgs) -> u8 {
    defaulted(args).unwrap_or_else(|error| fail(&error))
}

fn defaulted(args: &DefaultArgs) -> Result<u8, CliError> {
    let config = args.config.as_deref().map(check::read_config).transpose();
    let settings = Settings {
        config: config.map_err(CliError)?,
        namespace: args.namespace.clone(),
        ..Settings::default()
    };
    let mut status = SUCCESS;
    let mut whole = String::new();
    for (file, text) in check::read_texts(&args.filename).map_err(CliError)? {
        let defaulted = apply_defaults(&settings, &file, &text, args.creator.as_deref());
        for note in &defaulted.notes {
            status = FINDINGS;
            terminal::print_error(note);
        }
        if !whole.is_empty() {
            if !whole.ends_with('\n') {
                whole.push('\n');
            }
            whole.push_str("---\n");
        }
        whole.push_str(&defaulted.text);
    }
    // Unchanged, because it is the user's own text.
    Ok(if terminal::print_raw(&whole) { status } else { FAILURE })
}

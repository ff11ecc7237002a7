//! Arguments of `kubectl cnbi check`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  # one file
  kubectl cnbi check notebook.yaml

  # all manifests in a directory, with the configuration of the target cluster
  kubectl cnbi check deploy/ --config config.yaml

  # the output of a Helm chart
  helm template . | kubectl cnbi check -

  # in CI: reject resources with rules that cannot be checked without a cluster
  kubectl cnbi check -f manifests/ --strict -o json

  # with manifests of the pull secrets
  kubectl cnbi check notebooks/ --facts secrets/

  # fix the files
  kubectl cnbi check notebooks/ --fix

Exit status:
  0  no resource was rejected
  1  a resource was rejected
  2  invalid arguments, a file cannot be read or written, or an internal error";

/// Check CustomNBImage manifests without a cluster, with the rules of the webhook
///
/// Adds the webhook's defaults first. Rules that need the cluster, for example whether a Secret exists, are reported as not
/// checked. Documents of other kinds are skipped.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
#[command(group = ArgGroup::new("input").required(true).multiple(true).args(["files", "filename"]))]
pub struct CheckArgs {
    /// Manifests in YAML or JSON, directories with .yaml, .yml and .json files, or `-` for standard input
    #[arg(value_name = "FILE|DIR|-")]
    pub files: Vec<PathBuf>,

    /// Same as the arguments, for compatibility with kubectl; can be repeated
    #[arg(short, long, value_name = "FILE|DIR|-")]
    pub filename: Vec<PathBuf>,

    /// Configuration of the target cluster: config.yaml, or a manifest of the ConfigMap cnbi-config. Without it, rules that
    /// depend on the configuration are not checked
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Manifests of Secrets, Namespaces and ImageStreams that exist in the cluster; can be repeated
    #[arg(long, value_name = "FILE|DIR")]
    pub facts: Vec<PathBuf>,

    /// Apply unambiguous fixes to the files. Keeps comments, order and style. The report shows the remaining findings
    #[arg(long)]
    pub fix: bool,

    /// Namespace of resources without metadata.namespace
    #[arg(short, long, default_value = "default", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub namespace: String,

    /// Reject resources with rules that were not checked
    #[arg(long)]
    pub strict: bool,

    /// Output format
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Text with at most 50 findings per document
    Text,
    /// JSON with at most 1000 findings per document
    Json,
    /// SARIF 2.1.0 for code scanning
    Sarif,
    /// Workflow commands of GitHub Actions, shown in pull requests
    Github,
}

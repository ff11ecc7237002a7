//! What `kubectl cnbi check` can be told.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  # one file
  kubectl cnbi check notebook.yaml

  # every manifest below a directory, under the policy of the cluster that they are for
  kubectl cnbi check deploy/ --config config.yaml

  # what a template renders
  helm template . | kubectl cnbi check -

  # in a pipeline: what cannot be decided without a cluster counts as refused
  kubectl cnbi check -f manifests/ --strict -o json

  # a pull Secret that comes with the change counts as there
  kubectl cnbi check notebooks/ --facts secrets/

  # write the corrections of which there is only one into the files
  kubectl cnbi check notebooks/ --fix

Exit status:
  0  nothing was refused
  1  something was
  2  the arguments make no sense, or a file cannot be read";

/// Judge CustomNBImage manifests as the cluster's webhook would, with no cluster
///
/// The same rules, after the same defaulting. Rules that need a cluster (is the Secret there?) are reported as undecided.
/// Documents of other kinds are skipped.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
#[command(group = ArgGroup::new("input").required(true).multiple(true).args(["files", "filename"]))]
pub struct CheckArgs {
    /// Manifests in YAML or JSON; a directory stands for the .yaml, .yml and .json files below it, `-` for standard input
    #[arg(value_name = "FILE|DIR|-")]
    pub files: Vec<PathBuf>,

    /// The same, as kubectl has it; may be repeated
    #[arg(short, long, value_name = "FILE|DIR|-")]
    pub filename: Vec<PathBuf>,

    /// The config.yaml of the cluster that the manifests are for, or the manifest of its ConfigMap; without it, what depends
    /// on its policy is undecided
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Manifests whose Secrets, Namespaces and ImageStreams count as there; may be repeated
    #[arg(long, value_name = "FILE|DIR")]
    pub facts: Vec<PathBuf>,

    /// Write corrections of which there is only one into the files; comments, order and style stay. What is told is what is
    /// left
    #[arg(long)]
    pub fix: bool,

    /// Namespace of resources that name none
    #[arg(short, long, default_value = "default", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub namespace: String,

    /// Count undecided rules as refusals
    #[arg(long)]
    pub strict: bool,

    /// How to print what was found
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Form of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people and editors; at most 50 findings a document
    Text,
    /// For programs; all findings, up to 1000 a document
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Workflow commands of GitHub Actions, which show findings in a pull request
    Github,
}

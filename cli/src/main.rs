//! `kubectl cnbi`: what users and pipelines call. One subcommand a task; what each does is in the library.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use cnbi_cli::check::{self, args::CheckArgs};
use cnbi_cli::{audit, complete, create, default, explain, function, logs, status};

/// Custom notebook images for Open Data Hub, from the command line
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-cnbi",
    bin_name = "kubectl cnbi",
    version,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    Check(CheckArgs),
    Create(Box<create::CreateArgs>),
    Status(status::StatusArgs),
    Logs(logs::LogsArgs),
    Explain(explain::ExplainArgs),
    Default(default::DefaultArgs),
    Audit(audit::AuditArgs),
    Function(function::FunctionArgs),
    Completion(complete::CompletionArgs),
    #[command(name = "__complete", hide = true)]
    Complete(complete::CompleteArgs),
}

fn main() -> ExitCode {
    let Cli { task } = Cli::parse();
    match task {
        Task::Check(args) => check::run(&args),
        Task::Create(args) => create::run(&args),
        Task::Status(args) => status::run(&args),
        Task::Logs(args) => logs::run(&args),
        Task::Explain(args) => explain::run(&args),
        Task::Default(args) => default::run(&args),
        Task::Audit(args) => audit::run(&args),
        Task::Function(args) => function::run(&args),
        Task::Completion(args) => complete::script(&args, Cli::command()),
        Task::Complete(args) => complete::candidates(&args, &Cli::command()),
    }
    .into()
}

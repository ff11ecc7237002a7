//! The program `kubectl-cnbi`.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use cnbi_cli::check::{self, args::CheckArgs};
use cnbi_cli::{audit, complete, create, default, explain, function, logs, status};

/// Check, create and inspect custom notebook images for Open Data Hub
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-cnbi",
    bin_name = "kubectl cnbi",
    version,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
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
    let Cli { command } = Cli::parse();
    match command {
        Command::Check(args) => check::run(&args),
        Command::Create(args) => create::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Logs(args) => logs::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Default(args) => default::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Function(args) => function::run(&args),
        Command::Completion(args) => complete::script(&args, Cli::command()),
        Command::Complete(args) => complete::candidates(&args, &Cli::command()),
    }
    .into()
}

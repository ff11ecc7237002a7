//! The steps of the Tasks call `cnbi-step` with valid arguments, and use each of its subcommands.

use std::collections::BTreeSet;

use clap::Parser as _;
use cnbi_pipelines::args::Cli;
use cnbi_pipelines::command::CONTRACTS;
use cnbi_shared::contract::{PIPELINES, results};
use serde_json::Value;

use super::{Manifests, Outcome, list, names, steps, tasks, text};

/// An argument as passed to the step. `is_bound`: whether optional workspaces are bound.
fn filled(argument: &str, is_bound: bool) -> Vec<String> {
    let Some((before, variable)) = argument.split_once("$(") else {
        return vec![argument.to_owned()];
    };
    let variable = variable.trim_end_matches(')');
    if variable.ends_with("[*]") {
        return vec!["eyJ9".to_owned(), "fQ==".to_owned()];
    }
    let value = match variable {
        "workspaces.work.path" => "/workspace/work",
        "params.resource-generation" => "3",
        _ if variable.starts_with("workspaces.") && is_bound => "/workspace/x",
        _ if variable.starts_with("workspaces.") => "",
        _ => "a-name",
    };
    vec![format!("{before}{value}")]
}

/// The subcommand that a step calls: its first words.
fn subcommand(step: &Value) -> String {
    let words = list(&step["args"])
        .iter()
        .map(text)
        .take_while(|word| !word.starts_with('-'));
    words.collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn every_step_has_valid_arguments() -> Outcome {
    let manifests = Manifests::rendered().await?;
    for task in manifests.all("Task") {
        for step in steps(task) {
            let name = subcommand(&step);
            for is_bound in [true, false] {
                let arguments = list(&step["args"])
                    .iter()
                    .flat_map(|argument| filled(text(argument), is_bound));
                let cli = Cli::try_parse_from(std::iter::once("cnbi-step".to_owned()).chain(arguments))
                    .map_err(|error| format!("{}: {error}", text(&task["metadata"]["name"])))?;
                assert_eq!(cli.command.contract().name, name);
                assert_eq!(cli.results.as_os_str(), "/tekton/results");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_subcommand_is_a_step_and_reports_the_results_of_its_tasks() -> Outcome {
    let manifests = Manifests::rendered().await?;
    for pipeline in PIPELINES {
        let installed = manifests.one("Pipeline", pipeline.name);
        for (task, of_pipeline) in pipeline.all_tasks().zip(tasks(installed)) {
            let name = format!("{} {}", pipeline.name, task.name);
            let contracts = CONTRACTS.iter().filter(|contract| {
                contract
                    .tasks
                    .iter()
                    .any(|(of, its)| of.name == pipeline.name && *its == task.name)
            });
            let contracts: BTreeSet<String> = contracts.map(|contract| contract.name.to_owned()).collect();
            let steps = steps(manifests.task_of(of_pipeline));
            let called: BTreeSet<_> = steps.iter().map(subcommand).collect();
            assert_eq!(called, contracts, "{name}");
            let told = CONTRACTS
                .iter()
                .filter(|contract| contracts.contains(contract.name))
                .flat_map(|contract| contract.results)
                .chain(&[results::REASON, results::MESSAGE]);
            let declared: BTreeSet<_> = names(&manifests.task_of(of_pipeline)["spec"]["results"])
                .into_iter()
                .collect();
            assert_eq!(told.copied().collect::<BTreeSet<_>>(), declared, "{name}");
        }
    }
    Ok(())
}

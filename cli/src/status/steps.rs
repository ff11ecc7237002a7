//! The tasks of a PipelineRun, one line each.

use cnbi_shared::contract;
use jiff::Timestamp;

use super::summary::age;
use super::{View, build_type};
use crate::task_runs::{State, TaskRun};
use crate::terminal::{sanitize, styled, styles, truncate};

/// One line per task, at most `columns` wide. Empty without a PipelineRun. If `is_compact`, only running and failed tasks.
pub fn lines(view: &View, now: Timestamp, columns: usize, is_compact: bool) -> Vec<String> {
    let status = view.resource.status.as_ref();
    let run = status.and_then(|status| status.pipeline_run.as_ref());
    let (Some(run), Some(build_type)) = (run, build_type(&view.resource)) else {
        return Vec::new();
    };
    let tasks = match &view.tasks {
        Ok(tasks) if tasks.is_empty() && run.completion_time.is_some() => {
            return vec!["  Its TaskRuns have been deleted.".to_owned()];
        }
        Ok(tasks) => tasks,
        Err(why) => return vec![truncate(&format!("  {}", sanitize(why)), columns)],
    };
    let pipeline = contract::pipeline_for(build_type);
    let names: Vec<&str> = pipeline.all_tasks().map(|task| task.name).collect();
    let others = tasks.iter().filter(|task| !names.contains(&task.task.as_str()));
    let rows: Vec<(String, Option<&TaskRun>)> = names
        .iter()
        .map(|name| ((*name).to_owned(), tasks.iter().find(|task| task.task == *name)))
        .chain(others.map(|task| (sanitize(&task.task), Some(task))))
        .collect();
    let widest = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for (name, task) in rows {
        let state = task.map(|task| task.state);
        if is_compact && !matches!(state, Some(State::Failed | State::Running)) {
            continue;
        }
        let (mark, style) = match state {
            Some(State::Succeeded) => ("done", styles::OK),
            Some(State::Failed) => ("FAILED", styles::ERROR),
            Some(State::Running) => ("running", styles::IN_PROGRESS),
            Some(State::Waiting) => ("pending", styles::IN_PROGRESS),
            None if run.completion_time.is_some() => ("not run", styles::DIM),
            None => ("waiting", styles::DIM),
        };
        let took = task
            .and_then(|task| Some(age(task.start?, task.end.unwrap_or(now))))
            .unwrap_or_default();
        let more = task.map(detail).unwrap_or_default();
        let plain = format!("{name:widest$} {took:>8}   {more}");
        let plain = truncate(plain.trim_end(), columns.saturating_sub(10));
        let mark = format!("{mark:<7}");
        lines.push(format!("  {} {plain}", styled(style, &mark)));
    }
    lines
}

/// The current or failed step.
fn detail(task: &TaskRun) -> String {
    match task.state {
        State::Failed => match task.failed_step() {
            Some(step) => {
                let code = step.exit_code.unwrap_or_default();
                let reason = match task.reason.as_str() {
                    "StepFailed" | "Failed" => String::new(),
                    reason => format!(" ({})", sanitize(reason)),
                };
                format!("step {}, exit code {code}{reason}", sanitize(&step.name))
            }
            None => sanitize(&task.reason),
        },
        State::Running => {
            let step = task.steps.iter().find(|step| step.state == State::Running);
            step.map(|step| format!("step {}", sanitize(&step.name)))
                .unwrap_or_default()
        }
        State::Waiting | State::Succeeded => String::new(),
    }
}

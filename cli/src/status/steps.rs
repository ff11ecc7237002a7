//! The tasks of a run, a line each.

use cnbi_shared::contract;
use jiff::Timestamp;

use super::super::runs::{State, TaskRun};
use super::super::terminal::{cut, safe, styled, styles};
use super::words::age;
use super::{View, build_type};

/// The lines, none longer than `columns`; none where there is no run. In short, only of tasks that run or have failed.
pub fn lines(view: &View, now: Timestamp, columns: usize, in_short: bool) -> Vec<String> {
    let status = view.resource.status.as_ref();
    let run = status.and_then(|status| status.pipeline_run.as_ref());
    let (Some(run), Some(build_type)) = (run, build_type(&view.resource)) else {
        return Vec::new();
    };
    let tasks = match &view.tasks {
        Ok(tasks) if tasks.is_empty() && run.completion_time.is_some() => {
            return vec!["  The record of its tasks is gone.".to_owned()];
        }
        Ok(tasks) => tasks,
        Err(why) => return vec![cut(&format!("  Its tasks are not told: {}", safe(why)), columns)],
    };
    let pipeline = contract::of(build_type);
    let names: Vec<&str> = pipeline.all_tasks().map(|task| task.name).collect();
    let others = tasks.iter().filter(|task| !names.contains(&task.task.as_str()));
    let rows: Vec<(String, Option<&TaskRun>)> = names
        .iter()
        .map(|name| ((*name).to_owned(), tasks.iter().find(|task| task.task == *name)))
        .chain(others.map(|task| (safe(&task.task), Some(task))))
        .collect();
    let widest = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for (name, task) in rows {
        let state = task.map(|task| task.state);
        if in_short && !matches!(state, Some(State::Failed | State::Running)) {
            continue;
        }
        let (mark, style) = match state {
            Some(State::Succeeded) => ("done", styles::GOOD),
            Some(State::Failed) => ("FAILED", styles::BAD),
            Some(State::Running) => ("runs", styles::UNDER_WAY),
            Some(State::Waiting) => ("begins", styles::UNDER_WAY),
            None if run.completion_time.is_some() => ("not run", styles::FAINT),
            None => ("waits", styles::FAINT),
        };
        let took = task
            .and_then(|task| Some(age(task.start?, task.end.unwrap_or(now))))
            .unwrap_or_default();
        let more = task.map(detail).unwrap_or_default();
        let plain = format!("{name:widest$} {took:>8}   {more}");
        let plain = cut(plain.trim_end(), columns.saturating_sub(10));
        let mark = format!("{mark:<7}");
        lines.push(format!("  {} {plain}", styled(style, &mark)));
    }
    lines
}

/// What is worth saying of a task beside how long it took.
fn detail(task: &TaskRun) -> String {
    match task.state {
        State::Failed => match task.failed_step() {
            Some(step) => {
                let code = step.exit_code.unwrap_or_default();
                let reason = match task.reason.as_str() {
                    "StepFailed" | "Failed" => String::new(),
                    reason => format!(" ({})", safe(reason)),
                };
                format!("step {}, exit code {code}{reason}", safe(&step.name))
            }
            None => safe(&task.reason),
        },
        State::Running => {
            let step = task.steps.iter().find(|step| step.state == State::Running);
            step.map(|step| format!("step {}", safe(&step.name)))
                .unwrap_or_default()
        }
        State::Waiting | State::Succeeded => String::new(),
    }
}

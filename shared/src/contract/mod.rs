//! The contract between the controller and the pipelines: names of pipelines, tasks, parameters, workspaces and results, and the reasons of
//! failures. Both sides and their tests use these tables.

mod condition;
mod names;
mod pipeline;
mod reason;
mod run_params;
mod tables;

pub use condition::{COMMON_CONDITIONS, ConditionType};
pub use names::{params, results, tasks, workspaces};
pub use pipeline::{CHUNK_MAX, Param, ParamKind, Pipeline, Task, Trust, Workspace, WorkspaceKind};
pub use reason::{REASONS, Reason, ReportedIn};
pub use run_params::{BuildRequest, Settings};
pub use tables::{GIT_REPOSITORY, IMPORT, PACKAGE_LIST, PIPELINES, pipeline_for};

#[cfg(test)]
mod tests;

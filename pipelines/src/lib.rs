//! cnbi-step: the program that runs in the steps of CNBi's Tekton tasks.
//!
//! Input comes as arguments and environment variables, output goes to Tekton results and the exit code. User input is never passed to a
//! shell or template, and external input is parsed and limited before use. [`cnbi_shared::contract`] defines what each task may report;
//! the Pipelines define when a task runs.

#![forbid(unsafe_code)]

pub mod args;
pub mod base_image;
pub mod build_file;
pub mod canonical;
pub mod command;
pub mod containerfile;
pub mod egress;
pub mod error;
pub mod git;
pub mod image_stream;
pub mod layer;
pub mod lock;
pub mod param;
pub mod pipfile;
pub mod program;
pub mod registry;
pub mod report;
pub mod run;
pub mod sbom;
pub mod signature;
pub mod source_tree;
pub mod start_command;
pub mod workspace;

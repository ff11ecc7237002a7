//! cnbi-step: what the steps of our Tekton tasks do, wherever more than a standard program is needed.
//!
//! A step gets arguments and environment, and gives results and an exit code. Nothing that a user wrote passes through a
//! shell or a template, and everything that comes from outside is hostile until parsed and bounded. What each task may say
//! stands in [`cnbi_shared::contract`]; nothing here decides when a task runs.

#![forbid(unsafe_code)]

pub mod args;
pub mod base;
pub mod canonical;
pub mod child;
pub mod command;
pub mod containerfile;
pub mod encoded;
pub mod failure;
pub mod git;
pub mod layer;
pub mod lock;
pub mod outside;
pub mod pipfile;
pub mod registry;
pub mod report;
pub mod repository;
pub mod run;
pub mod sbom;
pub mod signature;
pub mod start;
pub mod stream;
pub mod tree;
pub mod work;

//! From an accepted resource to a run and a status that is true: the decisions, all of them pure.
//!
//! * [`request`] is what a resource asks for, read once from what was accepted;
//! * [`observed`] is everything else that a decision depends on;
//! * [`plan`] decides, and [`action`] is what it can ask for;
//! * [`track`] says which tags are followed and when registries are asked;
//! * [`manifest`] is the PipelineRun, [`failure`] what it means that one failed.
//!
//! Nothing here reads or writes a cluster.

pub mod action;
mod board;
pub mod by_name;
mod deletion;
pub mod failure;
pub mod manifest;
pub mod observed;
pub mod plan;
pub mod request;
mod start;
mod tidy;
pub mod track;

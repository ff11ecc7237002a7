//! Creates one Tekton PipelineRun per generation of each valid `CustomNBImage`, follows it, and keeps the status true.
//!
//! Decisions and side effects are separate:
//!
//! * [`watch`] keeps resources, PipelineRuns, TaskRuns and ImageStreams in memory. Invalid objects never end a watch;
//! * [`reconcile`] handles one resource: read a snapshot, plan, apply;
//! * [`plan`] decides and is pure: the same snapshot, time and configuration give the same plan;
//! * [`queue`] limits concurrent builds, the oldest resource first;
//! * [`upstream`] looks up the digests of the tags of imported images;
//! * [`leader`] elects the one replica that works;
//! * [`start`] starts and supervises the tasks of the program;
//! * [`controller`] runs the reconciler and maps events to the resources to reconcile.
//!
//! This crate does not depend on the webhook. Both share `cnbi-shared` and `cnbi-runtime`.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod api_requests;
pub mod args;
pub mod controller;
pub mod leader;
pub mod metrics;
pub mod plan;
pub mod probes;
pub mod queue;
pub mod reconcile;
pub mod start;
pub mod unconfigured;
pub mod upstream;
pub mod watch;

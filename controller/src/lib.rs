//! Looks at every stored `CustomNBImage` and says in its status whether it passes the rules in force.
//!
//! The room is split between what decides and what acts, and each pass over a resource goes through it in this order:
//!
//! * [`stored`] is what is read of a resource; it never fails on what somebody stored;
//! * [`observe`] makes of it all that a decision needs;
//! * [`plan`] decides, purely: the same observation, time and configuration give the same plan;
//! * [`apply`] does what the plan says and makes no choices;
//! * [`run`] says when: on a change of a resource, on a change of the configuration, and again after a failure.
//!
//! [`build`] decides in the same way about runs; it is not acted upon yet.
//!
//! Nothing here knows the webhook; what they share stands in `cnbi-shared`.

#![warn(missing_docs)]

pub mod apply;
pub mod args;
pub mod build;
pub mod configuration;
pub mod failure;
pub mod metrics;
pub mod observe;
pub mod plan;
pub mod probes;
pub mod run;
pub mod stored;

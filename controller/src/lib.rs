//! Turns every well-formed `CustomNBImage` into Tekton runs, one at a time, and says in its status how it stands.
//!
//! What decides and what acts are kept apart. Each pass over a resource goes through the rooms in this order:
//!
//! * [`stored`] is what is read of a resource, [`packed`] how it is kept, [`kinds`] what is kept of what runs leave behind;
//!   they never fail on what somebody stored;
//! * [`observe`] makes of it, of [`cache`]s and of [`site`] all that a decision needs;
//! * [`build`] decides, purely: the same observation, time and configuration give the same plan;
//! * [`apply`] does what the plan says and makes no choices;
//! * [`visit`] is one such pass, and [`run`] says when: on a change of the resource, of anything that it owns or of the
//!   configuration, when a wait is over, and again after a failure.
//!
//! [`upstream`] asks registries what the tags of imported images name by now.
//!
//! [`leader`] says which of several replicas does all this.
//!
//! Nothing here knows the webhook; what they share stands in `cnbi-shared`.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod api_calls;
pub mod apply;
pub mod args;
pub mod authorities;
pub mod build;
pub mod cache;
pub mod configuration;
pub mod events;
pub mod failure;
pub mod follow;
pub mod kinds;
pub mod leader;
pub mod memory;
pub mod metrics;
pub mod observe;
pub mod packed;
pub mod probes;
pub mod progress;
pub mod registry;
pub mod run;
pub mod secrets;
pub mod site;
pub mod stored;
pub mod sweep;
pub mod turns;
pub mod unconfigured;
pub mod upstream;
pub mod visit;
pub mod world;

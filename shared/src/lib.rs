//! The pure core of CNBi: what a `CustomNBImage` is, what is wrong with one, and what is filled in for it.
//!
//! Everything here is a function of its arguments. There is no network, no file, no clock and no async runtime
//! in this crate or below it; the webhook, the offline check and the controller bring those and call [`rules::evaluate`].

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod active_config;
pub mod admission_input;
pub mod api;
pub mod config;
pub mod contract;
pub mod credentials;
pub mod defaults;
pub mod facts;
pub mod grammar;
pub mod links;
pub mod log_filter;
pub mod nearest;
pub mod path;
pub mod render;
pub mod rules;
pub mod verdict;

//! The pure core of CNBi: the `CustomNBImage` resource, its validation rules and defaults, the configuration, and the contract between the
//! controller and the pipelines.
//!
//! All functions depend on their arguments only: no network, files, clock or async runtime here or in the dependencies. The programs provide
//! those and call [`rules::evaluate`].

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

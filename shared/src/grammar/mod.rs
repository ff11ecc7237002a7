//! The grammars that specifications own: Python requirements, image references, Git refs and clone URLs, DNS names.
//!
//! Every function here takes text and returns a typed value or a typed error; none knows of resources, rules or levels.
//! What counts as correct is decided by the specification's own implementation, with which each grammar is compared over
//! generated inputs (`tests/oracles`); the few places where we differ on purpose are in `docs/development/grammar-exceptions.md`.
//! Nothing is cached between calls and no input can make a call recurse: time and memory are bounded by the input.

pub mod clone_url;
pub mod dns;
pub mod git_ref;
pub mod image;
pub mod requirement;

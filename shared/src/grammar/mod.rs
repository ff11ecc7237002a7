//! Parsers for formats with a specification: Python requirements, image references, Git refs, clone URLs and DNS names.
//!
//! Every function takes text and returns a typed value or a typed error; none depends on resources, rules or levels. Each parser is compared
//! with the reference implementation of its specification on generated inputs (`tests/oracles`). Intended differences are listed in
//! `docs/development/grammar-exceptions.md`. Nothing is cached and nothing recurses, so time and memory are bounded by the input.

pub mod clone_url;
pub mod dns;
pub mod git_ref;
pub mod image;
pub mod requirement;

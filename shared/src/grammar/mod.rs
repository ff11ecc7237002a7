//! The grammars that specifications own: image references and DNS names.
//!
//! Every function here takes text and returns a typed value or a typed error; none knows of resources, rules or levels.
#![allow(missing_docs)]

pub mod dns;
pub mod image;

//! Watches: the resources themselves ([`stored`]), and what runs leave on a cluster ([`projections`]), kept up to date by
//! [`reflector`] in a [`cache`].

pub mod cache;
pub mod packed;
pub mod projections;
pub mod reflector;
pub mod stored;

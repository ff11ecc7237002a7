//! Watches. [`stored`] is the part of a `CustomNBImage` that is kept in memory, [`projections`] the parts of PipelineRuns,
//! TaskRuns and ImageStreams. A [`reflector`] keeps each [`cache`] up to date. An invalid object never ends a watch.

pub mod cache;
pub mod projections;
pub mod reflector;
pub mod stored;

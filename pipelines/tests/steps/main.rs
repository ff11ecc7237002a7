//! Tests of the subcommands as processes, with real Git over HTTPS, uv with a test index and the public one, and buildah.

mod buildah;
mod git_server;
mod https;
mod index;
mod pip;
mod prepare;
mod record;
mod repository;
mod source;
mod step_runner;
mod validate;

//! The subcommands that make and build source, each run as a program, on real parts: Git repositories behind real smart
//! HTTP and TLS, uv against an index of our own and the public one, buildah.

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

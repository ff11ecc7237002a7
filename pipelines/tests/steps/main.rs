//! The subcommands that make and build source, each run as a program, on real parts: Git repositories behind real smart
//! HTTP and TLS, uv against an index of our own and the public one, buildah.

mod buildah;
mod https;
mod index;
mod pip;
mod place;
mod prepare;
mod record;
mod repository;
mod served;
mod source;
mod validate;

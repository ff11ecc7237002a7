//! The webhook over real HTTP and TLS: reviews as the API server sends them, and everything that it would never send.
//! The cluster behind it is a fake that says so; a real API server decides in the cluster tests.

mod clients;
mod examples;
mod exhaustion;
mod fake;
mod faults;
mod harness;
mod lifecycle;
mod reviews;
mod table;

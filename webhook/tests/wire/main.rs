//! The webhook over HTTP and TLS: valid reviews, and requests that an API server never sends. Lookups are fake; the tests of
//! `cnbi-tests` use a real API server.

mod clients;
mod examples;
mod exhaustion;
mod fake;
mod faults;
mod harness;
mod lifecycle;
mod reviews;
mod table;

//! The webhook over real HTTP and TLS: reviews as the API server sends them, and requests that it never sends. Lookups are fake
//! here; the tests of `cnbi-tests` use a real API server.

mod clients;
mod examples;
mod exhaustion;
mod fake;
mod faults;
mod harness;
mod lifecycle;
mod reviews;
mod table;

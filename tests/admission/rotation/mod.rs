//! Certificates and replicas are replaced under load; no create may fail.
//!
//! The API server, the webhook processes and TLS are real; the Service is simulated
//! ([`Service`](cnbi_tests::installation::Service)). Tests set the clock of the replicas ahead by less than an hour instead of
//! waiting for months. Certificates are backdated by one hour, so the API server accepts them.

mod certificate_files;
mod expiry;
mod fleet;
mod load;
mod manual_changes;
mod rolling_restart;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

//! Certificates, and the replicas that serve them, are replaced while resources are being created; and no call may fail.
//!
//! The API server, the webhook's processes and their TLS are real. The Service's part is played
//! ([`Service`](cnbi_tests::installation::Service)). What takes months is brought about by a clock that is ahead, never more
//! than the hour by which certificates are backdated, so that the API server, whose clock is right, accepts all of them.

mod certificate_files;
mod expiry;
mod fleet;
mod load;
mod manual_changes;
mod rolling_restart;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

//! The admission webhook: what the API server asks about a `CustomNBImage` before it stores one, and the answers.
//!
//! The rules are in `cnbi-shared` and the certificates in `cnbi-certs`; this room carries questions in and answers out.
//! It holds no state that matters, so any replica answers any review.
//!
//! * pure: [`review`] reads a question, [`admit`] decides, [`patch`] and [`respond`] write the answer;
//! * acting: [`facts`] gathers from [`cluster`], [`reviewer`] answers one review, [`routes`] one request, [`serve`] keeps the
//!   connections, [`certificates`] has what they are served with and [`client_ca`] who may open them, [`health`] is
//!   the readiness, and `heap_trim` returns memory after a burst.

pub mod admit;
pub mod args;
pub mod body_budget;
pub mod certificates;
pub mod client_ca;
pub mod cluster;
pub mod concurrency_limit;
pub mod connections;
pub mod facts;
pub mod header_timeout;
pub mod health;
mod heap_trim;
pub mod metrics;
pub mod patch;
pub mod respond;
pub mod review;
pub mod reviewer;
pub mod routes;
pub mod run;
pub mod serve;
pub mod tls;

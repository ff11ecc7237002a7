//! Serving certificates that are trusted before they are served.
//!
//! An API server calls a webhook only over TLS and trusts only the CAs in the `caBundle` of the webhook configuration.
//! There are two certificate sources:
//!
//! * [`SelfManaged`] creates a CA, publishes it in the webhook configurations, serves a certificate that it signed, and
//!   rotates both without a moment in which an API server would reject the certificate.
//! * [`Files`] serves a certificate from a mounted folder, for example one that cert-manager issues. Its issuer publishes
//!   the CA.
//!
//! Pure modules decide, the others act:
//!
//! * pure: [`authority`] and [`leaf`] issue certificates; [`bundle`] is the bundle to publish and [`published`] the one
//!   that was read; [`ca_set`] is the content of the CA Secret; [`rotation`] decides the next step; [`pair`] checks a
//!   certificate from a folder.
//! * acting: `store` (CA Secret), `inject` (webhook configurations), [`resolver`] (rustls), `rotator` (reconciles),
//!   `configuration_watch` and `backoff` (when to reconcile), [`folder_watch`] (when to read files again).
//!
//! # Rotation
//!
//! ```text
//! a third of A's lifetime is left
//!   -> mint B as the next CA            Secret: current A, next B
//!   -> publish {A, B}
//!   -> B is in every configuration      wait one minute, until every API server has loaded it
//!   -> promote B                        Secret: current B, previous A
//!   -> each replica serves from B       after it has observed B in every configuration for one minute
//!   -> A has expired                    Secret: current B; publish {B}
//! ```
//!
//! # Clock skew
//!
//! API servers check certificates with their own clocks. The rotation uses the earlier of the local clock and the `Date`
//! header of the API server's responses ([`clock::Moment`]): a replica whose clock is ahead would otherwise remove CAs
//! that other replicas still need, and issue certificates that are not valid yet. A CA that is not valid yet is ignored
//! while the current serving certificate lasts, and then replaced.
//!
//! # Replacing the CA by hand
//!
//! Write your CA into `tls.crt` and `tls.key` of the CA Secret. Replicas keep the CA that they serve from in `previous.crt`
//! and switch to yours one minute later. To remove the trust in the old CA immediately after that, delete `previous.crt`.
//!
//! # RBAC
//!
//! The source `files` needs no permissions. [`SelfManaged`] needs:
//!
//! | object | verbs |
//! |---|---|
//! | the CA Secret | `get`, `update` by name; `create` in the namespace |
//! | each webhook configuration | `get`, `patch`, `watch` by name |
//! | Events (events.k8s.io) | `create` in the namespace |

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod authority;
mod backoff;
pub mod bundle;
pub mod ca_set;
pub mod clock;
mod configuration_watch;
mod deadline;
pub mod files;
pub mod folder_watch;
mod inject;
pub mod leaf;
mod names;
pub mod pair;
mod policy;
pub mod published;
pub mod resolver;
pub mod rotation;
mod rotator;
mod self_managed;
#[cfg(test)]
mod simulation;
mod status;
mod store;
#[cfg(test)]
mod testing;

pub use authority::Authority;
pub use clock::Clock;
pub use files::Files;
pub use inject::FIELD_MANAGER;
pub use names::{InvalidName, Names};
pub use policy::{Policy, Validity};
pub use rotator::RotationError;
pub use self_managed::SelfManaged;
pub use status::Status;

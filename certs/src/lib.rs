//! Serving certificates that are trusted before they are served.
//!
//! An API server calls a webhook only over TLS, and trusts only what the `caBundle` of the webhook configuration names. This
//! crate makes a CA, puts it there, serves a certificate of its making, and replaces both in time, so that there is no
//! moment in which an API server would refuse us; or it serves what somebody else puts into a folder ([`files`]), and
//! leaves the trust to them. It knows nothing of what the webhook is asked or answers.
//!
//! The room is split between what decides and what acts:
//!
//! * pure: [`authority`] and [`leaf`] make certificates, [`bundle`] is what is to be published and [`published`] what is,
//!   [`succession`] is what the CA Secret holds, [`rotation`] decides the next step; [`pair`] judges what others have made;
//! * acting: `store` (the CA Secret), `inject` (the configurations), [`resolver`] (rustls), `keeper` (looks and takes the
//!   steps), `changes` and `pace` (when to look: every few seconds, and at once when a configuration has changed), [`follow`]
//!   (when to look at files again).
//!
//! # Rotation
//!
//! ```text
//! a third of A's life is left
//!   -> mint B as the next CA            Secret: current A, next B
//!   -> publish {A, B}
//!   -> see B in every configuration     a minute passes, for API servers that have yet to load it
//!   -> promote B                        Secret: current B, previous A
//!   -> each replica serves from B       once it has itself seen B everywhere for that minute
//!   -> A has ended                      Secret: current B; publish {B}
//! ```
//!
//! # Which time it is
//!
//! API servers judge certificates by their own clocks. Of ours and the one that an API server's answers bear, the earlier
//! counts ([`clock::Moment`]): a replica that is ahead would end the trust in what others serve, and make what does not hold
//! yet. A CA that holds only in the future is gone on without for as long as what is served lasts, and then replaced.
//!
//! # Replacing the CA by hand
//!
//! Write a CA of your own into `tls.crt` and `tls.key`: replicas go on trusting the one that they serve from, as
//! `previous.crt`, and move to yours a minute later. To end the trust in the old one at once after that, remove
//! `previous.crt`.
//!
//! # Rights
//!
//! With the source `files`, none. Otherwise:
//!
//! | object | verbs |
//! |---|---|
//! | the CA Secret | `get`, `update` by name; `create` in the namespace |
//! | each webhook configuration | `get`, `patch`, `watch` by name |
//! | Events (events.k8s.io) | `create` in the namespace |

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod authority;
pub mod bundle;
mod changes;
pub mod clock;
mod deadline;
pub mod files;
pub mod follow;
mod inject;
mod keeper;
pub mod leaf;
mod names;
mod pace;
pub mod pair;
mod policy;
pub mod published;
pub mod resolver;
pub mod rotation;
mod self_managed;
#[cfg(test)]
mod simulation;
mod status;
mod store;
pub mod succession;
#[cfg(test)]
mod testing;

pub use authority::Authority;
pub use clock::Clock;
pub use files::Files;
pub use inject::FIELD_MANAGER;
pub use keeper::Failure;
pub use names::{InvalidName, Names};
pub use policy::{Policy, Validity};
pub use self_managed::SelfManaged;
pub use status::Status;

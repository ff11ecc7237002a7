//! A real control plane on loopback, and CNBi's programs installed on it as an admin installs them.
//!
//! etcd, kube-apiserver and kube-controller-manager run as ordinary processes, kubectl is real, and CNBi's programs run with the
//! permissions that `deploy/` gives them. What cannot run here is replaced by a fake; `docs/development/fakes.md` lists all of
//! them. Nothing here is shipped.

pub mod assets;
pub mod control_plane;
pub mod fake_tekton;
pub mod installation;
pub mod kubectl;
pub mod local;
pub mod notebook;
pub mod packages;
pub mod process;
pub mod random;
pub mod registry;
pub mod rights;
pub mod runner;
pub mod step;
pub mod supervisor;

//! A real control plane on loopback, and our programs installed on it as an administrator would install them.
//!
//! What matters in this project happens between a real API server and our programs, so neither the tests nor the demo
//! imitate one: etcd, kube-apiserver and kube-controller-manager run as ordinary processes, kubectl speaks to them, and
//! the programs run with the rights that `deploy/` gives them and no others. Nothing here knows a rule of admission, and
//! nothing here is shipped.

pub mod assets;
pub mod chance;
pub mod control_plane;
pub mod installation;
pub mod kubectl;
pub mod local;
pub mod notebook;
pub mod packages;
pub mod process;
pub mod registry;
pub mod rights;
pub mod runner;
pub mod step;
pub mod supervisor;
pub mod tekton;

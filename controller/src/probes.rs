//! Readiness of the controller.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cnbi_runtime::status_server::Status;
use cnbi_shared::active_config::ActiveConfig;
use tokio::sync::watch;

use crate::leader::Role;
use crate::metrics::Metrics;

/// What readiness depends on.
#[derive(Clone, Debug)]
pub struct Probes {
    /// Metrics of the process.
    pub metrics: Arc<Metrics>,
    /// The active configuration.
    pub active_config: watch::Receiver<ActiveConfig>,
    /// Whether all resources have been listed.
    pub listed: Arc<AtomicBool>,
    /// Role in the leader election.
    pub role: watch::Receiver<Role>,
    /// Whether a shutdown has begun.
    pub is_shutting_down: watch::Receiver<bool>,
}

impl Status for Probes {
    /// A configuration that becomes invalid does not change readiness; a metric reports it.
    fn not_ready(&self) -> Vec<String> {
        let active = self.active_config.borrow();
        if active.config().is_none() {
            let problem = active.problem().unwrap_or_default();
            return vec![format!("configuration: {problem}")];
        }
        let is_listed = self.listed.load(Ordering::Relaxed);
        match *self.role.borrow() {
            Role::Unknown => vec!["leader election: the leader is not known yet".to_owned()],
            Role::Leader if !is_listed => vec!["resources: not listed yet".to_owned()],
            Role::Standby | Role::Leader => Vec::new(),
        }
    }

    fn is_shutting_down(&self) -> bool {
        *self.is_shutting_down.borrow()
    }

    fn metrics(&self) -> String {
        self.metrics.render()
    }
}

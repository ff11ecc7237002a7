//! The command line. Each flag can also be set by its environment variable.

use std::num::NonZeroU16;

use clap::{ArgAction, Args as Group, Parser};
use cnbi_runtime::args::CommonArgs;
use cnbi_shared::config::Period;

use crate::leader::Timing;

/// Controller for CustomNBImage resources: creates Tekton PipelineRuns and updates the status.
///
/// Connects to the cluster of its pod, or to the current context of KUBECONFIG.
#[derive(Clone, Debug, Parser)]
// The last of several values of a flag is used, so that a patch can append flags to those of the Deployment.
#[command(name = "cnbi-controller", version, max_term_width = 100, args_override_self = true)]
pub struct Args {
    /// Flags of every program
    #[command(flatten)]
    pub common: CommonArgs,

    /// Maximum number of resources that are reconciled concurrently
    #[arg(long, env = "CNBI_CONCURRENCY", default_value = "8", value_name = "COUNT")]
    pub concurrency: NonZeroU16,

    /// Leader election
    #[command(flatten)]
    pub election: Election,
}

/// Leader election.
#[derive(Clone, Debug, Group)]
#[command(next_help_heading = "Leader election")]
pub struct Election {
    /// Whether to use leader election. Required for more than one replica
    #[arg(
        long,
        env = "CNBI_LEADER_ELECT",
        default_value_t = true,
        action = ArgAction::Set,
        num_args = 0..=1,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    pub leader_elect: bool,

    /// Name of the Lease, in the namespace of the ConfigMap
    #[arg(
        long,
        env = "CNBI_LEASE_NAME",
        default_value = "cnbi-controller",
        value_name = "NAME"
    )]
    pub lease_name: String,

    /// Time after which other replicas may replace a leader that does not renew the Lease
    #[arg(long, env = "CNBI_LEASE_DURATION", default_value = "15s", value_name = "PERIOD")]
    pub lease_duration: Period,

    /// Time after which a leader that cannot renew the Lease exits. Must be shorter than --lease-duration
    #[arg(
        long,
        env = "CNBI_LEASE_RENEWAL_DEADLINE",
        default_value = "10s",
        value_name = "PERIOD"
    )]
    pub lease_renewal_deadline: Period,

    /// Interval of renewals and of attempts to acquire the Lease. At most half of --lease-renewal-deadline
    #[arg(long, env = "CNBI_LEASE_RETRY", default_value = "2s", value_name = "PERIOD")]
    pub lease_retry: Period,

    /// Identity of this replica in the Lease, usually the pod name. A random suffix is added
    #[arg(long, env = "POD_NAME", default_value = "cnbi-controller", value_name = "NAME")]
    pub lease_identity: String,
}

impl Election {
    /// The times of the election; `None` if they contradict each other.
    pub fn times(&self) -> Option<Timing> {
        let times = Timing {
            duration: self.lease_duration.as_duration(),
            renewal_deadline: self.lease_renewal_deadline.as_duration(),
            retry: self.lease_retry.as_duration(),
        };
        times.are_sound().then_some(times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_valid_and_the_last_value_is_used() {
        use clap::CommandFactory;
        Args::command().debug_assert();
        let args = Args::parse_from(["x", "--status-listen=[::]:1", "--status-listen=127.0.0.1:2"]);
        assert_eq!(args.common.status_listen.port(), 2);
        let defaults = Args::parse_from(["x"]);
        assert!(defaults.common.status_listen.ip().is_loopback());
        assert!(defaults.election.leader_elect && defaults.election.times().is_some());
        assert!(!Args::parse_from(["x", "--leader-elect=false"]).election.leader_elect);
        let contradictory = Args::parse_from(["x", "--lease-duration=10s"]);
        assert_eq!(contradictory.election.times(), None);
    }
}

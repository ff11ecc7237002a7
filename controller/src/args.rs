//! How the program is called.

use std::net::SocketAddr;
use std::num::NonZeroU16;

use clap::{ArgAction, Args as Group, Parser, ValueEnum};
use cnbi_shared::config::Period;
use cnbi_shared::log_filter;

use crate::leader::Times;

/// Judges stored CustomNBImage resources and writes their status.
#[derive(Clone, Debug, Parser)]
// A flag that is given twice counts as it was given last, so that one can be appended to a Deployment's.
#[command(name = "cnbi-controller", version, args_override_self = true)]
pub struct Args {
    /// Where /livez, /readyz and /metrics are served, over plain HTTP. In a pod: `[::]:8080`
    #[arg(
        long,
        env = "CNBI_STATUS_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDRESS"
    )]
    pub status_listen: SocketAddr,
    /// Namespace of the ConfigMap: the one that the program runs in
    #[arg(long, env = "POD_NAMESPACE", default_value = "cnbi-system", value_name = "NAME")]
    pub namespace: String,
    /// ConfigMap with the configuration, under the key config.yaml
    #[arg(long, env = "CNBI_CONFIG_MAP", default_value = "cnbi-config", value_name = "NAME")]
    pub config_map: String,
    /// How many resources are looked at side by side
    #[arg(long, env = "CNBI_CONCURRENCY", default_value = "8", value_name = "COUNT")]
    pub concurrency: NonZeroU16,
    /// Which of several replicas works
    #[command(flatten)]
    pub election: Election,
    /// What is logged: a level, or targets with levels such as `info,cnbi_controller=debug`
    #[arg(long, env = "CNBI_LOG", default_value = "info", value_name = "FILTER", value_parser = log_filter::checked)]
    pub log: String,
    /// How it is logged
    #[arg(long, env = "CNBI_LOG_FORMAT", value_enum, default_value_t, value_name = "FORMAT")]
    pub log_format: LogFormat,
}

/// Which of several replicas works.
#[derive(Clone, Debug, Group)]
#[command(next_help_heading = "Election")]
pub struct Election {
    /// Whether a Lease is held while working, so that of several replicas one works and the others stand by
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
    /// The Lease, in the namespace of the ConfigMap
    #[arg(
        long,
        env = "CNBI_LEASE_NAME",
        default_value = "cnbi-controller",
        value_name = "NAME"
    )]
    pub lease_name: String,
    /// How long the others wait for a leader that has fallen silent
    #[arg(long, env = "CNBI_LEASE_DURATION", default_value = "15s", value_name = "PERIOD")]
    pub lease_duration: Period,
    /// How long a leader works on without renewing the Lease; less than its duration
    #[arg(
        long,
        env = "CNBI_LEASE_RENEWAL_DEADLINE",
        default_value = "10s",
        value_name = "PERIOD"
    )]
    pub lease_renewal_deadline: Period,
    /// How often a leader renews and the others look; at most half of the renewal deadline
    #[arg(long, env = "CNBI_LEASE_RETRY", default_value = "2s", value_name = "PERIOD")]
    pub lease_retry: Period,
    /// What the holder of the Lease is called, before a random ending
    #[arg(long, env = "POD_NAME", default_value = "cnbi-controller", value_name = "NAME")]
    pub lease_identity: String,
}

impl Election {
    /// How long things take. `None`: they do not fit each other.
    pub fn times(&self) -> Option<Times> {
        let times = Times {
            duration: self.lease_duration.as_duration(),
            renewal_deadline: self.lease_renewal_deadline.as_duration(),
            retry: self.lease_retry.as_duration(),
        };
        times.are_sound().then_some(times)
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_sound_and_the_last_one_counts() {
        use clap::CommandFactory;
        Args::command().debug_assert();
        let args = Args::parse_from(["x", "--status-listen=[::]:1", "--status-listen=127.0.0.1:2"]);
        assert_eq!(args.status_listen.port(), 2);
        let alone = Args::parse_from(["x"]);
        assert!(alone.status_listen.ip().is_loopback());
        assert!(alone.election.leader_elect && alone.election.times().is_some());
        assert!(!Args::parse_from(["x", "--leader-elect=false"]).election.leader_elect);
        let tight = Args::parse_from(["x", "--lease-duration=10s"]);
        assert_eq!(tight.election.times(), None);
    }
}

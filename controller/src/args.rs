//! How the program is called.

use std::net::SocketAddr;
use std::num::NonZeroU16;

use clap::{Parser, ValueEnum};

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
    /// What is logged: a level, or targets with levels such as `info,cnbi_controller=debug`
    #[arg(long, env = "CNBI_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,
    /// How it is logged
    #[arg(long, env = "CNBI_LOG_FORMAT", value_enum, default_value_t, value_name = "FORMAT")]
    pub log_format: LogFormat,
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
    }
}

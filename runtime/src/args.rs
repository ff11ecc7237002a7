//! Flags that both programs have. Each flag can also be set by its environment variable.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};
use cnbi_shared::log_filter;

/// Flags of every long-running program.
#[derive(Clone, Debug, Args)]
pub struct CommonArgs {
    /// Address of the HTTP server for /livez, /readyz and /metrics. In a pod: [::]:8080
    #[arg(
        long,
        env = "CNBI_STATUS_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDRESS"
    )]
    pub status_listen: SocketAddr,

    /// Namespace of this program and its objects, for example the ConfigMap
    #[arg(long, env = "POD_NAMESPACE", default_value = "cnbi-system")]
    pub namespace: String,

    /// Name of the ConfigMap with the configuration in the key config.yaml. Changes apply without a restart
    #[arg(long, env = "CNBI_CONFIG_MAP", default_value = "cnbi-config", value_name = "NAME")]
    pub config_map: String,

    /// Log
    #[command(flatten)]
    pub log: LogArgs,

    /// Name of a task that panics two seconds after the start, to test supervision. Not in release builds
    #[cfg(debug_assertions)]
    #[arg(long, hide = true, value_name = "TASK")]
    pub panic_in_task: Option<String>,
}

/// What is logged, and how.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Log")]
pub struct LogArgs {
    /// Log level, or a filter such as info,kube=debug. Successful requests are logged at level debug
    #[arg(
        long,
        env = "CNBI_LOG",
        default_value = "info",
        value_name = "LEVEL",
        value_parser = log_filter::parse
    )]
    pub log: String,

    /// Format of log lines
    #[arg(long, env = "CNBI_LOG_FORMAT", value_enum, default_value_t, value_name = "FORMAT")]
    pub log_format: LogFormat,
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Human-readable text
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

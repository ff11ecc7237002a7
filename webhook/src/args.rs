//! The command line. Every flag can be given by an environment variable too.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as Group, Parser};
use cnbi_shared::log_filter;

use crate::logging::Format;

/// Questions to the API server at once, unless said otherwise: one that answers in 10 ms is asked 1,600 times a second.
pub const FACTS_IN_FLIGHT: usize = 16;

/// The admission webhook for CustomNBImage: fills in defaults, refuses what could not be built, and says why.
///
/// It needs a cluster: the one of its pod, or the current one of KUBECONFIG.
#[derive(Clone, Debug, Parser)]
#[command(name = "cnbi-webhook", version, max_term_width = 100)]
pub struct Args {
    /// Where the API server calls, over TLS. Loopback unless you say otherwise; in a pod: [::]:8443
    #[arg(long, env = "CNBI_LISTEN", default_value = "127.0.0.1:8443", value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// Where /livez, /readyz and /metrics are served, over plain HTTP. In a pod: [::]:8080
    #[arg(
        long,
        env = "CNBI_STATUS_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDRESS"
    )]
    pub status_listen: SocketAddr,

    /// Namespace that cnbi-webhook runs in: of its Service, its CA and its configuration
    #[arg(long, env = "POD_NAMESPACE", default_value = "cnbi-system")]
    pub namespace: String,

    /// ConfigMap with the configuration, under the key config.yaml. Changes take effect at once
    #[arg(long, env = "CNBI_CONFIG_MAP", default_value = "cnbi-config", value_name = "NAME")]
    pub config_map: String,

    /// Where the serving certificate comes from
    #[command(flatten)]
    pub certificates: Certificates,

    /// Who may call
    #[command(flatten)]
    pub clients: Clients,

    /// Bounds
    #[command(flatten)]
    pub bounds: Bounds,

    /// How a line of the log looks
    #[arg(long, env = "CNBI_LOG_FORMAT", value_enum, default_value_t, help_heading = "Log")]
    pub log_format: Format,

    /// What is logged: a level, or a filter such as info,cnbi_webhook=debug. A review that passes is logged at debug
    #[arg(
        long,
        env = "CNBI_LOG",
        default_value = "info",
        value_name = "LEVEL",
        value_parser = log_filter::checked,
        help_heading = "Log"
    )]
    pub log: String,
}

/// Where the serving certificate comes from.
#[derive(Clone, Debug, Group)]
#[command(next_help_heading = "Certificates")]
pub struct Certificates {
    /// Who makes the serving certificate
    #[arg(long, env = "CNBI_CERTS", value_enum, default_value_t)]
    pub certs: Source,

    /// With --certs=files: folder with tls.crt (the chain), tls.key and, where there is one, ca.crt
    #[arg(long, env = "CNBI_CERTS_DIR", default_value = "/etc/cnbi/tls", value_name = "FOLDER")]
    pub certs_dir: PathBuf,

    /// Service through which the API server reaches this program
    #[arg(long, env = "CNBI_SERVICE", default_value = "cnbi-webhook", value_name = "NAME")]
    pub service: String,

    /// Secret that holds the CA, shared by all replicas
    #[arg(long, env = "CNBI_CA_SECRET", default_value = "cnbi-webhook-ca", value_name = "NAME")]
    pub ca_secret: String,

    /// MutatingWebhookConfigurations whose caBundle is kept
    #[arg(
        long,
        env = "CNBI_MUTATING_CONFIGURATION",
        value_delimiter = ',',
        default_value = "cnbi-webhook",
        value_name = "NAME"
    )]
    pub mutating_configuration: Vec<String>,

    /// ValidatingWebhookConfigurations whose caBundle is kept
    #[arg(
        long,
        env = "CNBI_VALIDATING_CONFIGURATION",
        value_delimiter = ',',
        default_value = "cnbi-webhook",
        value_name = "NAME"
    )]
    pub validating_configuration: Vec<String>,

    /// DNS domain of the cluster
    #[arg(
        long,
        env = "CNBI_CLUSTER_DOMAIN",
        default_value = "cluster.local",
        value_name = "DOMAIN"
    )]
    pub cluster_domain: String,

    /// Further DNS names or IP addresses that the certificate bears
    #[arg(long, env = "CNBI_SAN", value_delimiter = ',', value_name = "NAME")]
    pub san: Vec<String>,

    /// File with the seconds by which the clock is ahead, read at each look at the certificates. For tests of what years do:
    /// a release build knows no such flag
    #[cfg(debug_assertions)]
    #[arg(long, hide = true, value_name = "FILE")]
    pub clock_ahead: Option<PathBuf>,

    /// Who reports Events: the pod's name
    #[arg(long, env = "POD_NAME", default_value = "cnbi-webhook", value_name = "NAME")]
    pub instance: String,
}

/// Where the serving certificate comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Source {
    /// cnbi-webhook: makes a CA, puts it into the webhook configurations and renews everything by itself
    #[default]
    #[value(name = "self")]
    SelfManaged,
    /// Somebody else, such as cert-manager, who puts it into a folder and sees to the caBundle. A change takes effect at once
    Files,
}

/// Who may call.
#[derive(Clone, Debug, Group)]
#[command(next_help_heading = "Who may call")]
pub struct Clients {
    /// PEM file with the CAs of client certificates. Without it, whoever reaches the port may ask. A change takes effect at
    /// once
    #[arg(long, env = "CNBI_CLIENT_CA", value_name = "FILE")]
    pub client_ca: Option<PathBuf>,

    /// Common name or DNS name that a client certificate must bear; more than one may do
    #[arg(
        long,
        env = "CNBI_CLIENT_NAME",
        value_delimiter = ',',
        requires = "client_ca",
        value_name = "NAME"
    )]
    pub client_name: Vec<String>,
}

/// Bounds.
#[derive(Clone, Debug, Group)]
#[command(next_help_heading = "Bounds")]
pub struct Bounds {
    /// How long the facts of one review may take to read, in milliseconds. Keep it well below the timeoutSeconds of the
    /// webhook configuration
    #[arg(long, env = "CNBI_FACT_TIMEOUT_MS", default_value = "2000", value_name = "MS", value_parser = milliseconds)]
    pub fact_timeout_ms: Duration,

    /// Questions to the API server that are under way at once; others wait for their turn, within the time for their facts
    #[arg(long, env = "CNBI_FACTS_IN_FLIGHT", default_value_t = FACTS_IN_FLIGHT, value_name = "COUNT")]
    pub facts_in_flight: usize,

    /// How long a request may take to send its body and to wait for a slot, in milliseconds
    #[arg(long, env = "CNBI_REQUEST_TIMEOUT_MS", default_value = "2500", value_name = "MS", value_parser = milliseconds)]
    pub request_timeout_ms: Duration,

    /// Reviews that are evaluated at once
    #[arg(long, env = "CNBI_IN_FLIGHT", default_value_t = 128, value_name = "COUNT")]
    pub in_flight: usize,

    /// Reviews that may wait for a slot; more are rejected at once
    #[arg(long, env = "CNBI_QUEUE", default_value_t = 512, value_name = "COUNT")]
    pub queue: usize,

    /// Open connections for reviews. At the limit, connections without a valid review are closed first
    #[arg(long, env = "CNBI_CONNECTIONS", default_value_t = 1024, value_name = "COUNT")]
    pub connections: usize,

    /// Open connections for probes and metrics
    #[arg(long, env = "CNBI_STATUS_CONNECTIONS", default_value_t = 128, value_name = "COUNT")]
    pub status_connections: usize,

    /// Memory for request bodies, in MiB, beyond 32 KiB for each connection. With the default, connections and bodies take at most
    /// half of a memory limit of 256 MiB
    #[arg(long, env = "CNBI_BODY_MEMORY_MIB", default_value_t = 32, value_name = "MIB")]
    pub body_memory_mib: usize,

    /// How long to go on serving after SIGTERM, while endpoints are being taken out, in milliseconds
    #[arg(long, env = "CNBI_GRACE_MS", default_value = "15000", value_name = "MS", value_parser = milliseconds)]
    pub grace_ms: Duration,
}

fn milliseconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound_and_listens_on_loopback_by_itself() {
        Args::command().debug_assert();
        let args = Args::try_parse_from(["cnbi-webhook"]).unwrap();
        assert!(args.listen.ip().is_loopback() && args.status_listen.ip().is_loopback());
        assert_eq!(args.bounds.fact_timeout_ms, Duration::from_secs(2));
    }

    #[test]
    fn certificates_come_from_the_program_itself_or_from_a_folder() {
        let source = |args: &[&str]| {
            let args = Args::try_parse_from(["cnbi-webhook"].iter().chain(args)).unwrap();
            (args.certificates.certs, args.certificates.certs_dir)
        };
        assert_eq!(source(&[]), (Source::SelfManaged, "/etc/cnbi/tls".into()));
        assert_eq!(source(&["--certs=self"]).0, Source::SelfManaged);
        assert_eq!(
            source(&["--certs=files", "--certs-dir=/x"]),
            (Source::Files, "/x".into())
        );
    }

    #[test]
    fn a_misspelt_level_is_refused_and_does_not_silence_the_log() {
        let error = Args::try_parse_from(["cnbi-webhook", "--log=inof"]).unwrap_err();
        assert_eq!(error.kind(), clap::error::ErrorKind::ValueValidation);
        assert!(error.to_string().contains("did you mean info?"), "{error}");
    }

    #[test]
    fn client_names_need_a_client_ca() {
        let error = Args::try_parse_from(["cnbi-webhook", "--client-name=x"]).unwrap_err();
        assert_eq!(error.kind(), clap::error::ErrorKind::MissingRequiredArgument);
    }
}

//! The command line. Each flag can also be set by its environment variable.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as Group, Parser};
use cnbi_runtime::args::CommonArgs;

/// Default of `--facts-in-flight`. With 10 ms per response, 16 allow 1,600 reads per second.
pub const FACTS_IN_FLIGHT: usize = 16;

/// Admission webhook for CustomNBImage resources: fills in defaults and rejects invalid resources.
///
/// Connects to the cluster of its pod, or to the current context of KUBECONFIG.
#[derive(Clone, Debug, Parser)]
#[command(name = "cnbi-webhook", version, max_term_width = 100)]
pub struct Args {
    /// Address of the HTTPS server for admission reviews. In a pod: [::]:8443
    #[arg(long, env = "CNBI_LISTEN", default_value = "127.0.0.1:8443", value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// Flags of every program
    #[command(flatten)]
    pub common: CommonArgs,

    /// Serving certificate
    #[command(flatten)]
    pub certificates: Certificates,

    /// Client certificates
    #[command(flatten)]
    pub clients: Clients,

    /// Limits
    #[command(flatten)]
    pub bounds: Bounds,
}

/// Serving certificate.
#[derive(Clone, Debug, Group)]
#[command(next_help_heading = "Certificates")]
pub struct Certificates {
    /// Source of the serving certificate
    #[arg(long, env = "CNBI_CERTS", value_enum, default_value_t)]
    pub certs: Source,

    /// With --certs=files: folder with tls.crt (the chain), tls.key and optionally ca.crt
    #[arg(long, env = "CNBI_CERTS_DIR", default_value = "/etc/cnbi/tls", value_name = "FOLDER")]
    pub certs_dir: PathBuf,

    /// Name of the Service of cnbi-webhook
    #[arg(long, env = "CNBI_SERVICE", default_value = "cnbi-webhook", value_name = "NAME")]
    pub service: String,

    /// Name of the Secret with the CA that all replicas share
    #[arg(long, env = "CNBI_CA_SECRET", default_value = "cnbi-webhook-ca", value_name = "NAME")]
    pub ca_secret: String,

    /// MutatingWebhookConfigurations whose caBundle is updated
    #[arg(
        long,
        env = "CNBI_MUTATING_CONFIGURATION",
        value_delimiter = ',',
        default_value = "cnbi-webhook",
        value_name = "NAME"
    )]
    pub mutating_configuration: Vec<String>,

    /// ValidatingWebhookConfigurations whose caBundle is updated
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

    /// Additional DNS names and IP addresses (subject alternative names) of the certificate
    #[arg(long, env = "CNBI_SAN", value_delimiter = ',', value_name = "NAME")]
    pub san: Vec<String>,

    /// File with the number of seconds that is added to the clock of the certificates, to test rotation. Not in release
    /// builds
    #[cfg(debug_assertions)]
    #[arg(long, hide = true, value_name = "FILE")]
    pub clock_ahead: Option<PathBuf>,

    /// Name of the pod, used as the reporting instance of Events
    #[arg(long, env = "POD_NAME", default_value = "cnbi-webhook", value_name = "NAME")]
    pub instance: String,
}

/// Source of the serving certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Source {
    /// cnbi-webhook creates a CA and certificates, renews them, and sets the caBundle of the webhook configurations
    #[default]
    #[value(name = "self")]
    SelfManaged,
    /// Another program, for example cert-manager, writes the files and sets the caBundle. Changes apply without a restart
    Files,
}

/// Client certificates.
#[derive(Clone, Debug, Group)]
#[command(next_help_heading = "Client certificates")]
pub struct Clients {
    /// PEM file with the CAs of client certificates. Without it, clients need no certificate. Changes apply without a restart
    #[arg(long, env = "CNBI_CLIENT_CA", value_name = "FILE")]
    pub client_ca: Option<PathBuf>,

    /// Accepted common names and DNS names of client certificates. Without it, any name is accepted
    #[arg(
        long,
        env = "CNBI_CLIENT_NAME",
        value_delimiter = ',',
        requires = "client_ca",
        value_name = "NAME"
    )]
    pub client_name: Vec<String>,
}

/// Limits.
#[derive(Clone, Debug, Group)]
#[command(next_help_heading = "Limits")]
pub struct Bounds {
    /// Time limit of all API reads for one review, in milliseconds. Keep it well below the timeoutSeconds of the webhook
    /// configurations
    #[arg(long, env = "CNBI_FACT_TIMEOUT_MS", default_value = "2000", value_name = "MS", value_parser = milliseconds)]
    pub fact_timeout_ms: Duration,

    /// Maximum number of concurrent API reads. Further reads wait, within --fact-timeout-ms
    #[arg(long, env = "CNBI_FACTS_IN_FLIGHT", default_value_t = FACTS_IN_FLIGHT, value_name = "COUNT")]
    pub facts_in_flight: usize,

    /// Time limit for a request to send its body and wait in the queue, in milliseconds
    #[arg(long, env = "CNBI_REQUEST_TIMEOUT_MS", default_value = "2500", value_name = "MS", value_parser = milliseconds)]
    pub request_timeout_ms: Duration,

    /// Maximum number of concurrent reviews
    #[arg(long, env = "CNBI_IN_FLIGHT", default_value_t = 128, value_name = "COUNT")]
    pub in_flight: usize,

    /// Maximum number of reviews in the queue. Further reviews get status 503
    #[arg(long, env = "CNBI_QUEUE", default_value_t = 512, value_name = "COUNT")]
    pub queue: usize,

    /// Maximum number of open connections for reviews. At the limit, connections without a valid review are closed first
    #[arg(long, env = "CNBI_CONNECTIONS", default_value_t = 1024, value_name = "COUNT")]
    pub connections: usize,

    /// Maximum number of open connections for probes and metrics
    #[arg(long, env = "CNBI_STATUS_CONNECTIONS", default_value_t = 128, value_name = "COUNT")]
    pub status_connections: usize,

    /// Memory for request bodies, in MiB, in addition to 32 KiB per connection. With the default, connections and bodies use
    /// at most half of a memory limit of 256 MiB
    #[arg(long, env = "CNBI_BODY_MEMORY_MIB", default_value_t = 32, value_name = "MIB")]
    pub body_memory_mib: usize,

    /// Time to continue serving after SIGTERM while the pod is removed from the endpoints, in milliseconds
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
    fn the_flags_are_valid_and_the_default_addresses_are_loopback() {
        Args::command().debug_assert();
        let args = Args::try_parse_from(["cnbi-webhook"]).unwrap();
        assert!(args.listen.ip().is_loopback() && args.common.status_listen.ip().is_loopback());
        assert_eq!(args.bounds.fact_timeout_ms, Duration::from_secs(2));
    }

    #[test]
    fn certificates_are_self_managed_or_read_from_a_folder() {
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
    fn a_misspelt_log_level_is_rejected() {
        let error = Args::try_parse_from(["cnbi-webhook", "--log=inof"]).unwrap_err();
        assert_eq!(error.kind(), clap::error::ErrorKind::ValueValidation);
        assert!(error.to_string().contains("did you mean info?"), "{error}");
    }

    #[test]
    fn client_names_require_a_client_ca() {
        let error = Args::try_parse_from(["cnbi-webhook", "--client-name=x"]).unwrap_err();
        assert_eq!(error.kind(), clap::error::ErrorKind::MissingRequiredArgument);
    }
}

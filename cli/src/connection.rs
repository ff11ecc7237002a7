//! The Kubernetes client, configured like kubectl.

use std::error::Error;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// Timeout for establishing a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Selects the cluster and the namespace.
#[derive(Clone, Debug, Default, Args)]
pub struct ClusterArgs {
    /// Namespace [default: that of the kubeconfig's context]
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// Context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,

    /// Kubeconfig file [default: $KUBECONFIG or ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

/// A client and the namespace to use.
#[derive(Clone)]
pub struct Connection {
    /// The client.
    pub client: Client,
    /// The namespace of the flag or the kubeconfig.
    pub namespace: String,
}

/// An error message for the user. May contain text from the cluster.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct CliError(pub String);

impl CliError {
    /// The failed operation and the API error.
    pub fn api(what: &str, error: &kube::Error) -> Self {
        Self(format!("{what}: {}", describe(error)))
    }
}

/// Describes an API error, with the API server's message if there is one.
pub fn describe(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 401 => {
            "the API server does not accept the kubeconfig's credentials; if they have expired, log in again".to_owned()
        }
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        kube::Error::Api(status) => format!("the API server responded with status {}", status.code),
        kube::Error::SerdeError(error) if error.is_syntax() || error.is_eof() => {
            format!("the response is not from an API server, but perhaps from a proxy or a login page: {error}")
        }
        kube::Error::Service(error) => {
            // The outer layers only repeat that there is a cause.
            let cause = error.source().map_or_else(|| error.to_string(), with_causes);
            format!("the API server does not respond: {cause}")
        }
        error => with_causes(error),
    }
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Whether the path or the object does not exist.
pub fn is_missing(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

impl ClusterArgs {
    /// Creates the client without sending a request.
    ///
    /// # Errors
    /// No valid kubeconfig, or not running in a pod.
    pub async fn connect(&self) -> Result<Connection, CliError> {
        // Fails if it is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let invalid = |error: &dyn std::fmt::Display| {
            // A source excerpt follows the first line.
            let message = error.to_string();
            CliError(format!(
                "no cluster configured: {}",
                message.lines().next().unwrap_or_default()
            ))
        };
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        let kubeconfig = match &self.kubeconfig {
            Some(file) => Kubeconfig::read_from(file),
            None => Kubeconfig::read(),
        };
        let config = match kubeconfig {
            Ok(kubeconfig) => Config::from_custom_kubeconfig(kubeconfig, &options).await,
            Err(error) => Err(error),
        };
        let mut config = match config {
            Ok(config) => config,
            // Pods have a service account instead of a kubeconfig.
            Err(error) if self.kubeconfig.is_none() && self.context.is_none() => {
                Config::incluster().map_err(|_| invalid(&error))?
            }
            Err(error) => return Err(invalid(&error)),
        };
        config.connect_timeout = Some(CONNECT);
        // Interactive users prefer an error to a long wait.
        config.default_retry = false;
        let agent = concat!("kubectl-cnbi/", env!("CARGO_PKG_VERSION"));
        let agent = (http::header::USER_AGENT, http::HeaderValue::from_static(agent));
        config.headers.push(agent);
        let namespace = self
            .namespace
            .clone()
            .unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| invalid(&describe(&error)))?;
        Ok(Connection { client, namespace })
    }
}

/// Runs a future on a new runtime.
///
/// # Errors
/// The runtime cannot be created, or the error of the future.
pub fn block_on<T>(task: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError(format!("cannot create the runtime: {error}")))?
        .block_on(task)
}

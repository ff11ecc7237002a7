//! The cluster that a subcommand speaks to, chosen as kubectl chooses it.

use std::error::Error;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);

/// Which cluster, and which part of it.
#[derive(Clone, Debug, Default, Args)]
pub struct ClusterArgs {
    /// Namespace; without it, that of the kubeconfig's context
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// Context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,

    /// Kubeconfig file, instead of $KUBECONFIG or ~/.kube/config
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

/// A cluster that can be asked.
#[derive(Clone)]
pub struct Connection {
    /// The client.
    pub client: Client,
    /// The namespace that was asked for.
    pub namespace: String,
}

/// Why something could not be done, for people; it may quote what a cluster said.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Problem(pub String);

impl Problem {
    /// What was tried, and what came of it.
    pub fn of(what: &str, error: &kube::Error) -> Self {
        Self(format!("{what}: {}", words(error)))
    }
}

/// What went wrong, as the API server says it where it said anything.
pub fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 401 => {
            "the API server does not accept the kubeconfig's credentials; if they have expired, log in again".to_owned()
        }
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        kube::Error::Api(status) => format!("the API server answered with status {}", status.code),
        kube::Error::SerdeError(error) if error.is_syntax() || error.is_eof() => {
            format!("what answers there is no API server, but perhaps a proxy or a page to log in: {error}")
        }
        kube::Error::Service(error) => {
            // The layers above the cause say only that there is one.
            let cause = error.source().map_or_else(|| error.to_string(), with_causes);
            format!("the API server gives no answer: {cause}")
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

/// Whether nothing is served there, or there is no such object.
pub fn is_missing(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

impl ClusterArgs {
    /// Makes the client; nothing is asked yet.
    ///
    /// # Errors
    /// No kubeconfig can be read, or it makes no sense.
    pub async fn connect(&self) -> Result<Connection, Problem> {
        // A second one changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let unusable = |error: &dyn std::fmt::Display| {
            // What is wrong with a kubeconfig comes with a drawing of the place, below the line that says it.
            let said = error.to_string();
            Problem(format!(
                "no cluster to speak to: {}",
                said.lines().next().unwrap_or_default()
            ))
        };
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        let kubeconfig = match &self.kubeconfig {
            Some(file) => Some(Kubeconfig::read_from(file).map_err(|error| unusable(&error))?),
            None => None,
        };
        let mut config = match kubeconfig {
            Some(kubeconfig) => Config::from_custom_kubeconfig(kubeconfig, &options)
                .await
                .map_err(|error| unusable(&error))?,
            None => match Config::from_kubeconfig(&options).await {
                Ok(config) => config,
                Err(error) if self.context.is_some() => return Err(unusable(&error)),
                // In a pod there is no kubeconfig, and a service account instead.
                Err(error) => Config::incluster().map_err(|_| unusable(&error))?,
            },
        };
        config.connect_timeout = Some(CONNECT);
        // A person who waits sees the answer and asks again.
        config.default_retry = false;
        let agent = concat!("kubectl-cnbi/", env!("CARGO_PKG_VERSION"));
        let agent = (http::header::USER_AGENT, http::HeaderValue::from_static(agent));
        config.headers.push(agent);
        let namespace = self
            .namespace
            .clone()
            .unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| unusable(&words(&error)))?;
        Ok(Connection { client, namespace })
    }
}

/// Runs a task of a subcommand to its end.
///
/// # Errors
/// There is no runtime, or the task's own.
pub fn block_on<T>(task: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem(format!("no runtime: {error}")))?
        .block_on(task)
}

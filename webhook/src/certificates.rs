//! The source of the serving certificate, as chosen by flags, and its metrics.

use std::sync::Arc;

use cnbi_certs::{Clock, Files, InvalidName, Names, Policy, SelfManaged, Status};
use kube::Client;
use rustls::server::ResolvesServerCert;
use tokio::sync::watch;

use crate::args::{Args, Source};
use crate::metrics::Metrics;

/// The source of the serving certificate.
pub enum Certificates {
    /// Issued by cnbi-webhook's own CA.
    SelfManaged(Box<SelfManaged>),
    /// Read from a folder, for example a mounted Secret of cert-manager.
    Files(Box<Files>),
}

impl Certificates {
    /// The source that `args` select. With files, `client` is not used.
    pub fn new(args: &Args, client: Client) -> Result<Self, InvalidName> {
        let clock = clock(args);
        let given = &args.certificates;
        let names = Names {
            namespace: args.common.namespace.clone(),
            service: given.service.clone(),
            secret: given.ca_secret.clone(),
            mutating: given.mutating_configuration.clone(),
            validating: given.validating_configuration.clone(),
            cluster_domain: given.cluster_domain.clone(),
            extra_sans: given.san.clone(),
            instance: given.instance.clone(),
        };
        Ok(match given.certs {
            Source::SelfManaged => {
                let managed = SelfManaged::new(client, &names, Policy::default(), clock)?;
                Self::SelfManaged(Box::new(managed))
            }
            Source::Files => Self::Files(Box::new(Files::new(&given.certs_dir, &names, clock)?)),
        })
    }

    /// The certificate to serve at each handshake.
    pub fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        match self {
            Self::SelfManaged(source) => source.resolver(),
            Self::Files(source) => source.resolver(),
        }
    }

    /// The status after each check.
    pub fn status(&self) -> watch::Receiver<Status> {
        match self {
            Self::SelfManaged(source) => source.status(),
            Self::Files(source) => source.status(),
        }
    }

    /// Renews and publishes, or reloads, the certificates until `shutdown` is ready.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        match self {
            Self::SelfManaged(source) => source.run(shutdown).await,
            Self::Files(source) => source.run(shutdown).await,
        }
    }
}

/// The wall clock.
#[cfg(not(debug_assertions))]
fn clock(_args: &Args) -> Clock {
    Clock::default()
}

/// The wall clock, plus the seconds in a file that a test has written; an unreadable file counts as 0.
#[cfg(debug_assertions)]
fn clock(args: &Args) -> Clock {
    let Some(file) = args.certificates.clock_ahead.clone() else {
        return Clock::default();
    };
    tracing::warn!(file = %file.display(), "the clock for certificates is ahead; this is for tests");
    Clock::new(move || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let ahead = jiff::SignedDuration::from_secs(text.trim().parse().unwrap_or(0));
        let now = jiff::Timestamp::now();
        now.checked_add(ahead).unwrap_or(now)
    })
}

/// Why API servers do not trust the serving certificate yet; `None` if they do.
pub fn trust_problem(status: &watch::Receiver<Status>) -> Option<String> {
    let status = status.borrow();
    let error = || status.last_error.clone();
    (!status.trusted).then(|| error().unwrap_or_else(|| "not checked yet".to_owned()))
}

/// Keeps the metrics of certificates up to date.
pub async fn update_metrics(mut status: watch::Receiver<Status>, metrics: Arc<Metrics>) {
    loop {
        {
            let status = status.borrow_and_update();
            metrics.certificate_ends(status.serving_not_after_seconds());
            metrics.ca_ends(status.ca_not_after_seconds());
            metrics.serving_refused.set(status.rejected.is_some().into());
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}

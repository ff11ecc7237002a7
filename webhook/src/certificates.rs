//! Where the serving certificate comes from, as the flags say.
//!
//! The two sources are `cnbi-certs`'s; this room chooses, and tells Prometheus what they say of themselves.

use std::sync::Arc;

use cnbi_certs::{Clock, Files, InvalidName, Names, Policy, SelfManaged, Status};
use kube::Client;
use rustls::server::ResolvesServerCert;
use tokio::sync::watch;

use crate::args::{Args, Source};
use crate::metrics::Metrics;

/// The source in force.
pub enum Certificates {
    /// Made here.
    SelfManaged(Box<SelfManaged>),
    /// Made by somebody else, and found in a folder.
    Files(Box<Files>),
}

impl Certificates {
    /// The source that `args` name. With files, `client` is not used for certificates.
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

    /// What is known after each look.
    pub fn status(&self) -> watch::Receiver<Status> {
        match self {
            Self::SelfManaged(source) => source.status(),
            Self::Files(source) => source.status(),
        }
    }

    /// Looks after the certificates until `shutdown` is done.
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

/// The wall clock, or one that is ahead of it by what a test has written into a file. What cannot be read counts as nothing.
#[cfg(debug_assertions)]
fn clock(args: &Args) -> Clock {
    let Some(file) = args.certificates.clock_ahead.clone() else {
        return Clock::default();
    };
    tracing::warn!(file = %file.display(), "certificates go by a clock that is ahead; this is for tests");
    Clock::new(move || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let ahead = jiff::SignedDuration::from_secs(text.trim().parse().unwrap_or(0));
        let now = jiff::Timestamp::now();
        now.checked_add(ahead).unwrap_or(now)
    })
}

/// Says why API servers do not accept what is served; `None` when they do.
pub fn distrust(status: &watch::Receiver<Status>) -> Option<String> {
    let status = status.borrow();
    let why = || status.last_error.clone();
    (!status.trusted).then(|| why().unwrap_or_else(|| "not looked at yet".to_owned()))
}

/// Tells Prometheus when certificates end, and whether one waits that cannot be served.
pub async fn report(mut status: watch::Receiver<Status>, metrics: Arc<Metrics>) {
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

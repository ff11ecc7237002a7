//! Puts the parts together, and takes them down in an order that loses no request.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::args::Args;
use crate::body_budget::BodyBudget;
use crate::certificates::{self, Certificates};
use crate::client_ca;
use crate::cluster::Cluster;
use crate::concurrency_limit::ConcurrencyLimit;
use crate::configuration::Configuration;
use crate::connections::ConnectionTable;
use crate::health::{self, ApiReach, Health};
use crate::heap_trim;
use crate::metrics::Metrics;
use crate::open_files;
use crate::reviewer::Reviewer;
use crate::routes::{self, Service};
use crate::serve::{Phase, Server, Timeouts};
use crate::tls::{Clients, Tls};
use crate::watch_config;

/// How long connecting to the API server may take; shorter than a review has for its facts.
const CONNECT: Duration = Duration::from_secs(2);

/// Anything that keeps the program from starting.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Serves until SIGTERM or SIGINT, and then until what is in flight is finished.
pub async fn run(args: Args) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (phase, phases) = watch::channel(Phase::Serving);

    let client = client().await?;
    let metrics = Arc::new(Metrics::default());
    let reach = Arc::new(ApiReach::new(metrics.api_reachable.clone()));
    let configuration = Arc::new(Configuration::new(&args.namespace, &args.config_map));
    let certificates = Certificates::new(&args, client.clone())?;
    let tls = Tls::new(
        certificates.resolver(),
        &Clients {
            ca: args.clients.client_ca.clone(),
            names: args.clients.client_name.clone(),
        },
    )?;
    let status = certificates.status();
    let health = Arc::new(Health::new(
        Arc::clone(&configuration),
        Arc::clone(&reach),
        {
            let status = status.clone();
            Box::new(move || certificates::distrust(&status))
        },
        Arc::clone(&metrics),
    ));
    let bounds = &args.bounds;
    let (most_connections, most_status_connections) = open_files::fit(bounds.connections, bounds.status_connections);
    let connections = Arc::new(ConnectionTable::new(most_connections, metrics.review_connections()));
    let service = Arc::new(Service {
        reviewer: Reviewer {
            configuration: Arc::clone(&configuration),
            source: Arc::new(Cluster::new(
                client.clone(),
                args.bounds.facts_in_flight,
                Arc::clone(&reach),
            )),
            metrics: Arc::clone(&metrics),
            fact_limit: args.bounds.fact_timeout_ms,
        },
        body_budget: BodyBudget::new(bounds.body_memory_mib << 20, Arc::clone(&connections)),
        concurrency_limit: ConcurrencyLimit::new(bounds.in_flight, bounds.queue),
        timeout: bounds.request_timeout_ms,
    });
    let reviews = Server {
        listener: TcpListener::bind(args.listen).await?,
        tls: Some(tls.clone()),
        router: routes::router(Arc::clone(&service)),
        timeouts: Timeouts::default(),
        connections,
    };
    let probes = Server {
        listener: TcpListener::bind(args.status_listen).await?,
        tls: None,
        router: health::router(Arc::clone(&health)),
        timeouts: Timeouts::default(),
        connections: Arc::new(ConnectionTable::new(
            most_status_connections,
            metrics.status_connections(),
        )),
    };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        listen = %reviews.listener.local_addr()?,
        status_listen = %probes.listener.local_addr()?,
        "cnbi-webhook serves"
    );

    let mut stopped = phases.clone();
    tokio::spawn(certificates.run(async move {
        let _ = stopped.wait_for(|phase| *phase == Phase::Stopping).await;
    }));
    tokio::spawn(certificates::report(status, Arc::clone(&metrics)));
    tokio::spawn(client_ca::follow(tls, metrics.clients_refused.clone()));
    tokio::spawn(heap_trim::run(service));
    tokio::spawn(watch_config::follow(client, configuration, metrics, reach));
    let (end_of_probes, probes_phase) = watch::channel(Phase::Serving);
    let probes = tokio::spawn(probes.run(probes_phase));
    let reviews = tokio::spawn(reviews.run(phases));

    either(&mut terminate, &mut interrupt).await;
    tracing::info!(grace = ?args.bounds.grace_ms, "asked to end; serving on while endpoints drain");
    health.drain();
    phase.send_replace(Phase::Draining);
    // Whoever asks twice wants it now.
    tokio::select! {
        () = sleep(args.bounds.grace_ms) => {}
        () = either(&mut terminate, &mut interrupt) => {}
    }
    phase.send_replace(Phase::Stopping);
    reviews.await?;
    end_of_probes.send_replace(Phase::Stopping);
    probes.await?;
    tracing::info!("finished");
    Ok(())
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

async fn client() -> Result<Client, Failure> {
    let mut config = kube::Config::infer().await?;
    config.connect_timeout = Some(CONNECT);
    // Whoever asks knows better when to ask again: a fact has a deadline, and the watches and the certificates' keeper have
    // a pace of their own. The client's repeats would hide a 503 from all of them for minutes.
    config.default_retry = false;
    let agent = concat!("cnbi-webhook/", env!("CARGO_PKG_VERSION"));
    config
        .headers
        .push((::http::header::USER_AGENT, ::http::HeaderValue::from_static(agent)));
    Ok(Client::try_from(config)?)
}

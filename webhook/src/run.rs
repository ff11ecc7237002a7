//! Starts the parts of the program, supervises them, and stops them without losing a request.

use std::sync::Arc;

use cnbi_runtime::configuration::Configuration;
use cnbi_runtime::signals::Signals;
use cnbi_runtime::tasks::Tasks;
use cnbi_runtime::{client, config_watch, open_files, status_server};
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::api_server::ApiServer;
use crate::args::{Args, Bounds};
use crate::body_budget::BodyBudget;
use crate::certificates::{self, Certificates};
use crate::client_ca;
use crate::concurrency_limit::ConcurrencyLimit;
use crate::connections::ConnectionTable;
use crate::health::Health;
use crate::heap_trim;
use crate::metrics::Metrics;
use crate::reviewer::Reviewer;
use crate::routes::{self, Service};
use crate::serve::{Phase, Server, Timeouts};
use crate::tls::{Clients, Tls};

/// Name of the task that serves reviews.
const ADMISSION: &str = "admission-server";

/// Serves until SIGTERM or SIGINT, and then until the requests in flight are finished.
///
/// # Errors
/// The program cannot start, or one of its tasks ended unexpectedly.
pub async fn run(args: Args) -> Result<(), cnbi_runtime::Error> {
    let mut signals = Signals::new()?;
    let (phase, phases) = watch::channel(Phase::Serving);

    let config = client::config(concat!("cnbi-webhook/", env!("CARGO_PKG_VERSION"))).await?;
    let client = Client::try_from(config)?;
    let metrics = Arc::new(Metrics::default());
    let configuration = Arc::new(Configuration::new(&args.common.namespace, &args.common.config_map));
    let certificates = Certificates::new(&args, client.clone())?;
    let tls = Tls::new(
        certificates.resolver(),
        &Clients {
            ca: args.clients.client_ca.clone(),
            names: args.clients.client_name.clone(),
        },
    )?;
    let certificate_status = certificates.status();
    let health = Arc::new(Health::new(
        Arc::clone(&configuration),
        {
            let status = certificate_status.clone();
            Box::new(move || certificates::trust_problem(&status))
        },
        Arc::clone(&metrics),
    ));
    let bounds = &args.bounds;
    let (most_connections, most_status_connections) = open_files::fit(bounds.connections, bounds.status_connections);
    let connections = Arc::new(ConnectionTable::new(most_connections, metrics.review_connections()));
    let service = Arc::new(Service {
        reviewer: Reviewer {
            configuration: Arc::clone(&configuration),
            source: api_server(bounds, &client, &metrics),
            metrics: Arc::clone(&metrics),
            fact_limit: bounds.fact_timeout_ms,
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
        listener: status_server::listen(args.common.status_listen).await?,
        tls: None,
        router: status_server::router(Arc::clone(&health)),
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
        "cnbi-webhook started"
    );

    let mut tasks = Tasks::new(&args.common);
    let mut stopping = phases.clone();
    let update_metrics = certificates::update_metrics(certificate_status, Arc::clone(&metrics));
    tasks.spawn("certificates", async move {
        let shutdown = async { drop(stopping.wait_for(|phase| *phase == Phase::Stopping).await) };
        tokio::select! {
            () = certificates.run(shutdown) => {}
            () = update_metrics => {}
        }
    });
    if tls.client_ca().is_some() {
        tasks.spawn("client-ca", client_ca::watch(tls, metrics.clients_refused.clone()));
    }
    tasks.spawn("heap-trim", heap_trim::run(service));
    tasks.spawn(
        "config-watch",
        config_watch::watch(client, configuration, metrics.config.clone(), Arc::clone(&metrics.api)),
    );
    let (_end_of_probes, probes_phase) = watch::channel(Phase::Serving);
    tasks.spawn("status-server", probes.run(probes_phase));
    tasks.spawn(ADMISSION, reviews.run(phases));

    let shutdown = async {
        let signal = signals.next().await;
        tracing::info!(signal, grace = ?args.bounds.grace_ms, "shutting down; serving until endpoints are removed");
        health.shut_down();
        phase.send_replace(Phase::Draining);
        // A second signal ends the grace period.
        tokio::select! {
            () = sleep(args.bounds.grace_ms) => {}
            _ = signals.next() => {}
        }
    };
    let supervised = tasks.supervise(shutdown).await;
    phase.send_replace(Phase::Stopping);
    let finished = tasks.finish(ADMISSION).await;
    Ok(supervised.and(finished)?)
}

fn api_server(bounds: &Bounds, client: &Client, metrics: &Metrics) -> Arc<ApiServer> {
    let reach = Arc::clone(&metrics.api);
    Arc::new(ApiServer::new(client.clone(), bounds.facts_in_flight, reach))
}

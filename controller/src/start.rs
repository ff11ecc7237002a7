//! Starts the parts of the program, supervises them, and stops them after the writes that have begun.

use std::sync::Arc;

use cnbi_runtime::configuration::Configuration;
use cnbi_runtime::signals::Signals;
use cnbi_runtime::tasks::Tasks;
use cnbi_runtime::{client, config_watch, status_server};
use futures::FutureExt as _;
use kube::Client;
use kube::client::ClientBuilder;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::watch;

use crate::api_requests::CountLayer;
use crate::args::Args;
use crate::controller;
use crate::leader::{Election, LeadershipLost, Role};
use crate::metrics::Metrics;
use crate::probes::Probes;

/// Name of the task that reconciles while this replica is the leader.
const RECONCILER: &str = "reconciler";

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(
        "--lease-duration must be longer than --lease-renewal-deadline, which must be at least twice --lease-retry"
    )]
    LeaseTimes,
    #[error("no random numbers from the operating system")]
    Random,
    // The process exits, which ends all pending writes before another replica can acquire the Lease.
    #[error("leadership lost: {0}")]
    LeadershipLost(LeadershipLost),
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// The program cannot start, one of its tasks ended unexpectedly, or leadership was lost.
pub async fn start(args: Args) -> Result<(), cnbi_runtime::Error> {
    let mut signals = Signals::new()?;
    let metrics = Arc::new(Metrics::default());
    let election = |client| election(&args, client);
    let config = client::config(concat!("cnbi-controller/", env!("CARGO_PKG_VERSION"))).await?;
    let client = ClientBuilder::try_from(config)?
        .with_layer(&CountLayer::new(Arc::clone(&metrics)))
        .build();
    let election = election(client.clone())?;
    let configuration = Arc::new(Configuration::new(&args.common.namespace, &args.common.config_map));
    let listed = Arc::default();
    let (role, current_role) = watch::channel(Role::default());
    let (begin_shutdown, is_shutting_down) = watch::channel(false);

    let listener = status_server::listen(args.common.status_listen)
        .await
        .map_err(|error| format!("--status-listen: {error}"))?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        status_listen = %listener.local_addr()?,
        "cnbi-controller started"
    );
    let probes = Probes {
        metrics: Arc::clone(&metrics),
        active_config: configuration.subscribe(),
        listed: Arc::clone(&listed),
        role: current_role,
        is_shutting_down: is_shutting_down.clone(),
    };
    let shutdown = async move {
        let mut is_shutting_down = is_shutting_down;
        let _ = is_shutting_down.wait_for(|is_shutting_down| *is_shutting_down).await;
    };
    let shutdown = shutdown.boxed().shared();

    let mut tasks = Tasks::new(&args.common);
    tasks.spawn(
        "status-server",
        status_server::serve(
            listener,
            status_server::router(Arc::new(probes)),
            status_server::Limits::default(),
        ),
    );
    tasks.spawn(
        "config-watch",
        config_watch::watch(
            client.clone(),
            Arc::clone(&configuration),
            metrics.config.clone(),
            Arc::clone(&metrics.api),
        ),
    );
    let reconcile = {
        let (metrics, shutdown) = (Arc::clone(&metrics), shutdown.clone());
        async move {
            metrics.set_leader();
            let active_config = configuration.subscribe();
            controller::run(client, args.concurrency, metrics, active_config, listed, shutdown).await;
        }
    };
    tasks.spawn_fallible(RECONCILER, lead(election, role, reconcile, shutdown));

    let signal = async {
        let signal = signals.next().await;
        tracing::info!(signal, "shutting down");
        begin_shutdown.send_replace(true);
    };
    tasks.supervise(signal).await?;
    Ok(tasks.finish(RECONCILER).await?)
}

/// The leader election of this replica; `None` if it is disabled.
fn election(args: &Args, client: Client) -> Result<Option<Election>, Error> {
    if !args.election.leader_elect {
        return Ok(None);
    }
    let times = args.election.times().ok_or(Error::LeaseTimes)?;
    // A container that restarts in the same pod is a new candidate.
    let mut random = [0; 8];
    SystemRandom::new().fill(&mut random).map_err(|_| Error::Random)?;
    let identity = format!("{}_{:016x}", args.election.lease_identity, u64::from_be_bytes(random));
    let name = &args.election.lease_name;
    Ok(Some(Election::new(
        client,
        &args.common.namespace,
        name,
        identity,
        times,
    )))
}

/// Waits for leadership, and then works until `work` ends or leadership is lost.
async fn lead(
    election: Option<Election>,
    role: watch::Sender<Role>,
    work: impl Future<Output = ()>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), cnbi_runtime::Error> {
    let Some(election) = election else {
        role.send_replace(Role::Leader);
        work.await;
        return Ok(());
    };
    let mut leadership = tokio::select! {
        leadership = election.acquire(&role) => leadership,
        () = shutdown => return Ok(()),
    };
    tokio::select! {
        () = work => {}
        lost = leadership.renew_until_lost() => return Err(Error::LeadershipLost(lost).into()),
    }
    leadership.release().await;
    Ok(())
}

//! The program: arguments, log, signals; the work is in the library.

#![forbid(unsafe_code)]

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use cnbi_controller::api_calls::Counting;
use cnbi_controller::args::{Args, LogFormat};
use cnbi_controller::leader::{Election, Lost, Role};
use cnbi_controller::metrics::Metrics;
use cnbi_controller::probes::{self, Probes};
use cnbi_controller::{configuration, controller};
use cnbi_shared::active_config::ActiveConfig;
use futures::FutureExt;
use kube::client::ClientBuilder;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("--log: {0}")]
    Log(#[from] tracing_subscriber::filter::ParseError),
    #[error("--status-listen: {0}")]
    Listen(#[source] io::Error),
    #[error("no access to a cluster: {0}")]
    Client(#[from] Box<kube::Error>),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error(
        "--lease-duration has to be longer than --lease-renewal-deadline, and that at least twice as long as --lease-retry"
    )]
    Times,
    #[error("the machine gives no random numbers")]
    Random,
    // Whatever was under way ends with the program, before the Lease can be somebody else's.
    #[error("leads no longer: {0}")]
    Lost(Lost),
}

// One thread waits for the API server as well as several, and what it allocates is in one place, not in one for each thread.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match Box::pin(start(Args::parse())).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cnbi-controller: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn start(args: Args) -> Result<(), Error> {
    let filter: Targets = args.log.parse()?;
    let log = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    match args.log_format {
        LogFormat::Text => log.finish().with(filter).init(),
        LogFormat::Json => log.json().flatten_event(true).finish().with(filter).init(),
    }
    let shutdown = asked_to_end(signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
        .boxed()
        .shared();
    let mut config = kube::Config::infer()
        .await
        .map_err(|error| Box::new(kube::Error::InferConfig(error)))?;
    // Visits have deadlines and waits of their own; the client's repeats would hide from them for minutes what fails.
    config.default_retry = false;
    let metrics = Arc::new(Metrics::default());
    let client = ClientBuilder::try_from(config).map_err(Box::new)?;
    let client = client.with_layer(&Counting::new(Arc::clone(&metrics))).build();
    let (in_force, known) = watch::channel(ActiveConfig::default());
    let listed = Arc::default();
    let (told, role) = watch::channel(Role::default());
    let election = election(&args, client.clone())?;

    let listener = probes::listen(args.status_listen).await.map_err(Error::Listen)?;
    tracing::info!(address = %listener.local_addr()?, "serving /livez, /readyz and /metrics");
    let probes = Probes {
        metrics: Arc::clone(&metrics),
        in_force: known.clone(),
        listed: Arc::clone(&listed),
        role,
    };
    let work = async {
        metrics.began_to_lead();
        controller::run(
            client.clone(),
            args.concurrency,
            Arc::clone(&metrics),
            known,
            listed,
            shutdown.clone(),
        )
        .await;
    };

    tokio::select! {
        served = probes::serve(listener, probes) => served?,
        () = configuration::follow(client.clone(), &args.namespace, &args.config_map, &metrics, &in_force) => {}
        ended = lead(election, &told, work, shutdown.clone()) => ended?,
    }
    tracing::info!("ended");
    Ok(())
}

/// What this program is a candidate with; `None`: it is the only one.
fn election(args: &Args, client: kube::Client) -> Result<Option<Election>, Error> {
    if !args.election.leader_elect {
        return Ok(None);
    }
    let times = args.election.times().ok_or(Error::Times)?;
    // A container that is started again in the same pod is another candidate.
    let mut random = [0; 8];
    SystemRandom::new().fill(&mut random).map_err(|_| Error::Random)?;
    let identity = format!("{}_{:016x}", args.election.lease_identity, u64::from_be_bytes(random));
    let name = &args.election.lease_name;
    Ok(Some(Election::new(client, &args.namespace, name, identity, times)))
}

/// Does the work once it is this program's turn, and for as long as it is.
async fn lead(
    election: Option<Election>,
    role: &watch::Sender<Role>,
    work: impl Future<Output = ()>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let Some(election) = election else {
        role.send_replace(Role::Leads);
        work.await;
        return Ok(());
    };
    let mut term = tokio::select! {
        term = election.win(role) => term,
        () = shutdown => return Ok(()),
    };
    tokio::select! {
        () = work => {}
        lost = term.keep() => return Err(Error::Lost(lost)),
    }
    term.give_up().await;
    Ok(())
}

async fn asked_to_end(mut terminate: Signal, mut interrupt: Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("asked to end");
}

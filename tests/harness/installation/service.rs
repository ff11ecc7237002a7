//! A fake Service with several replicas: a TCP proxy in place of kube-proxy.
//!
//! Like kube-proxy it sends each new connection to one endpoint and keeps existing connections. Tests add and remove endpoints.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::replica::Replica;

/// A running Service; stops on drop.
#[derive(Debug)]
pub struct Service {
    port: String,
    endpoints: Endpoints,
    task: JoinHandle<()>,
}

#[derive(Clone, Debug, Default)]
struct Endpoints(Arc<Mutex<Turns>>);

#[derive(Debug, Default)]
struct Turns {
    /// By the name of the pod.
    endpoints: Vec<(String, u16)>,
    next: usize,
}

impl Endpoints {
    fn change<T>(&self, change: impl FnOnce(&mut Turns) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn next(&self) -> Option<u16> {
        self.change(|turns| {
            turns.next = turns.next.wrapping_add(1);
            let count = turns.endpoints.len();
            (count > 0).then(|| turns.endpoints[turns.next % count].1)
        })
    }
}

impl Service {
    /// Listens on `listen` for the container port named `port`.
    pub(super) async fn start(listen: u16, port: &str) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, listen))
            .await
            .with_context(|| format!("listening on {listen}"))?;
        let endpoints = Endpoints::default();
        let task = tokio::spawn(accept(listener, endpoints.clone()));
        Ok(Self {
            port: port.to_owned(),
            endpoints,
            task,
        })
    }

    /// Adds `replica`, which must be ready, to the endpoints.
    pub fn add(&self, replica: &Replica) -> Result<()> {
        let endpoint = (replica.pod().to_owned(), replica.port(&self.port)?);
        self.endpoints.change(|turns| turns.endpoints.push(endpoint));
        Ok(())
    }

    /// Removes it from the endpoints; existing connections are kept.
    pub fn remove(&self, replica: &Replica) {
        self.endpoints
            .change(|turns| turns.endpoints.retain(|(pod, _)| pod != replica.pod()));
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, endpoints: Endpoints) {
    while let Ok((mut near, _)) = listener.accept().await {
        let endpoint = endpoints.next();
        tokio::spawn(async move {
            // Without an endpoint that accepts it, the connection is closed.
            let Some(port) = endpoint else { return };
            let Ok(mut far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else {
                return;
            };
            let _ = (near.set_nodelay(true), far.set_nodelay(true));
            let _ = copy_bidirectional(&mut near, &mut far).await;
        });
    }
}

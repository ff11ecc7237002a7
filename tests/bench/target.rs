//! What all measured servers have in common: address, CPU time, cores, and the wait until they are ready.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long a server may take to be ready.
const READY: Duration = Duration::from_secs(60);

/// A server that gets load.
#[derive(Clone, Debug)]
pub struct Target {
    /// The address it listens on.
    pub address: SocketAddr,
    /// The name in its certificate.
    pub name: String,
    /// PEM file with the CA.
    pub authority: PathBuf,
    /// Its process ID.
    pub pid: u32,
}

impl Target {
    /// CPU time since its start, in microseconds.
    pub fn used(&self) -> Result<f64> {
        let mut nanoseconds = 0.0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            // The thread may have ended.
            let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else {
                continue;
            };
            let first = text.split_whitespace().next().context("schedstat is empty")?;
            nanoseconds += first.parse::<f64>()?;
        }
        Ok(nanoseconds / 1e3)
    }
}

/// The cores for servers and load generator. They never share one if the machine has two.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    /// For the measured server.
    pub server: usize,
    /// For the load generator.
    pub client: usize,
}

impl Cores {
    /// The first two cores.
    pub fn of_this_machine() -> Self {
        let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            server: 0,
            client: count.min(2) - 1,
        }
    }
}

/// A port on loopback.
pub fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// KiB as MiB.
pub fn in_mib(kib: usize) -> Result<f64> {
    Ok(f64::from(u32::try_from(kib)?) / 1024.0)
}

/// Requests `/readyz` every 2 ms until the status is 200. Returns the time since the call; webhook and peer are started in the
/// same manner before it.
pub async fn until_ready(address: SocketAddr) -> Result<Duration> {
    let begin = Instant::now();
    while begin.elapsed() < READY {
        if is_ready(address).await.is_ok_and(|ready| ready) {
            return Ok(begin.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    bail!("{address} is not ready within {READY:?}")
}

async fn is_ready(address: SocketAddr) -> Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.1 200 "))
}

/// Connects every 2 ms until the server listens. Returns the time since `begin`.
pub async fn until_connected(address: SocketAddr, begin: Instant) -> Result<Duration> {
    loop {
        if TcpStream::connect(address).await.is_ok() {
            return Ok(begin.elapsed());
        }
        ensure!(begin.elapsed() < READY, "{address} does not listen within {READY:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

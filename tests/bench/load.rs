//! A load generator that does not hide queueing.
//!
//! Without a rate, each connection asks again as soon as it is answered: that finds the most a server can do. With one,
//! requests are due at fixed times whatever the server does, and each is measured from when it was due. A server that
//! stops for a moment is then charged for everybody who would have waited, not for one (this is known as coordinated
//! omission).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::task::LocalSet;
use tokio_rustls::TlsConnector;

/// How long answers may take that are still due when the time is up.
const PATIENCE: Duration = Duration::from_secs(10);

/// What to send.
#[derive(Clone, Debug, clap::Args)]
pub struct Load {
    /// Where the server listens
    #[arg(long)]
    pub address: SocketAddr,
    /// The name that its certificate is for
    #[arg(long)]
    pub name: String,
    /// PEM file with who signed it
    #[arg(long)]
    pub authority: PathBuf,
    /// Path of the URL
    #[arg(long)]
    pub path: String,
    /// File with the review
    #[arg(long)]
    pub body: PathBuf,
    /// How many connections
    #[arg(long)]
    pub connections: usize,
    /// For how many seconds
    #[arg(long)]
    pub seconds: f64,
    /// For how many seconds before that without looking
    #[arg(long, default_value_t = 0.5)]
    pub warm_up: f64,
    /// Requests a second; without it, as many as get answered
    #[arg(long)]
    pub rate: Option<f64>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Outcome {
    /// Answers that allowed.
    pub answered: usize,
    /// Whatever else: other answers, none at all.
    pub failed: usize,
    /// Requests in all, those of the warm-up among them.
    pub asked: usize,
    /// Answers a second.
    pub rps: f64,
    /// Half of them took no longer, in microseconds.
    pub p50_us: f64,
    /// 99 of 100 took no longer.
    pub p99_us: f64,
    /// Processor time that the server used for one of all that were asked, handshakes included; not for the generator to say.
    #[serde(default)]
    pub cpu_us: f64,
}

/// What the connections have in common.
struct Shared {
    request: (String, String, Bytes),
    /// When requests are due that no connection has taken up yet.
    due: RefCell<VecDeque<Instant>>,
    more: Notify,
    /// Nothing will be due any more.
    done: Cell<bool>,
    latencies: RefCell<Vec<Duration>>,
    failed: RefCell<usize>,
    asked: Cell<usize>,
}

impl Load {
    /// Runs on this thread alone and prints the outcome.
    pub fn run(self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let outcome = LocalSet::new().block_on(&runtime, self.generate())?;
        println!("{}", serde_json::to_string(&outcome)?);
        Ok(())
    }

    async fn generate(self) -> Result<Outcome> {
        let body = Bytes::from(std::fs::read(&self.body).context("reading the body")?);
        let shared = Rc::new(Shared {
            request: (self.path.clone(), self.name.clone(), body),
            due: RefCell::default(),
            more: Notify::new(),
            done: Cell::default(),
            latencies: RefCell::default(),
            failed: RefCell::default(),
            asked: Cell::default(),
        });
        let tls = connector(&self.authority)?;
        let mut senders = Vec::new();
        for _ in 0..self.connections {
            senders.push(self.connect(&tls).await?);
        }
        let begin = Instant::now() + Duration::from_secs_f64(self.warm_up);
        let end = begin + Duration::from_secs_f64(self.seconds);
        let tasks: Vec<_> = senders
            .into_iter()
            .map(|sender| {
                let shared = Rc::clone(&shared);
                if self.rate.is_some() {
                    tokio::task::spawn_local(shared.take_up(sender, begin))
                } else {
                    tokio::task::spawn_local(shared.ask_again(sender, begin, end))
                }
            })
            .collect();
        if let Some(rate) = self.rate {
            pace(&shared, rate, end).await?;
            // Whoever waits must learn that there is nothing more.
            let give_up = Instant::now() + PATIENCE;
            while tasks.iter().any(|task| !task.is_finished()) && Instant::now() < give_up {
                shared.more.notify_waiters();
                tokio::time::sleep(Duration::from_millis(5)).await;
                if shared.due.borrow().is_empty() {
                    shared.done.set(true);
                }
            }
            let left = shared.due.borrow().len() + tasks.iter().filter(|task| !task.is_finished()).count();
            *shared.failed.borrow_mut() += left;
        } else {
            for task in tasks {
                task.await?;
            }
        }
        Ok(shared.outcome(self.seconds))
    }

    async fn connect(&self, tls: &TlsConnector) -> Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(self.address).await.context("connecting")?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(self.name.clone())?;
        let stream = tls.connect(name, stream).await.context("the TLS handshake")?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::task::spawn_local(connection);
        Ok(sender)
    }
}

/// TLS with the authorities in this PEM file.
pub fn connector(authority: &Path) -> Result<TlsConnector> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authority)? {
        roots.add(certificate?)?;
    }
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

impl Shared {
    async fn ask(&self, sender: &mut SendRequest<Full<Bytes>>) -> Result<()> {
        let (path, name, body) = &self.request;
        let request = Request::post(path)
            .header(header::HOST, name)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body.clone()))?;
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let answer = response.into_body().collect().await?.to_bytes();
        let allowed = answer.windows(14).any(|window| window == br#""allowed":true"#);
        ensure!(
            status == 200 && allowed,
            "{status}: {}",
            String::from_utf8_lossy(&answer)
        );
        Ok(())
    }

    fn count(&self, outcome: Result<()>, took: Duration, counts: bool) -> bool {
        self.asked.set(self.asked.get() + 1);
        match outcome {
            Ok(()) if counts => self.latencies.borrow_mut().push(took),
            Ok(()) => {}
            Err(error) => {
                let mut failed = self.failed.borrow_mut();
                if *failed == 0 {
                    eprintln!("{error:#}");
                }
                *failed += 1;
                return false;
            }
        }
        true
    }

    async fn ask_again(self: Rc<Self>, mut sender: SendRequest<Full<Bytes>>, begin: Instant, end: Instant) {
        loop {
            let asked = Instant::now();
            if asked >= end {
                return;
            }
            let outcome = self.ask(&mut sender).await;
            // By when it was answered: what is asked before and answered after the beginning makes up for the other end.
            let counts = (begin..=end).contains(&Instant::now());
            if !self.count(outcome, asked.elapsed(), counts) {
                return;
            }
        }
    }

    async fn take_up(self: Rc<Self>, mut sender: SendRequest<Full<Bytes>>, begin: Instant) {
        loop {
            let next = self.due.borrow_mut().pop_front();
            let Some(due) = next else {
                if self.done.get() {
                    return;
                }
                self.more.notified().await;
                continue;
            };
            let outcome = self.ask(&mut sender).await;
            if !self.count(outcome, due.elapsed(), due >= begin) {
                return;
            }
        }
    }

    fn outcome(&self, seconds: f64) -> Outcome {
        let mut latencies = self.latencies.borrow_mut();
        latencies.sort_unstable();
        let at = |percent: usize| {
            let index = (latencies.len() * percent / 100).min(latencies.len().saturating_sub(1));
            latencies.get(index).map_or(0.0, |latency| latency.as_secs_f64() * 1e6)
        };
        let answered = latencies.len();
        #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
        let rps = answered as f64 / seconds;
        Outcome {
            answered,
            failed: *self.failed.borrow(),
            asked: self.asked.get(),
            rps,
            p50_us: at(50),
            p99_us: at(99),
            cpu_us: 0.0,
        }
    }
}

/// How long before a request is due the generator stops sleeping, and looks at the clock and its sockets all the time. What it
/// takes to wake a core would otherwise be in every answer, and is as long as many of them.
const AWAKE: Duration = Duration::from_micros(250);

/// Makes requests due at fixed times, woken by a thread of its own: Tokio's timers count in milliseconds, which is longer
/// than an answer takes.
async fn pace(shared: &Shared, rate: f64, end: Instant) -> Result<()> {
    let step = Duration::from_secs_f64(1.0 / rate);
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let clock = std::thread::spawn(move || {
        let mut wake = Instant::now() + step;
        while wake + AWAKE < end {
            std::thread::sleep(wake.saturating_duration_since(Instant::now()));
            if sender.send(wake + AWAKE).is_err() {
                return;
            }
            wake += step;
        }
    });
    while let Some(due) = receiver.recv().await {
        while Instant::now() < due {
            tokio::task::yield_now().await;
        }
        shared.due.borrow_mut().push_back(due);
        shared.more.notify_one();
    }
    ensure!(clock.join().is_ok(), "the clock stopped");
    Ok(())
}

/// Sends one review and gives the answer, whatever it is.
pub async fn ask_once(target: &crate::rivals::Target, path: &str, body: &Path) -> Result<serde_json::Value> {
    let load = Load {
        address: target.address,
        name: target.name.clone(),
        authority: target.authority.clone(),
        path: path.to_owned(),
        body: body.to_owned(),
        connections: 1,
        seconds: 0.0,
        warm_up: 0.0,
        rate: None,
    };
    let stream = TcpStream::connect(load.address).await.context("connecting")?;
    let name = ServerName::try_from(load.name.clone())?;
    let stream = connector(&load.authority)?
        .connect(name, stream)
        .await
        .context("the TLS handshake")?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::post(path)
        .header(header::HOST, &load.name)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(std::fs::read(body)?)))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let answer = response.into_body().collect().await?.to_bytes();
    drop(sender);
    connection.abort();
    serde_json::from_slice(&answer).with_context(|| format!("{status}: {}", String::from_utf8_lossy(&answer)))
}

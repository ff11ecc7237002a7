//! A load generator that does not hide queueing.
//!
//! Without a rate, each connection sends the next request after a response: this measures the maximum throughput. With a rate,
//! requests are due at fixed times and latency is measured from when they were due, so that a pause of the server counts for all
//! requests it delays (no coordinated omission).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};
use tokio::task::LocalSet;
use tokio_rustls::TlsConnector;

use crate::client::{connect, connector};

/// How long responses may take after the end of the measurement.
const PATIENCE: Duration = Duration::from_secs(10);

/// What to send, and how often.
#[derive(Clone, Debug, clap::Args)]
pub struct Load {
    /// Address of the server
    #[arg(long)]
    pub address: SocketAddr,
    /// Name in its certificate
    #[arg(long)]
    pub name: String,
    /// PEM file with the CA
    #[arg(long)]
    pub authority: PathBuf,
    /// Path of the URL
    #[arg(long)]
    pub path: String,
    /// File with the review
    #[arg(long)]
    pub body: PathBuf,
    /// Number of connections
    #[arg(long)]
    pub connections: usize,
    /// Seconds to measure
    #[arg(long)]
    pub seconds: f64,
    /// Seconds of load before the measurement
    #[arg(long, default_value_t = 0.5)]
    pub warm_up: f64,
    /// Requests per second [default: as many as the server handles]
    #[arg(long)]
    pub rate: Option<f64>,
}

/// The result.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Outcome {
    /// Responses that allowed the request.
    pub answered: usize,
    /// Other responses, and requests without one.
    pub failed: usize,
    /// All requests, including those of the warm-up.
    pub asked: usize,
    /// Responses per second.
    pub rps: f64,
    /// Median latency in microseconds.
    pub p50_us: f64,
    /// 99th percentile of the latency in microseconds.
    pub p99_us: f64,
    /// CPU time of the server per request in microseconds, including handshakes. Set by the caller.
    #[serde(default)]
    pub cpu_us: f64,
}

/// State shared by the connections.
struct Shared {
    request: (String, String, Bytes),
    /// Due times of requests that are not sent yet.
    due: RefCell<VecDeque<Instant>>,
    more: Notify,
    /// No further request will be due.
    done: Cell<bool>,
    latencies: RefCell<Vec<Duration>>,
    failed: RefCell<usize>,
    asked: Cell<usize>,
}

impl Load {
    /// Runs on the current thread and prints the result as JSON.
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
                    tokio::task::spawn_local(shared.send_due(sender, begin))
                } else {
                    tokio::task::spawn_local(shared.send_continuously(sender, begin, end))
                }
            })
            .collect();
        if let Some(rate) = self.rate {
            pace(&shared, rate, end).await?;
            // Wake the connections that wait for a due request.
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
        let (sender, connection) = connect(tls, self.address, &self.name).await?;
        tokio::task::spawn_local(connection);
        Ok(sender)
    }
}

impl Shared {
    async fn send(&self, sender: &mut SendRequest<Full<Bytes>>) -> Result<()> {
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

    async fn send_continuously(self: Rc<Self>, mut sender: SendRequest<Full<Bytes>>, begin: Instant, end: Instant) {
        loop {
            let sent = Instant::now();
            if sent >= end {
                return;
            }
            let outcome = self.send(&mut sender).await;
            // Counted by the time of the response.
            let counts = (begin..=end).contains(&Instant::now());
            if !self.count(outcome, sent.elapsed(), counts) {
                return;
            }
        }
    }

    async fn send_due(self: Rc<Self>, mut sender: SendRequest<Full<Bytes>>, begin: Instant) {
        loop {
            let next = self.due.borrow_mut().pop_front();
            let Some(due) = next else {
                if self.done.get() {
                    return;
                }
                self.more.notified().await;
                continue;
            };
            let outcome = self.send(&mut sender).await;
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

/// How long before a due time the generator polls instead of sleeping. Waking a core takes about as long as a response.
const AWAKE: Duration = Duration::from_micros(250);

/// Makes requests due at fixed times. A thread keeps the time, because Tokio's timers have a resolution of a millisecond.
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

//! The load on all servers: rounds in turn, medians of the rounds.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::load::Outcome;
use crate::target::{Cores, Target};

/// How much is measured.
pub struct Extent {
    pub rounds: usize,
    pub seconds: f64,
    pub warm_up: f64,
    pub creates: usize,
    pub secrets: usize,
}

/// One request, sent to every server.
pub struct Bench<'a> {
    pub targets: &'a [(&'static str, Target); 4],
    pub body: &'a Path,
    pub extent: &'a Extent,
    pub cores: Cores,
}

impl Bench<'_> {
    /// First the maximum throughput of each server, then the latencies of all at half of the peer's throughput.
    pub async fn measure(&self, connections: usize) -> Result<Vec<(&'static str, Value)>> {
        let closed = self.rounds(connections, None).await?;
        let of_peer = self.targets.iter().position(|(name, _)| *name == "peer");
        let rate = closed[of_peer.context("the servers do not include the peer")?].rps / 2.0;
        ensure!(rate > 0.0, "the peer sent no response within the measurement");
        let open = self.rounds(connections, Some(rate)).await?;
        let outcomes = self.targets.iter().zip(closed.iter().zip(&open));
        Ok(outcomes
            .map(|((name, _), (closed, open))| {
                let outcome = json!({
                    "rps": closed.rps.round(),
                    "p50_us": open.p50_us.round(),
                    "p99_us": open.p99_us.round(),
                    "at_rate": rate.round(),
                    "cpu_us": (closed.cpu_us * 10.0).round() / 10.0,
                    "closed_p50_us": closed.p50_us.round(),
                    "closed_p99_us": closed.p99_us.round(),
                });
                (*name, outcome)
            })
            .collect())
    }

    async fn rounds(&self, connections: usize, rate: Option<f64>) -> Result<Vec<Outcome>> {
        let mut all: Vec<Vec<Outcome>> = vec![Vec::new(); self.targets.len()];
        for _ in 0..self.extent.rounds {
            for ((_, target), outcomes) in self.targets.iter().zip(&mut all) {
                outcomes.push(self.load(target, connections, rate).await?);
            }
        }
        let of = |outcomes: &[Outcome], value: fn(&Outcome) -> f64| {
            let mut values: Vec<f64> = outcomes.iter().map(value).collect();
            median(&mut values)
        };
        Ok(all
            .iter()
            .map(|outcomes| Outcome {
                answered: outcomes.iter().map(|outcome| outcome.answered).sum(),
                failed: 0,
                asked: outcomes.iter().map(|outcome| outcome.asked).sum(),
                rps: of(outcomes, |outcome| outcome.rps),
                p50_us: of(outcomes, |outcome| outcome.p50_us),
                p99_us: of(outcomes, |outcome| outcome.p99_us),
                cpu_us: of(outcomes, |outcome| outcome.cpu_us),
            })
            .collect())
    }

    pub async fn load(&self, target: &Target, connections: usize, rate: Option<f64>) -> Result<Outcome> {
        let bench = std::env::current_exe()?;
        let mut command = tokio::process::Command::new(&bench);
        command
            .args(["pinned", &self.cores.client.to_string()])
            .arg(&bench)
            .args([
                "load",
                "--path=/validate",
                &format!("--address={}", target.address),
                &format!("--name={}", target.name),
                &format!("--authority={}", target.authority.display()),
                &format!("--body={}", self.body.display()),
                &format!("--connections={connections}"),
                &format!("--seconds={}", self.extent.seconds),
                &format!("--warm-up={}", self.extent.warm_up),
            ]);
        if let Some(rate) = rate {
            command.arg(format!("--rate={rate}"));
        }
        let before = target.used()?;
        let output = command.kill_on_drop(true).output().await?;
        let used = target.used()? - before;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "the load generator failed on {}: {said}",
            target.name
        );
        let mut outcome: Outcome = serde_json::from_slice(&output.stdout)?;
        ensure!(
            outcome.failed == 0,
            "{} reviews were not allowed by {}: {said}",
            outcome.failed,
            target.name
        );
        #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
        let all = outcome.asked.max(1) as f64;
        outcome.cpu_us = used / all;
        Ok(outcome)
    }
}

/// The median; sorts the values.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

//! Silent connections to the webhook: reviews are not delayed, the connections are closed, and their memory is released.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::installation::{Options, shipped};
use cnbi_tests::process::binary;
use futures::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::cluster::{ADMIN, WITHIN, cluster, resource, until};
use crate::test_installation::TestInstallation;

/// Silent connections per round.
const SILENT: usize = 1000;

const ROUNDS: usize = 3;

/// Concurrent reviews: more than the API server has open connections.
const BESIDE: usize = 16;

/// Allowed growth of resident memory after the first round, in KiB. A leaked connection takes about 10 KiB, so the connections of
/// one round would exceed it.
const LEEWAY: usize = 8 * 1024;

/// Raises the limit of open files of this process, which holds the client side of the connections.
pub fn allow_open_files(count: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < count) {
        let current = limit.maximum.map_or(count, |most| most.min(count));
        let raised = Rlimit {
            current: Some(current),
            ..limit
        };
        setrlimit(Resource::Nofile, raised).context("raising the limit of open files")?;
        ensure!(current == count, "open file limit {current} is too low");
    }
    Ok(())
}

/// Starts the webhook with a soft limit of 1024 open files, as many container runtimes do.
fn with_few_open_files(cluster: &ControlPlane, name: &str) -> Result<Options> {
    let mut options = shipped::default(Some(name));
    let program = binary(shipped::WEBHOOK)?;
    let wrapper = cluster.data().join(format!("{name}.sh"));
    let script = format!("#!/bin/sh\nulimit -S -n 1024\nexec '{}' \"$@\"\n", program.display());
    fs::write(&wrapper, script)?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
    options.programs.insert(shipped::WEBHOOK.to_owned(), wrapper);
    Ok(options)
}

#[tokio::test]
async fn a_thousand_silent_connections_delay_no_review() -> Result<()> {
    allow_open_files(4096)?;
    let cluster = cluster().await?;
    let options = with_few_open_files(cluster, "silent")?;
    TestInstallation::run_with(cluster, options, async |setup| {
        let address = ("127.0.0.1", setup.webhook.port("https")?);
        let namespace = setup.namespace();
        let (mut after, mut answered_all) = (Vec::new(), 0);
        for round in 0..ROUNDS {
            let mut silent = Vec::new();
            for _ in 0..SILENT {
                silent.push(TcpStream::connect(address).await?);
            }
            let begin = Instant::now();
            let object = resource(&namespace, "beside", json!({}));
            let response = join_all((0..BESIDE).map(|_| setup.dry_run(ADMIN, &object))).await;
            let mut refused = 0;
            for response in response {
                let response = response?;
                // A busy machine can exceed the webhook timeout.
                let is_late = response.code == 500 && response.message().contains("failed calling webhook");
                ensure!(response.is_success() || is_late, "round {round}: {}", response.body);
                refused += usize::from(is_late);
            }
            answered_all += usize::from(refused == 0);
            let (answered, during) = (begin.elapsed(), setup.webhook.resident()?);
            for mut stream in silent {
                let mut heard = Vec::new();
                // The connection may be closed or reset.
                let ended = timeout(WITHIN, stream.read_to_end(&mut heard)).await;
                ensure!(ended.is_ok(), "round {round}: a connection is still open after {WITHIN:?}");
                ensure!(heard.is_empty(), "round {round}: the webhook sent {heard:?} to a silent client");
            }
            let cut = begin.elapsed();
            until("all silent connections are closed", async || {
                Ok(setup.metric("cnbi_webhook_connections").await? <= (3 * BESIDE).try_into()?)
            })
            .await?;
            after.push(setup.webhook.resident()?);
            eprintln!(
                "{SILENT} silent connections: {BESIDE} reviews took {answered:?}, {refused} failed; all closed after {cut:?}; \
                 resident memory {during} KiB, then {after:?} KiB"
            );
        }
        ensure!(answered_all + 1 >= ROUNDS, "silent connections delay reviews");
        ensure!(
            after[1..].iter().all(|now| *now <= after[0] + LEEWAY),
            "resident memory grows: {after:?} KiB after each round"
        );
        Ok(())
    })
    .await
}

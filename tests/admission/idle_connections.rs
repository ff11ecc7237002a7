//! Silent connections to the webhook: they delay no review, are closed, and leave no memory behind.

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

/// How many there are at once.
const SILENT: usize = 1000;

/// How often they come.
const ROUNDS: usize = 3;

/// Reviews at once beside them: more than there are connections of the API server that are open already.
const BESIDE: usize = 16;

/// How much more memory may be resident than after the first round, in KiB: what an allocator keeps varies a little. A connection that
/// were kept would be 10 KiB or so, so that those of a single round would be too many.
const LEEWAY: usize = 8 * 1024;

/// The ends of the connections that are here are open files of this process as well.
pub fn allow_open_files(count: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < count) {
        let current = limit.maximum.map_or(count, |most| most.min(count));
        let raised = Rlimit {
            current: Some(current),
            ..limit
        };
        setrlimit(Resource::Nofile, raised).context("allowing more open files")?;
        ensure!(current == count, "only {current} files may be open here");
    }
    Ok(())
}

/// The webhook begins with as few open files as many container runtimes give it.
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
                // A machine that has too much else to do may be too slow for one.
                let is_late = response.code == 500 && response.message().contains("failed calling webhook");
                ensure!(response.is_success() || is_late, "round {round}: {}", response.body);
                refused += usize::from(is_late);
            }
            answered_all += usize::from(refused == 0);
            let (answered, during) = (begin.elapsed(), setup.webhook.resident()?);
            for mut stream in silent {
                let mut heard = Vec::new();
                // The end may come with or without a goodbye.
                let ended = timeout(WITHIN, stream.read_to_end(&mut heard)).await;
                ensure!(ended.is_ok(), "round {round}: one is still open after {WITHIN:?}");
                ensure!(heard.is_empty(), "round {round}: {heard:?} is said to who said nothing");
            }
            let cut = begin.elapsed();
            until("none of them is open any more", async || {
                Ok(setup.metric("cnbi_webhook_connections").await? <= (3 * BESIDE).try_into()?)
            })
            .await?;
            after.push(setup.webhook.resident()?);
            eprintln!(
                "{SILENT} silent connections: {BESIDE} reviews beside them, {refused} refused, after {answered:?}; all cut after {cut:?}; \
                 resident {during} KiB, then {after:?} KiB"
            );
        }
        ensure!(answered_all + 1 >= ROUNDS, "reviews wait for those who are silent");
        ensure!(
            after[1..].iter().all(|now| *now <= after[0] + LEEWAY),
            "memory is kept: {after:?} KiB after each round"
        );
        Ok(())
    })
    .await
}

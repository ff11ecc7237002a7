//! The harness' control plane: real programs, and complete cleanup.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cnbi_tests::assets::kubernetes_version;
use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::local::Local;
use cnbi_tests::process::{Program, binary};

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[tokio::test]
async fn kubectl_reads_the_servers_version() -> Outcome {
    let cluster = ControlPlane::shared().await?;
    let version: serde_json::Value =
        serde_json::from_str(&cluster.kubectl().args(["version", "-o", "json"]).ok().await?)?;
    // Programs from the environment may have another version; those that this repository pins must not.
    let expected = if cluster.assets().pinned() {
        kubernetes_version()?.to_owned()
    } else {
        let output = Command::new(cluster.assets().kube_apiserver())
            .arg("--version")
            .output()?;
        String::from_utf8(output.stdout)?
            .trim()
            .trim_start_matches("Kubernetes ")
            .to_owned()
    };
    assert_eq!(version["serverVersion"]["gitVersion"], expected);
    Ok(())
}

#[tokio::test]
async fn a_new_service_account_has_no_permissions() -> Outcome {
    let cluster = ControlPlane::shared().await?;
    cluster.kubectl().args(["create", "namespace", "fresh"]).ok().await?;
    cluster
        .kubectl()
        .args(["-n", "fresh", "create", "serviceaccount", "nobody"])
        .ok()
        .await?;
    let nobody = cluster.service_account_kubeconfig("fresh", "nobody").await?;
    let list = || cluster.kubectl().with_kubeconfig(&nobody).args(["get", "configmaps"]);

    let refused = list().run().await?;
    assert!(!refused.success);
    let expected = "User \"system:serviceaccount:fresh:nobody\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"fresh\"";
    assert!(
        refused.stderr.contains("(Forbidden)") && refused.stderr.contains(expected),
        "{}",
        refused.stderr
    );

    let bind = [
        "-n",
        "fresh",
        "create",
        "rolebinding",
        "view",
        "--clusterrole=view",
        "--serviceaccount=fresh:nobody",
    ];
    cluster.kubectl().args(bind).ok().await?;
    // The API server observes the binding with a delay.
    until("the binding is in force", || async { Ok(list().run().await?.success) }).await?;

    let log = std::fs::read_to_string(cluster.audit_log())?;
    let told = log
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .any(|event| {
            event["user"]["username"] == "system:serviceaccount:fresh:nobody" && event["responseStatus"]["code"] == 403
        });
    assert!(told, "the audit log does not have the refusal");
    Ok(())
}

#[tokio::test]
async fn deleting_a_namespace_deletes_its_objects() -> Outcome {
    let cluster = ControlPlane::shared().await?;
    cluster.kubectl().args(["create", "namespace", "gone"]).ok().await?;
    cluster
        .kubectl()
        .args(["-n", "gone", "create", "configmap", "something"])
        .ok()
        .await?;
    cluster
        .kubectl()
        .args(["delete", "namespace", "gone", "--timeout=60s"])
        .ok()
        .await?;
    let answer = cluster.kubectl().args(["get", "namespace", "gone"]).run().await?;
    assert!(answer.stderr.contains("(NotFound)"), "{}", answer.stderr);
    Ok(())
}

#[tokio::test]
async fn data_survives_an_api_server_restart() -> Outcome {
    let cluster = ControlPlane::start().await?;
    cluster
        .kubectl()
        .args(["create", "configmap", "kept", "--from-literal=a=b"])
        .ok()
        .await?;

    cluster.stop_api_server().await?;
    let down = cluster.kubectl().args(["get", "configmap", "kept"]).run().await?;
    assert!(!down.success && down.stderr.contains("refused"), "{}", down.stderr);

    cluster.start_api_server().await?;
    let kept = cluster
        .kubectl()
        .args(["get", "configmap", "kept", "-o", "jsonpath={.data.a}"])
        .ok()
        .await?;
    assert_eq!(kept, "b");
    Ok(())
}

#[tokio::test]
async fn programs_end_when_their_parent_is_killed() -> Outcome {
    let folder = tempfile::tempdir()?;
    let local = Local::new(Some(folder.path().join("local")));
    let mut parent = tokio::process::Command::new(binary("cnbi-local")?)
        .arg("hold")
        .arg(folder.path().join("local"))
        // Otherwise it would keep the test's output open.
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    until("it is up", || async {
        Ok(local.is_up()? && local.kubeconfig().is_file())
    })
    .await?;
    let pids = local.pids()?;
    assert_eq!(
        pids.len(),
        5,
        "etcd, API server, controllers, webhook, controller: {pids:?}"
    );
    assert!(pids.iter().all(|pid| alive(*pid)), "{pids:?}");

    parent.kill().await?;
    until("its programs are gone", || async {
        Ok(!pids.iter().any(|pid| alive(*pid)))
    })
    .await
}

#[tokio::test]
async fn up_and_down_are_idempotent() -> Outcome {
    let folder = tempfile::tempdir()?;
    let local = Local::new(Some(folder.path().join("local")));
    local.up().await?;
    let pids = local.pids()?;
    local.up().await?;
    assert_eq!(local.pids()?, pids, "the second `up` started something anew");

    assert!(local.down().await?);
    assert!(!pids.iter().any(|pid| alive(*pid)), "{pids:?}");
    assert!(!local.kubeconfig().exists());
    assert!(!local.down().await?);
    Ok(())
}

#[tokio::test]
async fn child_processes_end_with_their_program() -> Outcome {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log");
    let mut program = Program::new("sleeper", "/bin/sh", &log);
    // Ignores signals if possible, and has a child process.
    program.args = ["-c", "trap '' TERM HUP INT; sleep 600 & echo $!; wait"]
        .map(Into::into)
        .to_vec();
    let process = program.start()?;
    until("the child has started", || async {
        Ok(std::fs::read_to_string(&log)?.ends_with('\n'))
    })
    .await?;
    let child: u32 = std::fs::read_to_string(&log)?.trim().parse()?;
    let pids = [process.pid(), child];
    assert!(pids.iter().all(|pid| alive(*pid)), "{pids:?}");

    drop(process);
    until("both are gone", || async { Ok(!pids.iter().any(|pid| alive(*pid))) }).await
}

#[tokio::test]
async fn data_is_deleted_with_the_control_plane() -> Outcome {
    let cluster = ControlPlane::start().await?;
    let data = cluster.data().to_owned();
    assert!(data.join("etcd").is_dir());
    drop(cluster);
    until("the data is removed", || async { Ok(!data.exists()) }).await
}

/// Whether a process runs; a zombie does not.
fn alive(pid: u32) -> bool {
    if Path::new("/proc/self/stat").exists() {
        // The state is the first field after the name, which may contain any character, so search from the end.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        return stat
            .rsplit_once(") ")
            .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']));
    }
    let output = Command::new("ps")
        .args(["-o", "stat=", "-p", &pid.to_string()])
        .output()
        .expect("ps can be run");
    let state = String::from_utf8_lossy(&output.stdout);
    !state.trim().is_empty() && !state.trim().starts_with('Z')
}

async fn until<F: Future<Output = Result<bool, Box<dyn std::error::Error>>>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) -> Outcome {
    let begin = Instant::now();
    while !condition().await? {
        if begin.elapsed() > Duration::from_secs(60) {
            return Err(format!("after 60 s it is not so that {what}").into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

//! The harness installs what the manifests say, with exactly their permissions, next to other installations.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::installation::{Installation, Options, shipped};
use cnbi_tests::kubectl::KubectlOutput;

type Outcome = Result<(), Box<dyn std::error::Error>>;

const WITHIN: Duration = Duration::from_secs(60);

fn fixture(cluster: &ControlPlane, name: Option<&str>) -> Options {
    Options {
        tree: Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/installation"),
        overlay: PathBuf::from("overlays/default"),
        name: name.map(str::to_owned),
        names: BTreeMap::new(),
        flags: BTreeMap::from([("store".to_owned(), vec![("--log-level".to_owned(), "warn".to_owned())])]),
        programs: BTreeMap::from([("etcd".to_owned(), cluster.assets().etcd())]),
    }
}

#[tokio::test]
async fn a_program_runs_as_its_deployment_says() -> Outcome {
    let cluster = ControlPlane::shared().await?;
    let installation = Installation::install(cluster, fixture(cluster, Some("alone"))).await?;
    assert_eq!(installation.namespace(), "alone");
    let mut first = installation.start("store").await?;
    let mut second = installation.start_beside("store").await?;
    for replica in [&mut first, &mut second] {
        replica.ready(WITHIN).await?;
        let member = format!("{}.of-alone", replica.pod());
        // The program's name for itself comes from the arguments, and these from the environment.
        assert!(
            Path::new(cluster.data())
                .join(format!("installations/alone/{member}.etcd"))
                .is_dir(),
            "{member}"
        );
    }
    assert_ne!(first.pod(), second.pod());
    assert_ne!(first.port("client")?, second.port("client")?);

    // A restart after a fault: the same program with the same ports.
    let port = first.port("metrics")?;
    first.into_process().kill().await?;
    let mut again = installation.start("store").await?;
    again.ready(WITHIN).await?;
    assert_eq!(again.port("metrics")?, port);
    assert!(again.into_process().terminate(WITHIN).await.is_ok());
    Ok(())
}

#[tokio::test]
async fn a_program_has_the_rights_of_its_account_and_no_others() -> Outcome {
    let cluster = ControlPlane::shared().await?;
    let installation = Installation::install(cluster, fixture(cluster, Some("rights"))).await?;
    let store = installation.kubeconfig("store").await?;
    let ask = |args: &[&str]| cluster.kubectl().with_kubeconfig(&store).args(args);
    let own = installation.name_of("store");
    assert_eq!(own, "store-rights");

    until(|| async { Ok(succeeded(ask(&["get", "configmaps", "--all-namespaces"]).run().await?)) }).await?;
    ask(&["get", "validatingwebhookconfiguration", &own]).ok().await?;
    for (args, refused) in [
        (&["get", "secrets"][..], "cannot list resource \"secrets\""),
        (
            &["get", "validatingwebhookconfiguration", "store"][..],
            "\"store\" is forbidden",
        ),
    ] {
        let answer = ask(args).run().await?;
        assert!(!answer.success && answer.stderr.contains(refused), "{}", answer.stderr);
    }
    Ok(())
}

/// The program does not speak TLS; the API server's error identifies it and its address.
#[tokio::test]
async fn webhooks_are_called_through_the_service_for_their_own_namespaces() -> Outcome {
    let cluster = ControlPlane::shared().await?;
    let create = |namespace: &'static str| {
        let args = ["-n", namespace, "create", "configmap", "refused", "--dry-run=server"];
        cluster.kubectl().args(args).run()
    };
    let one = Installation::install(cluster, fixture(cluster, Some("one"))).await?;
    let two = Installation::install(cluster, fixture(cluster, Some("two"))).await?;
    let mut store = one.start("store").await?;
    store.ready(WITHIN).await?;
    one.create_namespace("asked-by-one").await?;
    two.create_namespace("asked-by-two").await?;
    cluster
        .kubectl()
        .args(["create", "namespace", "asked-by-nobody"])
        .ok()
        .await?;

    let wanted = [
        (
            "asked-by-one",
            "https://store.one.svc:",
            "server gave HTTP response to HTTPS client",
        ),
        ("asked-by-two", "https://store.two.svc:", "connection refused"),
    ];
    for (namespace, url, reason) in wanted {
        // The API server observes webhooks and Services with a delay.
        until(|| async {
            let answer = create(namespace).await?;
            let as_wanted = !answer.success && answer.stderr.contains(url) && answer.stderr.contains(reason);
            Ok(if as_wanted { Ok(()) } else { Err(format!("{answer:?}")) })
        })
        .await?;
    }
    let answer = create("asked-by-nobody").await?;
    assert!(answer.success, "{}", answer.stderr);
    Ok(())
}

#[tokio::test]
async fn without_a_name_objects_keep_the_names_of_the_files() -> Outcome {
    let cluster = ControlPlane::start().await?;
    let installation = Installation::install(&cluster, fixture(&cluster, None)).await?;
    assert_eq!(installation.namespace(), "fixture-system");
    let mut replicas = installation.start_all(WITHIN).await?;
    assert_eq!(replicas.len(), 1);
    replicas[0].ensure_running()?;
    let path = "jsonpath={.webhooks[0].clientConfig.service.namespace}";
    let asked = cluster
        .kubectl()
        .args(["get", "validatingwebhookconfiguration", "store", "-o", path])
        .ok()
        .await?;
    assert_eq!(asked, "fixture-system");
    Ok(())
}

#[tokio::test]
async fn two_installations_can_coexist() -> Outcome {
    let cluster = ControlPlane::shared().await?;
    let (one, two) = tokio::join!(
        Installation::install(cluster, shipped::default(Some("shipped-one"))),
        Installation::install(cluster, shipped::default(Some("shipped-two"))),
    );
    for installation in [one?, two?] {
        let namespace = installation.namespace();
        let name = installation.name_of("cnbi-webhook");
        let path =
            "jsonpath={.webhooks[*].clientConfig.service.namespace} {.webhooks[1].namespaceSelector.matchLabels}";
        let asked = cluster
            .kubectl()
            .args(["get", "validatingwebhookconfiguration", &name, "-o", path])
            .ok()
            .await?;
        let expected = format!("{namespace} {namespace} {{\"kubernetes.io/metadata.name\":\"{namespace}\"}}");
        assert_eq!(asked, expected);
        for container in [shipped::WEBHOOK, shipped::CONTROLLER] {
            let account = installation.kubeconfig(container).await?;
            let config = [
                "get",
                "configmaps",
                "--field-selector=metadata.name=cnbi-config",
                "-o",
                "name",
            ];
            let list = || cluster.kubectl().with_kubeconfig(&account).args(config);
            until(|| async { Ok(succeeded(list().run().await?)) }).await?;
            assert_eq!(list().ok().await?.trim(), "configmap/cnbi-config");
        }
    }
    Ok(())
}

/// Waits for a condition; until it holds, the closure returns the current state.
async fn until<F: Future<Output = Result<Result<(), String>, Box<dyn std::error::Error>>>>(
    mut condition: impl FnMut() -> F,
) -> Outcome {
    let begin = Instant::now();
    while let Err(instead) = condition().await? {
        if begin.elapsed() > WITHIN {
            return Err(format!("after {WITHIN:?} still: {instead}").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

fn succeeded(answer: KubectlOutput) -> Result<(), String> {
    if answer.success { Ok(()) } else { Err(answer.stderr) }
}

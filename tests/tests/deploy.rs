//! That what an administrator applies is sound: it renders, its names agree, its rights are few and each has a reason,
//! and applying it again changes nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Parser as _;
use cnbi_controller::args::Args as ControllerArgs;
use cnbi_shared::config::SHIPPED;
use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::installation::{Installation, shipped};
use cnbi_webhook::args::Args as WebhookArgs;
use serde_json::{Value, json};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const WITHIN: Duration = Duration::from_secs(30);

/// The namespace that the overlay names.
const NAMESPACE: &str = "cnbi-system";

fn overlay() -> PathBuf {
    shipped::deploy().join("overlays/default")
}

async fn rendered(cluster: &ControlPlane, overlay: &Path) -> Result<Vec<Value>, Box<dyn std::error::Error>> {
    let text = cluster.kubectl().args([Path::new("kustomize"), overlay]).ok().await?;
    Ok(serde_saphyr::from_multiple(&text)?)
}

fn one<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = objects
        .iter()
        .find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("there is no {kind} {name}"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[test]
fn every_right_has_a_reason_and_is_no_wider_than_it() -> Outcome {
    let mut rules = 0;
    for file in [
        "base/webhook-rbac.yaml",
        "base/controller-rbac.yaml",
        "builds/builds.yaml",
        "pull-secrets/rbac.yaml",
    ] {
        let text = fs::read_to_string(shipped::deploy().join(file))?;
        let lines: Vec<&str> = text.lines().collect();
        for (number, _) in lines
            .iter()
            .enumerate()
            .filter(|(_, line)| line.starts_with("  - apiGroups:"))
        {
            assert!(
                lines[number - 1].starts_with("  # "),
                "{file}:{}: a rule without a reason",
                number + 1
            );
            rules += 1;
        }
        for object in serde_saphyr::from_multiple::<Value>(&text)? {
            for rule in list(&object["rules"]) {
                let words: Vec<&str> = ["apiGroups", "resources", "verbs"]
                    .iter()
                    .flat_map(|key| list(&rule[key]))
                    .filter_map(Value::as_str)
                    .collect();
                assert!(!words.iter().any(|word| word.contains('*')), "{file}: {rule}");
                let is_cluster_wide = object["kind"] == "ClusterRole";
                if is_cluster_wide && words.contains(&"secrets") {
                    assert_eq!(rule["verbs"], json!(["get"]), "{file}: Secrets of all namespaces");
                }
                assert!(!is_cluster_wide || !words.contains(&"configmaps"), "{file}: {rule}");
                rules -= 1;
            }
        }
    }
    assert_eq!(
        rules, 0,
        "the rules that were read are not the rules that were looked at"
    );
    Ok(())
}

#[test]
fn the_configuration_is_the_one_that_the_programs_know_as_shipped() -> Outcome {
    let path = shipped::deploy().join("base/config.yaml");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, SHIPPED)?;
    }
    assert_eq!(
        fs::read_to_string(&path)?,
        SHIPPED,
        "UPDATE=1 copies shared/src/shipped.yaml"
    );
    Ok(())
}

#[tokio::test]
async fn names_and_ports_agree() -> Outcome {
    let cluster = ControlPlane::shared().await?;
    let objects = rendered(cluster, &overlay()).await?;
    for kind in ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
        for webhook in list(&one(&objects, kind, "cnbi-webhook")["webhooks"]) {
            let reference = &webhook["clientConfig"]["service"];
            let service = one(&objects, "Service", reference["name"].as_str().unwrap_or_default());
            assert_eq!(reference["namespace"], service["metadata"]["namespace"]);
            let port = list(&service["spec"]["ports"])
                .iter()
                .find(|port| port["port"] == reference["port"]);
            assert_eq!(port.expect("the Service has that port")["targetPort"], "https");
        }
    }
    for name in ["cnbi-webhook", "cnbi-controller"] {
        let deployment = one(&objects, "Deployment", name);
        let pod = &deployment["spec"]["template"];
        let container = &pod["spec"]["containers"][0];
        let service = one(&objects, "Service", name);
        assert_eq!(
            service["spec"]["selector"],
            deployment["spec"]["selector"]["matchLabels"]
        );
        for (key, value) in service["spec"]["selector"].as_object().expect("a selector") {
            assert_eq!(pod["metadata"]["labels"][key], *value);
        }
        for port in list(&service["spec"]["ports"]) {
            let target = list(&container["ports"])
                .iter()
                .find(|declared| declared["name"] == port["targetPort"]);
            let number = &target.expect("the container declares that port")["containerPort"];
            let listens = |argument: &&str| argument.ends_with(&format!("listen=[::]:{number}"));
            assert_eq!(
                args(container).iter().filter(|argument| listens(argument)).count(),
                1,
                "{name} {number}"
            );
        }
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(container["image"], format!("{name}:{version}"));
        assert_eq!(
            pod["spec"]["serviceAccountName"],
            one(&objects, "ServiceAccount", name)["metadata"]["name"]
        );
    }
    Ok(())
}

fn args(container: &Value) -> Vec<&str> {
    list(&container["args"]).iter().filter_map(Value::as_str).collect()
}

/// What a program is told to use is there, and it has the right to use just that.
#[tokio::test]
async fn flags_name_what_is_there() -> Outcome {
    let cluster = ControlPlane::shared().await?;
    let objects = rendered(cluster, &overlay()).await?;
    let container = |name| &one(&objects, "Deployment", name)["spec"]["template"]["spec"]["containers"][0];
    let may = |kind, program, resource: &str| {
        let rules = list(&one(&objects, kind, program)["rules"]).iter();
        rules
            .filter(|rule| list(&rule["resources"]).iter().any(|listed| listed == resource))
            .flat_map(|rule| list(&rule["resourceNames"]).to_vec())
            .collect::<Vec<_>>()
    };
    let flag = |program, name: &str| -> String {
        let found = args(container(program))
            .into_iter()
            .find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("{program} has no {name}")).to_owned()
    };

    for program in ["cnbi-webhook", "cnbi-controller"] {
        let config_map = flag(program, "--config-map");
        one(&objects, "ConfigMap", &config_map);
        assert_eq!(may("Role", program, "configmaps"), [json!(config_map)]);
    }
    assert_eq!(
        may("Role", "cnbi-webhook", "secrets"),
        [json!(flag("cnbi-webhook", "--ca-secret"))]
    );
    one(&objects, "Service", &flag("cnbi-webhook", "--service"));
    for (name, kind, resource) in [
        (
            "--mutating-configuration",
            "MutatingWebhookConfiguration",
            "mutatingwebhookconfigurations",
        ),
        (
            "--validating-configuration",
            "ValidatingWebhookConfiguration",
            "validatingwebhookconfigurations",
        ),
    ] {
        let configuration = flag("cnbi-webhook", name);
        one(&objects, kind, &configuration);
        assert_eq!(may("ClusterRole", "cnbi-webhook", resource), [json!(configuration)]);
    }

    let validating = one(&objects, "ValidatingWebhookConfiguration", "cnbi-webhook");
    let of_config = list(&validating["webhooks"])
        .iter()
        .find(|webhook| webhook["failurePolicy"] == "Ignore");
    let of_config = of_config.expect("the webhook that reads configurations");
    assert_eq!(
        of_config["namespaceSelector"],
        json!({"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}})
    );
    let condition = of_config["matchConditions"][0]["expression"]
        .as_str()
        .unwrap_or_default();
    assert_eq!(
        condition,
        format!("request.name == {:?}", flag("cnbi-webhook", "--config-map"))
    );

    for program in ["cnbi-webhook", "cnbi-controller"] {
        let line = std::iter::once(program).chain(args(container(program)));
        match program {
            "cnbi-webhook" => WebhookArgs::try_parse_from(line).map(drop)?,
            _ => ControllerArgs::try_parse_from(line).map(drop)?,
        }
    }
    Ok(())
}

#[tokio::test]
async fn another_namespace_is_named_in_one_place() -> Outcome {
    let cluster = ControlPlane::shared().await?;
    let folder = tempfile::tempdir_in(cluster.data())?;
    copy(&shipped::deploy(), folder.path())?;
    let copied = folder.path().join("overlays/default");
    let file = copied.join("kustomization.yaml");
    let text = fs::read_to_string(&file)?;
    assert_eq!(text.matches(NAMESPACE).count(), 1);
    fs::write(&file, text.replace(NAMESPACE, "elsewhere"))?;
    for object in rendered(cluster, &copied).await? {
        let text = object.to_string();
        assert!(!text.contains(NAMESPACE), "{text}");
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Client-side, as most people apply, on a control plane of its own because what is applied is the cluster's.
#[tokio::test]
async fn applied_again_nothing_changes() -> Outcome {
    let cluster = ControlPlane::start().await?;
    let overlay = overlay();
    let apply = || {
        cluster
            .kubectl()
            .args([Path::new("apply"), Path::new("-k"), &overlay])
            .ok()
    };
    apply().await?;
    let versions = || async {
        let text = cluster
            .kubectl()
            .args([Path::new("get"), Path::new("-o=json"), Path::new("-k"), &overlay])
            .ok()
            .await?;
        let objects: Value = serde_json::from_str(&text)?;
        let version = |object: &Value| format!("{} {}", object["kind"], object["metadata"]["resourceVersion"]);
        // Its status goes on changing by itself until it is established.
        let settled = list(&objects["items"])
            .iter()
            .filter(|object| object["kind"] != "CustomResourceDefinition");
        Ok::<Vec<String>, Box<dyn std::error::Error>>(settled.map(version).collect())
    };
    let before = versions().await?;
    assert!(before.len() > 10, "{before:?}");
    let said = apply().await?;
    // kubectl patches the selector of this kind every time, which changes nothing, as the versions show.
    for line in said
        .lines()
        .filter(|line| !line.starts_with("poddisruptionbudget.policy/"))
    {
        assert!(line.ends_with(" unchanged"), "{line}");
    }
    assert_eq!(versions().await?, before);

    // A field that the API server fills in would be a difference to whoever compares.
    let objects = rendered(&cluster, &overlay).await?;
    for kind in ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
        let live = cluster
            .kubectl()
            .args(["get", kind, "cnbi-webhook", "-o=json"])
            .ok()
            .await?;
        let live: Value = serde_json::from_str(&live)?;
        assert_eq!(live["webhooks"], one(&objects, kind, "cnbi-webhook")["webhooks"]);
    }
    Ok(())
}

/// As GitOps tools apply and compare.
#[tokio::test]
async fn applied_by_the_server_nothing_drifts() -> Outcome {
    let cluster = ControlPlane::start().await?;
    let overlay = overlay();
    let kubectl = |command: &str| {
        cluster.kubectl().args([
            Path::new(command),
            Path::new("--server-side"),
            Path::new("-k"),
            &overlay,
        ])
    };
    kubectl("apply").ok().await?;
    let difference = kubectl("diff").run().await?;
    assert!(difference.success, "{}{}", difference.stdout, difference.stderr);
    Ok(())
}

/// Both programs as they are deployed, with the rights that stand in these files and no others.
#[tokio::test]
async fn what_is_installed_works_with_the_rights_it_has() -> Outcome {
    let cluster = ControlPlane::start().await?;
    let installation = Installation::install(&cluster, shipped::default(Some("works"))).await?;
    let _replicas = installation.start_all(WITHIN).await?;
    installation.create_namespace("team-a").await?;
    let create = |name: &str, spec: Value| {
        let resource = json!({
            "apiVersion": "meteor.zone/v1alpha1", "kind": "CustomNBImage",
            "metadata": {"name": name, "namespace": "team-a"}, "spec": spec,
        });
        cluster
            .kubectl()
            .args(["create", "-f", "-"])
            .stdin(resource.to_string())
            .run()
    };
    // The API server learns of the bundle by a watch; until then it lets nothing through.
    let begin = Instant::now();
    let image = "quay.io/thoth-station/s2i-minimal-py38-notebook:v0.2.2";
    loop {
        let answer = create("good", json!({"buildType": "ImageImport", "fromImage": image})).await?;
        if answer.success {
            break;
        }
        assert!(answer.stderr.contains("failed calling webhook"), "{}", answer.stderr);
        assert!(begin.elapsed() < WITHIN, "{}", answer.stderr);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let secret = json!({"buildType": "ImageImport", "fromImage": image, "imagePullSecret": {"name": "missing"}});
    let refused = create("bad", secret).await?;
    assert!(
        !refused.success && refused.stderr.contains("[CNB110]"),
        "{}",
        refused.stderr
    );

    // By now the bundle stands in the configurations, under another manager than the files.
    let said = installation.apply_again().await?;
    let configurations: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("webhookconfiguration"))
        .collect();
    assert_eq!(configurations.len(), 2, "{said}");
    assert!(configurations.iter().all(|line| line.ends_with(" unchanged")), "{said}");
    let name = installation.name_of("cnbi-webhook");
    for kind in ["mutatingwebhookconfiguration", "validatingwebhookconfiguration"] {
        let bundles = [
            "get",
            kind,
            &name,
            "-o",
            "jsonpath={.webhooks[*].clientConfig.caBundle}",
        ];
        assert!(!cluster.kubectl().args(bundles).ok().await?.is_empty(), "{kind}");
    }

    let wait = [
        "-n",
        "team-a",
        "wait",
        "customnbimage/good",
        "--for=condition=WellFormed",
        "--timeout=30s",
    ];
    cluster.kubectl().args(wait).ok().await?;
    let read = [
        "-n",
        "team-a",
        "get",
        "customnbimage/good",
        "-o=jsonpath={.spec.targetNamespace}",
    ];
    assert_eq!(cluster.kubectl().args(read).ok().await?, "opendatahub");

    let own = format!("system:serviceaccounts:{}", installation.namespace());
    for line in fs::read_to_string(cluster.audit_log())?.lines() {
        let Ok(event) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        let is_ours = list(&event["user"]["groups"]).iter().any(|group| *group == *own);
        assert!(!is_ours || event["responseStatus"]["code"] != 403, "{event}");
    }
    Ok(())
}

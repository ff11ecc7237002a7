//! The manifests alone: consistent names, minimal permissions with reasons, differences between overlays.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use cnbi_controller::args::Args as ControllerArgs;
use cnbi_shared::config::{Config, SHIPPED};
use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::installation::shipped;
use cnbi_webhook::args::Args as WebhookArgs;
use serde_json::{Value, json};

use super::{NAMESPACE, OVERLAYS, Outcome, list, one, overlay, rendered};

#[test]
fn every_permission_has_a_reason_and_is_minimal() -> Outcome {
    let mut rules = 0;
    let mut read = Vec::new();
    manifests(&shipped::deploy(), &mut read)?;
    manifests(&shipped::deploy().join("../pipelines/tekton"), &mut read)?;
    for path in read {
        let text = fs::read_to_string(&path)?;
        if !text.contains("kind: ClusterRole\n") && !text.contains("kind: Role\n") {
            continue;
        }
        let file = path.display();
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
        "the number of parsed rules differs from the number of rules in the manifests"
    );
    Ok(())
}

/// All manifests in a folder, except kustomize's own files and the generated definition.
fn manifests(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "crd" {
            manifests(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml") && name != "kustomization.yaml" {
            found.push(path);
        }
    }
    Ok(())
}

#[test]
fn the_config_map_equals_the_built_in_default() -> Outcome {
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
    for name in OVERLAYS {
        names_and_ports_of(&rendered(cluster, &overlay(name)).await?);
    }
    Ok(())
}

fn names_and_ports_of(objects: &[Value]) {
    for kind in ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
        for webhook in list(&one(objects, kind, "cnbi-webhook")["webhooks"]) {
            let reference = &webhook["clientConfig"]["service"];
            let service = one(objects, "Service", reference["name"].as_str().unwrap_or_default());
            assert_eq!(reference["namespace"], service["metadata"]["namespace"]);
            let port = list(&service["spec"]["ports"])
                .iter()
                .find(|port| port["port"] == reference["port"]);
            assert_eq!(port.expect("the Service has that port")["targetPort"], "https");
        }
    }
    for name in ["cnbi-webhook", "cnbi-controller"] {
        let deployment = one(objects, "Deployment", name);
        let pod = &deployment["spec"]["template"];
        let container = &pod["spec"]["containers"][0];
        let service = one(objects, "Service", name);
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
            one(objects, "ServiceAccount", name)["metadata"]["name"]
        );
    }
}

fn args(container: &Value) -> Vec<&str> {
    list(&container["args"]).iter().filter_map(Value::as_str).collect()
}

/// The objects in a program's configuration exist, and its RBAC covers only them, with and without a name prefix.
#[tokio::test]
async fn flags_name_existing_objects() -> Outcome {
    let cluster = ControlPlane::shared().await?;
    flags_of(&rendered(cluster, &overlay("default")).await?, "")?;
    let folder = tempfile::tempdir_in(cluster.data())?;
    copy(&shipped::deploy(), folder.path())?;
    let outer = folder.path().join("outer");
    fs::create_dir(&outer)?;
    fs::write(
        outer.join("kustomization.yaml"),
        "resources: [../overlays/odh]\nnamePrefix: odh-\nnamespace: elsewhere\n",
    )?;
    let objects = rendered(cluster, &outer).await?;
    for object in &objects {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let is_definition = object["kind"] == "CustomResourceDefinition";
        assert!(name.starts_with("odh-") || is_definition, "{object}");
        assert!(!object.to_string().contains("cnbi-system"), "{object}");
    }
    flags_of(&objects, "odh-")
}

fn flags_of(objects: &[Value], prefix: &str) -> Outcome {
    let own = |name: &str| format!("{prefix}{name}");
    let container = |name: &str| &one(objects, "Deployment", &own(name))["spec"]["template"]["spec"]["containers"][0];
    let may = |kind: &str, program: &str, resource: &str| {
        let rules = list(&one(objects, kind, &own(program))["rules"]).iter();
        rules
            .filter(|rule| list(&rule["resources"]).iter().any(|listed| listed == resource))
            .flat_map(|rule| list(&rule["resourceNames"]).to_vec())
            .collect::<Vec<_>>()
    };
    let flag = |program: &str, name: &str| -> String {
        let args = args(container(program));
        let found = args.iter().enumerate().find_map(|(position, argument)| {
            match argument.strip_prefix(name)?.strip_prefix('=') {
                Some(value) => Some(value),
                None => args.get(position + 1).copied(),
            }
        });
        found.unwrap_or_else(|| panic!("{program} has no {name}")).to_owned()
    };

    for program in ["cnbi-webhook", "cnbi-controller"] {
        let config_map = flag(program, "--config-map");
        one(objects, "ConfigMap", &config_map);
        assert_eq!(may("Role", program, "configmaps"), [json!(config_map)]);
    }
    assert_eq!(
        may("Role", "cnbi-webhook-certificates", "secrets"),
        [json!(flag("cnbi-webhook", "--ca-secret"))]
    );
    one(objects, "Service", &flag("cnbi-webhook", "--service"));
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
        one(objects, kind, &configuration);
        assert_eq!(
            may("ClusterRole", "cnbi-webhook-certificates", resource),
            [json!(configuration)]
        );
    }
    let lease = may("Role", "cnbi-controller", "leases");
    let line = std::iter::once("cnbi-controller").chain(args(container("cnbi-controller")));
    assert_eq!(
        lease,
        [json!(ControllerArgs::try_parse_from(line)?.election.lease_name)]
    );
    let line = std::iter::once("cnbi-webhook").chain(args(container("cnbi-webhook")));
    WebhookArgs::try_parse_from(line)?;

    let validating = one(objects, "ValidatingWebhookConfiguration", &own("cnbi-webhook"));
    let of_config = list(&validating["webhooks"])
        .iter()
        .find(|webhook| webhook["failurePolicy"] == "Ignore");
    let of_config = of_config.expect("the webhook that reads configurations");
    let condition = of_config["matchConditions"][0]["expression"].as_str();
    let suffix = condition.and_then(|text| text.strip_prefix("request.name.endsWith(\"")?.strip_suffix("\")"));
    let config_map = flag("cnbi-webhook", "--config-map");
    assert!(config_map.ends_with(suffix.expect("a condition about the name")));
    let selected = &of_config["namespaceSelector"];
    let own = json!({"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}});
    assert!(
        *selected == if prefix.is_empty() { own } else { json!({}) },
        "{selected}"
    );
    Ok(())
}

#[tokio::test]
async fn the_namespace_is_set_in_one_place() -> Outcome {
    let cluster = ControlPlane::shared().await?;
    let folder = tempfile::tempdir_in(cluster.data())?;
    copy(&shipped::deploy(), folder.path())?;
    let file = folder.path().join("overlays/default/system/kustomization.yaml");
    let text = fs::read_to_string(&file)?;
    assert_eq!(text.matches(NAMESPACE).count(), 1);
    fs::write(&file, text.replace(NAMESPACE, "elsewhere"))?;
    for name in ["default", "cert-manager", "openshift", "dev"] {
        for object in rendered(cluster, &folder.path().join("overlays").join(name)).await? {
            let text = object.to_string();
            assert!(!text.contains(NAMESPACE), "{name}: {text}");
        }
    }
    Ok(())
}

/// Only the source of the certificates may differ.
#[tokio::test]
async fn overlays_differ_only_in_certificates() -> Outcome {
    let cluster = ControlPlane::shared().await?;
    let id = |object: &Value| format!("{} {}", object["kind"], object["metadata"]["name"]);
    let plain = rendered(cluster, &overlay("default")).await?;
    for (name, annotation, value) in [
        (
            "cert-manager",
            "cert-manager.io/inject-ca-from",
            "cnbi-system/cnbi-webhook",
        ),
        ("openshift", "service.beta.openshift.io/inject-cabundle", "true"),
    ] {
        let mut mounted = rendered(cluster, &overlay(name)).await?;
        mounted.retain(|object| {
            !object["apiVersion"]
                .as_str()
                .unwrap_or_default()
                .starts_with("cert-manager.io/")
        });
        let mut expected = plain.clone();
        expected.retain(|object| object["metadata"]["name"] != "cnbi-webhook-certificates");
        for object in &mut expected {
            let kind = object["kind"].as_str().unwrap_or_default();
            if kind.ends_with("WebhookConfiguration") {
                object["metadata"]["annotations"][annotation] = value.into();
            } else if name == "openshift" && kind == "Service" && object["metadata"]["name"] == "cnbi-webhook" {
                let annotations = &mut object["metadata"]["annotations"];
                annotations["service.beta.openshift.io/serving-cert-secret-name"] = "cnbi-webhook-tls".into();
            } else if kind == "Deployment" && object["metadata"]["name"] == "cnbi-webhook" {
                let pod = &mut object["spec"]["template"]["spec"];
                pod["volumes"] =
                    json!([{"name": "tls", "secret": {"secretName": "cnbi-webhook-tls", "defaultMode": 0o444}}]);
                let container = &mut pod["containers"][0];
                container["volumeMounts"] = json!([{"name": "tls", "mountPath": "/etc/cnbi/tls", "readOnly": true}]);
                let args = container["args"].as_array_mut().expect("arguments");
                let begin = args
                    .iter()
                    .position(|argument| argument == "--certs=self")
                    .expect("a source");
                let end = args
                    .iter()
                    .position(|argument| argument == "--config-map")
                    .expect("the rest");
                args.splice(begin..end, [json!("--certs=files"), json!("--certs-dir=/etc/cnbi/tls")]);
            }
        }
        for (object, expected) in mounted.iter().zip(&expected) {
            assert_eq!(object, expected, "{name}: {}", id(object));
        }
        assert_eq!(mounted.len(), expected.len(), "{name}");
    }
    Ok(())
}

/// The cert-manager component requests certificates for the host name that the API server calls, in every namespace.
#[tokio::test]
async fn the_certificate_is_for_the_service() -> Outcome {
    let cluster = ControlPlane::shared().await?;
    let objects = rendered(cluster, &overlay("cert-manager")).await?;
    let certificate = one(&objects, "Certificate", "cnbi-webhook");
    let service = &one(&objects, "Service", "cnbi-webhook")["metadata"];
    let (name, namespace) = (service["name"].as_str(), service["namespace"].as_str());
    let dialled = format!("{}.{}.svc", name.unwrap_or_default(), namespace.unwrap_or_default());
    assert_eq!(certificate["spec"]["dnsNames"][0], dialled);
    assert_eq!(certificate["spec"]["secretName"], "cnbi-webhook-tls");
    let issuer = certificate["spec"]["issuerRef"]["name"].as_str().unwrap_or_default();
    let authority = &one(&objects, "Issuer", issuer)["spec"]["ca"]["secretName"];
    assert_eq!(
        one(&objects, "Certificate", "cnbi-webhook-ca")["spec"]["secretName"],
        *authority
    );
    Ok(())
}

/// An operator's installation: only the necessary cluster-wide objects, and every parameter is applied.
#[tokio::test]
async fn odh_is_parameterized_by_one_file() -> Outcome {
    let cluster = ControlPlane::shared().await?;
    let folder = tempfile::tempdir_in(cluster.data())?;
    copy(&shipped::deploy(), folder.path())?;
    let overlay = folder.path().join("overlays/odh");
    for folder in [overlay.clone(), overlay.join("builds")] {
        for object in rendered(cluster, &folder).await? {
            assert_ne!(object["kind"], "Namespace");
            assert_ne!(object["metadata"]["name"], "cnbi-parameters");
        }
    }
    let parameters = fs::read_to_string(overlay.join("params.env"))?;
    let names: Vec<&str> = parameters
        .lines()
        .filter_map(|line| Some(line.split_once('=')?.0))
        .collect();
    assert_eq!(
        names,
        ["webhook-image", "controller-image", "target-namespace", "run-namespace"]
    );
    fs::write(
        overlay.join("params.env"),
        "webhook-image=registry.example/w@sha256:1\ncontroller-image=registry.example/c@sha256:2\n\
         target-namespace=shown\nrun-namespace=runs\n",
    )?;
    let objects = rendered(cluster, &overlay).await?;
    for (name, image) in [
        ("cnbi-webhook", "registry.example/w@sha256:1"),
        ("cnbi-controller", "registry.example/c@sha256:2"),
    ] {
        let container = &one(&objects, "Deployment", name)["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], image);
    }
    let text = one(&objects, "ConfigMap", "cnbi-config")["data"]["config.yaml"].as_str();
    let config = Config::from_yaml(text.unwrap_or_default())?;
    assert_eq!(config.target_namespace.default, "shown");
    assert_eq!(config.pipelines.run_namespace, "runs");
    Ok(())
}

pub fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
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

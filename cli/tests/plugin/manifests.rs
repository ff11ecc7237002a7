//! Manifests that are written, filled in and passed through.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::api::Api;

struct Told {
    status: i32,
    stdout: String,
    stderr: String,
}

fn run(arguments: &[&str], stdin: &str) -> Told {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kubectl-cnbi"))
        .args(arguments)
        .env("KUBECONFIG", "/nowhere")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not read its input closes it, and that is no failure here.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    Told {
        status: output.status.code().expect("no signal"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn what_is_created_is_what_somebody_would_write() {
    let told = run(
        &[
            "create",
            "packages",
            "pandas-notebook",
            "-n",
            "team-a",
            "--os",
            "ubi",
            "--os-version",
            "8",
            "--python",
            "3.10",
            "--description",
            "For: the tests",
            "pandas",
            "boto3>=1.24.0",
            "-o",
            "yaml",
        ],
        "",
    );
    let expected = "apiVersion: meteor.zone/v1alpha1
kind: CustomNBImage
metadata:
  name: pandas-notebook
  namespace: team-a
  annotations:
    opendatahub.io/notebook-image-desc: \"For: the tests\"
spec:
  buildType: PackageList
  runtimeEnvironment:
    osName: ubi
    osVersion: \"8\"
    pythonVersion: \"3.10\"
  packageVersions:
    - pandas
    - boto3>=1.24.0
";
    assert_eq!((told.status, told.stdout.as_str()), (0, expected), "{}", told.stderr);
    // Whatever is created passes the check.
    for arguments in [
        &[
            "create",
            "import",
            "a",
            "--image",
            "quay.io/a/b:v1",
            "--pull-secret",
            "p",
            "--description",
            "d",
        ][..],
        &[
            "create",
            "git",
            "a",
            "--url",
            "https://github.com/a/b",
            "--ref",
            "main",
            "--description",
            "d",
        ],
    ] {
        let told = run(&[arguments, &["-o", "yaml"]].concat(), "");
        let check = run(&["check", "-"], &told.stdout);
        assert_eq!((told.status, check.status), (0, 0), "{}{}", told.stderr, check.stdout);
        let json = run(&[arguments, &["-o", "json"]].concat(), "");
        let json: Value = serde_json::from_str(&json.stdout).unwrap();
        let yaml: Value = serde_saphyr::from_str(&told.stdout).unwrap();
        assert_eq!((&json["spec"], &json["kind"]), (&yaml["spec"], &json!("CustomNBImage")));
    }
}

#[test]
fn a_requirements_file_is_a_package_list() {
    let arguments = [
        "create",
        "packages",
        "x",
        "--builder-image",
        "quay.io/a/b:v1",
        "-r",
        "-",
        "-o",
        "json",
    ];
    let told = run(&arguments, "# list\npandas==2.2.0 --hash=sha256:ab\nnumpy  # fast\n");
    let made: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(made["spec"]["packageVersions"], json!(["pandas==2.2.0", "numpy"]));
    assert!(told.stderr.contains("hashes are left out"), "{}", told.stderr);
    let told = run(&arguments, "pandas\n--index-url https://evil\n");
    assert_eq!((told.status, told.stdout.as_str()), (2, ""));
    assert!(
        told.stderr.contains("-:2:") || told.stderr.contains(":2: the option --index-url"),
        "{}",
        told.stderr
    );
}

#[test]
fn what_would_be_refused_is_not_created() {
    let told = run(&["create", "import", "x", "--image", "quay.io/a/b"], "");
    assert_eq!((told.status, told.stdout.as_str()), (1, ""));
    assert!(told.stderr.contains("Deny CNB103 spec.fromImage"), "{}", told.stderr);
    for arguments in [
        &["create", "packages", "x", "pandas"][..],
        &["create", "packages", "x", "--builder-image", "a:b"],
        &["create", "packages", "x", "--os", "ubi", "pandas"],
        &["create"],
    ] {
        assert_eq!(run(arguments, "").status, 2, "{arguments:?}");
    }
}

#[tokio::test]
async fn what_the_cluster_refuses_is_told_line_by_line() {
    let api = Api::start().await;
    let refusal = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 422, "reason": "Invalid",
        "message": "refused:\n* spec.fromImage: one\u{1b}[31m\n* spec.imagePullSecret.name: two"});
    let path = "/apis/meteor.zone/v1alpha1/namespaces/team-a/customnbimages";
    api.answers.status(path, 422, &refusal);
    let arguments = [
        "create",
        "import",
        "x",
        "--image",
        "quay.io/a/b:v1",
        "--description",
        "d",
    ];
    let told = api.run(&arguments).await;
    assert_eq!((told.status, told.stdout.as_str()), (1, ""), "{}", told.stderr);
    assert!(
        told.stderr.contains("kubectl-cnbi: * spec.fromImage: one\n"),
        "{:?}",
        told.stderr
    );
    let made = json!({"apiVersion": "meteor.zone/v1alpha1", "kind": "CustomNBImage", "metadata": {"name": "x"}});
    api.answers.set(path, &made);
    let told = api.run(&arguments).await;
    assert!(
        told.stdout.starts_with("customnbimage.meteor.zone/x created\n"),
        "{}{}",
        told.stdout,
        told.stderr
    );
}

const CONFIG: &str = "targetNamespace: {default: opendatahub}\n";

#[test]
fn defaults_are_filled_in_and_the_rest_stays() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    fs::write(&config, CONFIG).unwrap();
    let config = config.to_str().unwrap();
    let text = "# ours\nkind: Other\n---\napiVersion: meteor.zone/v1alpha1\nkind: CustomNBImage\nmetadata:\n  name: a # why\nspec:\n  # what\n  buildType: ImageImport\n  fromImage: 'quay.io/a/b:v1'\n";
    let told = run(&["default", "-f", "-", "--config", config], text);
    let expected = text
        .replace(
            "  name: a",
            "  annotations:\n    opendatahub.io/notebook-image-name: a\n  name: a",
        )
        .replace("  buildType", "  targetNamespace: opendatahub\n  buildType");
    assert_eq!(
        (told.status, told.stdout.as_str()),
        (0, expected.as_str()),
        "{}",
        told.stderr
    );
    // Once more changes nothing.
    assert_eq!(
        run(&["default", "-f", "-", "--config", config], &expected).stdout,
        expected
    );
    // What nobody can add to is told.
    let shared = "apiVersion: meteor.zone/v1alpha1\nkind: CustomNBImage\nmetadata: &m {name: a}\nspec: {buildType: ImageImport}\n";
    let told = run(&["default", "-f", "-"], shared);
    assert_eq!((told.status, told.stdout.as_str()), (1, shared));
    assert!(told.stderr.contains("write it by hand"), "{}", told.stderr);
}

#[test]
fn a_resource_list_comes_out_with_results() {
    let list = |config: &str| {
        format!(
            "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems:\n- apiVersion: meteor.zone/v1alpha1\n  kind: CustomNBImage\n  metadata:\n    name: a\n    annotations:\n      config.kubernetes.io/path: dir/a.yaml\n      config.kubernetes.io/index: '1'\n  spec:\n    buildType: packagelist # slip\n    builderImage: quay.io/a/b:v1\n    packageVersions: [pandas]\n- apiVersion: v1\n  kind: Other # kept\nfunctionConfig:\n  apiVersion: v1\n  kind: ConfigMap\n  data: {{{config}}}\n"
        )
    };
    let told = run(&["function"], &list(""));
    assert_eq!(told.status, 1, "{}", told.stderr);
    let out: Value = serde_saphyr::from_str(&told.stdout).unwrap();
    assert!(
        told.stdout.starts_with(&list("")[..list("").len() - 1]),
        "items are as they were"
    );
    let results = out["results"].as_array().unwrap();
    let refused: Vec<&Value> = results.iter().filter(|result| result["severity"] == "error").collect();
    assert_eq!(refused.len(), 1, "{results:?}");
    // What only a cluster can decide is one result of a resource, and one line of all.
    let open: Vec<&Value> = results.iter().filter(|result| result["severity"] == "info").collect();
    assert_eq!((open.len(), results.len()), (1, 3), "{results:?}");
    let message = open[0]["message"].as_str().unwrap();
    assert!(
        message
            .starts_with("left to the cluster to decide: CNB004, CNB023 without the cluster's configuration; CNB012"),
        "{message}"
    );
    assert_eq!(
        (&open[0]["file"], &open[0]["field"]),
        (&refused[0]["file"], &Value::Null)
    );
    assert_eq!(told.stderr.lines().count(), 3, "{}", told.stderr);
    assert!(
        told.stderr
            .contains("left to a cluster to decide, for 1 of the CustomNBImages"),
        "{}",
        told.stderr
    );
    let refused = refused[0];
    assert_eq!(refused["file"], json!({"path": "dir/a.yaml", "index": 1}));
    assert_eq!(
        refused["field"],
        json!({"path": "spec.buildType", "currentValue": "packagelist", "proposedValue": "PackageList"})
    );
    assert_eq!(
        (&refused["tags"]["rule"], &refused["resourceRef"]["name"]),
        (&json!("CNB000"), &json!("a"))
    );
    // Where they refuse, each is told.
    let strict = run(&["function"], &list("strict: 'true'"));
    let out: Value = serde_saphyr::from_str(&strict.stdout).unwrap();
    let all = out["results"].as_array().unwrap();
    assert!(
        all.len() > 2 && all.iter().all(|result| result["tags"]["rule"].is_string()),
        "{all:?}"
    );
    assert!(!strict.stderr.contains("left to a cluster"), "{}", strict.stderr);
    // The mutator mends it and fills in defaults.
    let all = "fix: 'true', default: 'true', config.yaml: 'targetNamespace: {default: odh}'";
    let told = run(&["function"], &list(all));
    let out: Value = serde_saphyr::from_str(&told.stdout).unwrap();
    assert_eq!(told.status, 0, "{}{}", told.stderr, told.stdout);
    assert_eq!(out["items"][0]["spec"]["buildType"], "PackageList");
    assert_eq!(out["items"][0]["spec"]["targetNamespace"], "odh");
    assert_eq!(
        out["items"][0]["metadata"]["annotations"]["opendatahub.io/notebook-image-name"],
        "a"
    );
    assert!(told.stdout.contains("# slip") && told.stdout.contains("# kept"));
    // JSON goes in and out as well.
    let json = serde_json::to_string(&serde_saphyr::from_str::<Value>(&list(all)).unwrap()).unwrap();
    let told = run(&["function"], &json);
    let out: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(out["items"][0]["spec"]["targetNamespace"], "odh");
    for wrong in ["kind: Other\n", "kind: [", &list("fix: maybe")] {
        assert_eq!(run(&["function"], wrong).status, 2, "{wrong}");
    }
}

#[test]
fn completion_is_for_kubectl_too() {
    let script = run(&["completion", "kubectl"], "");
    assert!(script.stdout.starts_with("#!/bin/sh\n") && script.stdout.contains("kubectl-cnbi __complete \"$@\""));
    for shell in ["bash", "zsh", "fish"] {
        assert!(run(&["completion", shell], "").stdout.contains("audit"), "{shell}");
    }
    let told = run(&["__complete", "exp"], "");
    assert_eq!(
        told.stdout,
        "explain\tExplain a rule, a field, a condition or a reason\n:4\n"
    );
    let told = run(&["__complete", "status", ""], "");
    assert_eq!(
        (told.status, told.stdout.as_str(), told.stderr.as_str()),
        (0, ":4\n", "")
    );
}

#[test]
fn what_has_a_name_is_explained() {
    assert!(run(&["explain", "CNB103"], "").stdout.contains("image-tagged"));
    assert!(run(&["explain", "spec.fromImage"], "").stdout.contains("CNB102"));
    assert!(
        run(&["explain", "RegistryUnauthorized"], "")
            .stdout
            .contains("permanent")
    );
    assert!(run(&["explain"], "").stdout.contains("ImageValidated"));
    let told = run(&["explain", "x\u{1b}[31m"], "");
    assert_eq!(told.status, 2);
    assert!(!told.stderr.contains('\u{1b}'));
    for (slip, meant) in [
        ("Redy", "Ready"),
        ("spec.fromImag", "spec.fromImage"),
        ("image-taged", "image-tagged"),
        ("RegistryUnauthorised", "RegistryUnauthorized"),
    ] {
        let told = run(&["explain", slip], "");
        assert_eq!(told.status, 2);
        assert!(
            told.stderr.contains(&format!("did you mean {meant}?")),
            "{slip}: {}",
            told.stderr
        );
    }
    for nothing in ["", "nonsense", "CNB888", &"x".repeat(100_000)] {
        let told = run(&["explain", nothing], "");
        assert!(
            told.status == 2 && !told.stderr.contains("did you mean"),
            "{}",
            told.stderr
        );
    }
}

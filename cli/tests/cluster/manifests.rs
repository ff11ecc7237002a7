//! Tests of commands that create, complete or pass through manifests.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::api::Api;

struct Outcome {
    status: i32,
    stdout: String,
    stderr: String,
}

fn run(arguments: &[&str], stdin: &str) -> Outcome {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kubectl-cnbi"))
        .args(arguments)
        .env("KUBECONFIG", "/nowhere")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not read its input closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    Outcome {
        status: output.status.code().expect("no signal"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn create_prints_a_manifest() {
    let output = run(
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
    assert_eq!(
        (output.status, output.stdout.as_str()),
        (0, expected),
        "{}",
        output.stderr
    );
    // Created manifests pass the check.
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
        let output = run(&[arguments, &["-o", "yaml"]].concat(), "");
        let check = run(&["check", "-"], &output.stdout);
        assert_eq!(
            (output.status, check.status),
            (0, 0),
            "{}{}",
            output.stderr,
            check.stdout
        );
        let json = run(&[arguments, &["-o", "json"]].concat(), "");
        let json: Value = serde_json::from_str(&json.stdout).unwrap();
        let yaml: Value = serde_saphyr::from_str(&output.stdout).unwrap();
        assert_eq!((&json["spec"], &json["kind"]), (&yaml["spec"], &json!("CustomNBImage")));
    }
}

#[test]
fn requirements_files_become_package_lists() {
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
    let output = run(&arguments, "# list\npandas==2.2.0 --hash=sha256:ab\nnumpy  # fast\n");
    let made: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(made["spec"]["packageVersions"], json!(["pandas==2.2.0", "numpy"]));
    assert!(output.stderr.contains("hashes are ignored"), "{}", output.stderr);
    let output = run(&arguments, "pandas\n--index-url https://evil\n");
    assert_eq!((output.status, output.stdout.as_str()), (2, ""));
    assert!(
        output.stderr.contains("-:2:") || output.stderr.contains(":2: the option --index-url"),
        "{}",
        output.stderr
    );
}

#[test]
fn rejected_resources_are_not_created() {
    let output = run(&["create", "import", "x", "--image", "quay.io/a/b"], "");
    assert_eq!((output.status, output.stdout.as_str()), (1, ""));
    assert!(
        output.stderr.contains("Deny CNB103 spec.fromImage"),
        "{}",
        output.stderr
    );
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
async fn rejections_of_the_cluster_are_printed_line_by_line() {
    let api = Api::start().await;
    let refusal = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 422, "reason": "Invalid",
        "message": "refused:\n* spec.fromImage: one\u{1b}[31m\n* spec.imagePullSecret.name: two"});
    let path = "/apis/meteor.zone/v1alpha1/namespaces/team-a/customnbimages";
    api.responses.status(path, 422, &refusal);
    let arguments = [
        "create",
        "import",
        "x",
        "--image",
        "quay.io/a/b:v1",
        "--description",
        "d",
    ];
    let output = api.run(&arguments).await;
    assert_eq!((output.status, output.stdout.as_str()), (1, ""), "{}", output.stderr);
    assert!(
        output.stderr.contains("kubectl-cnbi: * spec.fromImage: one\n"),
        "{:?}",
        output.stderr
    );
    let made = json!({"apiVersion": "meteor.zone/v1alpha1", "kind": "CustomNBImage", "metadata": {"name": "x"}});
    api.responses.set(path, &made);
    let output = api.run(&arguments).await;
    assert!(
        output.stdout.starts_with("customnbimage.meteor.zone/x created\n"),
        "{}{}",
        output.stdout,
        output.stderr
    );
}

const CONFIG: &str = "targetNamespace: {default: opendatahub}\n";

#[test]
fn defaults_are_added_and_the_rest_is_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    fs::write(&config, CONFIG).unwrap();
    let config = config.to_str().unwrap();
    let text = "# ours\nkind: Other\n---\napiVersion: meteor.zone/v1alpha1\nkind: CustomNBImage\nmetadata:\n  name: a # why\nspec:\n  # what\n  buildType: ImageImport\n  fromImage: 'quay.io/a/b:v1'\n";
    let output = run(&["default", "-f", "-", "--config", config], text);
    let expected = text
        .replace(
            "  name: a",
            "  annotations:\n    opendatahub.io/notebook-image-name: a\n  name: a",
        )
        .replace("  buildType", "  targetNamespace: opendatahub\n  buildType");
    assert_eq!(
        (output.status, output.stdout.as_str()),
        (0, expected.as_str()),
        "{}",
        output.stderr
    );
    // A second run changes nothing.
    assert_eq!(
        run(&["default", "-f", "-", "--config", config], &expected).stdout,
        expected
    );
    // Defaults cannot be added to an anchored object.
    let shared = "apiVersion: meteor.zone/v1alpha1\nkind: CustomNBImage\nmetadata: &m {name: a}\nspec: {buildType: ImageImport}\n";
    let output = run(&["default", "-f", "-"], shared);
    assert_eq!((output.status, output.stdout.as_str()), (1, shared));
    assert!(output.stderr.contains("write it by hand"), "{}", output.stderr);
}

#[test]
fn function_returns_a_resource_list_with_results() {
    let list = |config: &str| {
        format!(
            "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems:\n- apiVersion: meteor.zone/v1alpha1\n  kind: CustomNBImage\n  metadata:\n    name: a\n    annotations:\n      config.kubernetes.io/path: dir/a.yaml\n      config.kubernetes.io/index: '1'\n  spec:\n    buildType: packagelist # slip\n    builderImage: quay.io/a/b:v1\n    packageVersions: [pandas]\n- apiVersion: v1\n  kind: Other # kept\nfunctionConfig:\n  apiVersion: v1\n  kind: ConfigMap\n  data: {{{config}}}\n"
        )
    };
    let output = run(&["function"], &list(""));
    assert_eq!(output.status, 1, "{}", output.stderr);
    let out: Value = serde_saphyr::from_str(&output.stdout).unwrap();
    assert!(
        output.stdout.starts_with(&list("")[..list("").len() - 1]),
        "items are unchanged"
    );
    let results = out["results"].as_array().unwrap();
    let rejected: Vec<&Value> = results.iter().filter(|result| result["severity"] == "error").collect();
    assert_eq!(rejected.len(), 1, "{results:?}");
    // Rules that were not checked are one result per resource, and one line on stderr.
    let open: Vec<&Value> = results.iter().filter(|result| result["severity"] == "info").collect();
    assert_eq!((open.len(), results.len()), (1, 3), "{results:?}");
    let message = open[0]["message"].as_str().unwrap();
    assert!(
        message.starts_with("not checked: CNB004, CNB023 (needs the cluster's configuration); CNB012"),
        "{message}"
    );
    assert_eq!(
        (&open[0]["file"], &open[0]["field"]),
        (&rejected[0]["file"], &Value::Null)
    );
    assert_eq!(output.stderr.lines().count(), 3, "{}", output.stderr);
    assert!(
        output
            .stderr
            .contains("not all rules were checked for 1 CustomNBImages"),
        "{}",
        output.stderr
    );
    let rejected = rejected[0];
    assert_eq!(rejected["file"], json!({"path": "dir/a.yaml", "index": 1}));
    assert_eq!(
        rejected["field"],
        json!({"path": "spec.buildType", "currentValue": "packagelist", "proposedValue": "PackageList"})
    );
    assert_eq!(
        (&rejected["tags"]["rule"], &rejected["resourceRef"]["name"]),
        (&json!("CNB000"), &json!("a"))
    );
    // With strict, each is an error.
    let strict = run(&["function"], &list("strict: 'true'"));
    let out: Value = serde_saphyr::from_str(&strict.stdout).unwrap();
    let all = out["results"].as_array().unwrap();
    assert!(
        all.len() > 2 && all.iter().all(|result| result["tags"]["rule"].is_string()),
        "{all:?}"
    );
    assert!(!strict.stderr.contains("not all rules"), "{}", strict.stderr);
    // Fixes and defaults.
    let all = "fix: 'true', default: 'true', config.yaml: 'targetNamespace: {default: odh}'";
    let output = run(&["function"], &list(all));
    let out: Value = serde_saphyr::from_str(&output.stdout).unwrap();
    assert_eq!(output.status, 0, "{}{}", output.stderr, output.stdout);
    assert_eq!(out["items"][0]["spec"]["buildType"], "PackageList");
    assert_eq!(out["items"][0]["spec"]["targetNamespace"], "odh");
    assert_eq!(
        out["items"][0]["metadata"]["annotations"]["opendatahub.io/notebook-image-name"],
        "a"
    );
    assert!(output.stdout.contains("# slip") && output.stdout.contains("# kept"));
    // Also for JSON.
    let json = serde_json::to_string(&serde_saphyr::from_str::<Value>(&list(all)).unwrap()).unwrap();
    let output = run(&["function"], &json);
    let out: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(out["items"][0]["spec"]["targetNamespace"], "odh");
    for wrong in ["kind: Other\n", "kind: [", &list("fix: maybe")] {
        assert_eq!(run(&["function"], wrong).status, 2, "{wrong}");
    }
}

#[test]
fn completion_scripts_exist_for_shells_and_kubectl() {
    let script = run(&["completion", "kubectl"], "");
    assert!(script.stdout.starts_with("#!/bin/sh\n") && script.stdout.contains("kubectl-cnbi __complete \"$@\""));
    for shell in ["bash", "zsh", "fish"] {
        assert!(run(&["completion", shell], "").stdout.contains("audit"), "{shell}");
    }
    let output = run(&["__complete", "exp"], "");
    assert_eq!(
        output.stdout,
        "explain\tExplain a rule, a field, a condition or a reason\n:4\n"
    );
    let output = run(&["__complete", "status", ""], "");
    assert_eq!(
        (output.status, output.stdout.as_str(), output.stderr.as_str()),
        (0, ":4\n", "")
    );
}

#[test]
fn names_are_explained_and_misspelled_names_suggested() {
    assert!(run(&["explain", "CNB103"], "").stdout.contains("image-tagged"));
    assert!(run(&["explain", "spec.fromImage"], "").stdout.contains("CNB102"));
    assert!(
        run(&["explain", "RegistryUnauthorized"], "")
            .stdout
            .contains("permanent")
    );
    assert!(run(&["explain"], "").stdout.contains("ImageValidated"));
    let output = run(&["explain", "x\u{1b}[31m"], "");
    assert_eq!(output.status, 2);
    assert!(!output.stderr.contains('\u{1b}'));
    for (slip, closest_name) in [
        ("Redy", "Ready"),
        ("spec.fromImag", "spec.fromImage"),
        ("image-taged", "image-tagged"),
        ("RegistryUnauthorised", "RegistryUnauthorized"),
    ] {
        let output = run(&["explain", slip], "");
        assert_eq!(output.status, 2);
        assert!(
            output.stderr.contains(&format!("did you mean {closest_name}?")),
            "{slip}: {}",
            output.stderr
        );
    }
    for nothing in ["", "nonsense", "CNB888", &"x".repeat(100_000)] {
        let output = run(&["explain", nothing], "");
        assert!(
            output.status == 2 && !output.stderr.contains("did you mean"),
            "{}",
            output.stderr
        );
    }
}

//! Tests of `kubectl cnbi check` in a repository: output formats, `--fix`, `--facts` and `--config`.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

struct Outcome {
    status: i32,
    stdout: String,
    stderr: String,
}

fn check(folder: &Path, arguments: &[&str]) -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_kubectl-cnbi"))
        .arg("check")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    Outcome {
        status: output.status.code().expect("no signal"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn repository(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// Errors with and without a fix, and everything that a YAML writer could lose: BOM, line ends, comments, quotes, spaces.
const FIXABLE: &str = "\u{feff}# Our notebook.\r
apiVersion: meteor.zone/v1alpha1 # the group\r
kind: CustomNBImage\r
metadata:\r
    name:   pandas-notebook\r
    annotations: {opendatahub.io/notebook-image-desc: 'é', x: \"y\"}\r
spec:\r
    buildType: packagelist   # a slip\r
    packageVersions:\r
    # in this order\r
    - 'pandas=1.2'\r
    -   numpy\r
    - \"-r x.txt\"\r
    runtimeEnvironment: {osName: ubi, osVersion: 8, pythonVersion: 3.10} # both are numbers\r
";

#[test]
fn fix_changes_only_the_wrong_values() {
    let folder = repository(&[("a.yaml", FIXABLE), ("b.yaml", "kind: Other\na: packagelist\n")]);
    let file = folder.path().join("a.yaml");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let result = check(folder.path(), &["--fix", ".", "-o", "json"]);
    let expected = FIXABLE
        .replace("packagelist   #", "PackageList   #")
        .replace("'pandas=1.2'", "'pandas==1.2'")
        .replace(
            "osVersion: 8, pythonVersion: 3.10}",
            "osVersion: \"8\", pythonVersion: \"3.10\"}",
        );
    assert_eq!(fs::read_to_string(&file).unwrap(), expected, "{}", result.stderr);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(result.stderr.lines().count(), 4, "{}", result.stderr);
    assert!(
        result
            .stderr
            .contains("a.yaml:8: CNB000 spec.buildType: changed \"packagelist\" to \"PackageList\""),
        "{}",
        result.stderr
    );
    // Findings without a fix are reported.
    let report: Value = serde_json::from_str(&result.stdout).unwrap();
    let findings = report["documents"][0]["findings"].as_array().unwrap();
    let denied: Vec<_> = findings.iter().filter(|finding| finding["level"] == "Deny").collect();
    assert_eq!((result.status, denied.len()), (1, 1), "{findings:?}");
    assert_eq!(
        (&denied[0]["rule"], &denied[0]["path"]),
        (&"CNB203".into(), &"spec.packageVersions[2]".into())
    );
    // A second run changes nothing.
    let again = check(folder.path(), &["--fix", ".", "-o", "json"]);
    assert_eq!((again.stdout, again.stderr.as_str()), (result.stdout, ""));
    assert_eq!(fs::read_to_string(&file).unwrap(), expected);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary files");
}

#[test]
fn ambiguous_errors_shared_values_and_names_are_not_fixed() {
    let shared = "x: &image quay.io/a b\nkind: Other\n---\napiVersion: meteor.zone/v1alpha1\nkind: CustomNBImage\nmetadata: {name: a--b}\n\
        spec:\n  buildType: &t packagelist\n  packageVersions: [*t, \"pandas\"]\n  fromImgae: x\n";
    let folder = repository(&[("a.yaml", shared)]);
    let result = check(folder.path(), &["--fix", "a.yaml"]);
    assert_eq!(result.status, 1);
    assert_eq!(
        fs::read_to_string(folder.path().join("a.yaml")).unwrap(),
        shared,
        "{}",
        result.stderr
    );
    let result = check(folder.path(), &["--fix", "-"]);
    assert_eq!(result.status, 2);
    assert!(result.stderr.contains("standard input"), "{}", result.stderr);
}

const PRIVATE: &str = "apiVersion: meteor.zone/v1alpha1
kind: CustomNBImage
metadata: {name: private, namespace: team-a, annotations: {opendatahub.io/notebook-image-desc: d}}
spec: {buildType: ImageImport, fromImage: 'quay.io/a/b:v1', imagePullSecret: {name: pull}, targetNamespace: odh}
";
const SECRET: &str = "apiVersion: v1
kind: Secret
metadata: {name: pull}
type: kubernetes.io/dockerconfigjson
stringData: {.dockerconfigjson: '{\"auths\":{\"HOST\":{\"auth\":\"c2VjcmV0\"}}}'}
";

fn not_checked(report: &Value) -> Vec<&str> {
    let rules = report["documents"][0]["notChecked"].as_array().unwrap();
    rules.iter().map(|rule| rule["rule"].as_str().unwrap()).collect()
}

#[test]
fn facts_from_manifests_are_used() {
    let fits = SECRET.replace("HOST", "quay.io");
    let other = SECRET.replace("HOST", "ghcr.io");
    let opaque = fits.replace("kubernetes.io/dockerconfigjson", "Opaque");
    for (secret, rule) in [(&fits, None), (&other, Some("CNB112")), (&opaque, Some("CNB111"))] {
        let folder = repository(&[("notebooks/a.yaml", PRIVATE), ("secrets/s.yaml", secret)]);
        let without: Value = serde_json::from_str(&check(folder.path(), &["notebooks", "-o", "json"]).stdout).unwrap();
        assert!(not_checked(&without).contains(&"CNB110"), "{without}");
        let arguments = ["notebooks", "--facts", "secrets", "-n", "team-a", "-o", "json"];
        let result = check(folder.path(), &arguments);
        let report: Value = serde_json::from_str(&result.stdout).unwrap();
        assert!(
            !not_checked(&report)
                .iter()
                .any(|rule| ["CNB110", "CNB111", "CNB112"].contains(rule)),
            "{report}"
        );
        let findings = report["documents"][0]["findings"].as_array().unwrap();
        let found: Vec<_> = findings
            .iter()
            .map(|finding| finding["rule"].as_str().unwrap())
            .collect();
        assert_eq!(found, rule.into_iter().collect::<Vec<_>>());
        assert!(!result.stdout.contains("c2VjcmV0"));
        // The Secret of another namespace is unknown.
        let result = check(folder.path(), &["notebooks", "--facts", "secrets", "-o", "json"]);
        assert!(not_checked(&serde_json::from_str(&result.stdout).unwrap()).contains(&"CNB110"));
    }
    let result = check(Path::new("/"), &["/dev/null", "--facts", "/nowhere"]);
    assert_eq!(result.status, 2);
    assert!(result.stderr.contains("--facts /nowhere"), "{}", result.stderr);
}

#[test]
fn config_accepts_a_config_map() {
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cnbi-config}\ndata:\n  config.yaml: |\n    images: {allowed: [ghcr.io]}\n";
    let plain = "images: {allowed: [ghcr.io]}\n";
    let folder = repository(&[("a.yaml", PRIVATE), ("map/map.yaml", map), ("map/plain.yaml", plain)]);
    let plain = check(folder.path(), &["a.yaml", "--config", "map/plain.yaml", "-o", "json"]);
    let map = check(folder.path(), &["a.yaml", "--config", "map/map.yaml", "-o", "json"]);
    assert!(plain.stdout.contains("CNB106"), "{}{}", plain.stdout, plain.stderr);
    assert_eq!(plain.stdout, map.stdout);
}

#[test]
fn sarif_contains_rules_files_and_positions() {
    let folder = repository(&[("ä b/a.yaml", FIXABLE), ("broken.yaml", "{{ x }}: [")]);
    let result = check(folder.path(), &[".", "-o", "sarif"]);
    assert_eq!(result.status, 1, "{}", result.stderr);
    let log: Value = serde_json::from_str(&result.stdout).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    assert!(
        rules
            .iter()
            .all(|rule| rule["shortDescription"]["text"].is_string() && rule["help"]["markdown"].is_string())
    );
    let results = run["results"].as_array().unwrap();
    assert!(results.len() >= 3, "{results:?}");
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(
            ["error", "warning"].contains(&result["level"].as_str().unwrap()),
            "{result}"
        );
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let position = &result["locations"][0]["physicalLocation"];
        assert_eq!(position["artifactLocation"]["uri"], "%C3%A4%20b/a.yaml");
        assert!(position["region"]["startLine"].as_u64().unwrap() >= 1);
        assert!(position["region"]["startColumn"].as_u64().unwrap() >= 1);
    }
    let slip = results
        .iter()
        .find(|result| result["message"]["text"].as_str().unwrap().contains("spec.buildType"));
    assert_eq!(
        slip.unwrap()["locations"][0]["physicalLocation"]["region"]["startLine"],
        8
    );
    let notes = run["invocations"][0]["toolExecutionNotifications"].as_array().unwrap();
    assert_eq!(
        (run["invocations"][0]["executionSuccessful"].as_bool(), notes.len()),
        (Some(false), 1)
    );
    // Rules that were not checked are results only with --strict.
    let strict = check(folder.path(), &[".", "-o", "sarif", "--strict"]);
    let strict: Value = serde_json::from_str(&strict.stdout).unwrap();
    assert!(strict["runs"][0]["results"].as_array().unwrap().len() > results.len());
}

#[test]
fn github_output_has_one_command_per_finding() {
    let folder = repository(&[("dir/a,b.yaml", FIXABLE)]);
    let result = check(folder.path(), &["./dir", "-o", "github"]);
    assert_eq!(result.status, 1);
    let expected = "::error file=dir/a%2Cb.yaml,line=8,col=16,title=CNB000::spec.buildType: is not a build type; write PackageList";
    assert!(result.stdout.lines().any(|line| line == expected), "{}", result.stdout);
    assert!(result.stdout.ends_with("1 checked, 1 rejected\n"), "{}", result.stdout);
}

#[test]
fn thousands_of_files_are_reported_in_order() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..2500 {
        let name = folder.path().join(format!("{:02}/n{number}.yaml", number % 40));
        fs::create_dir_all(name.parent().unwrap()).unwrap();
        fs::write(name, PRIVATE.replace("name: private", &format!("name: n{number}"))).unwrap();
    }
    let begin = std::time::Instant::now();
    let result = check(folder.path(), &[".", "-o", "json"]);
    println!("2500 files in {:?}", begin.elapsed());
    assert_eq!((result.status, result.stderr.as_str()), (0, ""));
    let report: Value = serde_json::from_str(&result.stdout).unwrap();
    let files: Vec<&str> = report["documents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|document| document["file"].as_str().unwrap())
        .collect();
    assert_eq!(files.len(), 2500);
    let mut expected = String::new();
    let mut sorted = files.clone();
    sorted.sort_unstable();
    for file in &sorted {
        let _ = writeln!(expected, "{file}");
    }
    assert_eq!(files.join("\n") + "\n", expected);
    assert_eq!(check(folder.path(), &[".", "-o", "json"]).stdout, result.stdout);
}

/// Output of `helm template`: comments with template names, empty documents, text after separators, and a List.
const RENDERED: &str = "---
# Source: notebooks/templates/empty.yaml
---
# Source: notebooks/templates/service.yaml
apiVersion: v1
kind: Service
metadata:
  name: release-name-other
---
# Source: notebooks/templates/notebook.yaml
# Written by hand.

apiVersion: meteor.zone/v1alpha1
kind: CustomNBImage
metadata:
  name: release-name-notebook
  labels:
    helm.sh/chart: notebooks-0.1.0
spec:
  buildType: ImageImport
  fromImage: \"quay.io/a/b\"
--- # of the list
# Source: notebooks/templates/list.yaml
apiVersion: v1
kind: List
items:
  - apiVersion: meteor.zone/v1alpha1
    kind: CustomNBImage
    metadata:
      name: release-name-good
    spec: {buildType: ImageImport, fromImage: quay.io/a/b:v1}
  - apiVersion: meteor.zone/v1alpha1
    kind: CustomNBImage
    metadata:
      name: release-name-bad
    spec: {buildType: packagelist}
---
# Source: notebooks/templates/last.yaml
# {{- if .Values.never }}
---
";

#[test]
fn helm_output_is_checked_with_line_numbers() {
    let folder = repository(&[
        ("rendered.yaml", RENDERED),
        ("crlf.yaml", &RENDERED.replace('\n', "\r\n")),
    ]);
    for file in ["rendered.yaml", "crlf.yaml"] {
        let result = check(folder.path(), &[file, "-o", "json"]);
        assert_eq!((result.status, result.stderr.as_str()), (1, ""), "{}", result.stdout);
        let report: Value = serde_json::from_str(&result.stdout).unwrap();
        let documents = report["documents"].as_array().unwrap();
        let found: Vec<_> = documents
            .iter()
            .map(|document| {
                let denied = document["findings"].as_array().unwrap().iter();
                let denied = denied.filter(|finding| finding["level"] == "Deny");
                let places =
                    denied.map(|finding| (finding["rule"].as_str().unwrap(), finding["line"].as_u64().unwrap()));
                (document["name"].as_str().unwrap(), places.collect::<Vec<_>>())
            })
            .collect();
        let expected = [
            ("release-name-notebook", vec![("CNB103", 21)]),
            ("release-name-good", vec![]),
            ("release-name-bad", vec![("CNB000", 36)]),
        ];
        assert_eq!(found, expected, "{report}");
    }
}

/// The arguments of all `kubectl cnbi` commands of a page.
fn commands(page: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for line in page.lines() {
        let line = line.trim().trim_start_matches("- ").trim_start_matches("run: ");
        for part in line.split(" | ") {
            let rest = ["kubectl cnbi ", "kubectl-cnbi "]
                .iter()
                .find_map(|start| part.trim().strip_prefix(start));
            if let Some(rest) = rest {
                let command = rest.split(" > ").next().unwrap_or_default();
                found.push(
                    command
                        .split(' ')
                        .map(|word| word.trim_matches('\'').to_owned())
                        .collect(),
                );
            }
        }
    }
    found
}

/// Commands and options in the documentation and in the hooks exist.
#[test]
fn documented_commands_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    let hooks: Value = serde_saphyr::from_str(&read(".pre-commit-hooks.yaml")).unwrap();
    let entries = hooks
        .as_array()
        .unwrap()
        .iter()
        .map(|hook| hook["entry"].as_str().unwrap());
    let entries = entries.collect::<Vec<_>>().join("\n");
    let pages = [
        read("docs/how-to/kubectl-cnbi.md"),
        read("docs/how-to/gitops.md"),
        entries,
    ];
    let mut count = 0;
    for words in pages.iter().flat_map(|page| commands(page)) {
        let output = Command::new(env!("CARGO_BIN_EXE_kubectl-cnbi"))
            .args(&words)
            .arg("--help")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        count += 1;
    }
    assert!(count > 20, "only {count} commands were found");
}

//! `kubectl cnbi check` in a repository of manifests: what it writes for other programs, what it mends, what it takes as known.

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

/// Three mistakes with one answer, one with none, and everything that a careless writer would lose.
const MENDABLE: &str = "\u{feff}# Our notebook.\r
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
fn one_answer_hints_are_written_back_and_nothing_else_changes() {
    let folder = repository(&[("a.yaml", MENDABLE), ("b.yaml", "kind: Other\na: packagelist\n")]);
    let file = folder.path().join("a.yaml");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let outcome = check(folder.path(), &["--fix", ".", "-o", "json"]);
    let expected = MENDABLE
        .replace("packagelist   #", "PackageList   #")
        .replace("'pandas=1.2'", "'pandas==1.2'")
        .replace(
            "osVersion: 8, pythonVersion: 3.10}",
            "osVersion: \"8\", pythonVersion: \"3.10\"}",
        );
    assert_eq!(fs::read_to_string(&file).unwrap(), expected, "{}", outcome.stderr);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(outcome.stderr.lines().count(), 4, "{}", outcome.stderr);
    assert!(
        outcome
            .stderr
            .contains("a.yaml:8: CNB000 spec.buildType: \"packagelist\" is \"PackageList\" now"),
        "{}",
        outcome.stderr
    );
    // What has no one answer is still told.
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let findings = report["documents"][0]["findings"].as_array().unwrap();
    let denied: Vec<_> = findings.iter().filter(|finding| finding["level"] == "Deny").collect();
    assert_eq!((outcome.status, denied.len()), (1, 1), "{findings:?}");
    assert_eq!(
        (&denied[0]["rule"], &denied[0]["path"]),
        (&"CNB203".into(), &"spec.packageVersions[2]".into())
    );
    // Once more, and nothing is left to do.
    let again = check(folder.path(), &["--fix", ".", "-o", "json"]);
    assert_eq!((again.stdout, again.stderr.as_str()), (outcome.stdout, ""));
    assert_eq!(fs::read_to_string(&file).unwrap(), expected);
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        2,
        "nothing is left behind"
    );
}

#[test]
fn what_is_not_one_answer_is_not_written() {
    let shared = "x: &image quay.io/a b\nkind: Other\n---\napiVersion: meteor.zone/v1alpha1\nkind: CustomNBImage\nmetadata: {name: a--b}\n\
        spec:\n  buildType: &t packagelist\n  packageVersions: [*t, \"pandas\"]\n  fromImgae: x\n";
    let folder = repository(&[("a.yaml", shared)]);
    let outcome = check(folder.path(), &["--fix", "a.yaml"]);
    assert_eq!(outcome.status, 1);
    assert_eq!(
        fs::read_to_string(folder.path().join("a.yaml")).unwrap(),
        shared,
        "{}",
        outcome.stderr
    );
    let outcome = check(folder.path(), &["--fix", "-"]);
    assert_eq!(outcome.status, 2);
    assert!(outcome.stderr.contains("standard input"), "{}", outcome.stderr);
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

fn undecided(report: &Value) -> Vec<&str> {
    let rules = report["documents"][0]["undecided"].as_array().unwrap();
    rules.iter().map(|rule| rule["rule"].as_str().unwrap()).collect()
}

#[test]
fn a_pull_secret_that_comes_with_the_change_counts() {
    let fits = SECRET.replace("HOST", "quay.io");
    let other = SECRET.replace("HOST", "ghcr.io");
    let opaque = fits.replace("kubernetes.io/dockerconfigjson", "Opaque");
    for (secret, rule) in [(&fits, None), (&other, Some("CNB112")), (&opaque, Some("CNB111"))] {
        let folder = repository(&[("notebooks/a.yaml", PRIVATE), ("secrets/s.yaml", secret)]);
        let without: Value = serde_json::from_str(&check(folder.path(), &["notebooks", "-o", "json"]).stdout).unwrap();
        assert!(undecided(&without).contains(&"CNB110"), "{without}");
        let arguments = ["notebooks", "--facts", "secrets", "-n", "team-a", "-o", "json"];
        let outcome = check(folder.path(), &arguments);
        let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert!(
            !undecided(&report)
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
        assert!(!outcome.stdout.contains("c2VjcmV0"));
        // In another namespace it is another Secret.
        let outcome = check(folder.path(), &["notebooks", "--facts", "secrets", "-o", "json"]);
        assert!(undecided(&serde_json::from_str(&outcome.stdout).unwrap()).contains(&"CNB110"));
    }
    let outcome = check(Path::new("/"), &["/dev/null", "--facts", "/nowhere"]);
    assert_eq!(outcome.status, 2);
    assert!(outcome.stderr.contains("--facts /nowhere"), "{}", outcome.stderr);
}

#[test]
fn the_config_map_is_taken_as_it_is_applied() {
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cnbi-config}\ndata:\n  config.yaml: |\n    images: {allowed: [ghcr.io]}\n";
    let plain = "images: {allowed: [ghcr.io]}\n";
    let folder = repository(&[("a.yaml", PRIVATE), ("map/map.yaml", map), ("map/plain.yaml", plain)]);
    let plain = check(folder.path(), &["a.yaml", "--config", "map/plain.yaml", "-o", "json"]);
    let map = check(folder.path(), &["a.yaml", "--config", "map/map.yaml", "-o", "json"]);
    assert!(plain.stdout.contains("CNB106"), "{}{}", plain.stdout, plain.stderr);
    assert_eq!(plain.stdout, map.stdout);
}

#[test]
fn sarif_names_rules_files_and_places() {
    let folder = repository(&[("ä b/a.yaml", MENDABLE), ("broken.yaml", "{{ x }}: [")]);
    let outcome = check(folder.path(), &[".", "-o", "sarif"]);
    assert_eq!(outcome.status, 1, "{}", outcome.stderr);
    let log: Value = serde_json::from_str(&outcome.stdout).unwrap();
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
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "%C3%A4%20b/a.yaml");
        assert!(place["region"]["startLine"].as_u64().unwrap() >= 1);
        assert!(place["region"]["startColumn"].as_u64().unwrap() >= 1);
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
    // Undecided rules refuse only where that is asked for.
    let strict = check(folder.path(), &[".", "-o", "sarif", "--strict"]);
    let strict: Value = serde_json::from_str(&strict.stdout).unwrap();
    assert!(strict["runs"][0]["results"].as_array().unwrap().len() > results.len());
}

#[test]
fn github_gets_a_command_for_each_finding() {
    let folder = repository(&[("dir/a,b.yaml", MENDABLE)]);
    let outcome = check(folder.path(), &["./dir", "-o", "github"]);
    assert_eq!(outcome.status, 1);
    let expected = "::error file=dir/a%2Cb.yaml,line=8,col=16,title=CNB000::spec.buildType: is not a build type; write PackageList";
    assert!(
        outcome.stdout.lines().any(|line| line == expected),
        "{}",
        outcome.stdout
    );
    assert!(outcome.stdout.ends_with("1 checked, 1 refused\n"), "{}", outcome.stdout);
}

#[test]
fn thousands_of_files_are_told_in_order_and_quietly() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..2500 {
        let name = folder.path().join(format!("{:02}/n{number}.yaml", number % 40));
        fs::create_dir_all(name.parent().unwrap()).unwrap();
        fs::write(name, PRIVATE.replace("name: private", &format!("name: n{number}"))).unwrap();
    }
    let begin = std::time::Instant::now();
    let outcome = check(folder.path(), &[".", "-o", "json"]);
    println!("2500 files in {:?}", begin.elapsed());
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
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
    assert_eq!(check(folder.path(), &[".", "-o", "json"]).stdout, outcome.stdout);
}

/// As `helm template` writes: each template with a comment that names it, those that came out empty as well, and whatever a chart's
/// author has written behind a separator or put into a List.
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
fn what_helm_renders_is_checked_at_its_lines() {
    let folder = repository(&[
        ("rendered.yaml", RENDERED),
        ("crlf.yaml", &RENDERED.replace('\n', "\r\n")),
    ]);
    for file in ["rendered.yaml", "crlf.yaml"] {
        let outcome = check(folder.path(), &[file, "-o", "json"]);
        assert_eq!((outcome.status, outcome.stderr.as_str()), (1, ""), "{}", outcome.stdout);
        let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
        let documents = report["documents"].as_array().unwrap();
        let told: Vec<_> = documents
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
        assert_eq!(told, expected, "{report}");
    }
}

/// The commands of a page, without `kubectl cnbi` before them.
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

/// Every command of the documentation and of the hooks is one that there is, with options that there are.
#[test]
fn what_the_documentation_says_can_be_typed() {
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

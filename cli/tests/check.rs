//! Tests of `kubectl cnbi check`: output and exit status of the program.

#![allow(clippy::format_collect, reason = "not performance critical")]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cnbi_shared::rules::examples::{Example, NAMESPACE};
use serde_json::{Value, json};

struct Outcome {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Outcome {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }
}

fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-cnbi"));
    command
        .current_dir(fixtures())
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE");
    command
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check")
}

fn run(arguments: &[&str]) -> Outcome {
    run_with(arguments, "")
}

fn run_with(arguments: &[&str], stdin: impl AsRef<[u8]>) -> Outcome {
    let mut child = binary()
        .arg("check")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let bytes = stdin.as_ref().to_owned();
    // A program that does not read its input closes the pipe.
    let writer = std::thread::spawn(move || drop(pipe.write_all(&bytes)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Outcome {
        status: output.status.code().expect("no signal"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn check_json(text: impl AsRef<[u8]>) -> Value {
    run_with(&["-", "-o", "json"], text).json()
}

/// A CustomNBImage with this spec: one line of YAML, or lines that start with a line break.
fn manifest(spec: &str) -> String {
    format!(
        "apiVersion: meteor.zone/v1alpha1\nkind: CustomNBImage\nmetadata:\n  name: x\n  namespace: team-a\nspec:{spec}\n"
    )
}

/// `(path, line, column)` of the findings of a rule, in all documents.
fn places(report: &Value, rule: &str) -> Vec<(String, u64, u64)> {
    let documents = report["documents"].as_array().unwrap();
    documents
        .iter()
        .flat_map(|document| document["findings"].as_array().unwrap())
        .filter(|finding| finding["rule"] == rule)
        .map(|finding| {
            let number = |key: &str| finding[key].as_u64().unwrap();
            (
                finding["path"].as_str().unwrap().to_owned(),
                number("line"),
                number("column"),
            )
        })
        .collect()
}

fn position(path: &str, line: u64, column: u64) -> (String, u64, u64) {
    (path.to_owned(), line, column)
}

#[test]
fn output_is_as_recorded() {
    let rewrites = std::env::var_os("UPDATE").is_some();
    let mut failures = String::new();
    for (name, arguments) in [
        ("mixed.txt", &["mixed.yaml"][..]),
        ("mixed.json", &["mixed.yaml", "-o", "json"]),
        ("clean.txt", &["clean.yaml", "--config", "config.yaml", "-n", "team-a"]),
        ("strict.txt", &["clean.yaml", "--config", "config.yaml", "--strict"]),
        ("directory.txt", &["-f", "directory"]),
        ("check-help.txt", &["--help"]),
    ] {
        let result = run(arguments);
        let output = format!("{}# exit status {}\n{}", result.stdout, result.status, result.stderr);
        let file = fixtures().join("expected").join(name);
        if rewrites {
            fs::write(&file, &output).unwrap();
        } else if fs::read_to_string(&file).unwrap_or_default() != output {
            let _ = writeln!(failures, "--- {name} differs (UPDATE=1 rewrites):\n{output}");
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn exit_status_is_0_accepted_1_rejected_2_failure() {
    for (arguments, status) in [
        (&["clean.yaml", "--config", "config.yaml"][..], 0),
        (&["-f", "clean.yaml"], 0),
        (&["clean.yaml", "--strict"], 1),
        (&["mixed.yaml"], 1),
        (&["clean.yaml", "-f", "mixed.yaml"], 1),
        (&["not-there.yaml"], 2),
        (&["mixed.yaml", "not-there.yaml"], 2),
        (&["latin1.yaml"], 2),
        (&["clean.yaml", "--config", "not-there.yaml"], 2),
        (&["clean.yaml", "--config", "clean.yaml"], 2),
        (&["clean.yaml", "--no-such-flag"], 2),
        (&["clean.yaml", "-o", "xml"], 2),
        (&["--strict"], 2),
        (&[], 2),
        (&["--help"], 0),
    ] {
        let result = run(arguments);
        assert_eq!(
            result.status, status,
            "{arguments:?}: {}{}",
            result.stdout, result.stderr
        );
    }
    for (argument, status) in [("--version", 0), ("--help", 0), ("no-such-task", 2)] {
        assert_eq!(
            binary().arg(argument).output().unwrap().status.code(),
            Some(status),
            "{argument}"
        );
    }
    let nothing = binary().output().unwrap();
    assert_eq!(nothing.status.code(), Some(2));
    assert!(
        String::from_utf8(nothing.stderr)
            .unwrap()
            .contains("Usage: kubectl cnbi")
    );
}

#[test]
fn unreadable_configuration_says_where_and_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.yaml");
    fs::write(&file, "targetNamespace:\n  defualt: x\n").unwrap();
    let result = run(&["clean.yaml", "--config", file.to_str().unwrap()]);
    assert_eq!((result.status, result.stdout.as_str()), (2, ""));
    for expected in ["config.yaml", "defualt", "line 2", "ConfigMap cnbi-config"] {
        assert!(result.stderr.contains(expected), "{expected}: {}", result.stderr);
    }
}

#[test]
fn offline_examples_of_the_rules_have_the_documented_result() {
    let mut count = 0;
    for example in Example::all().unwrap().into_iter().filter(|example| example.offline) {
        count += 1;
        let directory = tempfile::tempdir().unwrap();
        let mut arguments = vec!["-", "-o", "json", "-n", NAMESPACE];
        let file = directory.path().join("config.yaml");
        if let Some(configuration) = &example.configuration {
            fs::write(&file, configuration).unwrap();
            arguments.extend(["--config", file.to_str().unwrap()]);
        }
        let result = run_with(&arguments, example.resource.to_string());
        let report = result.json();
        let document = &report["documents"][0];
        let mut found: Vec<(&str, String, String)> = document["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| {
                let verdict = if finding["level"] == "Deny" {
                    "rejected"
                } else {
                    "warned"
                };
                let text = |key: &str| finding[key].as_str().unwrap().to_owned();
                (verdict, text("rule"), text("path"))
            })
            .collect();
        found.sort();
        let mut expected: Vec<(&str, String, String)> = example
            .expected
            .iter()
            .filter(|expected| expected.verdict != "not checked")
            .map(|expected| (expected.verdict, expected.rule.clone(), expected.path.clone()))
            .collect();
        expected.sort();
        assert_eq!(found, expected, "{}", example.title());
        let mut not_checked: Vec<&str> = document["notChecked"]
            .as_array()
            .unwrap()
            .iter()
            .map(|rule| rule["rule"].as_str().unwrap())
            .collect();
        not_checked.sort_unstable();
        let mut expected: Vec<&str> = example
            .expected
            .iter()
            .filter(|expected| expected.verdict == "not checked")
            .map(|expected| expected.rule.as_str())
            .collect();
        expected.sort_unstable();
        assert_eq!(not_checked, expected, "{}", example.title());
        assert_eq!(
            result.status,
            i32::from(found.iter().any(|(verdict, ..)| *verdict == "rejected"))
        );
    }
    assert!(count >= 3, "only {count} examples are offline");
}

#[test]
fn findings_have_the_position_of_the_value_in_every_yaml_style() {
    let wrong_version = |path: &str, line, column| vec![position(path, line, column)];
    let python = "spec.runtimeEnvironment.pythonVersion";
    for (spec, expected) in [
        (
            "\n  buildType: PackageList\n  runtimeEnvironment:\n    pythonVersion: 3.8",
            wrong_version(python, 9, 20),
        ),
        (
            " {buildType: PackageList, runtimeEnvironment: {pythonVersion: 3.8}}",
            wrong_version(python, 6, 68),
        ),
        (
            "\n  buildType: PackageList\n  packageVersions:\n  - a\n  - 1",
            wrong_version("spec.packageVersions[1]", 10, 5),
        ),
        (
            "\n  buildType: PackageList\n  packageVersions: [\"ä😀\", 1]",
            wrong_version("spec.packageVersions[1]", 8, 27),
        ),
        ("\n  buildType: 'packagelist'", wrong_version("spec.buildType", 7, 14)),
        ("\n  buildType:\n    packagelist", wrong_version("spec.buildType", 8, 5)),
        ("\n  buildType:\n  gitRef: x", wrong_version("spec.buildType", 7, 3)),
        ("\n  gitRef: x", wrong_version("spec.buildType", 6, 1)),
        (" &s {buildType: *t}", vec![]),
        (
            "\n  buildType: !!str packagelist",
            wrong_version("spec.buildType", 7, 20),
        ),
        ("\n  buildType: &a packagelist", wrong_version("spec.buildType", 7, 17)),
        (
            "\n  ? buildType\n  : packagelist",
            wrong_version("spec.buildType", 8, 5),
        ),
        (
            "\r\n  # c\r\n  buildType: packagelist",
            wrong_version("spec.buildType", 8, 14),
        ),
        (
            "\n  buildType: GitRepository\n  gitRfe: a",
            wrong_version("spec.gitRfe", 8, 3),
        ),
        (" [a]", wrong_version("spec", 6, 7)),
    ] {
        let text = manifest(spec);
        let report = check_json(&text);
        let expected = if expected.is_empty() {
            vec![position("", 6, 22)]
        } else {
            expected
        };
        assert_eq!(places(&report, "CNB000"), expected, "{text}");
    }
}

#[test]
fn numbers_and_booleans_are_reported_with_their_source_text() {
    for (written, kind, value) in [
        ("3.8", "a number", "3.8"),
        ("3.10", "a number", "3.10"),
        ("0x1F", "a number", "0x1F"),
        ("true", "a boolean", "true"),
        ("n", "a boolean in YAML", "n"),
        ("Yes", "a boolean in YAML", "Yes"),
    ] {
        for (path, spec) in [
            (
                "spec.gitRef",
                format!("\n  buildType: GitRepository\n  gitRef: {written}"),
            ),
            (
                "spec.packageVersions[0]",
                format!("\n  buildType: PackageList\n  packageVersions: [{written}]"),
            ),
        ] {
            let text = run_with(&["-"], manifest(&spec)).stdout;
            let expected = format!("Deny CNB000 {path}: `{written}` is {kind}\n    write \"{value}\"\n");
            assert!(text.contains(&expected), "{expected}:\n{text}");
        }
    }
    // Quotes do not help where an object is required.
    let text = run_with(
        &["-"],
        manifest("\n  buildType: PackageList\n  runtimeEnvironment: 3.8"),
    )
    .stdout;
    assert!(text.contains("must be an object, not a number"), "{text}");
}

#[test]
fn findings_in_json_and_in_lists_have_positions() {
    let object = r#"{"apiVersion": "meteor.zone/v1alpha1", "kind": "CustomNBImage",
  "metadata": {"name": "x"},
  "spec": {"buildType": "Ä",
    "packageVersions": ["\u00e4\ud83d\ude00\/\n", 1.50]}}"#;
    let report = check_json(format!("{object}\n{object}"));
    let of = |line| {
        vec![
            position("spec.buildType", line, 25),
            position("spec.packageVersions[1]", line + 1, 51),
        ]
    };
    assert_eq!(places(&report, "CNB000"), [of(3), of(7)].concat());
    let finding = &report["documents"][0]["findings"];
    assert!(finding.to_string().contains(r#"write \"1.50\""#), "{finding}");

    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n- kind: Secret\n- {}\n",
        manifest("\n  buildType: packagelist").replace('\n', "\n  ")
    );
    let report = check_json(&list);
    assert_eq!((&report["checked"], &report["skipped"]), (&json!(1), &json!(1)));
    assert_eq!(report["documents"][0]["line"], 5);
    assert_eq!(places(&report, "CNB000"), [position("spec.buildType", 11, 16)]);
}

#[test]
fn values_are_reported_unchanged() {
    for text in [
        "a",
        "Ä 😀 \u{202e} \" \\ \u{7f} \u{1} \n \t \u{2028} \u{fffd} \u{feff}",
        "  spaces  ",
        "{}",
        "\u{0}",
    ] {
        for spec in [
            json!({"buildType": text}).to_string(),
            // Every character beyond ASCII as an escape.
            json!({"buildType": text})
                .to_string()
                .chars()
                .map(|character| {
                    let mut units = [0; 2];
                    let escape = |unit: &u16| format!("\\u{unit:04x}");
                    match character {
                        ' '..='~' => character.to_string(),
                        _ => character.encode_utf16(&mut units).iter().map(escape).collect(),
                    }
                })
                .collect(),
        ] {
            let object = format!(
                r#"{{"apiVersion":"meteor.zone/v1alpha1","kind":"CustomNBImage","metadata":{{"name":"x"}},"spec":{spec}}}"#
            );
            let report = check_json(format!("---\n{object}\n---\n{object}\n"));
            assert_eq!(report["checked"], 2);
            for document in report["documents"].as_array().unwrap() {
                assert_eq!(
                    document["findings"].as_array().unwrap().last().unwrap()["value"],
                    text,
                    "{object}"
                );
            }
        }
    }
}

#[test]
fn an_invalid_document_does_not_hide_others() {
    let good = manifest("\n  buildType: packagelist");
    let bad = manifest("\n  a: [1\n  b: 2");
    let template = "{{- if .Values.on }}\nkind: ConfigMap\n{{- end }}\n";
    let report = check_json(format!(
        "{good}---\n{bad}---\n{template}---\n# only a comment\n---\n{good}---\nkind: X\n"
    ));
    assert_eq!(
        (&report["checked"], &report["skipped"], &report["unreadable"]),
        (&json!(3), &json!(1), &json!(1))
    );
    let syntax_error = &report["documents"][1];
    assert_eq!(
        (&syntax_error["name"], &syntax_error["namespace"]),
        (&json!("x"), &json!("team-a"))
    );
    assert_eq!(syntax_error["findings"].as_array().unwrap().len(), 1);
    assert_eq!(
        (
            &syntax_error["findings"][0]["rule"],
            &syntax_error["findings"][0]["path"]
        ),
        (&json!("CNB000"), &json!(""))
    );
    assert_eq!(syntax_error["findings"][0]["line"], 16, "{syntax_error}");
    assert_eq!(places(&report, "CNB000").len(), 3);

    // Invalid documents are rejected only if they contain the kind.
    assert_eq!(run_with(&["-"], template).status, 0);
    assert_eq!(run_with(&["-"], "# CustomNBImage\nkind: Other\na: [\n").status, 0);
    assert_eq!(run_with(&["-"], "{{ if x }}\nkind: CustomNBImage\n").status, 1);
    assert_eq!(run_with(&["-"], "kind: CustomNBImages\na: [\n").status, 0);
}

#[test]
fn mistakes_in_kind_and_version_are_reported_and_other_kinds_skipped() {
    let of = |header: &str| format!("{header}\nmetadata: {{name: x}}\nspec: {{buildType: ImageImport}}\n");
    for (text, checked, skipped) in [
        (of("apiVersion: meteor.zone/v1alpha1\nkind: CustomNBImage"), 1, 0),
        (of("apiVersion: meteor.zone/v2\nkind: CustomNBImage"), 1, 0),
        (of("kind: CustomNBImage"), 1, 0),
        (of("apiVersion: example.com/v1\nkind: CustomNBImage"), 0, 1),
        (of("apiVersion: meteor.zone/v1alpha1\nkind: Meteor"), 0, 1),
        (
            of("apiVersion: meteor.zone/v1alpha1\nkind: CustomRuntimeEnvironment"),
            0,
            1,
        ),
        (of("apiVersion: meteor.zone/v1alpha1\nkind: customnbimage"), 1, 0),
        (of("apiVersion: meteor.zone/v1alpha1\nkind: CustomNotebookImage"), 1, 0),
        (of("apiVersion: meteor.zone/v1alpha1"), 1, 0),
        (of("apiVersion: example.com/v1alpha1\nkind: customnbimage"), 0, 1),
        (of("kind: customnbimage"), 0, 1),
        (of("apiVersion: v1"), 0, 1),
        ("[1, 2]\n---\ntext\n---\n~\n---\n\n---\n{}\n".to_owned(), 0, 3),
        (
            "\u{feff}".to_owned() + &of("apiVersion: meteor.zone/v1alpha1\r\nkind: CustomNBImage"),
            1,
            0,
        ),
        ("kind: List\nitems: []\n".to_owned(), 0, 1),
        (
            "apiVersion: meteor.zone/v1alpha1\nkind: CustomNBImageList\nitems: [{metadata: {name: x}}]\n".to_owned(),
            1,
            0,
        ),
        (String::new(), 0, 0),
    ] {
        let report = check_json(&text);
        assert_eq!(
            (&report["checked"], &report["skipped"]),
            (&json!(checked), &json!(skipped)),
            "{text}"
        );
        assert_eq!(report["unreadable"], 0, "{text}");
    }
    let report = check_json(of("apiVersion: meteor.zone/v2\nkind: CustomNBImage"));
    assert_eq!(places(&report, "CNB000"), [position("apiVersion", 1, 13)]);
    for (kind, at, value, message) in [
        (
            "kind: CustomNbImage",
            position("kind", 2, 7),
            json!("CustomNbImage"),
            "is not a kind",
        ),
        ("x: 1", position("kind", 1, 1), Value::Null, "is missing"),
    ] {
        let report = check_json(of(&format!("apiVersion: meteor.zone/v1alpha1\n{kind}")));
        assert!(places(&report, "CNB000").contains(&at), "{report}");
        let findings = report["documents"][0]["findings"].as_array().unwrap();
        let finding = findings.iter().find(|finding| finding["path"] == "kind").unwrap();
        assert_eq!(
            (&finding["value"], &finding["hint"]),
            (&value, &json!("write CustomNBImage"))
        );
        assert!(finding["message"].as_str().unwrap().contains(message), "{finding}");
    }
}

/// Patches and bases are incomplete, so a note shows how to check the output of kustomize.
#[test]
fn rejected_files_in_a_kustomization_have_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("overlay/kustomization.yaml", "patches: [{path: patch.yaml}]\n");
    write("overlay/patch.yaml", &manifest(" {fromImage: quay.io/a/b:v1}"));
    write("plain/patch.yaml", &manifest(" {fromImage: quay.io/a/b:v1}"));
    let path = folder.path().to_str().unwrap();
    let result = run(&[path]);
    let lines: Vec<_> = result.stderr.lines().collect();
    let overlay = format!("{path}/overlay");
    let expected = format!(
        "kubectl-cnbi: {overlay} is a kustomization; to check its output, run: kubectl kustomize {overlay} | kubectl cnbi check -"
    );
    assert_eq!((result.status, lines), (1, vec![&*expected]));
    assert_eq!(run(&[path, "-o", "json"]).stderr, "");
    // No note without rejected files.
    write(
        "overlay/patch.yaml",
        &manifest(" {buildType: ImageImport, fromImage: quay.io/a/b:v1}"),
    );
    assert_eq!(run(&[&overlay]).stderr, "");
}

#[test]
fn duplicate_keys_and_yaml_that_kubectl_rejects_are_reported() {
    let twice = manifest("\n  buildType: GitRepository\n  gitRef: a\n  gitRef: b");
    assert_eq!(places(&check_json(&twice), "CNB000"), [position("spec.gitRef", 9, 3)]);
    let merged = format!(
        "x: &x {{gitRef: a}}\n{}",
        manifest("\n  <<: *x\n  buildType: GitRepository\n  gitRef: b")
    );
    assert_eq!(places(&check_json(&merged), "CNB000"), [position("x", 1, 1)]);
    for before in ["%YAML 1.1\n---\n", "--- !!map\n"] {
        let text = format!("{before}{}", manifest("\n  buildType: GitRepository"));
        let report = check_json(&text);
        assert_eq!(
            (&report["checked"], &report["unreadable"]),
            (&json!(1), &json!(0)),
            "{text}"
        );
        assert_eq!(places(&report, "CNB000")[0].0, "", "{text}");
    }
}

#[test]
fn namespaces_come_from_the_document_or_the_flag() {
    let text = manifest(" {buildType: ImageImport, imagePullSecret: {name: s}}");
    let needs = |arguments: &[&str], text: &str| {
        let report = run_with(arguments, text).json();
        let document = &report["documents"][0];
        let not_checked = document["notChecked"].as_array().unwrap();
        let lookup = not_checked.iter().find(|rule| rule["rule"] == "CNB110").unwrap()["needs"]
            .as_str()
            .unwrap();
        (document["namespace"].as_str().unwrap().to_owned(), lookup.to_owned())
    };
    let own = ("team-a".to_owned(), "Secret team-a/s".to_owned());
    assert_eq!(needs(&["-", "-o", "json", "-n", "b"], &text), own);
    let without = text.replace("  namespace: team-a\n", "");
    assert_eq!(
        needs(&["-", "-o", "json", "-n", "b"], &without),
        ("b".to_owned(), "Secret b/s".to_owned())
    );
    assert_eq!(
        needs(&["-", "-o", "json"], &without),
        ("default".to_owned(), "Secret default/s".to_owned())
    );
}

#[test]
fn directories_are_read_in_order_and_loops_are_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let text = manifest(" {buildType: ImageImport}");
    fs::create_dir_all(root.join("b/.git")).unwrap();
    for file in [
        "b/2.yml",
        "a.yaml",
        "b/1.json",
        "c.txt",
        "b/.git/x.yaml",
        ".hidden.yaml",
    ] {
        let text = if file.ends_with("json") {
            "{\"kind\": \"X\"}"
        } else {
            &text
        };
        fs::write(root.join(file), text).unwrap();
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(root, root.join("b/loop")).unwrap();
        std::os::unix::fs::symlink(root.join("c.txt"), root.join("d.yaml")).unwrap();
    }
    let result = run(&[root.to_str().unwrap(), "-o", "json"]);
    let report = result.json();
    let files: Vec<&str> = report["documents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|document| {
            document["file"]
                .as_str()
                .unwrap()
                .strip_prefix(root.to_str().unwrap())
                .unwrap()
        })
        .collect();
    assert_eq!(files, ["/.hidden.yaml", "/a.yaml", "/b/2.yml", "/d.yaml"]);
    assert_eq!(report["skipped"], 1);
    // A named file is read with any extension.
    assert_eq!(
        run(&[root.join("c.txt").to_str().unwrap(), "-o", "json"]).json()["checked"],
        1
    );
}

#[test]
fn hostile_input_is_bounded() {
    let laughs: String = (1..12).fold("a0: &a0 [lol]\n".to_owned(), |text, level| {
        let below = format!("*a{}, ", level - 1).repeat(10);
        text + &format!("a{level}: &a{level} [{below}]\n")
    });
    let ours = manifest("\n  buildType: PackageList\n  packageVersions: ");
    let ours = ours.trim_end();
    for (what, text, status) in [
        ("laughs", format!("{laughs}{ours} *a11\n"), 1),
        ("laughs of others", format!("{laughs}kind: X\n"), 0),
        (
            "lists of lists",
            {
                let lists = (1..40).fold("a0: &a0 {kind: X}\n".to_owned(), |text, level| {
                    let below = level - 1;
                    text + &format!("a{level}: &a{level} {{kind: List, items: [*a{below}, *a{below}]}}\n")
                });
                format!("{lists}kind: List\nitems: [*a39]\n")
            },
            0,
        ),
        ("itself", format!("{ours} &a [*a]\n"), 1),
        ("deep flow", format!("{ours} {}\n", "[".repeat(100_000)), 1),
        (
            "deep block",
            format!(
                "{ours} \n{}",
                (0..2000)
                    .map(|depth| format!("{}- \n", " ".repeat(depth + 2)))
                    .collect::<String>()
            ),
            1,
        ),
        ("deep dashes", format!("{ours}\n    {}\n", "- ".repeat(100_000)), 1),
        (
            "deep JSON",
            format!("{{\"kind\": \"CustomNBImage\", \"a\": {}", "[".repeat(100_000)),
            1,
        ),
        (
            "deep aliases",
            {
                let chain: String = (1..20_000)
                    .map(|level| format!("a{level}: &a{level} [*a{}]\n", level - 1))
                    .collect();
                format!("a0: &a0 x\n{chain}{ours} *a19999\n")
            },
            1,
        ),
        ("NUL", format!("{ours} [a\0b]\n"), 1),
        ("escapes", format!("{ours} [\"\u{1b}[31m\"]\n"), 1),
        ("a long scalar", format!("{ours} [{}]\n", "x".repeat(10_000_000)), 1),
        ("a long key", format!("{ours} []\n  {}: 1\n", "x".repeat(1_000_000)), 1),
        ("many items", format!("{ours} [{}]\n", "1, ".repeat(200_000)), 1),
        (
            "many keys",
            format!(
                "{ours} []\n{}",
                (0..100_000).map(|key| format!("  k{key}: 1\n")).collect::<String>()
            ),
            1,
        ),
        (
            "many documents",
            format!("{}---\n", "---\nkind: X\n".repeat(100_000)),
            0,
        ),
        ("separators", "---\n".repeat(100_000), 0),
        ("quotes", format!("{ours} {}\n", "\"".repeat(99_999)), 1),
        ("tabs", "\t".repeat(1_000_000), 0),
    ] {
        let start = Instant::now();
        let result = run_with(&["-", "-o", "json"], &text);
        let report = result.json();
        assert_eq!(result.status, status, "{what}: {}", result.stderr);
        assert_eq!(
            status == 1,
            places(&report, "CNB000").len() + places(&report, "CNB005").len() > 0,
            "{what}"
        );
        assert!(result.stdout.len() < 3_000_000, "{what}: {} bytes", result.stdout.len());
        // Not a performance test: without limits, these would take hours.
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "{what}: {:?}",
            start.elapsed()
        );
        let text = run_with(&["-"], &text).stdout;
        assert!(!text.contains(['\u{1b}', '\0']), "{what}");
        assert!(text.len() < 100_000, "{what}: {} bytes of text", text.len());
    }
}

#[test]
fn findings_beyond_the_limit_are_counted() {
    let keys: String = (0..1500).map(|key| format!("\n  k{key}: 1")).collect();
    let text = manifest(&format!("\n  buildType: ImageImport{keys}"));
    let result = run_with(&["-"], &text);
    assert_eq!(
        result
            .stdout
            .lines()
            .filter(|line| line.contains(": Deny ") || line.contains(": Warn "))
            .count(),
        50
    );
    let more = result
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("  and ")?.strip_suffix(" more"))
        .unwrap();
    let document = check_json(&text)["documents"][0].clone();
    assert_eq!(document["findings"].as_array().unwrap().len(), 1000);
    assert_eq!(
        more.parse::<u64>().unwrap(),
        document["omitted"].as_u64().unwrap() + 950
    );
}

#[test]
fn colors_need_a_terminal_and_a_closed_pipe_is_not_an_error() {
    assert!(!run(&["mixed.yaml"]).stdout.contains('\u{1b}'));
    let forced = binary()
        .args(["check", "mixed.yaml"])
        .env("CLICOLOR_FORCE", "1")
        .output()
        .unwrap();
    assert!(String::from_utf8(forced.stdout).unwrap().contains("\u{1b}["));

    let mut child = binary()
        .args(["check", "-", "-o", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let text = format!("{}---\n", manifest(" {buildType: ImageImport}")).repeat(1000);
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()),
        (Some(1), "")
    );
}

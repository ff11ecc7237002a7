//! `kubectl cnbi check` as its users meet it: the real binary, its output, its exit status.

#![allow(clippy::format_collect, reason = "these texts are made once, and read by people")]

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
    // A program that does not read its input closes it, and that is no failure here.
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

/// A manifest of ours with this spec, as one line of YAML or as lines that begin with a line break.
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

fn place(path: &str, line: u64, column: u64) -> (String, u64, u64) {
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
        let outcome = run(arguments);
        let output = format!("{}# exit status {}\n{}", outcome.stdout, outcome.status, outcome.stderr);
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
fn exit_status_says_what_came_of_it() {
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
        let outcome = run(arguments);
        assert_eq!(
            outcome.status, status,
            "{arguments:?}: {}{}",
            outcome.stdout, outcome.stderr
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
    let outcome = run(&["clean.yaml", "--config", file.to_str().unwrap()]);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (2, ""));
    for expected in ["config.yaml", "defualt", "line 2", "ConfigMap cnbi-config"] {
        assert!(outcome.stderr.contains(expected), "{expected}: {}", outcome.stderr);
    }
}

#[test]
fn offline_examples_of_the_rules_are_judged_as_their_pages_say() {
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
        let outcome = run_with(&arguments, example.resource.to_string());
        let report = outcome.json();
        let document = &report["documents"][0];
        let mut found: Vec<(&str, String, String)> = document["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| {
                let verdict = if finding["level"] == "Deny" {
                    "refused"
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
            .filter(|expected| expected.verdict != "undecided")
            .map(|expected| (expected.verdict, expected.rule.clone(), expected.path.clone()))
            .collect();
        expected.sort();
        assert_eq!(found, expected, "{}", example.title());
        let mut undecided: Vec<&str> = document["undecided"]
            .as_array()
            .unwrap()
            .iter()
            .map(|rule| rule["rule"].as_str().unwrap())
            .collect();
        undecided.sort_unstable();
        let mut expected: Vec<&str> = example
            .expected
            .iter()
            .filter(|expected| expected.verdict == "undecided")
            .map(|expected| expected.rule.as_str())
            .collect();
        expected.sort_unstable();
        assert_eq!(undecided, expected, "{}", example.title());
        assert_eq!(
            outcome.status,
            i32::from(found.iter().any(|(verdict, ..)| *verdict == "refused"))
        );
    }
    assert!(count >= 3, "only {count} examples are offline");
}

#[test]
fn every_style_of_writing_keeps_its_place() {
    let wrong_version = |path: &str, line, column| vec![place(path, line, column)];
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
            vec![place("", 6, 22)]
        } else {
            expected
        };
        assert_eq!(places(&report, "CNB000"), expected, "{text}");
    }
}

#[test]
fn json_and_lists_keep_their_places() {
    let object = r#"{"apiVersion": "meteor.zone/v1alpha1", "kind": "CustomNBImage",
  "metadata": {"name": "x"},
  "spec": {"buildType": "Ä",
    "packageVersions": ["\u00e4\ud83d\ude00\/\n", 1.50]}}"#;
    let report = check_json(format!("{object}\n{object}"));
    let of = |line| {
        vec![
            place("spec.buildType", line, 25),
            place("spec.packageVersions[1]", line + 1, 51),
        ]
    };
    assert_eq!(places(&report, "CNB000"), [of(3), of(7)].concat());
    let finding = &report["documents"][0]["findings"];
    assert!(
        finding.to_string().contains(r#"put it in quotes: \"1.50\""#),
        "{finding}"
    );

    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n- kind: Secret\n- {}\n",
        manifest("\n  buildType: packagelist").replace('\n', "\n  ")
    );
    let report = check_json(&list);
    assert_eq!((&report["checked"], &report["skipped"]), (&json!(1), &json!(1)));
    assert_eq!(report["documents"][0]["line"], 5);
    assert_eq!(places(&report, "CNB000"), [place("spec.buildType", 11, 16)]);
}

#[test]
fn values_come_back_as_they_were_written() {
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
fn one_document_that_cannot_be_read_hides_no_other() {
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
    let broken = &report["documents"][1];
    assert_eq!((&broken["name"], &broken["namespace"]), (&json!("x"), &json!("team-a")));
    assert_eq!(broken["findings"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&broken["findings"][0]["rule"], &broken["findings"][0]["path"]),
        (&json!("CNB000"), &json!(""))
    );
    assert_eq!(broken["findings"][0]["line"], 16, "{broken}");
    assert_eq!(places(&report, "CNB000").len(), 3);

    // What cannot be read and never names our kind is no reason to fail; what names it is.
    assert_eq!(run_with(&["-"], template).status, 0);
    assert_eq!(run_with(&["-"], "# CustomNBImage\nkind: Other\na: [\n").status, 0);
    assert_eq!(run_with(&["-"], "{{ if x }}\nkind: CustomNBImage\n").status, 1);
    assert_eq!(run_with(&["-"], "kind: CustomNBImages\na: [\n").status, 0);
}

#[test]
fn what_is_ours_and_what_is_not() {
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
    assert_eq!(places(&report, "CNB000"), [place("apiVersion", 1, 13)]);
    for (kind, at, value, message) in [
        (
            "kind: CustomNbImage",
            place("kind", 2, 7),
            json!("CustomNbImage"),
            "is no kind",
        ),
        ("x: 1", place("kind", 1, 1), Value::Null, "is missing"),
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

/// A patch or a base is not whole, and somebody who checks a whole repository is told what to check instead.
#[test]
fn what_kustomize_has_yet_to_build_is_told_apart() {
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
    let outcome = run(&[path]);
    let told: Vec<_> = outcome.stderr.lines().collect();
    let overlay = format!("{path}/overlay");
    let expected = format!(
        "kubectl-cnbi: {overlay} is a kustomization; what it builds is checked by: kubectl kustomize {overlay} | kubectl cnbi check -"
    );
    assert_eq!((outcome.status, told), (1, vec![&*expected]));
    assert_eq!(run(&[path, "-o", "json"]).stderr, "");
    // Nothing is refused, nothing is told.
    write(
        "overlay/patch.yaml",
        &manifest(" {buildType: ImageImport, fromImage: quay.io/a/b:v1}"),
    );
    assert_eq!(run(&[&overlay]).stderr, "");
}

#[test]
fn what_kubectl_would_drop_or_refuse_is_found() {
    let twice = manifest("\n  buildType: GitRepository\n  gitRef: a\n  gitRef: b");
    assert_eq!(places(&check_json(&twice), "CNB000"), [place("spec.gitRef", 9, 3)]);
    let merged = format!(
        "x: &x {{gitRef: a}}\n{}",
        manifest("\n  <<: *x\n  buildType: GitRepository\n  gitRef: b")
    );
    assert_eq!(places(&check_json(&merged), "CNB000"), [place("x", 1, 1)]);
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
        let undecided = document["undecided"].as_array().unwrap();
        let need = undecided.iter().find(|rule| rule["rule"] == "CNB110").unwrap()["needs"]
            .as_str()
            .unwrap();
        (document["namespace"].as_str().unwrap().to_owned(), need.to_owned())
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
    let outcome = run(&[root.to_str().unwrap(), "-o", "json"]);
    let report = outcome.json();
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
    // A file that is named is read whatever it is called.
    assert_eq!(
        run(&[root.join("c.txt").to_str().unwrap(), "-o", "json"]).json()["checked"],
        1
    );
}

#[test]
fn hostile_input_ends_soon_and_with_a_status() {
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
        let outcome = run_with(&["-", "-o", "json"], &text);
        let report = outcome.json();
        assert_eq!(outcome.status, status, "{what}: {}", outcome.stderr);
        assert_eq!(
            status == 1,
            places(&report, "CNB000").len() + places(&report, "CNB005").len() > 0,
            "{what}"
        );
        assert!(
            outcome.stdout.len() < 3_000_000,
            "{what}: {} bytes",
            outcome.stdout.len()
        );
        // No measure of speed: without bounds, these would take hours.
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
fn more_findings_than_anybody_reads_are_counted() {
    let keys: String = (0..1500).map(|key| format!("\n  k{key}: 1")).collect();
    let text = manifest(&format!("\n  buildType: ImageImport{keys}"));
    let outcome = run_with(&["-"], &text);
    assert_eq!(
        outcome
            .stdout
            .lines()
            .filter(|line| line.contains(": Deny ") || line.contains(": Warn "))
            .count(),
        50
    );
    let more = outcome
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
fn colours_are_for_terminals_and_a_closed_pipe_is_no_failure() {
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

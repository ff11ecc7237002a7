//! What is told of a build, whatever a cluster says of it.

use serde_json::{Value, json};

use crate::api::Api;

pub const RESOURCE: &str = "/apis/meteor.zone/v1alpha1/namespaces/team-a/customnbimages/pandas-notebook";
pub const LIST: &str = "/apis/meteor.zone/v1alpha1/namespaces/team-a/customnbimages";
pub const TASK_RUNS: &str = "/apis/tekton.dev/v1/namespaces/cnbi-builds/taskruns";
pub const LOG: &str = "/api/v1/namespaces/cnbi-builds/pods/pandas-notebook-26ae3db9f603-build-pod/log";
const RUN: &str = "pandas-notebook-26ae3db9f603";

pub fn condition(name: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": name, "status": status, "reason": reason, "message": message, "observedGeneration": 2,
        "lastTransitionTime": "2026-03-01T11:00:00Z"})
}

pub fn resource(status: &Value) -> Value {
    json!({
        "apiVersion": "meteor.zone/v1alpha1", "kind": "CustomNBImage",
        "metadata": {"name": "pandas-notebook", "namespace": "team-a", "generation": 2, "uid": "u",
            "creationTimestamp": "2026-03-01T10:00:00Z"},
        "spec": {"buildType": "PackageList", "builderImage": "quay.io/a/b:v1", "packageVersions": ["pandas"]},
        "status": status,
    })
}

/// As the controller writes it, of a task whose message fills what it may.
pub fn failed(message: &str) -> Value {
    let told = format!(
        "Task build: {message}, in step build. Read the log of the step: kubectl logs -n cnbi-builds {RUN}-build-pod -c step-build"
    );
    resource(&json!({
        "observedGeneration": 2, "phase": "Failed", "step": "Failed",
        "conditions": [
            condition("Ready", "False", "BuildFailed", &told),
            condition("Reconciling", "False", "Stalled", "Nothing is under way"),
            condition("Stalled", "True", "BuildFailed", "Nothing happens until the spec changes"),
            condition("WellFormed", "True", "RulesPassed", ""),
            condition("PipelineRunCreated", "True", "RunCreated", ""),
            condition("SourcePrepared", "True", "Done", ""),
            condition("ImageValidated", "Unknown", "Pending", ""),
            condition("ImageBuilt", "False", "BuildFailed", &told),
            condition("ImageStreamUpdated", "Unknown", "Pending", ""),
        ],
        "pipelineRun": {"namespace": "cnbi-builds", "name": RUN, "attempt": 2, "failedTask": "build",
            "startTime": "2026-03-01T11:00:00Z", "completionTime": "2026-03-01T11:03:12Z"},
        "history": [{"name": RUN, "generation": 2, "outcome": "BuildFailed"}],
    }))
}

pub fn task_run(task: &str, seconds: u32, code: Option<u32>) -> Value {
    let (status, reason) = match code {
        Some(0) => ("True", "Succeeded"),
        Some(_) => ("False", "StepFailed"),
        None => ("Unknown", "Running"),
    };
    let state = match code {
        Some(code) => json!({"terminated": {"exitCode": code}}),
        None => json!({"running": {"startedAt": "2026-03-01T11:00:00Z"}}),
    };
    let mut step = json!({"name": task, "container": format!("step-{task}")});
    step.as_object_mut().unwrap().extend(state.as_object().unwrap().clone());
    let mut run = json!({
        "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
        "metadata": {"name": format!("{RUN}-{task}"), "namespace": "cnbi-builds", "labels": {
            "tekton.dev/pipelineRun": RUN, "tekton.dev/pipelineTask": task,
        }},
        "status": {
            "startTime": "2026-03-01T11:00:00Z", "podName": format!("{RUN}-{task}-pod"), "steps": [step],
            "conditions": [{"type": "Succeeded", "status": status, "reason": reason}],
        },
    });
    if code.is_some() {
        run["status"]["completionTime"] = format!("2026-03-01T11:{:02}:{:02}Z", seconds / 60, seconds % 60).into();
    }
    run
}

pub fn list(items: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": items})
}

pub fn tasks_of_failure() -> Value {
    list(&[
        task_run("create-imagestream", 2, Some(0)),
        task_run("fetch", 11, Some(0)),
        task_run("prepare", 41, Some(0)),
        task_run("record-source", 3, Some(0)),
        task_run("build", 123, Some(1)),
        task_run("update-imagestream", 1, Some(0)),
    ])
}

/// Nothing that a terminal obeys.
fn assert_harmless(text: &str) {
    let is_bad =
        |character: char| (character.is_control() && character != '\n') || "\u{202e}\u{2066}".contains(character);
    assert!(!text.contains(is_bad), "{text:?}");
}

#[tokio::test]
async fn a_failure_fits_a_screen_and_names_step_cause_and_next_action() {
    let api = Api::start().await;
    let long = "the installation of numpy failed because there is no compiler in the image ".repeat(7);
    for message in ["pip ended with code 1", long.trim()] {
        api.answers.set(RESOURCE, &failed(message));
        api.answers.set(TASK_RUNS, &tasks_of_failure());
        let lines: Vec<String> = (0..200)
            .map(|line| format!("line {line} {}", "x".repeat(200)))
            .collect();
        api.answers.text(LOG, &lines.join("\n"));
        let told = api.run(&["status", "pandas-notebook"]).await;
        assert_eq!(told.status, 0, "{}", told.stderr);
        let lines: Vec<&str> = told.stdout.lines().collect();
        assert!(lines.len() < 24, "{}:\n{}", lines.len(), told.stdout);
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{}", told.stdout);
        for expected in [
            "team-a/pandas-notebook: Failed at build",
            "PackageList, generation 2",
            "create-imagestream",
            "2m03s   step build, exit code 1",
            "not run push",
            &format!("Why:    BuildFailed: Task build: {}", &message[..20]),
            "Next:   read the whole log: kubectl cnbi logs pandas-notebook -n team-a",
            "Done:   well-formed, run created, source prepared",
            "The end of the log of build, step build:",
            "  line 199 xxx",
        ] {
            assert!(told.stdout.contains(expected), "{expected}:\n{}", told.stdout);
        }
    }
}

#[tokio::test]
async fn what_a_cluster_says_is_shown_and_not_obeyed() {
    let api = Api::start().await;
    let hostile = "\u{1b}[2J\u{1b}]0;owned\u{7}x\u{202e}y\rz\u{9b}31m\u{0}";
    let mut resource = failed(hostile);
    let status = &mut resource["status"];
    for at in [
        "/pipelineRun/failedTask",
        "/conditions/0/reason",
        "/conditions/7/reason",
    ] {
        *status.pointer_mut(at).unwrap() = hostile.into();
    }
    api.answers.set(RESOURCE, &resource);
    api.answers.set(LIST, &list(&[resource]));
    let mut tasks = tasks_of_failure();
    tasks["items"][4]["metadata"]["labels"]["tekton.dev/pipelineTask"] = hostile.into();
    tasks["items"][4]["status"]["steps"][0]["name"] = hostile.into();
    tasks["items"][4]["status"]["conditions"][0]["reason"] = hostile.into();
    api.answers.set(TASK_RUNS, &tasks);
    api.answers.text(LOG, &format!("{hostile}\nhonest\n"));
    for arguments in [
        &["status", "pandas-notebook"][..],
        &["status"],
        &["logs", "pandas-notebook"],
    ] {
        let told = api.run(arguments).await;
        assert_eq!(told.status, 0, "{}", told.stderr);
        assert_harmless(&told.stdout);
        assert_harmless(&told.stderr);
        assert!(!told.stdout.contains("owned"), "{}", told.stdout);
    }
    assert!(
        api.run(&["logs", "pandas-notebook"])
            .await
            .stdout
            .contains("\nhonest\n")
    );
}

#[tokio::test]
async fn rights_that_are_missing_hide_nothing_else() {
    let api = Api::start().await;
    api.answers.set(RESOURCE, &failed("pip ended with code 1"));
    api.answers.forbid(TASK_RUNS);
    let told = api.run(&["status", "pandas-notebook"]).await;
    assert_eq!(told.status, 0);
    for expected in [
        "Failed at build",
        "you may not read TaskRuns in cnbi-builds",
        "Why:",
        "Next:",
    ] {
        assert!(told.stdout.contains(expected), "{expected}:\n{}", told.stdout);
    }
    let told = api.run(&["logs", "pandas-notebook"]).await;
    assert_eq!(told.status, 2);
    assert!(told.stderr.contains("you may not read TaskRuns"), "{}", told.stderr);
    // The pod of a run that has ended may be gone.
    api.answers.set(TASK_RUNS, &tasks_of_failure());
    for arguments in [&["status", "pandas-notebook"][..], &["logs", "pandas-notebook"]] {
        let told = api.run(arguments).await;
        let text = (told.stdout + &told.stderr).replace('\n', " ");
        assert!(text.contains("is gone"), "{text}");
    }
}

#[tokio::test]
async fn every_step_is_told_in_order() {
    let api = Api::start().await;
    api.answers.set(RESOURCE, &failed("x"));
    api.answers.set(TASK_RUNS, &tasks_of_failure());
    for task in [
        "create-imagestream",
        "fetch",
        "prepare",
        "record-source",
        "build",
        "update-imagestream",
    ] {
        let path = format!("/api/v1/namespaces/cnbi-builds/pods/{RUN}-{task}-pod/log");
        api.answers.text(&path, &format!("this is {task}\n"));
    }
    let told = api.run(&["logs", "pandas-notebook"]).await;
    assert_eq!(told.status, 0, "{}", told.stderr);
    let said: Vec<&str> = told
        .stdout
        .lines()
        .filter(|line| line.starts_with("this is "))
        .collect();
    assert_eq!(said.len(), 6, "{}", told.stdout);
    let told = api.run(&["logs", "pandas-notebook", "--task", "build"]).await;
    assert_eq!(told.stdout, "--- build, step build\nthis is build\n");
    // The run has ended, so following it ends too.
    let told = api.run(&["logs", "pandas-notebook", "-f", "--task", "build"]).await;
    assert_eq!((told.status, told.stdout.lines().count()), (0, 2), "{}", told.stderr);
}

#[tokio::test]
async fn objects_are_printed_as_kubectl_prints_them() {
    let api = Api::start().await;
    let stored = failed("x");
    api.answers.set(RESOURCE, &stored);
    api.answers.set(LIST, &list(std::slice::from_ref(&stored)));
    let told = api.run(&["status", "pandas-notebook", "-o", "json"]).await;
    let printed: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(
        (&printed["kind"], &printed["status"]),
        (&json!("CustomNBImage"), &stored["status"])
    );
    let told = api.run(&["status", "-o", "json"]).await;
    let printed: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(
        (&printed["kind"], &printed["items"][0]["spec"]),
        (&json!("List"), &stored["spec"])
    );
    let told = api.run(&["status", "-o", "yaml", "pandas-notebook"]).await;
    let printed: Value = serde_saphyr::from_str(&told.stdout).unwrap();
    assert_eq!(printed["status"], stored["status"]);
    let told = api.run(&["status", "-o", "name"]).await;
    assert_eq!(told.stdout, "customnbimage.meteor.zone/pandas-notebook\n");
}

#[tokio::test]
async fn what_is_not_there_is_told_apart() {
    let api = Api::start().await;
    let told = api.run(&["status", "nobody"]).await;
    assert_eq!(told.status, 2);
    assert!(told.stderr.contains("CustomNBImage team-a/nobody"), "{}", told.stderr);
    let told = api.run(&["status", "x", "--kubeconfig", "/nowhere"]).await;
    assert_eq!(told.status, 2);
    assert!(told.stderr.contains("no cluster to speak to"), "{}", told.stderr);
    let told = api.run(&["status", "x", "--context", "other"]).await;
    assert_eq!(told.status, 2);
    assert!(told.stderr.contains("other"), "{}", told.stderr);
    api.answers.set(LIST, &list(&[]));
    let told = api.run(&["status"]).await;
    assert_eq!(
        (told.status, told.stdout.as_str()),
        (0, "There are no CustomNBImages here.\n")
    );
}

/// Who is in a hurry reads one line, and it says what to do or whom to ask.
#[tokio::test]
async fn a_cluster_that_cannot_be_asked_is_told_in_a_line() {
    let api = Api::start().await;
    let failure = |code: u16, reason: &str| json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason});
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("kubeconfig");
    std::fs::write(&broken, "clusters: [{name: k").unwrap();
    api.answers.status(RESOURCE, 401, &failure(401, "Unauthorized"));
    api.answers.status(LIST, 503, &failure(503, "ServiceUnavailable"));
    let told = api.run(&["status", "pandas-notebook"]).await;
    let said = [
        told.stderr.as_str(),
        "CustomNBImage team-a/pandas-notebook: the API server does not accept the kubeconfig's credentials",
    ];
    assert!(told.status == 2 && said[0].contains(said[1]), "{}", said[0]);
    let told = api.run(&["status"]).await;
    assert!(
        told.status == 2 && told.stderr.ends_with(": ServiceUnavailable\n"),
        "{}",
        told.stderr
    );

    api.answers.text(LIST, "<html>Log in</html>");
    let told = api.run(&["status"]).await;
    assert!(
        told.status == 2 && told.stderr.contains("is no API server"),
        "{}",
        told.stderr
    );

    let gone = api.folder.path().join("gone");
    let text = std::fs::read_to_string(api.folder.path().join("kubeconfig")).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:1".into();
    std::fs::write(&gone, config.to_string()).unwrap();
    let told = api.run(&["status", "--kubeconfig", gone.to_str().unwrap()]).await;
    assert_eq!(told.status, 2);
    let said = "the API server gives no answer: tcp connect error: Connection refused";
    assert!(told.stderr.contains(said), "{}", told.stderr);

    let told = api.run(&["status", "--kubeconfig", broken.to_str().unwrap()]).await;
    assert_eq!((told.status, told.stderr.lines().count()), (2, 1));
    assert!(!told.stderr.contains("\\n"), "{}", told.stderr);
}

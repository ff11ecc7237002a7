//! Tests of `kubectl cnbi status` and `kubectl cnbi logs`.

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

/// A failed resource with the status of the controller.
pub fn failed(message: &str) -> Value {
    let text = format!(
        "Task build: {message}, in step build. Read the log of the step: kubectl logs -n cnbi-builds {RUN}-build-pod -c step-build"
    );
    resource(&json!({
        "observedGeneration": 2, "phase": "Failed", "step": "Failed",
        "conditions": [
            condition("Ready", "False", "BuildFailed", &text),
            condition("Reconciling", "False", "Stalled", "Nothing is under way"),
            condition("Stalled", "True", "BuildFailed", "Nothing happens until the spec changes"),
            condition("WellFormed", "True", "RulesPassed", ""),
            condition("PipelineRunCreated", "True", "RunCreated", ""),
            condition("SourcePrepared", "True", "Done", ""),
            condition("ImageValidated", "Unknown", "Pending", ""),
            condition("ImageBuilt", "False", "BuildFailed", &text),
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

/// The text has no control characters.
fn assert_harmless(text: &str) {
    let is_bad =
        |character: char| (character.is_control() && character != '\n') || "\u{202e}\u{2066}".contains(character);
    assert!(!text.contains(is_bad), "{text:?}");
}

#[tokio::test]
async fn a_failure_fits_a_screen_and_shows_step_cause_and_next_action() {
    let api = Api::start().await;
    let long = "the installation of numpy failed because there is no compiler in the image ".repeat(7);
    for message in ["pip ended with code 1", long.trim()] {
        api.responses.set(RESOURCE, &failed(message));
        api.responses.set(TASK_RUNS, &tasks_of_failure());
        let lines: Vec<String> = (0..200)
            .map(|line| format!("line {line} {}", "x".repeat(200)))
            .collect();
        api.responses.text(LOG, &lines.join("\n"));
        let output = api.run(&["status", "pandas-notebook"]).await;
        assert_eq!(output.status, 0, "{}", output.stderr);
        let lines: Vec<&str> = output.stdout.lines().collect();
        assert!(lines.len() < 24, "{}:\n{}", lines.len(), output.stdout);
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{}", output.stdout);
        for expected in [
            "team-a/pandas-notebook: Failed at build",
            "PackageList, generation 2",
            "create-imagestream",
            "2m03s   step build, exit code 1",
            "not run push",
            &format!("Why:     BuildFailed: Task build: {}", &message[..20]),
            "Next:    read the log: kubectl cnbi logs pandas-notebook -n team-a",
            "Done:    valid, PipelineRun created, source prepared",
            "Last lines of the log of build, step build:",
            "  line 199 xxx",
        ] {
            assert!(output.stdout.contains(expected), "{expected}:\n{}", output.stdout);
        }
    }
}

#[tokio::test]
async fn text_from_the_cluster_is_sanitized() {
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
    api.responses.set(RESOURCE, &resource);
    api.responses.set(LIST, &list(&[resource]));
    let mut tasks = tasks_of_failure();
    tasks["items"][4]["metadata"]["labels"]["tekton.dev/pipelineTask"] = hostile.into();
    tasks["items"][4]["status"]["steps"][0]["name"] = hostile.into();
    tasks["items"][4]["status"]["conditions"][0]["reason"] = hostile.into();
    api.responses.set(TASK_RUNS, &tasks);
    api.responses.text(LOG, &format!("{hostile}\nhonest\n"));
    for arguments in [
        &["status", "pandas-notebook"][..],
        &["status"],
        &["logs", "pandas-notebook"],
    ] {
        let output = api.run(arguments).await;
        assert_eq!(output.status, 0, "{}", output.stderr);
        assert_harmless(&output.stdout);
        assert_harmless(&output.stderr);
        assert!(!output.stdout.contains("owned"), "{}", output.stdout);
    }
    assert!(
        api.run(&["logs", "pandas-notebook"])
            .await
            .stdout
            .contains("\nhonest\n")
    );
}

#[tokio::test]
async fn without_permission_for_task_runs_the_rest_is_shown() {
    let api = Api::start().await;
    api.responses.set(RESOURCE, &failed("pip ended with code 1"));
    api.responses.forbid(TASK_RUNS);
    let output = api.run(&["status", "pandas-notebook"]).await;
    assert_eq!(output.status, 0);
    for expected in [
        "Failed at build",
        "No permission to read TaskRuns in cnbi-builds",
        "Why:",
        "Next:",
    ] {
        assert!(output.stdout.contains(expected), "{expected}:\n{}", output.stdout);
    }
    let output = api.run(&["logs", "pandas-notebook"]).await;
    assert_eq!(output.status, 2);
    assert!(
        output.stderr.contains("No permission to read TaskRuns"),
        "{}",
        output.stderr
    );
    // The pod of a finished run may have been deleted.
    api.responses.set(TASK_RUNS, &tasks_of_failure());
    for arguments in [&["status", "pandas-notebook"][..], &["logs", "pandas-notebook"]] {
        let output = api.run(arguments).await;
        let text = (output.stdout + &output.stderr).replace('\n', " ");
        assert!(text.contains("has been deleted"), "{text}");
    }
}

#[tokio::test]
async fn logs_are_printed_in_the_order_of_steps() {
    let api = Api::start().await;
    api.responses.set(RESOURCE, &failed("x"));
    api.responses.set(TASK_RUNS, &tasks_of_failure());
    for task in [
        "create-imagestream",
        "fetch",
        "prepare",
        "record-source",
        "build",
        "update-imagestream",
    ] {
        let path = format!("/api/v1/namespaces/cnbi-builds/pods/{RUN}-{task}-pod/log");
        api.responses.text(&path, &format!("this is {task}\n"));
    }
    let output = api.run(&["logs", "pandas-notebook"]).await;
    assert_eq!(output.status, 0, "{}", output.stderr);
    let said: Vec<&str> = output
        .stdout
        .lines()
        .filter(|line| line.starts_with("this is "))
        .collect();
    assert_eq!(said.len(), 6, "{}", output.stdout);
    let output = api.run(&["logs", "pandas-notebook", "--task", "build"]).await;
    assert_eq!(output.stdout, "--- build, step build\nthis is build\n");
    // The run has ended, so --follow ends.
    let output = api.run(&["logs", "pandas-notebook", "-f", "--task", "build"]).await;
    assert_eq!(
        (output.status, output.stdout.lines().count()),
        (0, 2),
        "{}",
        output.stderr
    );
}

#[tokio::test]
async fn objects_are_printed_like_kubectl_does() {
    let api = Api::start().await;
    let stored = failed("x");
    api.responses.set(RESOURCE, &stored);
    api.responses.set(LIST, &list(std::slice::from_ref(&stored)));
    let output = api.run(&["status", "pandas-notebook", "-o", "json"]).await;
    let printed: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(
        (&printed["kind"], &printed["status"]),
        (&json!("CustomNBImage"), &stored["status"])
    );
    let output = api.run(&["status", "-o", "json"]).await;
    let printed: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(
        (&printed["kind"], &printed["items"][0]["spec"]),
        (&json!("List"), &stored["spec"])
    );
    let output = api.run(&["status", "-o", "yaml", "pandas-notebook"]).await;
    let printed: Value = serde_saphyr::from_str(&output.stdout).unwrap();
    assert_eq!(printed["status"], stored["status"]);
    let output = api.run(&["status", "-o", "name"]).await;
    assert_eq!(output.stdout, "customnbimage.meteor.zone/pandas-notebook\n");
}

#[tokio::test]
async fn missing_resources_and_kubeconfigs_are_reported() {
    let api = Api::start().await;
    let output = api.run(&["status", "nobody"]).await;
    assert_eq!(output.status, 2);
    assert!(
        output.stderr.contains("CustomNBImage team-a/nobody"),
        "{}",
        output.stderr
    );
    let output = api.run(&["status", "x", "--kubeconfig", "/nowhere"]).await;
    assert_eq!(output.status, 2);
    assert!(output.stderr.contains("no cluster configured"), "{}", output.stderr);
    let output = api.run(&["status", "x", "--context", "other"]).await;
    assert_eq!(output.status, 2);
    assert!(output.stderr.contains("other"), "{}", output.stderr);
    api.responses.set(LIST, &list(&[]));
    let output = api.run(&["status"]).await;
    assert_eq!(
        (output.status, output.stdout.as_str()),
        (0, "No CustomNBImages found.\n")
    );
}

#[tokio::test]
async fn connection_errors_are_one_line() {
    let api = Api::start().await;
    let failure = |code: u16, reason: &str| json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason});
    let folder = tempfile::tempdir().unwrap();
    let syntax_error = folder.path().join("kubeconfig");
    std::fs::write(&syntax_error, "clusters: [{name: k").unwrap();
    api.responses.status(RESOURCE, 401, &failure(401, "Unauthorized"));
    api.responses.status(LIST, 503, &failure(503, "ServiceUnavailable"));
    let output = api.run(&["status", "pandas-notebook"]).await;
    let said = [
        output.stderr.as_str(),
        "CustomNBImage team-a/pandas-notebook: the API server does not accept the kubeconfig's credentials",
    ];
    assert!(output.status == 2 && said[0].contains(said[1]), "{}", said[0]);
    let output = api.run(&["status"]).await;
    assert!(
        output.status == 2 && output.stderr.ends_with(": ServiceUnavailable\n"),
        "{}",
        output.stderr
    );

    api.responses.text(LIST, "<html>Log in</html>");
    let output = api.run(&["status"]).await;
    assert!(
        output.status == 2 && output.stderr.contains("is not from an API server"),
        "{}",
        output.stderr
    );

    let gone = api.folder.path().join("gone");
    let text = std::fs::read_to_string(api.folder.path().join("kubeconfig")).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:1".into();
    std::fs::write(&gone, config.to_string()).unwrap();
    let output = api.run(&["status", "--kubeconfig", gone.to_str().unwrap()]).await;
    assert_eq!(output.status, 2);
    let said = "the API server does not respond: tcp connect error: Connection refused";
    assert!(output.stderr.contains(said), "{}", output.stderr);

    let output = api
        .run(&["status", "--kubeconfig", syntax_error.to_str().unwrap()])
        .await;
    assert_eq!((output.status, output.stderr.lines().count()), (2, 1));
    assert!(!output.stderr.contains("\\n"), "{}", output.stderr);
}

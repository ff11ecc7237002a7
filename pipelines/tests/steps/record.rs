//! `record-source`

use std::fs;

use crate::git_server::{GitServer, USER, git};
use crate::step_runner::{StepOutput, StepRunner};

const COMMIT: &str = "c1a376299daa85ebd34622c59859148bd186f76d";

fn runner(git_server: &GitServer, base: &str) -> StepRunner {
    let runner = StepRunner::new(&format!("source: {{baseUrl: '{}', secret: x}}", git_server.url(base)))
        .with_ca(&git_server.server.authority);
    prepared(&runner);
    runner
}

fn prepared(runner: &StepRunner) {
    let source = runner.path("work/source");
    fs::create_dir_all(&source).unwrap();
    for (name, text) in [
        ("requirements.in", "pandas\n"),
        ("requirements.txt", "pandas==2.2.2 --hash=sha256:0\n"),
        ("Containerfile", "FROM scratch\n"),
    ] {
        fs::write(source.join(name), text).unwrap();
    }
}

fn record(runner: &StepRunner, generation: &str) -> StepOutput {
    let secret = runner.path("secret");
    let mut args = vec![
        "record-source",
        "--resource-namespace",
        "team-a",
        "--resource-name",
        "pandas.x",
    ];
    args.extend(["--resource-generation", generation]);
    args.extend(["--source-credentials", secret.to_str().unwrap()]);
    runner.run_step(&args)
}

#[test]
fn without_a_git_host_nothing_is_pushed() {
    let runner = StepRunner::new("");
    prepared(&runner);
    let output = record(&runner, "1").done();
    assert_eq!(
        (output.result("source-url"), output.result("commit")),
        (String::new(), COMMIT.to_owned())
    );
}

#[test]
fn pushing_the_source_is_idempotent() {
    let git_server = GitServer::start();
    git_server.run_plain("cnbi/team-a/pandas.x.git");
    let runner = runner(&git_server, "cnbi").with_secret(&[("username", USER.0), ("password", USER.1)]);
    let repository = git_server.path("cnbi/team-a/pandas.x.git");
    for generation in ["1", "1", "2"] {
        let output = record(&runner, generation).done();
        assert_eq!(output.result("source-url"), git_server.url("cnbi/team-a/pandas.x.git"));
        assert_eq!(output.result("commit"), COMMIT);
        assert_eq!(git(&repository, &["rev-parse", "main"]), COMMIT);
        assert_eq!(git(&repository, &["rev-parse", &format!("v{generation}")]), COMMIT);
        assert!(!output.log.contains(USER.1), "{}", output.log);
    }
    // Another list replaces the branch; the tag of the older one stays.
    let source = runner.path("work/source");
    fs::write(source.join("requirements.in"), "pandas\nsix\n").unwrap();
    let output = record(&runner, "3").done();
    let newer = output.result("commit");
    assert_ne!(newer, COMMIT);
    assert_eq!(git(&repository, &["rev-parse", "main"]), newer);
    assert_eq!(git(&repository, &["rev-parse", "v3"]), newer);
    assert_eq!(git(&repository, &["rev-parse", "v2"]), COMMIT);
}

#[test]
fn push_errors_have_distinct_reasons() {
    let git_server = GitServer::start();
    git_server.run_plain("cnbi/team-a/pandas.x.git");
    let credential = [("username", USER.0), ("password", USER.1)];
    let wrong = runner(&git_server, "cnbi").with_secret(&[("password", "wrong-s3cret")]);
    let output = record(&wrong, "1").failed("GitUnauthorized", "denied the push");
    assert!(!format!("{output:?}").contains("wrong-s3cret"), "{output:?}");
    let missing = runner(&git_server, "other").with_secret(&credential);
    record(&missing, "1").failed("GitUnauthorized", "has no repository for the source");
    let broken = runner(&git_server, "broken").with_secret(&credential);
    record(&broken, "1").failed("SourceRepositoryUnavailable", "cannot push the source");
    let lacking = runner(&git_server, "cnbi").with_secret(&[("username", "x")]);
    record(&lacking, "1").failed("GitUnauthorized", "no entry \"password\" or \"token\"");
    let unreachable = StepRunner::new("source: {baseUrl: 'https://localhost:1/x'}").with_secret(&credential);
    prepared(&unreachable);
    record(&unreachable, "1").failed("SourceRepositoryUnavailable", "cannot push the source");
}

#[test]
fn hooks_of_the_prepared_repository_do_not_run() {
    let git_server = GitServer::start();
    git_server.run_plain("cnbi/team-a/pandas.x.git");
    let runner = runner(&git_server, "cnbi").with_secret(&[("username", USER.0), ("password", USER.1)]);
    let source = runner.path("work/source");
    let marker = runner.path("ran");
    git(&source, &["init", "--quiet", "."]);
    let program = format!("!touch {}", marker.display());
    git(&source, &["config", "core.fsmonitor", &program[1..]]);
    git(&source, &["config", "credential.helper", &program]);
    git(
        &source,
        &[
            "config",
            "url.https://evil.invalid/.insteadOf",
            &git_server.url("cnbi/"),
        ],
    );
    let hook = source.join(".git/hooks/pre-push");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, format!("#!/bin/sh\ntouch {}\n", marker.display())).unwrap();
    record(&runner, "1").done();
    assert!(!marker.exists());
    // A link in the prepared source is not followed either.
    fs::remove_file(source.join("requirements.txt")).unwrap();
    std::os::unix::fs::symlink(runner.path("secret/password"), source.join("requirements.txt")).unwrap();
    record(&runner, "1").failed("", "requirements.txt in the prepared source cannot be read");
}

//! `record-source`

use std::fs;

use crate::place::{Place, Told};
use crate::served::{Served, USER, git};

const COMMIT: &str = "c1a376299daa85ebd34622c59859148bd186f76d";

fn place(served: &Served, base: &str) -> Place {
    let place = Place::new(&format!("source: {{baseUrl: '{}', secret: x}}", served.url(base)))
        .trusting(&served.server.authority);
    prepared(&place);
    place
}

fn prepared(place: &Place) {
    let source = place.path("work/source");
    fs::create_dir_all(&source).unwrap();
    for (name, text) in [
        ("requirements.in", "pandas\n"),
        ("requirements.txt", "pandas==2.2.2 --hash=sha256:0\n"),
        ("Containerfile", "FROM scratch\n"),
    ] {
        fs::write(source.join(name), text).unwrap();
    }
}

fn record(place: &Place, generation: &str) -> Told {
    let secret = place.path("secret");
    let mut args = vec![
        "record-source",
        "--resource-namespace",
        "team-a",
        "--resource-name",
        "pandas.x",
    ];
    args.extend(["--resource-generation", generation]);
    args.extend(["--source-credentials", secret.to_str().unwrap()]);
    place.step(&args)
}

#[test]
fn nothing_configured_is_nothing_to_push() {
    let place = Place::new("");
    prepared(&place);
    let told = record(&place, "1").done();
    assert_eq!(
        (told.result("source-url"), told.result("commit")),
        (String::new(), COMMIT.to_owned())
    );
}

#[test]
fn the_commit_is_pushed_once_and_again() {
    let served = Served::start();
    served.bare("cnbi/team-a/pandas.x.git");
    let place = place(&served, "cnbi").knowing(&[("username", USER.0), ("password", USER.1)]);
    let repository = served.path("cnbi/team-a/pandas.x.git");
    for generation in ["1", "1", "2"] {
        let told = record(&place, generation).done();
        assert_eq!(told.result("source-url"), served.url("cnbi/team-a/pandas.x.git"));
        assert_eq!(told.result("commit"), COMMIT);
        assert_eq!(git(&repository, &["rev-parse", "main"]), COMMIT);
        assert_eq!(git(&repository, &["rev-parse", &format!("v{generation}")]), COMMIT);
        assert!(!told.log.contains(USER.1), "{}", told.log);
    }
    // Another list replaces it on the branch, and the older one stays under its tag.
    let source = place.path("work/source");
    fs::write(source.join("requirements.in"), "pandas\nsix\n").unwrap();
    let told = record(&place, "3").done();
    let newer = told.result("commit");
    assert_ne!(newer, COMMIT);
    assert_eq!(git(&repository, &["rev-parse", "main"]), newer);
    assert_eq!(git(&repository, &["rev-parse", "v3"]), newer);
    assert_eq!(git(&repository, &["rev-parse", "v2"]), COMMIT);
}

#[test]
fn refusals_have_their_reasons() {
    let served = Served::start();
    served.bare("cnbi/team-a/pandas.x.git");
    let credential = [("username", USER.0), ("password", USER.1)];
    let wrong = place(&served, "cnbi").knowing(&[("password", "wrong-s3cret")]);
    let told = record(&wrong, "1").failed("GitUnauthorized", "does not let us push");
    assert!(!format!("{told:?}").contains("wrong-s3cret"), "{told:?}");
    let missing = place(&served, "other").knowing(&credential);
    record(&missing, "1").failed("GitUnauthorized", "has no repository for the source");
    let broken = place(&served, "broken").knowing(&credential);
    record(&broken, "1").failed("SourceRepositoryUnavailable", "could not be pushed");
    let lacking = place(&served, "cnbi").knowing(&[("username", "x")]);
    record(&lacking, "1").failed("GitUnauthorized", "no entry password or token");
    let nobody = Place::new("source: {baseUrl: 'https://localhost:1/x'}").knowing(&credential);
    prepared(&nobody);
    record(&nobody, "1").failed("SourceRepositoryUnavailable", "could not be pushed");
}

#[test]
fn nothing_of_the_prepared_repository_runs() {
    let served = Served::start();
    served.bare("cnbi/team-a/pandas.x.git");
    let place = place(&served, "cnbi").knowing(&[("username", USER.0), ("password", USER.1)]);
    let source = place.path("work/source");
    let marker = place.path("ran");
    git(&source, &["init", "--quiet", "."]);
    let program = format!("!touch {}", marker.display());
    git(&source, &["config", "core.fsmonitor", &program[1..]]);
    git(&source, &["config", "credential.helper", &program]);
    git(
        &source,
        &["config", "url.https://evil.invalid/.insteadOf", &served.url("cnbi/")],
    );
    let hook = source.join(".git/hooks/pre-push");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, format!("#!/bin/sh\ntouch {}\n", marker.display())).unwrap();
    record(&place, "1").done();
    assert!(!marker.exists());
    // Nor is a link followed that it has left.
    fs::remove_file(source.join("requirements.txt")).unwrap();
    std::os::unix::fs::symlink(place.path("secret/password"), source.join("requirements.txt")).unwrap();
    record(&place, "1").failed("", "requirements.txt in the prepared source cannot be read");
}

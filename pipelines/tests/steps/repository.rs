//! `prepare git-repository`

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::json;

use crate::https::Server;
use crate::index;
use crate::step_runner::{StepOutput, StepRunner, digest, uv};

fn runner(server: &Server, write: impl FnOnce(&Path)) -> StepRunner {
    let runner =
        StepRunner::new(&format!("python: {{indexUrl: '{}'}}", server.url("/simple"))).with_ca(&server.authority);
    runner.write_base_image("3.11");
    let source = runner.path("work/source");
    fs::create_dir_all(&source).unwrap();
    write(&source);
    runner
}

fn prepare(runner: &StepRunner) -> StepOutput {
    let uv = uv();
    let request = json!({"repositoryUrl": "https://x.io/a", "builderImage": "quay.io/a/b:v1"});
    runner.run_with_request(&["prepare", "git-repository", "--uv", uv.to_str().unwrap()], &request)
}

fn recipe(runner: &StepRunner, name: &str) -> String {
    fs::read_to_string(runner.path("work/recipe").join(name)).unwrap_or_default()
}

#[test]
fn a_containerfile_is_not_changed() {
    let server = index::start();
    for name in ["Containerfile", "Dockerfile"] {
        let runner = runner(&server, |source| {
            fs::write(source.join(name), "FROM scratch\n").unwrap();
            fs::write(source.join("requirements.txt"), "nonsense here\n").unwrap();
        });
        assert_eq!(prepare(&runner).done().result("lock-digest"), "");
        assert_eq!(recipe(&runner, "Containerfile"), "");
    }
}

#[test]
fn package_lists_are_locked() {
    let server = index::start();
    for (name, text) in [
        ("requirements.txt", "alpha==1.0\n-c more.txt\n"),
        ("Pipfile", "[packages]\nalpha = \"*\"\nbeta = \"<3\"\n"),
        (
            "pyproject.toml",
            "[project]\nname = \"x\"\nversion = \"1\"\nrequires-python = \">=3.8\"\ndependencies = [\"alpha\"]\n",
        ),
    ] {
        let runner = runner(&server, |source| {
            fs::write(source.join(name), text).unwrap();
            fs::write(source.join("more.txt"), "beta<3\n").unwrap();
        });
        let output = prepare(&runner).done();
        let lock = recipe(&runner, "requirements.txt");
        assert!(
            lock.contains("alpha==1.0 \\\n    --hash=") && lock.contains("beta==2.0 \\\n"),
            "{name}: {lock}"
        );
        assert_eq!(output.result("lock-digest"), digest(lock.as_bytes()));
        let containerfile = recipe(&runner, "Containerfile");
        assert!(containerfile.contains("FROM quay.io/a/b@sha256:"), "{containerfile}");
    }
}

#[test]
fn lock_files_are_used_unchanged() {
    let server = index::start();
    let hash = "0".repeat(64);
    let lock = format!("alpha==0.9 \\\n    --hash=sha256:{hash}\n");
    let ready = runner(&server, |source| {
        fs::write(source.join("requirements.txt"), &lock).unwrap();
    });
    prepare(&ready).done();
    assert_eq!(recipe(&ready, "requirements.txt"), lock);
    let pipenv = runner(&server, |source| {
        let text = json!({"default": {"alpha": {"version": "==0.9", "hashes": [format!("sha256:{hash}")]}}});
        fs::write(source.join("Pipfile.lock"), text.to_string()).unwrap();
    });
    prepare(&pipenv).done();
    let index = format!("--index-url {}\n", server.url("/simple"));
    assert_eq!(recipe(&pipenv, "requirements.txt"), format!("{index}{lock}"));
}

#[test]
fn conda_installs_environment_files() {
    let server = index::start();
    let runner = runner(&server, |source| {
        fs::write(source.join("environment.yml"), "dependencies: [numpy]\n").unwrap();
    });
    assert_eq!(prepare(&runner).done().result("lock-digest"), "");
    assert!(recipe(&runner, "Containerfile").contains("os.execvp('conda', "));
    assert_eq!(recipe(&runner, "environment.yml"), "dependencies: [numpy]\n");
}

#[test]
fn the_configured_base_image_is_the_default() {
    let server = index::start();
    let config = format!(
        "{{python: {{indexUrl: '{}'}}, repositories: {{builderImage: 'quay.io/admins/base:v1'}}}}",
        server.url("/simple")
    );
    let runner = StepRunner::new(&config).with_ca(&server.authority);
    runner.write_base_image("3.11");
    let source = runner.path("work/source");
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("requirements.txt"), "alpha==1.0\n").unwrap();
    let uv = uv();
    let request = json!({"repositoryUrl": "https://x.io/a"});
    runner
        .run_with_request(&["prepare", "git-repository", "--uv", uv.to_str().unwrap()], &request)
        .done();
    let containerfile = recipe(&runner, "Containerfile");
    assert!(
        containerfile.contains("FROM quay.io/admins/base@sha256:"),
        "{containerfile}"
    );
}

#[test]
fn repositories_that_cannot_be_built_are_reported() {
    let server = index::start();
    let empty = runner(&server, |source| fs::write(source.join("README"), "").unwrap());
    prepare(&empty).failed(
        "NothingToBuild",
        "the repository has no build file; add one of Containerfile, Dockerfile, requirements.txt",
    );
    let output = empty.run_with_request(
        &["prepare", "git-repository"],
        &json!({"repositoryUrl": "https://x.io/a"}),
    );
    output.failed("NothingToBuild", "one of");
    let list = runner(&server, |source| {
        fs::write(source.join("requirements.txt"), "alpha\n").unwrap();
    });
    let output = list.run_with_request(
        &["prepare", "git-repository"],
        &json!({"repositoryUrl": "https://x.io/a"}),
    );
    output.failed(
        "NothingToBuild",
        "set spec.builderImage, or ask the admin to set repositories.builderImage",
    );
    let prepared = |name: &str, text: &str| {
        let runner = runner(&server, |source| fs::write(source.join(name), text).unwrap());
        prepare(&runner)
    };
    prepared("requirements.txt", "alpha==1.0\nbeta<2\n")
        .failed("RequirementsUnsolvable", "alpha>=1.0 requires beta>=2");
    prepared("requirements.txt", "missing\n").failed(
        "RequirementsUnsolvable",
        "requirements.txt: not found in the package index: missing",
    );
    prepared("requirements.txt", "one two\n").failed(
        "RequirementsUnsolvable",
        "requirements.txt: cannot lock the requirements",
    );
    prepared("Pipfile", "[packages]\na = {path = \"/etc\"}\n")
        .failed("NothingToBuild", "\"a\" is not a package from an index");
    prepared("Pipfile.lock", "{").failed("NothingToBuild", "Pipfile.lock cannot be parsed");
}

#[test]
fn untrusted_repository_content_is_rejected() {
    let server = index::start();
    let prepared = |write: &dyn Fn(&Path)| prepare(&runner(&server, |source| write(source)));
    prepared(&|source| symlink("/etc/passwd", source.join("requirements.txt")).unwrap())
        .failed("", "the link \"requirements.txt\" leads out of the repository");
    prepared(&|source| symlink("../../secret", source.join("x")).unwrap()).failed("", "the link \"x\" leads out");
    prepared(&|source| fs::write(source.join("a\nb"), "").unwrap()).failed("", "contains control characters");
    prepared(&|source| {
        let file = fs::File::create(source.join("huge")).unwrap();
        file.set_len(5 << 30).unwrap();
    })
    .failed("", "more than 4096 MiB");
}

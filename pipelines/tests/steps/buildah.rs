//! `build` with real buildah. `CNBI_WITHOUT=buildah` skips these tests.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use cnbi_pipelines::base_image::BaseImage;
use serde_json::{Value, json};

use crate::step_runner::{StepOutput, StepRunner, digest, write_layout};

/// A fake Python for images without files: prints its user, CA bundle and arguments.
const PROGRAM: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int count, char **args) {
    char *name = getenv("PIP_CERT"), line[99];
    FILE *authorities = name ? fopen(name, "r") : NULL;
    if (authorities && fgets(line, sizeof line, authorities)) printf("authorities at %s\n", name);
    FILE *file = fopen("/called", "w");
    fprintf(file, "user %d group %d\n", getuid(), getgid());
    for (int n = 1; n < count; n++) { fprintf(file, "%s\n", args[n]); printf("%s ", args[n]); }
    puts("");
    for (int n = 1; n < count; n++) { if (!strcmp(args[n], "fail")) return 7; }
    return 0;
}
"#;

/// Compiles the program statically.
fn program(folder: &Path) -> Vec<u8> {
    let source = folder.join("program.c");
    fs::write(&source, PROGRAM).unwrap();
    let output = folder.join("program");
    let status = Command::new("cc")
        .arg("-static")
        .arg("-o")
        .arg(&output)
        .arg(&source)
        .status()
        .unwrap();
    assert!(status.success());
    fs::read(output).unwrap()
}

fn runner() -> StepRunner {
    let found = Command::new("buildah").arg("--version").output();
    assert!(
        found.is_ok_and(|output| output.status.success()),
        "buildah not found; run `make tools`, or skip these tests with CNBI_WITHOUT=buildah"
    );
    StepRunner::new("build: {storageDriver: vfs, isolation: chroot}")
}

/// Writes a base image with the program as `/usr/bin/python3`.
fn write_base_image(runner: &StepRunner) -> String {
    write_base_image_with_user(runner, "")
}

/// Writes a base image with a user.
fn write_base_image_with_user(runner: &StepRunner, user: &str) -> String {
    let program = program(&runner.path("image"));
    let mut layer = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o755);
    header.set_size(program.len() as u64);
    layer.append_data(&mut header, "usr/bin/python3", &program[..]).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(0o1777);
    header.set_size(0);
    layer.append_data(&mut header, "tmp", std::io::empty()).unwrap();
    let layer = layer.into_inner().unwrap();
    let architecture = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    };
    let config = json!({"architecture": architecture, "os": "linux",
        "config": {"Env": ["PATH=/usr/bin"], "User": user}, "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]}});
    write_layout(&runner.path("work/base"), &config, &layer)
}

fn build(runner: &StepRunner) -> StepOutput {
    let storage = runner.path("storage");
    let request = json!({"builderImage": "registry.invalid/a/b:v1", "displayName": "A \"name\"\n$(x)",
        "repositoryUrl": "https://x.io/a"});
    let commit = "1".repeat(40);
    runner.run_with_request(
        &["build", "--storage", storage.to_str().unwrap(), "--commit", &commit],
        &request,
    )
}

fn source(runner: &StepRunner, files: &[(&str, &str)]) {
    let source = runner.path("work/source");
    fs::create_dir_all(&source).unwrap();
    for (name, text) in files {
        fs::write(source.join(name), text).unwrap();
    }
}

/// Writes the source of a package list.
fn write_package_list(runner: &StepRunner, digest: &str, user: &str) {
    let base = BaseImage {
        reference: format!("registry.invalid/a/b@{digest}"),
        digest: digest.to_owned(),
        user: user.to_owned(),
        target: None,
    };
    let containerfile = cnbi_pipelines::containerfile::packages(&base, "3.11", "requirements.txt");
    source(
        runner,
        &[("Containerfile", &containerfile), ("requirements.txt", "x\n")],
    );
}

/// Manifest and configuration of the built image.
fn built_image(runner: &StepRunner) -> (Value, Value) {
    let layout = runner.path("work/image");
    let read = |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let blob = |digest: &Value| read(&layout.join("blobs").join(digest.as_str().unwrap().replace(':', "/")));
    let index = read(&layout.join("index.json"));
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1, "{index}");
    let manifest = blob(&index["manifests"][0]["digest"]);
    let config = blob(&manifest["config"]["digest"]);
    (manifest, config)
}

#[test]
fn packages_are_installed_as_root_on_the_fetched_base_image() {
    let runner = runner();
    let digest = write_base_image_with_user(&runner, "1001:0");
    write_package_list(&runner, &digest, "1001:0");
    let output = build(&runner).done();
    assert!(output.log.contains("--require-hashes"), "{}", output.log);
    let (manifest, config) = built_image(&runner);
    assert_eq!(config["config"]["User"], "1001:0");
    // From a file: under load, buildah loses output of programs that exit at once.
    let mut files = String::new();
    for layer in manifest["layers"].as_array().unwrap() {
        let path = layer["digest"].as_str().unwrap().replace(':', "/");
        let layer = fs::File::open(runner.path("work/image/blobs").join(path)).unwrap();
        let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(layer));
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            if entry.path().unwrap().ends_with("called") {
                entry.read_to_string(&mut files).unwrap();
            }
        }
    }
    assert!(files.starts_with("user 0 group 0\n"), "{files}");
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    let labels = &config["config"]["Labels"];
    assert_eq!(labels["org.opencontainers.image.base.digest"], digest.as_str());
    assert_eq!(labels["org.opencontainers.image.base.name"], "registry.invalid/a/b:v1");
    assert_eq!(labels["org.opencontainers.image.revision"], "1".repeat(40));
    assert_eq!(labels["org.opencontainers.image.title"], "A \"name\" $(x)");
    assert_eq!(labels["org.opencontainers.image.source"], "https://x.io/a");
    // A retry.
    build(&runner).done();
    built_image(&runner);
}

#[test]
fn ca_certificates_are_available_during_the_build_only() {
    let runner = runner().with_ca("-----BEGIN CERTIFICATE-----\n");
    let digest = write_base_image(&runner);
    write_package_list(&runner, &digest, "");
    let output = build(&runner).done();
    assert!(output.log.contains("authorities at /run/cnbi/ca.pem"), "{}", output.log);
    let (manifest, config) = built_image(&runner);
    assert!(!config["config"].to_string().contains("PIP_CERT"), "{config}");
    assert_eq!(config["config"].get("User"), None);
    let layers = manifest["layers"].as_array().unwrap();
    for layer in layers {
        let path = layer["digest"].as_str().unwrap().replace(':', "/");
        let file = fs::File::open(runner.path("work/image/blobs").join(path)).unwrap();
        let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(file));
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut text = String::new();
            if name.ends_with("ca.pem") {
                entry.read_to_string(&mut text).unwrap();
            }
            assert_eq!(text, "", "{name}");
        }
    }
}

#[test]
fn generated_build_instructions_take_precedence() {
    let runner = runner();
    let digest = write_base_image(&runner);
    source(&runner, &[("requirements.txt", "x\n")]);
    fs::create_dir(runner.path("work/recipe")).unwrap();
    fs::write(
        runner.path("work/recipe/Containerfile"),
        format!("FROM registry.invalid/a/b@{digest}\nRUN [\"python3\", \"recipe\"]\n"),
    )
    .unwrap();
    let output = build(&runner).done();
    assert!(output.log.contains("RUN [\"python3\", \"recipe\"]"), "{}", output.log);
}

#[test]
fn a_failed_build_is_reported_with_the_instruction() {
    let runner = runner();
    write_base_image(&runner);
    let with = |text: &str| {
        source(&runner, &[("Containerfile", text)]);
        build(&runner)
    };
    // The output is not asserted: under load, buildah loses it if the program exits at once.
    with("FROM registry.invalid/a/b:v1\nRUN [\"python3\", \"say\", \"fail\"]\n")
        .failed("BuildFailed", "RUN python3 say fail failed: exit status 7");
    let install = format!(
        "FROM registry.invalid/a/b:v1\nRUN {}\n",
        json!(["python3", "-c", cnbi_pipelines::containerfile::SETUP, "fail"])
    );
    with(&install).failed("BuildFailed", "installing the packages failed: exit status 7");
    with("FROM scratch\nCOPY nothing /\n").failed("BuildFailed", "COPY nothing / failed: ");
    with("FROM registry.invalid/other:v1\nCOPY Containerfile /\n").failed("BuildFailed", "registry.invalid");
    with("nonsense\n").failed("BuildFailed", "");
    assert!(!runner.path("work/image/index.json").exists());
}

#[test]
fn a_missing_containerfile_is_reported() {
    let runner = StepRunner::new("");
    source(&runner, &[("README", "")]);
    build(&runner).failed("", "found no Containerfile to build");
}

#[test]
fn builds_have_no_credentials() {
    let runner = runner()
        .with("REGISTRY_AUTH_FILE", "/nowhere")
        .with("SECRET", "hunter2");
    let digest = write_base_image(&runner);
    let text = format!("FROM registry.invalid/a/b@{digest}\nARG SECRET\nRUN [\"python3\", \"x\"]\n");
    source(&runner, &[("Containerfile", &text)]);
    let output = build(&runner).done();
    let (_, config) = built_image(&runner);
    assert!(
        !config.to_string().contains("hunter2") && !output.log.contains("hunter2"),
        "{config}"
    );
}

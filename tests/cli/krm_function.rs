//! The KRM function, run by kustomize.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use cnbi_tests::assets;
use cnbi_tests::process::binary;
use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::Result;

/// Runs as a transformer: kustomize annotates the output, so it rejects every function used as validator.
const KUSTOMIZATION: &str = "resources: [notebook.yaml, other.yaml]\ntransformers: [function.yaml]\n";

fn notebook(image: &str) -> String {
    format!(
        "apiVersion: meteor.zone/v1alpha1\nkind: CustomNBImage\nmetadata:\n  name: notebook\n  annotations:\n    \
         opendatahub.io/notebook-image-desc: d\nspec:\n  buildType: ImageImport # kept\n  fromImage: {image}\n"
    )
}

fn function(name: &str, program: &Path, data: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  annotations:\n    config.kubernetes.io/function: |\n      \
         exec: {{path: {}}}\ndata:\n{data}",
        program.display()
    )
}

/// A kustomization with the function.
fn folder(image: &str, data: &str) -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    // kustomize runs the program without arguments.
    let program = folder.path().join("cnbi-function");
    fs::write(
        &program,
        format!("#!/bin/sh\nexec {} function\n", binary("kubectl-cnbi")?.display()),
    )?;
    let mut permissions = fs::metadata(&program)?.permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    fs::set_permissions(&program, permissions)?;
    for (name, text) in [
        ("kustomization.yaml", KUSTOMIZATION.to_owned()),
        ("notebook.yaml", notebook(image)),
        (
            "other.yaml",
            "apiVersion: v1\nkind: Service\nmetadata: {name: other}\n".to_owned(),
        ),
        ("function.yaml", function("check", Path::new("./cnbi-function"), data)),
    ] {
        fs::write(folder.path().join(name), text)?;
    }
    Ok(folder)
}

fn build(folder: &TempDir) -> Result<Output> {
    Ok(Command::new(assets::kustomize()?)
        .args(["build", "--enable-alpha-plugins", "--enable-exec", "."])
        .current_dir(folder.path())
        .output()?)
}

#[test]
fn the_krm_function_validates_without_changes() -> Result {
    let built = build(&folder("quay.io/a/b:v1", "  x: \"\"\n")?)?;
    let stderr = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{stderr}");
    let objects: Vec<Value> = serde_saphyr::from_multiple(&String::from_utf8(built.stdout)?)?;
    assert_eq!(objects.len(), 2);
    let ours = objects
        .iter()
        .find(|object| object["kind"] == "CustomNBImage")
        .ok_or("it is gone")?;
    let written: Value = serde_saphyr::from_str(&notebook("quay.io/a/b:v1"))?;
    assert_eq!(*ours, written);

    let built = build(&folder("quay.io/a/b", "  x: \"\"\n")?)?;
    let stderr = String::from_utf8_lossy(&built.stderr);
    assert!(!built.status.success(), "{}", String::from_utf8_lossy(&built.stdout));
    for expected in ["notebook", "CNB103", "spec.fromImage"] {
        assert!(stderr.contains(expected), "{expected}: {stderr}");
    }
    Ok(())
}

#[test]
fn the_krm_function_sets_defaults_on_request() -> Result {
    let data = "  default: \"true\"\n  config.yaml: \"targetNamespace: {default: odh}\"\n";
    let built = build(&folder("quay.io/a/b:v1", data)?)?;
    let stderr = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{stderr}");
    let text = String::from_utf8(built.stdout)?;
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text)?;
    let ours = objects
        .iter()
        .find(|object| object["kind"] == "CustomNBImage")
        .ok_or("it is gone")?;
    assert_eq!(ours["spec"]["targetNamespace"], "odh");
    assert_eq!(
        ours["metadata"]["annotations"]["opendatahub.io/notebook-image-name"],
        "notebook"
    );
    assert!(objects.iter().any(|object| object["kind"] == "Service"));
    Ok(())
}

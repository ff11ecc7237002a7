//! The manifest of `kubectl cnbi create`.

use cnbi_shared::api::{API_VERSION, KIND, annotations};

use super::{CreateCommand, requirements};
use crate::check::scalar_text;
use crate::connection::CliError;

/// Builds the manifest in YAML.
///
/// # Errors
/// The requirements file cannot be read.
pub fn manifest(what: &CreateCommand) -> Result<String, CliError> {
    let mut spec: Vec<String> = Vec::new();
    let mut set = |key: &str, value: Option<&String>| {
        if let Some(value) = value {
            spec.push(format!("  {key}: {}", scalar_text(value)));
        }
    };
    let (common, build_type) = match what {
        CreateCommand::Import(args) => {
            set("fromImage", Some(&args.image));
            (&args.common, "ImageImport")
        }
        CreateCommand::Packages(args) => {
            set("builderImage", args.builder_image.as_ref());
            if let (Some(os), Some(version), Some(python)) = (&args.os, &args.os_version, &args.python) {
                spec.push("  runtimeEnvironment:".to_owned());
                for (key, value) in [("osName", os), ("osVersion", version), ("pythonVersion", python)] {
                    spec.push(format!("    {key}: {}", scalar_text(value)));
                }
            }
            let mut packages = args.packages.clone();
            if let Some(file) = &args.requirements {
                packages.extend(requirements::read(file)?);
            }
            spec.push("  packageVersions:".to_owned());
            spec.extend(packages.iter().map(|package| format!("    - {}", scalar_text(package))));
            (&args.common, "PackageList")
        }
        CreateCommand::Git(args) => {
            set("repositoryUrl", Some(&args.url));
            set("gitRef", args.r#ref.as_ref());
            set("builderImage", args.builder_image.as_ref());
            (&args.common, "GitRepository")
        }
    };
    if let Some(secret) = &common.pull_secret {
        spec.push("  imagePullSecret:".to_owned());
        spec.push(format!("    name: {}", scalar_text(secret)));
    }
    if let Some(target) = &common.target_namespace {
        spec.push(format!("  targetNamespace: {}", scalar_text(target)));
    }
    let mut lines = vec![
        format!("apiVersion: {API_VERSION}"),
        format!("kind: {KIND}"),
        "metadata:".to_owned(),
        format!("  name: {}", scalar_text(&common.name)),
    ];
    if let Some(namespace) = &common.cluster.namespace {
        lines.push(format!("  namespace: {}", scalar_text(namespace)));
    }
    let texts = [
        (annotations::DISPLAY_NAME, &common.display_name),
        (annotations::DESCRIPTION, &common.description),
    ];
    if texts.iter().any(|(_, text)| text.is_some()) {
        lines.push("  annotations:".to_owned());
    }
    for (key, text) in texts {
        if let Some(text) = text {
            lines.push(format!("    {key}: {}", scalar_text(text)));
        }
    }
    lines.push("spec:".to_owned());
    lines.push(format!("  buildType: {build_type}"));
    lines.extend(spec);
    Ok(lines.join("\n") + "\n")
}

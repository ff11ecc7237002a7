//! Manifests and commands in the documents are valid.

use std::collections::BTreeSet;
use std::fs;

use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::installation::shipped;
use serde_json::Value;

use super::manifests::copy;
use super::{Outcome, list, overlay, rendered};

const PAGES: [&str; 12] = [
    "README.md",
    "deploy/README.md",
    "docs/tutorial.md",
    "docs/explanation/certificates.md",
    "docs/explanation/hosting.md",
    "docs/explanation/trust.md",
    "docs/how-to/alerts.md",
    "docs/how-to/configure.md",
    "docs/how-to/gitops.md",
    "docs/how-to/install.md",
    "docs/how-to/private-registries.md",
    "docs/how-to/upgrade.md",
];

/// The fenced blocks of one language, with their pages.
fn blocks(language: &str) -> Outcome<Vec<(&'static str, String)>> {
    let mut found = Vec::new();
    for page in PAGES {
        let text = fs::read_to_string(shipped::deploy().join("..").join(page))?;
        let mut blocks = text.split("\n```");
        blocks.next();
        // Every second part follows an opening fence.
        for block in blocks.step_by(2) {
            if let Some(block) = block.strip_prefix(language).and_then(|rest| rest.strip_prefix('\n')) {
                found.push((page, block.to_owned()));
            }
        }
    }
    assert!(found.len() > 5, "{language}: {}", found.len());
    Ok(found)
}

#[tokio::test]
async fn every_manifest_can_be_read_and_every_overlay_renders() -> Outcome {
    let cluster = ControlPlane::shared().await?;
    let folder = tempfile::tempdir_in(cluster.data())?;
    copy(&shipped::deploy(), folder.path())?;
    let mut overlays = 0;
    for (page, block) in blocks("yaml")? {
        let objects: Vec<Value> =
            serde_saphyr::from_multiple(&block).map_err(|error| format!("{page}: {error}\n{block}"))?;
        let first = objects.first().ok_or_else(|| format!("{page}: nothing in\n{block}"))?;
        if !list(&first["resources"]).iter().any(Value::is_string) {
            continue;
        }
        overlays += 1;
        let own = folder.path().join(format!("overlays/own-{overlays}"));
        fs::create_dir(&own)?;
        fs::write(own.join("kustomization.yaml"), &block)?;
        fs::write(own.join("config.yaml"), cnbi_shared::config::SHIPPED)?;
        let text = Value::from(rendered(cluster, &own).await?).to_string();
        for image in list(&first["images"]) {
            let name = image["newName"].as_str().ok_or("an image without its new name")?;
            assert_eq!(text.matches(&format!("{name}@sha256:")).count(), 1, "{page}: {name}");
        }
    }
    assert_eq!(overlays, 4, "the number of overlays in the documents has changed");
    Ok(())
}

#[test]
fn documented_commands_name_existing_files_and_targets() -> Outcome {
    let root = shipped::deploy().join("..");
    let makefile = fs::read_to_string(root.join("Makefile"))?;
    let phony: BTreeSet<&str> = makefile
        .lines()
        .filter_map(|line| line.strip_prefix(".PHONY: "))
        .flat_map(str::split_whitespace)
        .collect();
    let mut targets = 0;
    for (page, block) in blocks("sh")? {
        for line in block.lines() {
            let command = line.split(" # ").next().unwrap_or_default();
            let mut words = command.split_whitespace().skip_while(|word| word.contains('='));
            if words.next() == Some("make") {
                let target = words.next().unwrap_or_default();
                assert!(phony.contains(target), "{page}: {line}");
                targets += 1;
            }
            for word in command.split_whitespace() {
                if let Some(name) = word.strip_prefix("OVERLAY=") {
                    let known = overlay(name).join("kustomization.yaml").exists();
                    assert!(known || name == "ours", "{page}: {line}");
                } else if word.starts_with("deploy/") || word.starts_with("pipelines/") {
                    assert!(root.join(word).exists(), "{page}: {line}");
                }
            }
        }
    }
    assert!(targets > 5, "{targets}");
    Ok(())
}

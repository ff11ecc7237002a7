//! Admission: valid resources, defaults, all errors at once, warnings.

use anyhow::Result;

use cnbi_tests::kubectl::KubectlOutput;

use super::narrator::Narrator;
use super::{TARGET, Tour, manifest, text};

pub(super) async fn chapters(tour: &mut Tour<'_>) -> Result<()> {
    good_ones(tour).await?;
    defaulting(tour).await?;
    six_mistakes(tour).await?;
    pull_secret(tour).await?;
    warning(tour).await
}

async fn good_ones(tour: &mut Tour<'_>) -> Result<()> {
    let narrator = &mut tour.narrator;
    narrator.chapter(
        "Valid resources are accepted",
        "One image import, two package lists and one Git repository.",
    );
    let answer = narrator.kubectl(&["apply", "-f", &manifest("reference.yaml")]).await?;
    narrator.claim(
        "all four resources are created",
        answer.success && answer.stdout.matches(" created").count() == 4,
    );
    narrator.claim("kubectl shows no warning", !answer.stderr.contains("Warning"));
    let judged = ["wait", "--for=condition=WellFormed", "--timeout=30s", "cnbi", "--all"];
    let answer = narrator.kubectl(&judged).await?;
    narrator.claim(
        "the controller checked each stored resource and set the condition WellFormed",
        answer.success,
    );
    narrator.kubectl(&["get", "cnbi"]).await?;
    Ok(())
}

async fn defaulting(tour: &mut Tour<'_>) -> Result<()> {
    let narrator = &mut tour.narrator;
    narrator.chapter(
        "Defaults are filled in",
        "tests/demo/manifests/bare.yaml has no target namespace, no display name and no creator.",
    );
    let answer = narrator.kubectl(&["apply", "-f", &manifest("bare.yaml")]).await?;
    narrator.claim("the resource is accepted", answer.success);
    let path = "jsonpath={.spec.targetNamespace}{\"\\n\"}{.metadata.annotations.opendatahub\\.io/notebook-image-name}{\"\\n\"}\
                {.metadata.annotations.opendatahub\\.io/notebook-image-creator}{\"\\n\"}";
    let answer = narrator.kubectl(&["get", "cnbi", "bare", "-o", path]).await?;
    let lines: Vec<&str> = answer.stdout.lines().collect();
    narrator.claim(
        "the target namespace is the configured default",
        lines.first() == Some(&TARGET),
    );
    narrator.claim(
        "the display name is the name of the resource",
        lines.get(1) == Some(&"bare"),
    );
    narrator.claim(
        "the creator is the user who ran kubectl",
        lines.get(2).is_some_and(|creator| !creator.is_empty()),
    );
    let answer = narrator.kubectl(&["diff", "-f", &manifest("bare.yaml")]).await?;
    narrator.claim(
        "kubectl diff shows no difference to the manifest",
        answer.success && answer.stdout.is_empty(),
    );
    Ok(())
}

/// The rules that `six-mistakes.yaml` violates. The schema knows some of them.
const SIX: [&str; 6] = ["CNB001", "CNB012", "CNB110", "CNB202", "CNB206", "CNB212"];

/// The rules that `two-mistakes.yaml` violates.
const TWO: [&str; 2] = ["CNB302", "CNB304"];

fn names_all(answer: &KubectlOutput, rules: &[&str]) -> bool {
    rules.iter().all(|rule| answer.stderr.contains(&format!("[{rule}]")))
}

async fn six_mistakes(tour: &mut Tour<'_>) -> Result<()> {
    let narrator = &mut tour.narrator;
    narrator.chapter(
        "All errors are reported at once",
        "This manifest has six errors. A schema alone would find some of them and hide the rest.",
    );
    Narrator::say(&indented(&text("six-mistakes.yaml")?));
    let answer = narrator
        .kubectl(&["apply", "-f", &manifest("six-mistakes.yaml")])
        .await?;
    narrator.claim("the resource is rejected", !answer.success);
    narrator.claim("the response lists all six errors", names_all(&answer, &SIX));
    let both = [
        "apply",
        "-f",
        &manifest("six-mistakes.yaml"),
        "-f",
        &manifest("two-mistakes.yaml"),
    ];
    let answer = narrator.kubectl(&both).await?;
    narrator.claim(
        "with two files, each response lists all errors of its file",
        names_all(&answer, &SIX) && names_all(&answer, &TWO),
    );
    Ok(())
}

async fn pull_secret(tour: &mut Tour<'_>) -> Result<()> {
    let narrator = &mut tour.narrator;
    narrator.chapter(
        "A private image needs a pull secret",
        "The secret does not exist at first.",
    );
    let apply = ["apply", "-f", &manifest("private.yaml")];
    let answer = narrator.kubectl(&apply).await?;
    narrator.claim(
        "the resource is rejected because the secret is missing",
        !answer.success && names_all(&answer, &["CNB110"]),
    );
    narrator.claim(
        "the response contains the command that creates the secret",
        answer.stderr.contains("kubectl create secret"),
    );
    let secret = [
        "create",
        "secret",
        "docker-registry",
        "private-registry-credentials",
        "--docker-server=quay.io",
        "--docker-username=me",
        "--docker-password=not-a-real-one",
    ];
    let answer = narrator.kubectl(&secret).await?;
    narrator.claim("the secret is created", answer.success);
    let answer = narrator.kubectl(&apply).await?;
    narrator.claim("the same resource is now accepted", answer.success);
    Ok(())
}

async fn warning(tour: &mut Tour<'_>) -> Result<()> {
    let narrator = &mut tour.narrator;
    narrator.chapter(
        "A warning does not block",
        "The tag `latest` can point to another image at any time.",
    );
    let answer = narrator.kubectl(&["apply", "-f", &manifest("latest.yaml")]).await?;
    narrator.claim("the resource is accepted", answer.success);
    narrator.claim(
        "the warning names the field",
        answer.stderr.contains("Warning: spec.fromImage"),
    );
    Ok(())
}

/// Prefixes each line, as a quotation.
pub(super) fn indented(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("  | {line}")).collect();
    lines.join("\n")
}

//! What a data scientist sees: accepted, filled in, or refused with everything that is wrong.

use anyhow::Result;

use cnbi_tests::kubectl::Answer;

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
        "Good requests are accepted",
        "An import, two package lists and a Git repository.",
    );
    let answer = narrator.kubectl(&["apply", "-f", &manifest("reference.yaml")]).await?;
    narrator.claim(
        "all four are created",
        answer.success && answer.stdout.matches(" created").count() == 4,
    );
    narrator.claim("without a warning", !answer.stderr.contains("Warning"));
    let judged = ["wait", "--for=condition=WellFormed", "--timeout=30s", "cnbi", "--all"];
    let answer = narrator.kubectl(&judged).await?;
    narrator.claim(
        "the controller has judged what is stored, and says so in status",
        answer.success,
    );
    narrator.kubectl(&["get", "cnbi"]).await?;
    Ok(())
}

async fn defaulting(tour: &mut Tour<'_>) -> Result<()> {
    let narrator = &mut tour.narrator;
    narrator.chapter(
        "What was left out is filled in",
        "tests/demo/manifests/bare.yaml names neither a target namespace, nor a display name, nor who asks.",
    );
    let answer = narrator.kubectl(&["apply", "-f", &manifest("bare.yaml")]).await?;
    narrator.claim("it is accepted", answer.success);
    let path = "jsonpath={.spec.targetNamespace}{\"\\n\"}{.metadata.annotations.opendatahub\\.io/notebook-image-name}{\"\\n\"}\
                {.metadata.annotations.opendatahub\\.io/notebook-image-creator}{\"\\n\"}";
    let answer = narrator.kubectl(&["get", "cnbi", "bare", "-o", path]).await?;
    let lines: Vec<&str> = answer.stdout.lines().collect();
    narrator.claim(
        "the target namespace is the configured one",
        lines.first() == Some(&TARGET),
    );
    narrator.claim(
        "the display name is the resource's own name",
        lines.get(1) == Some(&"bare"),
    );
    narrator.claim(
        "the creator is whoever ran kubectl",
        lines.get(2).is_some_and(|creator| !creator.is_empty()),
    );
    let answer = narrator.kubectl(&["diff", "-f", &manifest("bare.yaml")]).await?;
    narrator.claim(
        "and the manifest still shows no difference",
        answer.success && answer.stdout.is_empty(),
    );
    Ok(())
}

/// The rules that `six-mistakes.yaml` breaks. Some of them stand in the schema too, some do not.
const SIX: [&str; 6] = ["CNB001", "CNB012", "CNB110", "CNB202", "CNB206", "CNB212"];

/// The rules that `two-mistakes.yaml` breaks.
const TWO: [&str; 2] = ["CNB302", "CNB304"];

fn names_all(answer: &Answer, rules: &[&str]) -> bool {
    rules.iter().all(|rule| answer.stderr.contains(&format!("[{rule}]")))
}

async fn six_mistakes(tour: &mut Tour<'_>) -> Result<()> {
    let narrator = &mut tour.narrator;
    narrator.chapter(
        "Every mistake at once",
        "Six mistakes. The schema would see some of them, and would hide the others.",
    );
    Narrator::say(&indented(&text("six-mistakes.yaml")?));
    let answer = narrator
        .kubectl(&["apply", "-f", &manifest("six-mistakes.yaml")])
        .await?;
    narrator.claim("it is refused", !answer.success);
    narrator.claim("and all six mistakes are in the answer", names_all(&answer, &SIX));
    let both = [
        "apply",
        "-f",
        &manifest("six-mistakes.yaml"),
        "-f",
        &manifest("two-mistakes.yaml"),
    ];
    let answer = narrator.kubectl(&both).await?;
    narrator.claim(
        "also with two files at once, each with all of its own",
        names_all(&answer, &SIX) && names_all(&answer, &TWO),
    );
    Ok(())
}

async fn pull_secret(tour: &mut Tour<'_>) -> Result<()> {
    let narrator = &mut tour.narrator;
    narrator.chapter(
        "A private image needs its pull Secret",
        "First it is missing, then it is there.",
    );
    let apply = ["apply", "-f", &manifest("private.yaml")];
    let answer = narrator.kubectl(&apply).await?;
    narrator.claim(
        "it is refused for the missing Secret",
        !answer.success && names_all(&answer, &["CNB110"]),
    );
    narrator.claim(
        "and the answer has the command that makes it",
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
    narrator.claim("the Secret is made", answer.success);
    let answer = narrator.kubectl(&apply).await?;
    narrator.claim("now it is accepted at once", answer.success);
    Ok(())
}

async fn warning(tour: &mut Tour<'_>) -> Result<()> {
    let narrator = &mut tour.narrator;
    narrator.chapter(
        "A warning is not a refusal",
        "The tag `latest` names another image tomorrow.",
    );
    let answer = narrator.kubectl(&["apply", "-f", &manifest("latest.yaml")]).await?;
    narrator.claim("it is accepted", answer.success);
    narrator.claim(
        "with a warning that names the field",
        answer.stderr.contains("Warning: spec.fromImage"),
    );
    Ok(())
}

/// As a quotation.
pub(super) fn indented(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("  | {line}")).collect();
    lines.join("\n")
}

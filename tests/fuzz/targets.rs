// What is fuzzed, one function a target. Shared by the ordinary tests (`tests/admission/fuzz.rs`) and by cargo-fuzz
// (`fuzz_targets/`); each takes any bytes, and none may panic on them.

use std::sync::LazyLock;

use cnbi_shared::config::Config;
use cnbi_shared::credentials;
use cnbi_shared::facts::PullSecret;
use cnbi_shared::grammar::clone_url::CloneUrl;
use cnbi_shared::grammar::git_ref::validate as validate_git_ref;
use cnbi_shared::grammar::image::ImageReference;
use cnbi_shared::grammar::requirement::{Environment, Requirement, Truth, parse_package_item, suggest};
use cnbi_webhook::admission_response::AdmissionResponse;
use cnbi_webhook::{admission, admission_request, facts};

/// Takes any bytes.
pub type Target = fn(&[u8]);

/// Each target, by the folder of its corpus.
#[allow(dead_code, reason = "each of cargo-fuzz's programs takes one target")]
pub const TARGETS: [(&str, Target); 7] = [
    ("review", review),
    ("image", image),
    ("requirement", requirement),
    ("clone_url", url),
    ("git_ref", refname),
    ("docker_config", docker_config),
    ("configuration", configuration),
];

static CONFIG: LazyLock<Config> = LazyLock::new(Config::shipped);

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// The body of a request to the webhook: parsed, defaulted, evaluated and answered, without lookups.
pub fn review(data: &[u8]) {
    if let Ok(request) = admission_request::parse_config_map(data) {
        for yaml in request.object.data.iter().flat_map(|data| data.values()) {
            configuration(yaml.as_bytes());
        }
    }
    let Ok(mut request) = admission_request::parse(data) else {
        return;
    };
    admission::apply_defaults(&mut request, &CONFIG);
    let again = admission::apply_defaults(&mut request, &CONFIG);
    assert!(again.patch.is_none(), "defaults are applied twice: {again:?}");
    let known = facts::known_facts();
    let report = admission::evaluate(&request, &known, &CONFIG);
    admission::lookups(&request, &report, &known, &CONFIG);
    let response = AdmissionResponse::from_report(&request.uid, &request.name, &report, &[]).to_json();
    assert!(
        serde_json::from_slice::<serde_json::Value>(&response).is_ok(),
        "the response is not JSON"
    );
}

/// An image reference.
pub fn image(data: &[u8]) {
    let Some(text) = text(data) else { return };
    match ImageReference::parse(text) {
        // What is legal stays so when everything that may be left out is written, unless that makes it too long.
        Ok(reference) => {
            let qualified = reference.qualified();
            let is_legal = ImageReference::parse(&qualified).is_ok();
            assert!(
                is_legal || reference.repository().len() > 200,
                "{text:?}: {qualified:?}"
            );
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            let suggestion = error.suggestion();
            assert!(
                suggestion.is_none_or(|it| ImageReference::parse(it).is_ok()),
                "{text:?}: what is proposed is as wrong: {suggestion:?}"
            );
        }
    }
}

/// A requirement of a package list.
pub fn requirement(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Some(suggestion) = suggest(text) {
        let is_legal = Requirement::parse(&suggestion).is_ok();
        assert!(is_legal, "{text:?}: what is proposed is as wrong: {suggestion:?}");
    }
    let Ok(requirement) = parse_package_item(text) else {
        return;
    };
    if let Some(marker) = requirement.marker() {
        let holds = marker.evaluate(&Environment::for_python("3.11")) == Truth::True;
        assert!(!holds || !marker.disjoint(marker), "it holds and cannot: {text:?}");
    }
    requirement.specifiers().contradict();
    assert!(!requirement.normalized_name().is_empty(), "{text:?}");
}

/// The URL of a Git repository.
pub fn url(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Ok(url) = CloneUrl::parse(text) {
        assert!(!url.host().is_empty() && !url.host().starts_with('-'), "{text:?}");
    }
}

/// The name of a Git ref.
pub fn refname(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if validate_git_ref(text).is_ok() {
        assert!(!text.starts_with('-') && !text.contains(".."), "{text:?}");
    }
}

/// The content of a pull Secret.
pub fn docker_config(data: &[u8]) {
    let Ok(image) = ImageReference::parse("quay.io/team/image:v1") else {
        return;
    };
    for secret_type in [PullSecret::DOCKER_CONFIG_JSON, PullSecret::DOCKER_CFG] {
        if let PullSecret::Registries(entries) = PullSecret::parse(secret_type, Some(data)) {
            let answers = credentials::any_entry_matches(&entries, &image);
            assert_eq!(answers, credentials::best_entry(&entries, &image).is_some());
        }
    }
}

/// The admin's configuration.
pub fn configuration(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Err(error) = Config::from_yaml(text) {
        assert!(!error.problems().is_empty(), "it is refused without a reason: {text:?}");
    }
}

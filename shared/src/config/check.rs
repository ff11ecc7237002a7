//! Validation of the configuration. An entry that can never match is rejected, because it would silently fail to protect or to allow.
//!
//! All problems are reported at once. Values that may be secrets are not repeated.

pub(super) mod runs;
mod tasks;

use super::{AllowedTarget, CatalogEntry, Config, GitCredential, MAX_LIST_ITEMS, Problem};
use crate::api::limits;
use crate::grammar::clone_url::is_host_name;
use crate::grammar::dns::{self, split_port};
use crate::grammar::image::{ImageReference, is_registry};
use crate::rules::{self, exceeds, may_hold_secret};
use crate::verdict::{Level, printable};

/// Maximum number of characters of a value that are shown.
const SHOWN: usize = 80;

/// All problems of a configuration.
pub(super) fn check(config: &Config) -> Vec<Problem> {
    let mut problems = Problems::default();
    let Config {
        target_namespace,
        rules,
        images,
        runtime_environments,
        repositories,
        git,
        pipelines,
        retry,
        // Every value of these is valid.
        history: _,
        image_stream: _,
        pull_secrets: _,
        tracking: _,
        build: _,
        sbom: _,
        // Checked in `tasks`.
        signatures: _,
        python: _,
        network: _,
        source: _,
        registry: _,
    } = config;
    if !target_namespace.default.is_empty() {
        problems.namespace("targetNamespace.default".to_owned(), &target_namespace.default);
    }
    problems.list("targetNamespace.allowed", &target_namespace.allowed, allowed_target);
    for (id, level) in rules {
        problems.rule(id, *level);
    }
    problems.list("images.allowed", &images.allowed, |problems, location, prefix| {
        image_prefix(problems, location, prefix);
    });
    problems.list("runtimeEnvironments", runtime_environments, catalog_entry);
    problems.repeated("runtimeEnvironments", runtime_environments, |entry| {
        [&entry.os_name, &entry.os_version, &entry.python_version].map(Clone::clone)
    });
    problems.list(
        "repositories.allowed",
        &repositories.allowed,
        |problems, location, host| {
            problems.host(location.to_owned(), host);
        },
    );
    if !repositories.builder_image.is_empty() {
        image(
            &mut problems,
            "repositories.builderImage".to_owned(),
            &repositories.builder_image,
        );
    }
    problems.list("git.credentials", &git.credentials, git_credential);
    problems.repeated("git.credentials", &git.credentials, |entry| {
        entry.host.trim_end_matches('.').to_ascii_lowercase()
    });
    tasks::check(&mut problems, config);
    let mut problems = problems.0;
    pipelines.check(&mut problems);
    retry.check(&mut problems);
    problems
}

#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, location: String, message: String) {
        self.0.push(Problem { location, message });
    }

    /// Adds a problem with a value, which is shown unless it may be a secret.
    fn value(&mut self, location: String, value: &str, message: &str) {
        let message = if may_hold_secret(value) || value.contains('@') {
            "appears to contain credentials, which the configuration must not contain".to_owned()
        } else {
            format!("\"{}\" {message}", printable(value, SHOWN))
        };
        self.add(location, message);
    }

    fn list<T>(&mut self, location: &str, items: &[T], check: impl Fn(&mut Self, &str, &T)) {
        if items.len() > MAX_LIST_ITEMS {
            let count = items.len();
            self.add(
                location.to_owned(),
                format!("has {count} items; at most {MAX_LIST_ITEMS} are allowed"),
            );
        }
        for (index, item) in items.iter().take(MAX_LIST_ITEMS).enumerate() {
            check(self, &format!("{location}[{index}]"), item);
        }
    }

    fn repeated<T, K: PartialEq>(&mut self, location: &str, items: &[T], key: impl Fn(&T) -> K) {
        let keys: Vec<K> = items.iter().take(MAX_LIST_ITEMS).map(key).collect();
        for (index, key) in keys.iter().enumerate() {
            if let Some(first) = keys[..index].iter().position(|earlier| earlier == key) {
                self.add(
                    format!("{location}[{index}]"),
                    format!("repeats {location}[{first}]; remove one of them"),
                );
            }
        }
    }

    fn rule(&mut self, id: &str, level: Level) {
        let location = format!("rules.{}", printable(id, SHOWN));
        match rules::by_id(id) {
            None => self.add(
                location,
                "is not a rule; see docs/reference/rules for all rules".to_owned(),
            ),
            Some(rule) if rule.is_fixed && level != Level::Deny => self.add(
                location,
                format!("rule {id} ({}) cannot be set to {level}: its level is fixed", rule.slug),
            ),
            Some(_) => {}
        }
    }

    fn namespace(&mut self, location: String, name: &str) {
        if let Err(error) = dns::validate_label(name) {
            self.value(location, name, &format!("is not a namespace name: it {error}"));
        }
    }

    fn host(&mut self, location: String, text: &str) {
        let (host, port) = split_port(text);
        let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0) && !port.starts_with('+');
        if !is_host_name(host) || !port.is_none_or(is_port) {
            self.value(
                location,
                text,
                "is not a Git host; use the host of the clone URL, for example github.com or git.example.com:8443",
            );
        }
    }
}

fn allowed_target(problems: &mut Problems, location: &str, target: &AllowedTarget) {
    let AllowedTarget { namespace, from } = target;
    problems.namespace(format!("{location}.namespace"), namespace);
    if from.is_empty() {
        let message = "is empty; list namespaces, or use \"*\" for all".to_owned();
        problems.add(format!("{location}.from"), message);
    }
    problems.list(&format!("{location}.from"), from, |problems, location, source| {
        if source == "*" {
            return;
        }
        if let Err(error) = dns::validate_label(source) {
            let message = format!("is neither \"*\" nor a namespace name: it {error}");
            problems.value(location.to_owned(), source, &message);
        }
    });
}

fn image_prefix(problems: &mut Problems, location: &str, prefix: &str) {
    const HINT: &str = "use a registry such as quay.io, or a repository prefix such as quay.io/thoth-station";
    let mut reject = |message: &str| problems.value(location.to_owned(), prefix, &format!("{message}; {HINT}"));
    let bare = prefix.strip_suffix('/').unwrap_or(prefix);
    if exceeds(bare, limits::IMAGE) {
        return reject("is too long");
    }
    if is_registry(bare) {
        return;
    }
    match ImageReference::parse(bare) {
        Err(error) => reject(&format!("is not an image prefix: {error}")),
        Ok(image) if image.has_tag_or_digest() => reject("has a tag or digest, which is not allowed here"),
        Ok(image) if image.registry().is_none() => reject(&format!(
            "does not begin with a registry (for Docker Hub, write {})",
            image.qualified()
        )),
        Ok(_) => {}
    }
}

fn catalog_entry(problems: &mut Problems, location: &str, entry: &CatalogEntry) {
    let CatalogEntry {
        os_name,
        os_version,
        python_version,
        builder_image,
    } = entry;
    for (key, part) in [
        ("osName", os_name),
        ("osVersion", os_version),
        ("pythonVersion", python_version),
    ] {
        if part.trim().is_empty() {
            problems.add(format!("{location}.{key}"), "is empty".to_owned());
        } else if exceeds(part, limits::ENVIRONMENT_PART) {
            let most = limits::ENVIRONMENT_PART;
            problems.value(
                format!("{location}.{key}"),
                part,
                &format!("is longer than {most} characters"),
            );
        }
    }
    image(problems, format!("{location}.builderImage"), builder_image);
}

fn image(problems: &mut Problems, location: String, image: &str) {
    if exceeds(image, limits::IMAGE) {
        problems.value(location, image, "is too long for an image reference");
    } else if let Err(error) = ImageReference::parse(image) {
        problems.value(
            location,
            image,
            &format!("is not an image reference: {error}; use registry/repository:tag"),
        );
    }
}

fn git_credential(problems: &mut Problems, location: &str, credential: &GitCredential) {
    let GitCredential { host, secret } = credential;
    problems.host(format!("{location}.host"), host);
    if let Err(error) = dns::validate_secret_name(secret) {
        // The value may be the credential itself.
        let message = format!("is not a Secret name: it {}", error.without_value());
        problems.add(format!("{location}.secret"), message);
    }
}

#[cfg(test)]
mod tests;

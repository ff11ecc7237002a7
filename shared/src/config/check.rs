//! What a configuration says has to make sense: an entry that could never match anything is a slip, and it would fail to
//! protect, or to allow, without a word.
//!
//! Everything that is wrong is told at once. Values are repeated only where they look like no secret.

pub(super) mod runs;
mod tasks;

use super::{AllowedTarget, CatalogEntry, Config, GitCredential, MOST, Problem};
use crate::api::limits;
use crate::grammar::clone_url::is_host_name;
use crate::grammar::dns::{self, split_port};
use crate::grammar::image::{ImageReference, is_registry};
use crate::rules::{self, exceeds, may_hold_secret};
use crate::verdict::{Level, printable};

/// Most characters of a value that are repeated.
const SHOWN: usize = 80;

/// All that is wrong with what a configuration says.
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
        // Every value of these can be meant.
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
    problems.list("images.allowed", &images.allowed, |problems, place, prefix| {
        image_prefix(problems, place, prefix);
    });
    problems.list("runtimeEnvironments", runtime_environments, catalog_entry);
    problems.repeated("runtimeEnvironments", runtime_environments, |entry| {
        [&entry.os_name, &entry.os_version, &entry.python_version].map(Clone::clone)
    });
    problems.list(
        "repositories.allowed",
        &repositories.allowed,
        |problems, place, host| {
            problems.host(place.to_owned(), host);
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
    fn add(&mut self, place: String, message: String) {
        self.0.push(Problem { place, message });
    }

    /// Something is wrong with a value, which is shown unless it may be a secret.
    fn value(&mut self, place: String, value: &str, message: &str) {
        let message = if may_hold_secret(value) || value.contains('@') {
            "holds what looks like credentials; no key here takes any".to_owned()
        } else {
            format!("\"{}\" {message}", printable(value, SHOWN))
        };
        self.add(place, message);
    }

    fn list<T>(&mut self, place: &str, items: &[T], check: impl Fn(&mut Self, &str, &T)) {
        if items.len() > MOST {
            let count = items.len();
            self.add(
                place.to_owned(),
                format!("has {count} items; at most {MOST} are allowed"),
            );
        }
        for (index, item) in items.iter().take(MOST).enumerate() {
            check(self, &format!("{place}[{index}]"), item);
        }
    }

    fn repeated<T, K: PartialEq>(&mut self, place: &str, items: &[T], key: impl Fn(&T) -> K) {
        let keys: Vec<K> = items.iter().take(MOST).map(key).collect();
        for (index, key) in keys.iter().enumerate() {
            if let Some(first) = keys[..index].iter().position(|earlier| earlier == key) {
                self.add(
                    format!("{place}[{index}]"),
                    format!("says the same as {place}[{first}], which counts; take one of them out"),
                );
            }
        }
    }

    fn rule(&mut self, id: &str, level: Level) {
        let place = format!("rules.{}", printable(id, SHOWN));
        match rules::by_id(id) {
            None => self.add(
                place,
                "there is no such rule; see docs/reference/rules for all of them".to_owned(),
            ),
            Some(rule) if rule.is_fixed && level != Level::Deny => self.add(
                place,
                format!(
                    "rule {id} ({}) cannot be relaxed to {level}: without it a build could not be described",
                    rule.slug
                ),
            ),
            Some(_) => {}
        }
    }

    fn namespace(&mut self, place: String, name: &str) {
        if let Err(error) = dns::label(name) {
            self.value(place, name, &format!("is no namespace's name: it {error}"));
        }
    }

    fn host(&mut self, place: String, text: &str) {
        let (host, port) = split_port(text);
        let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0) && !port.starts_with('+');
        if !is_host_name(host) || !port.is_none_or(is_port) {
            self.value(
                place,
                text,
                "is no Git host; write its name as in a clone URL, github.com, or with a port, git.example.com:8443",
            );
        }
    }
}

fn allowed_target(problems: &mut Problems, place: &str, target: &AllowedTarget) {
    let AllowedTarget { namespace, from } = target;
    problems.namespace(format!("{place}.namespace"), namespace);
    if from.is_empty() {
        let message = "lets nobody in; name namespaces, or \"*\" for all".to_owned();
        problems.add(format!("{place}.from"), message);
    }
    problems.list(&format!("{place}.from"), from, |problems, place, source| {
        if source == "*" {
            return;
        }
        if let Err(error) = dns::label(source) {
            let message = format!("is neither \"*\" nor a namespace's name: it {error}");
            problems.value(place.to_owned(), source, &message);
        }
    });
}

fn image_prefix(problems: &mut Problems, place: &str, prefix: &str) {
    const WRITE: &str = "write a registry, quay.io, or a repository or what begins one, quay.io/thoth-station";
    let mut refuse = |message: &str| problems.value(place.to_owned(), prefix, &format!("{message}; {WRITE}"));
    let bare = prefix.strip_suffix('/').unwrap_or(prefix);
    if exceeds(bare, limits::IMAGE) {
        return refuse("is too long");
    }
    if is_registry(bare) {
        return;
    }
    match ImageReference::parse(bare) {
        Err(error) => refuse(&format!("can begin no image: {error}")),
        Ok(image) if image.has_tag_or_digest() => refuse("has a tag or a digest, which this list does not look at"),
        Ok(image) if image.registry().is_none() => refuse(&format!(
            "begins with no registry (that of Docker Hub is docker.io: {})",
            image.qualified()
        )),
        Ok(_) => {}
    }
}

fn catalog_entry(problems: &mut Problems, place: &str, entry: &CatalogEntry) {
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
            problems.add(
                format!("{place}.{key}"),
                "is empty, and nobody can ask for that".to_owned(),
            );
        } else if exceeds(part, limits::ENVIRONMENT_PART) {
            let most = limits::ENVIRONMENT_PART;
            problems.value(
                format!("{place}.{key}"),
                part,
                &format!("is longer than the {most} characters that anybody may ask for"),
            );
        }
    }
    image(problems, format!("{place}.builderImage"), builder_image);
}

fn image(problems: &mut Problems, place: String, image: &str) {
    if exceeds(image, limits::IMAGE) {
        problems.value(place, image, "is too long for an image reference");
    } else if let Err(error) = ImageReference::parse(image) {
        problems.value(
            place,
            image,
            &format!("is no image reference: {error}; write registry/repository:tag"),
        );
    }
}

fn git_credential(problems: &mut Problems, place: &str, credential: &GitCredential) {
    let GitCredential { host, secret } = credential;
    problems.host(format!("{place}.host"), host);
    if let Err(error) = dns::secret_name(secret) {
        // Somebody may have put the credential itself here.
        let message = format!("is no Secret's name: it {}", error.without_value());
        problems.add(format!("{place}.secret"), message);
    }
}

#[cfg(test)]
mod tests;

//! Validation of the sections for the tasks of a build.

use url::Url;

use super::{Problems, image_prefix};
use crate::api::limits;
use crate::config::{Config, Network, Python, Registry, SignaturePolicy, Signatures, Source};
use crate::grammar::dns;
use crate::grammar::image::is_registry;
use crate::rules::exceeds;

pub(super) fn check(problems: &mut Problems, config: &Config) {
    let Signatures { policy, keys_secret } = &config.signatures;
    secret(problems, "signatures.keysSecret", keys_secret);
    if *policy != SignaturePolicy::Off && keys_secret.is_empty() {
        problems.add(
            "signatures.keysSecret".to_owned(),
            "is empty; the policy requires a Secret with public keys".to_owned(),
        );
    }
    let Python {
        index_url,
        extra_index_urls,
    } = &config.python;
    url(problems, "python.indexUrl", index_url, &["https", "http"]);
    problems.list("python.extraIndexUrls", extra_index_urls, |problems, location, text| {
        url(problems, location, text, &["https", "http"]);
    });
    network(problems, &config.network);
    let Source { base_url, secret: name } = &config.source;
    if !base_url.is_empty() {
        url(problems, "source.baseUrl", base_url, &["https", "http"]);
    }
    secret(problems, "source.secret", name);
    let Registry { prefix, secret: name } = &config.registry;
    image_prefix(problems, "registry.prefix", prefix);
    secret(problems, "registry.secret", name);
}

fn network(problems: &mut Problems, network: &Network) {
    let Network {
        http_proxy,
        https_proxy,
        no_proxy,
        ca_config_map,
        insecure_registries,
    } = network;
    for (location, proxy) in [("network.httpProxy", http_proxy), ("network.httpsProxy", https_proxy)] {
        if !proxy.is_empty() {
            url(problems, location, proxy, &["http"]);
        }
    }
    problems.list("network.noProxy", no_proxy, |problems, location, host| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._:/*[]".contains(c);
        if host.is_empty() || exceeds(host, dns::SUBDOMAIN_MAX) || !host.chars().all(is_plain) {
            problems.value(location.to_owned(), host, "is not a host, domain or network");
        }
    });
    if !ca_config_map.is_empty()
        && let Err(error) = dns::validate_subdomain(ca_config_map)
    {
        let message = format!("is not a ConfigMap name: it {error}");
        problems.value("network.caConfigMap".to_owned(), ca_config_map, &message);
    }
    problems.list(
        "network.insecureRegistries",
        insecure_registries,
        |problems, location, host| {
            if !is_registry(host) {
                problems.value(
                    location.to_owned(),
                    host,
                    "is not a registry; use the host and an optional port, for example registry.example.com:5000",
                );
            }
        },
    );
}

fn secret(problems: &mut Problems, location: &str, name: &str) {
    if name.is_empty() {
        return;
    }
    if let Err(error) = dns::validate_secret_name(name) {
        // The value may be the credential itself.
        problems.add(
            location.to_owned(),
            format!("is not a Secret name: it {}", error.without_value()),
        );
    }
}

/// Requires an absolute URL with a host and without anything that could be a credential, because every reader of a PipelineRun can see it.
fn url(problems: &mut Problems, location: &str, text: &str, schemes: &[&str]) {
    let expected = schemes.join(":// or ");
    if exceeds(text, limits::REPOSITORY_URL) {
        problems.add(location.to_owned(), "is too long for a URL".to_owned());
        return;
    }
    let parsed = Url::parse(text).ok();
    let is_good = parsed.is_some_and(|url| {
        schemes.contains(&url.scheme())
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    let is_plain = text.chars().all(|c| c.is_ascii_graphic() && !"\"'`$\\<>".contains(c));
    if !is_good || !is_plain {
        problems.value(
            location.to_owned(),
            text,
            &format!(
                "is not a URL that begins with {expected}:// and has a host, without credentials, query or fragment"
            ),
        );
    }
}

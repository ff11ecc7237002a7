//! The checks of the sections that the tasks of a run work by.

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
            "is empty, and the policy needs public keys; name the Secret that holds them".to_owned(),
        );
    }
    let Python {
        index_url,
        extra_index_urls,
    } = &config.python;
    url(problems, "python.indexUrl", index_url, &["https", "http"]);
    problems.list("python.extraIndexUrls", extra_index_urls, |problems, place, text| {
        url(problems, place, text, &["https", "http"]);
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
    for (place, proxy) in [("network.httpProxy", http_proxy), ("network.httpsProxy", https_proxy)] {
        if !proxy.is_empty() {
            url(problems, place, proxy, &["http"]);
        }
    }
    problems.list("network.noProxy", no_proxy, |problems, place, host| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._:/*[]".contains(c);
        if host.is_empty() || exceeds(host, dns::SUBDOMAIN_MAX) || !host.chars().all(is_plain) {
            problems.value(place.to_owned(), host, "is no host, domain or network");
        }
    });
    if !ca_config_map.is_empty()
        && let Err(error) = dns::subdomain(ca_config_map)
    {
        let message = format!("is no ConfigMap's name: it {error}");
        problems.value("network.caConfigMap".to_owned(), ca_config_map, &message);
    }
    problems.list(
        "network.insecureRegistries",
        insecure_registries,
        |problems, place, host| {
            if !is_registry(host) {
                problems.value(
                    place.to_owned(),
                    host,
                    "is no registry; write its host, perhaps with a port, registry.example.com:5000",
                );
            }
        },
    );
}

fn secret(problems: &mut Problems, place: &str, name: &str) {
    if name.is_empty() {
        return;
    }
    if let Err(error) = dns::secret_name(name) {
        // Somebody may have put the credential itself here.
        problems.add(
            place.to_owned(),
            format!("is no Secret's name: it {}", error.without_value()),
        );
    }
}

/// An absolute URL with a host, and with nothing in it that could be a credential: runs carry it for all to read.
fn url(problems: &mut Problems, place: &str, text: &str, schemes: &[&str]) {
    let wanted = schemes.join(":// or ");
    if exceeds(text, limits::REPOSITORY_URL) {
        problems.add(place.to_owned(), "is too long for a URL".to_owned());
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
            place.to_owned(),
            text,
            &format!(
                "is no URL that begins with {wanted}:// and has a host and neither credentials, query nor fragment"
            ),
        );
    }
}

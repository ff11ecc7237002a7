//! Git hosts: whether a host is public, and whether an entry of the configuration matches it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::{Config, GitCredential};
use crate::grammar::clone_url::{CloneUrl, Transport};
use crate::grammar::dns::split_port;

/// Whether the host of a clone URL can be a public host on the internet. Names are classified by their form, without a DNS lookup.
pub(super) fn is_public(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Ok(address) = bare.unwrap_or(host).parse::<IpAddr>() {
        return match address {
            IpAddr::V4(address) => is_public_v4(address),
            IpAddr::V6(address) => is_public_v6(address),
        };
    }
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let last = name.rsplit('.').next().unwrap_or_default();
    // A name without a dot is local: in a cluster, a Service. A name that ends in a number is an address in a legacy notation.
    let is_name = name.contains('.') && !last.bytes().all(|byte| byte.is_ascii_digit()) && !last.starts_with("0x");
    is_name && !PRIVATE.contains(&last) && !name.ends_with(".home.arpa")
}

/// Top-level domains that are not public: reserved (RFC 2606, RFC 6761, RFC 6762, ICANN's `internal`), those of clusters, and those that are
/// common in private networks.
const PRIVATE: [&str; 14] = [
    "cluster",
    "corp",
    "home",
    "host",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "private",
    "svc",
    "test",
];

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = a == 0
        || a >= 224
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_documentation()
        || (a == 100 && b & 0xc0 == 64)
        || (a, b, c) == (192, 0, 0)
        || (a == 198 && b & 0xfe == 18);
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // An embedded IPv4 address: mapped, translated (NAT64), tunnelled (6to4).
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            is_public_v4(halves(high, low))
        }
        // Documentation, and Teredo tunnels.
        [0x2001, 0xdb8 | 0, ..] => false,
        // Global unicast is 2000::/3.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// The IPv4 address in two segments of an IPv6 address.
fn halves(high: u16, low: u16) -> Ipv4Addr {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Ipv4Addr::new(a, b, c, d)
}

/// Whether an entry of the configuration (`host` or `host:port`) matches the host of the URL. Without a port it matches every port.
pub(super) fn is_host(entry: &str, url: &CloneUrl) -> bool {
    let (host, port) = split_port(entry);
    let default = match url.transport() {
        Transport::Https => 443,
        Transport::Ssh => 22,
    };
    bare(host).eq_ignore_ascii_case(bare(url.host()))
        && port.is_none_or(|port| port.parse() == Ok(url.port().unwrap_or(default)))
}

fn bare(host: &str) -> &str {
    host.trim_end_matches('.')
}

/// The configured credentials for the host of the URL.
pub fn git_credential<'a>(config: &'a Config, url: &CloneUrl) -> Option<&'a GitCredential> {
    config.git.credentials.iter().find(|entry| is_host(&entry.host, url))
}

/// Whether credentials are configured for the host of the URL.
pub(super) fn has_credentials(config: &Config, url: &CloneUrl) -> bool {
    git_credential(config, url).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::clone_url::CloneUrl;

    #[test]
    fn public_and_private_hosts_are_distinguished() {
        for host in [
            "github.com",
            "gitlab.example.org",
            "github.com.",
            "140.82.121.3",
            "[2606:50c0:8000::64]",
            "a.localhost.io",
        ] {
            assert!(is_public(host), "{host}");
        }
        for host in [
            "localhost",
            "LOCALHOST",
            "git",
            "a.localhost",
            "gitea.default.svc",
            "gitea.default.svc.cluster.local",
            "printer.local",
            "vault.internal",
            "git.corp",
            "nas.lan",
            "router.home.arpa",
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.0.8",
            "203.0.113.5",
            "[::1]",
            "[::]",
            "[fe80::1]",
            "[fc00::1]",
            "[fd12::1]",
            "[ff02::1]",
            "[::ffff:10.0.0.1]",
            "[::ffff:169.254.169.254]",
            "[64:ff9b::a00:1]",
            "[2002:a00:1::]",
            "[2001:db8::1]",
            "2130706433",
            "0x7f.1",
            "1.2.3",
            "a.0x7f",
        ] {
            assert!(!is_public(host), "{host}");
        }
    }

    #[test]
    fn entries_match_a_host_with_every_port_or_one_port() {
        let url = |text: &str| CloneUrl::parse(text).unwrap();
        assert!(is_host("github.com", &url("https://GitHub.com./a")));
        assert!(is_host("github.com:443", &url("https://github.com/a")));
        assert!(is_host("github.com:22", &url("git@github.com:a/b")));
        assert!(is_host("git.example", &url("https://git.example:8443/a")));
        assert!(is_host("git.example:8443", &url("https://git.example:8443/a")));
        assert!(is_host("[::1]:8443", &url("https://[::1]:8443/a")));
        assert!(is_host("[::1]", &url("https://[::1]:8443/a")));
        assert!(!is_host("git.example:8443", &url("https://git.example/a")));
        assert!(!is_host("example", &url("https://git.example/a")));
        assert!(!is_host("github.com", &url("https://github.com.evil.example/a")));
        assert!(!is_host("", &url("https://github.com/a")));
    }
}

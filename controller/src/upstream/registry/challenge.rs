//! Parses `WWW-Authenticate` (RFC 9110) and token responses.

use http::HeaderValue;
use http_auth::parse_challenges;
use serde::Deserialize;

/// One authentication challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A token from that realm.
    Bearer { realm: String, service: Option<String> },
    /// User name and password.
    Basic,
}

impl Challenge {
    /// The supported challenges of a header.
    pub(super) fn read(header: &str) -> Vec<Self> {
        let challenges = parse_challenges(header).unwrap_or_default();
        let known = challenges.iter().filter_map(|challenge| {
            let value = |wanted: &str| {
                let mut params = challenge.params.iter();
                let found = params.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
                found.map(|(_, value)| value.to_unescaped())
            };
            match challenge.scheme {
                scheme if scheme.eq_ignore_ascii_case("bearer") => Some(Self::Bearer {
                    realm: value("realm")?,
                    service: value("service"),
                }),
                scheme if scheme.eq_ignore_ascii_case("basic") => Some(Self::Basic),
                _ => None,
            }
        });
        known.collect()
    }
}

/// The `Authorization` header from a token response; `None` if it contains no valid token.
pub(super) fn token(response: &[u8]) -> Option<HeaderValue> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        token: Option<std::borrow::Cow<'a, str>>,
        #[serde(borrow)]
        access_token: Option<std::borrow::Cow<'a, str>>,
    }
    let Answer { token, access_token } = serde_json::from_slice(response).ok()?;
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.or(access_token)?)).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_ways_are_read_and_others_passed_over() {
        let bearer = |realm: &str, service: Option<&str>| Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
        };
        let a = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="x""#;
        for (header, wanted) in [
            (
                a,
                vec![bearer("https://auth.docker.io/token", Some("registry.docker.io"))],
            ),
            (r#"bearer REALM="https://a""#, vec![bearer("https://a", None)]),
            (r#"Basic realm="x""#, vec![Challenge::Basic]),
            (r#"Digest realm="x", Basic realm="y""#, vec![Challenge::Basic]),
            (r#"Bearer service="x""#, vec![]),
            ("", vec![]),
            ("Bearer realm=\"", vec![]),
        ] {
            assert_eq!(Challenge::read(header), wanted, "{header}");
        }
    }

    #[test]
    fn only_what_can_be_sent_is_a_token() {
        assert_eq!(token(br#"{"token":"a.b","expires_in":60}"#).unwrap(), "Bearer a.b");
        assert_eq!(token(br#"{"access_token":"a"}"#).unwrap(), "Bearer a");
        assert!(token(br#"{"token":"a"}"#).unwrap().is_sensitive());
        for response in [&br#"{"token":"a\nb"}"#[..], br#"{"token":7}"#, b"{}", b"[", b""] {
            assert_eq!(token(response), None, "{}", String::from_utf8_lossy(response));
        }
    }
}

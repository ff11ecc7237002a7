//! Decodes parameters of kind [`cnbi_shared::contract::ParamKind::Encoded`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cnbi_shared::api::limits;
use cnbi_shared::contract::{BuildRequest, CHUNK_MAX};
use cnbi_shared::verdict::printable;
use serde::de::DeserializeOwned;

/// Maximum length of all items together, in characters. The API server does not store larger runs.
const MOST: usize = 2 << 20;

/// Why a parameter is invalid. Its value is never repeated completely.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParamError {
    /// Too long.
    #[error("is longer than {0}")]
    TooLong(String),
    /// Not base64.
    #[error("is not base64: {0}")]
    Base64(#[from] base64::DecodeError),
    /// Not the JSON of this version.
    #[error("was not written by this version of CNBi: {0}")]
    Json(String),
}

/// Joins and decodes the items.
pub fn decode<T: DeserializeOwned>(items: &[String]) -> Result<T, ParamError> {
    if items.iter().any(|item| item.len() > CHUNK_MAX) {
        return Err(ParamError::TooLong(format!("{CHUNK_MAX} characters per item")));
    }
    if items.iter().map(String::len).sum::<usize>() > MOST {
        return Err(ParamError::TooLong(format!("{MOST} characters")));
    }
    let bytes = STANDARD.decode(items.concat())?;
    serde_json::from_slice(&bytes).map_err(|error| ParamError::Json(printable(&error.to_string(), 200)))
}

/// Checks that a request is within the limits of the rules.
pub fn bounded(request: &BuildRequest) -> Result<(), ParamError> {
    let BuildRequest {
        display_name,
        description,
        creator,
        from_image,
        builder_image,
        package_versions,
        repository_url,
        git_ref,
    } = request;
    for (key, text, limit) in [
        ("displayName", display_name, limits::DISPLAY_NAME),
        ("description", description, limits::DESCRIPTION),
        // Not limited by a rule. The API server limits all annotations to 256 KiB.
        ("creator", creator, 256 << 10),
        ("fromImage", from_image, limits::IMAGE),
        ("builderImage", builder_image, limits::IMAGE),
        ("repositoryUrl", repository_url, limits::REPOSITORY_URL),
        ("gitRef", git_ref, limits::GIT_REF),
    ] {
        within(key, text.as_deref(), limit)?;
    }
    let packages = package_versions.as_deref().unwrap_or_default();
    if packages.len() > limits::PACKAGES {
        let most = limits::PACKAGES;
        return Err(ParamError::TooLong(format!("{most} items in packageVersions")));
    }
    for package in packages {
        within("packageVersions", Some(package), limits::PACKAGE)?;
    }
    Ok(())
}

fn within(key: &str, text: Option<&str>, limit: usize) -> Result<(), ParamError> {
    match text {
        Some(text) if text.chars().count() > limit => Err(ParamError::TooLong(format!("{limit} characters in {key}"))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn encode(text: &str) -> Vec<String> {
        let text = STANDARD.encode(text);
        text.as_bytes()
            .chunks(CHUNK_MAX)
            .map(|item| String::from_utf8(item.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn requests_may_contain_any_text() {
        let texts = ["$(rm -rf /)", "\"'`\n\u{0}\u{202e}", "--flag", &"d".repeat(5500)];
        for text in texts {
            let items =
                encode(&json!({ "description": text, "packageVersions": vec!["p".repeat(512); 500] }).to_string());
            let request: BuildRequest = decode(&items).unwrap();
            assert_eq!(request.description.as_deref(), Some(text));
            assert_eq!(bounded(&request), Ok(()));
        }
    }

    #[test]
    fn invalid_requests_are_rejected_with_the_reason() {
        let error_of = |items: &[String]| decode::<BuildRequest>(items).unwrap_err().to_string();
        assert!(error_of(&["%".to_owned()]).starts_with("is not base64"));
        assert!(error_of(&encode("{")).starts_with("was not written by this version of CNBi"));
        assert!(error_of(&encode("{\"frmoImage\": \"x\"}")).contains("frmoImage"));
        assert!(error_of(&encode(&"[".repeat(100_000))).starts_with("was not written by this version of CNBi"));
        assert!(error_of(&["A".repeat(CHUNK_MAX + 1)]).starts_with("is longer than 98304 characters per item"));
        assert!(error_of(&vec!["A".repeat(CHUNK_MAX); 22]).starts_with("is longer than 2097152 characters"));
    }

    #[test]
    fn requests_beyond_the_limits_are_rejected() {
        let error_of = |value: serde_json::Value| {
            let request: BuildRequest = serde_json::from_value(value).unwrap();
            bounded(&request).unwrap_err().to_string()
        };
        assert_eq!(
            error_of(json!({ "packageVersions": vec!["a"; 501] })),
            "is longer than 500 items in packageVersions"
        );
        assert_eq!(
            error_of(json!({ "packageVersions": ["a".repeat(513)] })),
            "is longer than 512 characters in packageVersions"
        );
        assert_eq!(
            error_of(json!({ "gitRef": "a".repeat(256) })),
            "is longer than 255 characters in gitRef"
        );
    }
}

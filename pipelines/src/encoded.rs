//! Reads encoded parameters: base64 of JSON, in items that each fit into an argument.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cnbi_shared::api::limits;
use cnbi_shared::contract::{Asked, CHUNK};
use cnbi_shared::verdict::printable;
use serde::de::DeserializeOwned;

/// Most characters of all items together. A run with more in it would not have been stored.
const MOST: usize = 2 << 20;

/// Why a parameter cannot be read. What it says is never repeated whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodedError {
    /// More than anybody sends.
    #[error("is longer than {0}")]
    TooLong(String),
    /// Not base64.
    #[error("is not base64: {0}")]
    Base64(#[from] base64::DecodeError),
    /// Not JSON, or not of the shape that this version knows.
    #[error("is not what this version of CNBi sends: {0}")]
    Json(String),
}

/// Joins the items and reads what they hold.
pub fn decode<T: DeserializeOwned>(items: &[String]) -> Result<T, EncodedError> {
    if items.iter().any(|item| item.len() > CHUNK) {
        return Err(EncodedError::TooLong(format!("{CHUNK} characters an item")));
    }
    if items.iter().map(String::len).sum::<usize>() > MOST {
        return Err(EncodedError::TooLong(format!("{MOST} characters")));
    }
    let bytes = STANDARD.decode(items.concat())?;
    serde_json::from_slice(&bytes).map_err(|error| EncodedError::Json(printable(&error.to_string(), 200)))
}

/// Whether a request is no longer than the rules let one be; tasks may take that for granted from here on.
pub fn bounded(asked: &Asked) -> Result<(), EncodedError> {
    let Asked {
        display_name,
        description,
        creator,
        from_image,
        builder_image,
        package_versions,
        repository_url,
        git_ref,
    } = asked;
    for (key, text, limit) in [
        ("displayName", display_name, limits::DISPLAY_NAME),
        ("description", description, limits::DESCRIPTION),
        // No rule bounds it; the API server does, with 256 KiB for all annotations.
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
        return Err(EncodedError::TooLong(format!("{most} items in packageVersions")));
    }
    for package in packages {
        within("packageVersions", Some(package), limits::PACKAGE)?;
    }
    Ok(())
}

fn within(key: &str, text: Option<&str>, limit: usize) -> Result<(), EncodedError> {
    match text {
        Some(text) if text.chars().count() > limit => {
            Err(EncodedError::TooLong(format!("{limit} characters in {key}")))
        }
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
            .chunks(CHUNK)
            .map(|item| String::from_utf8(item.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn requests_are_read_whatever_is_in_them() {
        let texts = ["$(rm -rf /)", "\"'`\n\u{0}\u{202e}", "--flag", &"d".repeat(5500)];
        for text in texts {
            let items =
                encode(&json!({ "description": text, "packageVersions": vec!["p".repeat(512); 500] }).to_string());
            let asked: Asked = decode(&items).unwrap();
            assert_eq!(asked.description.as_deref(), Some(text));
            assert_eq!(bounded(&asked), Ok(()));
        }
    }

    #[test]
    fn what_cannot_be_a_request_is_refused_by_what_is_wrong() {
        let said = |items: &[String]| decode::<Asked>(items).unwrap_err().to_string();
        assert!(said(&["%".to_owned()]).starts_with("is not base64"));
        assert!(said(&encode("{")).starts_with("is not what this version of CNBi sends"));
        assert!(said(&encode("{\"frmoImage\": \"x\"}")).contains("frmoImage"));
        assert!(said(&encode(&"[".repeat(100_000))).starts_with("is not what this version of CNBi sends"));
        assert!(said(&["A".repeat(CHUNK + 1)]).starts_with("is longer than 98304 characters an item"));
        assert!(said(&vec!["A".repeat(CHUNK); 22]).starts_with("is longer than 2097152 characters"));
    }

    #[test]
    fn what_no_rule_would_have_let_in_is_refused() {
        let said = |value: serde_json::Value| {
            let asked: Asked = serde_json::from_value(value).unwrap();
            bounded(&asked).unwrap_err().to_string()
        };
        assert_eq!(
            said(json!({ "packageVersions": vec!["a"; 501] })),
            "is longer than 500 items in packageVersions"
        );
        assert_eq!(
            said(json!({ "packageVersions": ["a".repeat(513)] })),
            "is longer than 512 characters in packageVersions"
        );
        assert_eq!(
            said(json!({ "gitRef": "a".repeat(256) })),
            "is longer than 255 characters in gitRef"
        );
    }
}

//! Converts Pipenv's `Pipfile` and `Pipfile.lock` to requirements.
//!
//! Development packages are ignored. Packages that are not from an index, or have no hash in a lock file, are rejected.

use cnbi_shared::grammar::requirement::{Requirement, parse_package_item};
use cnbi_shared::verdict::printable;
use serde_json::Value;

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PipfileError {
    /// Syntax error.
    #[error("cannot be parsed: {0}")]
    Unreadable(String),
    /// No packages.
    #[error("lists no packages")]
    Empty,
    /// An entry that is not a package from an index.
    #[error("\"{0}\" is not a package from an index with a version")]
    Entry(String),
    /// An entry without a hash.
    #[error("\"{0}\" has no sha256 hash; run pipenv lock")]
    Hash(String),
}

/// Converts a `Pipfile` to requirements, one per line.
pub fn requirements(bytes: &[u8]) -> Result<String, PipfileError> {
    let text = std::str::from_utf8(bytes).map_err(|error| PipfileError::Unreadable(error.to_string()))?;
    let table: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| PipfileError::Unreadable(printable(error.message(), 200)))?;
    let packages = table.get("packages").and_then(toml::Value::as_table);
    let packages = packages
        .filter(|packages| !packages.is_empty())
        .ok_or(PipfileError::Empty)?;
    let mut lines = String::new();
    for (name, value) in packages {
        let value = serde_json::to_value(value).map_err(|error| PipfileError::Unreadable(error.to_string()))?;
        lines.push_str(&requirement(name, &value)?);
        lines.push('\n');
    }
    Ok(lines)
}

/// Converts a `Pipfile.lock` to requirements with hashes.
pub fn locked(bytes: &[u8]) -> Result<String, PipfileError> {
    let lock: Value =
        serde_json::from_slice(bytes).map_err(|error| PipfileError::Unreadable(printable(&error.to_string(), 200)))?;
    let packages = lock["default"].as_object().filter(|packages| !packages.is_empty());
    let mut lines = String::new();
    for (name, value) in packages.ok_or(PipfileError::Empty)? {
        let requirement = requirement(name, value)?;
        let is_pinned = value["version"]
            .as_str()
            .is_some_and(|version| version.starts_with("=="));
        if !is_pinned {
            return Err(PipfileError::Entry(printable(name, 80)));
        }
        let mut hashes: Vec<&str> = value["hashes"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .filter(|hash| is_hash(hash))
            .collect();
        if hashes.is_empty() {
            return Err(PipfileError::Hash(printable(name, 80)));
        }
        hashes.sort_unstable();
        hashes.dedup();
        lines.push_str(&requirement);
        for hash in hashes {
            lines.push_str(" \\\n    --hash=");
            lines.push_str(hash);
        }
        lines.push('\n');
    }
    Ok(lines)
}

fn is_hash(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Converts an entry to PEP 508: `name[extras]version; markers`.
fn requirement(name: &str, value: &Value) -> Result<String, PipfileError> {
    let wrong = || PipfileError::Entry(printable(name, 80));
    let table = value.as_object();
    let version = match (value.as_str(), table) {
        (Some(version), _) => version,
        (None, Some(table)) => {
            const ELSEWHERE: [&str; 9] = ["git", "hg", "svn", "bzr", "path", "file", "uri", "url", "editable"];
            if ELSEWHERE.iter().any(|key| table.contains_key(*key)) {
                return Err(wrong());
            }
            match table.get("version") {
                None => "*",
                Some(version) => version.as_str().ok_or_else(wrong)?,
            }
        }
        (None, None) => return Err(wrong()),
    };
    let mut text = name.to_owned();
    if let Some(extras) = table.and_then(|table| table.get("extras")?.as_array()) {
        let extras: Vec<&str> = extras
            .iter()
            .map(|extra| extra.as_str().ok_or_else(wrong))
            .collect::<Result<_, _>>()?;
        if !extras.is_empty() {
            text = format!("{text}[{}]", extras.join(","));
        }
    }
    let version = version.trim();
    if version != "*" {
        text.push_str(version);
    }
    let markers = |key: &str| table.and_then(|table| table.get(key)?.as_str());
    let mut conditions = Vec::new();
    conditions.extend(markers("markers").map(|marker| format!("({marker})")));
    conditions.extend(markers("python_version").map(|version| format!("(python_version {version})")));
    conditions.extend(markers("sys_platform").map(|platform| format!("(sys_platform {platform})")));
    if !conditions.is_empty() {
        text = format!("{text} ; {}", conditions.join(" and "));
    }
    let is_ours = parse_package_item(&text).is_ok_and(|parsed| parsed.name() == name && parsed.url().is_none());
    if !is_ours || text.contains(['\\', '$', '#', '\n']) || Requirement::parse(name).is_err() {
        return Err(wrong());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipfile_becomes_requirements() {
        let file = br#"
[[source]]
url = "https://pypi.org/simple"
[dev-packages]
pytest = "*"
[packages]
pandas = "*"
boto3 = ">=1.24.0,<2"
requests = {version = "~=2.0", extras = ["socks"], markers = "python_version < '3.12'"}
"#;
        assert_eq!(
            requirements(file).unwrap(),
            "boto3>=1.24.0,<2\npandas\nrequests[socks]~=2.0 ; (python_version < '3.12')\n"
        );
    }

    #[test]
    fn a_pipfile_lock_becomes_requirements_with_hashes() {
        let hash = "a".repeat(64);
        let other = "0".repeat(64);
        let file = format!(
            r#"{{"default": {{"six": {{"version": "==1.16.0", "index": "pypi", "hashes": ["sha256:{hash}", "sha256:{other}"],
                "markers": "python_version >= '2.7'"}}}}, "develop": {{"x": {{}}}}}}"#
        );
        assert_eq!(
            locked(file.as_bytes()).unwrap(),
            format!(
                "six==1.16.0 ; (python_version >= '2.7') \\\n    --hash=sha256:{other} \\\n    --hash=sha256:{hash}\n"
            )
        );
    }

    #[test]
    fn entries_that_are_not_packages_are_rejected() {
        for (name, value) in [
            ("a", r#"{"git": "https://x.io/a"}"#),
            ("a", r#"{"path": "."}"#),
            ("-r x", "\"*\""),
            ("a @ https://x.io/a.whl", "\"*\""),
            ("a", "\"==1\\n--index-url=https://evil\""),
            ("a", "\"==1 --index-url=https://evil\""),
            ("a", "\" @ https://evil/a.whl\""),
            ("a", r#"{"version": "*", "extras": ["b] @ https://evil/x.whl #"]}"#),
            ("a", "7"),
        ] {
            let value: Value = serde_json::from_str(value).unwrap();
            assert!(requirement(name, &value).is_err(), "{name} {value}");
        }
        assert_eq!(locked(b"{}"), Err(PipfileError::Empty));
        assert_eq!(requirements(b"[packages]\n"), Err(PipfileError::Empty));
        assert!(matches!(requirements(b"\xff"), Err(PipfileError::Unreadable(_))));
        assert_eq!(
            locked(br#"{"default": {"a": {"version": "==1", "hashes": ["md5:0"]}}}"#),
            Err(PipfileError::Hash("a".to_owned()))
        );
    }
}

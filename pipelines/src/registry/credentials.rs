//! Registry credentials from a mounted Secret of type `kubernetes.io/dockerconfigjson`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cnbi_shared::credentials::any_entry_matches;
use cnbi_shared::grammar::image::ImageReference;
use oci_client::secrets::RegistryAuth;
use serde::Deserialize;

use crate::error::StepError;

/// Maximum size of an entry of a Secret or ConfigMap, in bytes, as in the API server.
const ENTRY: u64 = 1 << 20;

/// Names of the entry with the credentials.
const NAMES: [&str; 2] = [".dockerconfigjson", "config.json"];

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "lowercase")]
struct Entry {
    auth: String,
    username: String,
    password: String,
    registrytoken: String,
}

/// The entries of a mounted Secret or ConfigMap, by name. None if the path is empty, because the workspace is not bound.
pub fn entries(folder: &str) -> Result<Vec<(String, Vec<u8>)>, StepError> {
    if folder.is_empty() {
        return Ok(Vec::new());
    }
    let read = || -> std::io::Result<Vec<(String, Vec<u8>)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(Path::new(folder))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // Names with `..` are internal files of the kubelet.
            if name.starts_with("..") {
                continue;
            }
            let about = fs::metadata(entry.path())?;
            if about.is_file() && about.len() <= ENTRY {
                found.push((name, fs::read(entry.path())?));
            }
        }
        found.sort();
        Ok(found)
    };
    read().map_err(|error| StepError::other(format!("cannot read {folder}: {}", error.kind())))
}

/// The credentials for an image. Values of the Secret are never repeated.
pub fn read(folder: &str, image: &ImageReference) -> Result<RegistryAuth, StepError> {
    let entries = entries(folder)?;
    let Some((_, text)) = entries.iter().find(|(name, _)| NAMES.contains(&name.as_str())) else {
        return Ok(RegistryAuth::Anonymous);
    };
    let config: DockerConfig = serde_json::from_slice(text)
        .map_err(|_| StepError::other("The pull or push secret does not contain valid JSON for .dockerconfigjson; recreate it with kubectl create secret docker-registry"))?;
    Ok(choose(config.auths, image).map_or(RegistryAuth::Anonymous, auth))
}

/// The most specific entry that matches the image.
fn choose(auths: BTreeMap<String, Entry>, image: &ImageReference) -> Option<Entry> {
    auths
        .into_iter()
        .filter(|(name, _)| any_entry_matches(std::slice::from_ref(name), image))
        .max_by_key(|(name, _)| name.len())
        .map(|(_, entry)| entry)
}

fn auth(entry: Entry) -> RegistryAuth {
    let Entry {
        auth,
        username,
        password,
        registrytoken,
    } = entry;
    if !registrytoken.is_empty() {
        return RegistryAuth::Bearer(registrytoken);
    }
    let pair = STANDARD
        .decode(auth.trim())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|pair| {
            pair.split_once(':')
                .map(|(user, word)| (user.to_owned(), word.to_owned()))
        });
    match pair {
        Some((user, word)) if !user.is_empty() => RegistryAuth::Basic(user, word),
        _ if !username.is_empty() => RegistryAuth::Basic(username, password),
        _ => RegistryAuth::Anonymous,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chosen(config: &serde_json::Value, image: &str) -> RegistryAuth {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".dockerconfigjson"), config.to_string()).unwrap();
        read(folder.path().to_str().unwrap(), &ImageReference::parse(image).unwrap()).unwrap()
    }

    #[test]
    fn the_most_specific_entry_is_used() {
        let config = json!({"auths": {
            "quay.io": {"username": "a", "password": "1"},
            "quay.io/team": {"auth": STANDARD.encode("b:2:3")},
            "registry:5000": {"registrytoken": "t"},
        }});
        let basic = |user: &str, word: &str| RegistryAuth::Basic(user.to_owned(), word.to_owned());
        assert_eq!(chosen(&config, "quay.io/other/x:v1"), basic("a", "1"));
        assert_eq!(chosen(&config, "quay.io/team/x:v1"), basic("b", "2:3"));
        assert_eq!(
            chosen(&config, "registry:5000/x:v1"),
            RegistryAuth::Bearer("t".to_owned())
        );
        assert_eq!(chosen(&config, "docker.io/library/x:v1"), RegistryAuth::Anonymous);
    }

    #[test]
    fn invalid_secrets_are_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".dockerconfigjson"), "{\"auths\": s3cret").unwrap();
        let image = ImageReference::parse("quay.io/x:v1").unwrap();
        let error = read(folder.path().to_str().unwrap(), &image).unwrap_err();
        assert!(!error.to_string().contains("s3cret"), "{error}");
        assert_eq!(read("", &image), Ok(RegistryAuth::Anonymous));
    }
}

//! Reads the configuration of a cluster: config.yaml, or a manifest of the ConfigMap that contains it.

use cnbi_shared::config::{Config, KEY};
use serde_json::Value;

use super::split;

/// Maximum number of values of a ConfigMap.
const BUDGET: usize = 100_000;

/// Name of the ConfigMap of an installation.
const NAME: &str = "cnbi-config";

/// Reads a configuration.
///
/// # Errors
/// It is invalid, or several ConfigMaps contain one.
pub fn read(text: &str) -> Result<Config, String> {
    let maps = config_maps(text);
    let named: Vec<&(String, String)> = maps.iter().filter(|(name, _)| name == NAME).collect();
    let yaml = match (maps.as_slice(), named.as_slice()) {
        ([], _) => text,
        ([(_, yaml)], _) | (_, [(_, yaml)]) => yaml,
        _ => return Err(format!("several ConfigMaps have the key {KEY}")),
    };
    Config::from_yaml(yaml).map_err(|error| error.to_string())
}

/// Name and content of each ConfigMap that has the key.
fn config_maps(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for piece in split::pieces(text) {
        let (documents, _) = split::documents(&piece);
        for document in documents {
            if document.text("kind") != Some("ConfigMap") {
                continue;
            }
            let Ok((map, _)) = document.expand(BUDGET) else {
                continue;
            };
            if let Some(yaml) = map["data"].get(KEY).and_then(Value::as_str) {
                let name = map["metadata"]["name"].as_str().unwrap_or_default();
                found.push((name.to_owned(), yaml.to_owned()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_map_manifest_is_accepted() {
        let plain = "targetNamespace: {default: a}";
        let map = |name: &str| {
            format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata:\n  config.yaml: |\n    {plain}\n"
            )
        };
        let expected = Config::from_yaml(plain).unwrap();
        assert_eq!(read(plain), Ok(expected.clone()));
        assert_eq!(read(&map("x")), Ok(expected.clone()));
        let both = format!("kind: Service\n---\n{}---\n{}", map("other"), map("cnbi-config"));
        assert_eq!(read(&both), Ok(expected));
        assert!(
            read(&format!("{}---\n{}", map("x"), map("y")))
                .unwrap_err()
                .contains("several")
        );
        assert!(read("kind: ConfigMap\n").is_err());
    }
}

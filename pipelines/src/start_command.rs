//! The start command of an image, as a result of one task and a parameter of the next.
//!
//! The author of the image controls it, so it is encoded as base64 of JSON, in which Tekton and the kubelet expand nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::registry::image::Configuration;

/// Maximum length of the encoded command, in characters. All results of a task share 3584 bytes.
pub const MOST: usize = 2048;

/// Encodes entrypoint and arguments. A command that is too long is encoded as `null`.
pub fn encode(configuration: &Configuration) -> String {
    let execution = configuration.config.as_ref();
    let texts = |list: Option<&Value>| -> Vec<String> {
        let items = list.and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut command = texts(execution.and_then(|execution| execution.entrypoint.as_ref()));
    command.extend(texts(execution.and_then(|execution| execution.cmd.as_ref())));
    let encoded = |value: Option<&[String]>| STANDARD.encode(serde_json::json!(value).to_string());
    let command = encoded(Some(&command));
    if command.len() > MOST { encoded(None) } else { command }
}

/// Decodes a command. `None`: it was too long. An empty text is an empty command.
pub fn decode(text: &str) -> Result<Option<Vec<String>>, String> {
    if text.is_empty() {
        return Ok(Some(Vec::new()));
    }
    if text.len() > MOST {
        return Err(format!("is longer than {MOST} characters"));
    }
    let bytes = STANDARD.decode(text).map_err(|_| "is not base64".to_owned())?;
    serde_json::from_slice(&bytes).map_err(|_| "is not a list of strings".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sent(execution: &Value) -> Option<Vec<String>> {
        let bytes = json!({ "os": "linux", "config": execution }).to_string();
        let text = encode(&Configuration::read(bytes.as_bytes()).unwrap());
        let is_inert = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
        assert!(text.len() <= MOST && text.chars().all(is_inert), "{text}");
        decode(&text).unwrap()
    }

    #[test]
    fn the_entrypoint_precedes_its_arguments() {
        let command = sent(&json!({"Entrypoint": ["/bin/tini", "--"], "Cmd": ["serve", "$(params.x)", "a\nb"]}));
        assert_eq!(command.unwrap(), ["/bin/tini", "--", "serve", "$(params.x)", "a\nb"]);
        assert_eq!(sent(&json!({"Cmd": null})), Some(Vec::new()));
        assert_eq!(sent(&json!(null)), Some(Vec::new()));
    }

    #[test]
    fn invalid_values_are_empty_and_long_ones_are_null() {
        assert_eq!(sent(&json!({"Entrypoint": "serve", "Cmd": [1, {}]})), Some(Vec::new()));
        assert_eq!(sent(&json!({"Cmd": ["x".repeat(MOST)]})), None);
    }

    #[test]
    fn invalid_encodings_are_rejected() {
        assert_eq!(decode(""), Ok(Some(Vec::new())));
        for (text, what) in [
            ("$(x)", "is not base64"),
            (&STANDARD.encode("{}"), "is not a list of strings"),
            (&"A".repeat(MOST + 4), "is longer than 2048 characters"),
        ] {
            assert_eq!(decode(text), Err(what.to_owned()));
        }
    }
}

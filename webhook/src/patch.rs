//! Defaults as a JSON Patch (RFC 6902) for the object as the API server has it, so unknown fields and their order are kept.
//!
//! Only `add` operations for absent fields; a missing parent is added first.

use cnbi_shared::api::{UnvalidatedImage, annotations};
use cnbi_shared::defaults::Defaults;
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation};
use serde_json::Value;

/// The patch that applies `defaults` to `object`; `None` if there are none.
pub fn of(defaults: &Defaults, object: &UnvalidatedImage) -> Option<Patch> {
    let Defaults {
        target_namespace,
        display_name,
        creator,
    } = defaults;
    let mut operations = Vec::new();
    let annotated = [
        (annotations::DISPLAY_NAME, display_name),
        (annotations::CREATOR, creator),
    ];
    if annotated.iter().any(|(_, value)| value.is_some()) {
        if object.metadata.is_absent() {
            operations.push(add(["metadata"], empty_object()));
        }
        if object
            .metadata
            .value()
            .is_none_or(|metadata| metadata.annotations.is_absent())
        {
            operations.push(add(["metadata", "annotations"], empty_object()));
        }
    }
    for (key, value) in annotated {
        if let Some(value) = value {
            operations.push(add(["metadata", "annotations", key], value.as_str().into()));
        }
    }
    if let Some(namespace) = target_namespace {
        operations.push(add(["spec", "targetNamespace"], namespace.as_str().into()));
    }
    (!operations.is_empty()).then_some(Patch(operations))
}

fn add<const N: usize>(path: [&str; N], value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation {
        path: PointerBuf::from_tokens(path),
        value,
    })
}

fn empty_object() -> Value {
    Value::Object(serde_json::Map::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cnbi_shared::admission_input::AdmissionInput;
    use cnbi_shared::config::Config;
    use serde_json::json;

    fn defaulted(sent: &Value) -> (Value, Option<Patch>) {
        let object: UnvalidatedImage = serde_json::from_value(sent.clone()).unwrap();
        let defaults = Defaults::of(&AdmissionInput::create(&object), &Config::shipped(), Some("alice"));
        let patch = of(&defaults, &object);
        let mut patched = sent.clone();
        if let Some(patch) = &patch {
            json_patch::patch(&mut patched, patch).unwrap();
        }
        (patched, patch)
    }

    #[test]
    fn missing_parents_are_added_and_other_fields_are_kept() {
        let sent =
            json!({"metadata": {"name": "x", "labels": {"a": "b"}}, "spec": {"zzz": 1, "buildType": "ImageImport"}});
        let (patched, _) = defaulted(&sent);
        assert_eq!(
            patched,
            json!({
                "metadata": {"name": "x", "labels": {"a": "b"}, "annotations": {
                    "opendatahub.io/notebook-image-name": "x", "opendatahub.io/notebook-image-creator": "alice",
                }},
                "spec": {"zzz": 1, "buildType": "ImageImport", "targetNamespace": "opendatahub"},
            })
        );
        assert_eq!(defaulted(&patched).1, None, "a second patch is empty");
    }

    #[test]
    fn fields_that_are_set_or_of_a_wrong_type_are_not_changed() {
        for sent in [
            json!({"metadata": {"name": "x", "annotations": "none"}, "spec": []}),
            json!({"metadata": {"name": "x", "annotations": null}, "spec": "x"}),
            json!({"metadata": 7}),
        ] {
            assert_eq!(defaulted(&sent), (sent, None));
        }
        let (patched, _) = defaulted(&json!({"spec": {"targetNamespace": 7}}));
        assert_eq!(patched["spec"]["targetNamespace"], 7);
        assert_eq!(
            patched["metadata"]["annotations"]["opendatahub.io/notebook-image-creator"],
            "alice"
        );
    }
}

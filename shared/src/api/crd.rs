//! The CustomResourceDefinition: made from the Rust types, then given what types cannot say.
//!
//! The schema holds only what no configuration can relax, so that nonsense is refused even while the webhook is away, in
//! the words of the rule that would refuse it. What it refuses the rules refuse too; a test on a real API server compares.
//! The rest, and every hint, is the rules' business: CEL sees neither annotations nor a configuration.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, ValidationRule,
};
use kube::CustomResourceExt as _;

use super::{CustomNBImage, limits};
use crate::path::FieldId;

/// One condition in the schema, in the words of the rule that asks for the same.
#[derive(Clone, Copy, Debug)]
pub struct Condition {
    /// Where it stands; `self` is what stands there.
    pub place: FieldId,
    /// Id of the rule.
    pub rule: &'static str,
    /// The field below the place that a refusal names.
    pub field: Option<&'static str>,
    /// What has to hold, in the Common Expression Language. With `oldSelf` in it, it is asked on updates only.
    pub holds: &'static str,
    /// What a refusal says, after the rule's id.
    pub message: &'static str,
}

const fn at(place: FieldId, rule: &'static str, holds: &'static str, message: &'static str) -> Condition {
    Condition {
        place,
        rule,
        field: None,
        holds,
        message,
    }
}

/// A condition on the whole spec that is about one field, which a refusal then names.
const fn spec(field: &'static str, rule: &'static str, holds: &'static str, message: &'static str) -> Condition {
    Condition {
        place: FieldId::Spec,
        rule,
        field: Some(field),
        holds,
        message,
    }
}

const fn name(holds: &'static str, message: &'static str) -> Condition {
    Condition {
        place: FieldId::Object,
        rule: "CNB003",
        field: Some(".metadata.name"),
        holds,
        message,
    }
}

/// An image reference, by the grammar of `github.com/distribution/reference`, and what it may not be longer than left out.
macro_rules! image {
    ($field:literal) => {
        concat!(
            "!has(self.",
            $field,
            ") || self.",
            $field,
            ".matches('^((",
            "[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?([.][a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*|[[][a-fA-F0-9:]+[]]",
            ")(:[0-9]+)?/)?",
            "[a-z0-9]+(([.]|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+(([.]|_|__|-+)[a-z0-9]+)*)*",
            "(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?",
            "(@(sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}))?",
            "$')"
        )
    };
}

/// The conditions of the schema. Expressions are bounded by the lengths in [`LENGTHS`], or the API server would not take
/// them. The API server repeats a text that breaks a condition of its own, but not a spec that does; so what may hold a
/// password by mistake is judged with the spec.
#[rustfmt::skip]
pub const CONDITIONS: &[Condition] = &[
    spec(".fromImage", "CNB001", "self.buildType == 'ImageImport' || !has(self.fromImage)",
        "only buildType ImageImport takes fromImage"),
    spec(".runtimeEnvironment", "CNB001", "self.buildType == 'PackageList' || !has(self.runtimeEnvironment)",
        "only buildType PackageList takes runtimeEnvironment"),
    spec(".builderImage", "CNB001", "self.buildType != 'ImageImport' || !has(self.builderImage)",
        "only buildTypes PackageList and GitRepository take builderImage"),
    spec(".packageVersions", "CNB001", "self.buildType == 'PackageList' || !has(self.packageVersions)",
        "only buildType PackageList takes packageVersions"),
    spec(".repositoryUrl", "CNB001", "self.buildType == 'GitRepository' || !has(self.repositoryUrl)",
        "only buildType GitRepository takes repositoryUrl"),
    spec(".gitRef", "CNB001", "self.buildType == 'GitRepository' || !has(self.gitRef)",
        "only buildType GitRepository takes gitRef"),

    at(FieldId::BuildType, "CNB002", "self == oldSelf",
        "buildType cannot be changed; make a new resource under another name"),
    spec(".targetNamespace", "CNB002",
        "!has(oldSelf.targetNamespace) || has(self.targetNamespace) && self.targetNamespace == oldSelf.targetNamespace",
        "targetNamespace cannot be changed; make a new resource under another name"),

    name("self.metadata.name.matches('^[a-z0-9]+([._-][a-z0-9]+)*$')",
        "the name must be one for an ImageStream: lower case letters and digits, with single '.' and '-' between them"),
    name("!has(self.spec.targetNamespace) || size(self.metadata.name) + size(self.spec.targetNamespace) < 255",
        "name and targetNamespace together may have at most 254 characters, as those of an ImageStream"),

    at(FieldId::TargetNamespace, "CNB020", "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "targetNamespace must be the name of a namespace"),

    spec(".fromImage", "CNB101", "self.buildType != 'ImageImport' || has(self.fromImage)",
        "buildType ImageImport needs fromImage"),

    spec(".fromImage", "CNB102", image!("fromImage"),
        "fromImage must be an image reference: registry/repository:tag, in lower case, without a scheme"),
    spec(".builderImage", "CNB102", image!("builderImage"),
        "builderImage must be an image reference: registry/repository:tag, in lower case, without a scheme"),

    at(FieldId::ImagePullSecretName, "CNB113",
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
        "imagePullSecret.name must be the name of a Secret"),

    spec(".packageVersions", "CNB201",
        "self.buildType != 'PackageList' || has(self.packageVersions) && size(self.packageVersions) > 0",
        "buildType PackageList needs at least one item in packageVersions"),

    at(FieldId::PackageVersions, "CNB202", "self.all(item, item.matches('[A-Za-z0-9]'))",
        "each item of packageVersions must be a requirement such as pandas or boto3>=1.24.0"),
    at(FieldId::PackageVersions, "CNB203",
        r"self.all(item, !item.matches('^ *-') && !item.trim().contains('\n') && !item.trim().contains('\r'))",
        "each item of packageVersions must be one requirement on one line, and no option"),

    spec(".runtimeEnvironment", "CNB210",
        "self.buildType != 'PackageList' || has(self.runtimeEnvironment) != has(self.builderImage)",
        "buildType PackageList needs either runtimeEnvironment or builderImage"),

    spec(".repositoryUrl", "CNB301", "self.buildType != 'GitRepository' || has(self.repositoryUrl)",
        "buildType GitRepository needs repositoryUrl"),
    spec(".repositoryUrl", "CNB302",
        concat!("!has(self.repositoryUrl) || self.repositoryUrl.matches('^(https|ssh)://[^ ]+$') || self.repositoryUrl.matches('",
            "^([A-Za-z0-9_][A-Za-z0-9_.-]*@)?([A-Za-z0-9_][A-Za-z0-9_.-]*|[[][0-9a-fA-F:.]+[]]):/?[^:/ ][^ ]*$')"),
        "repositoryUrl must be an https or ssh URL, or user@host:path"),
    spec(".repositoryUrl", "CNB303",
        "!has(self.repositoryUrl) || !self.repositoryUrl.matches('^(https?://[^/]*@|ssh://[^/]*:[^/]*@)')",
        "repositoryUrl must not carry a user, a password or a token"),

    spec(".gitRef", "CNB304",
        "!has(self.gitRef) || size(self.gitRef) > 0 && !self.gitRef.matches('^[-/]|[ ~^:?*[]|[.][.]|@[{]|//|/$|[.]lock$')",
        "gitRef must be the name of a branch or a tag, or a commit"),
];

/// Most characters of each text, and fewest.
#[rustfmt::skip]
const LENGTHS: &[(FieldId, usize, Option<usize>)] = &[
    (FieldId::Name, limits::OBJECT_NAME, None),
    (FieldId::FromImage, limits::IMAGE, None),
    (FieldId::ImagePullSecretName, limits::SECRET_NAME, Some(1)),
    (FieldId::OsName, limits::ENVIRONMENT_PART, Some(1)),
    (FieldId::OsVersion, limits::ENVIRONMENT_PART, Some(1)),
    (FieldId::PythonVersion, limits::ENVIRONMENT_PART, Some(1)),
    (FieldId::BuilderImage, limits::IMAGE, None),
    (FieldId::RepositoryUrl, limits::REPOSITORY_URL, None),
    (FieldId::GitRef, limits::GIT_REF, None),
    (FieldId::TargetNamespace, limits::NAMESPACE, None),
];

/// Fields that must be there wherever the object around them is.
const REQUIRED: &[(FieldId, &[&str])] = &[
    (FieldId::Object, &["spec"]),
    (FieldId::Spec, &["buildType"]),
    (FieldId::ImagePullSecret, &["name"]),
    (FieldId::RuntimeEnvironment, &["osName", "osVersion", "pythonVersion"]),
];

/// The definition that is installed.
///
/// # Panics
/// Never: it depends on nothing but this program, and a test calls it.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = CustomNBImage::crd();
    for version in &mut crd.spec.versions {
        let root = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut());
        refine(root.expect("the derived definition has a schema"));
    }
    crd
}

/// The same as the YAML file that is installed.
///
/// # Panics
/// Never; see [`crd`].
pub fn yaml() -> String {
    let body = serde_saphyr::to_string(&crd()).expect("a definition is plain data");
    format!("# Generated from shared/src/api; `UPDATE=1 cargo test -p cnbi-shared` writes it anew.\n{body}")
}

fn refine(root: &mut JSONSchemaProps) {
    plain(root);
    // The API server looks at metadata by itself; a length is what it lets a schema say, and what bounds the expression.
    root.properties.get_or_insert_default().insert(
        "metadata".to_owned(),
        JSONSchemaProps {
            type_: Some("object".to_owned()),
            properties: Some([("name".to_owned(), text())].into()),
            ..JSONSchemaProps::default()
        },
    );
    let spec = field(root, FieldId::Spec);
    spec.description = Some("What is asked for.".to_owned());
    for &(at, max, min) in LENGTHS {
        let text = field(root, at);
        text.max_length = Some(count(max));
        text.min_length = min.map(count);
    }
    let packages = field(root, FieldId::PackageVersions);
    packages.max_items = Some(count(limits::PACKAGES));
    // Order is the user's; a list type that merges would lose it, and duplicates are for the rules to tell.
    packages.x_kubernetes_list_type = Some("atomic".to_owned());
    items(packages).max_length = Some(count(limits::PACKAGE));
    for &(at, names) in REQUIRED {
        field(root, at).required = Some(names.iter().map(|&name| name.to_owned()).collect());
    }
    for condition in CONDITIONS {
        field(root, condition.place)
            .x_kubernetes_validations
            .get_or_insert_default()
            .push(ValidationRule {
                rule: condition.holds.to_owned(),
                message: Some(format!("{}: {}", condition.rule, condition.message)),
                field_path: condition.field.map(str::to_owned),
                ..ValidationRule::default()
            });
    }
    let status = child(root, "status");
    // Until the controller has looked at it, a resource without any status would pass for done with kstatus; a generation that
    // there is none of says that it is not. Flux' own kinds do the same.
    status.default = Some(JSON(serde_json::json!({"observedGeneration": -1})));
    let conditions = child(status, "conditions");
    conditions.x_kubernetes_list_type = Some("map".to_owned());
    conditions.x_kubernetes_list_map_keys = Some(vec!["type".to_owned()]);
}

/// Takes out what a Rust `Option` brings along: nothing of ours is ever `null`, and nothing is defaulted by the schema.
fn plain(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.default = None;
    if let Some(values) = &mut schema.enum_ {
        values.retain(|value| !value.0.is_null());
    }
    for property in schema
        .properties
        .iter_mut()
        .flat_map(|properties| properties.values_mut())
    {
        plain(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        plain(items);
    }
}

fn field(root: &mut JSONSchemaProps, at: FieldId) -> &mut JSONSchemaProps {
    at.keys().iter().fold(root, |schema, key| child(schema, key))
}

fn child<'a>(schema: &'a mut JSONSchemaProps, key: &str) -> &'a mut JSONSchemaProps {
    let properties = schema.properties.as_mut();
    properties
        .and_then(|properties| properties.get_mut(key))
        .unwrap_or_else(|| panic!("the types have no field {key}"))
}

fn items(list: &mut JSONSchemaProps) -> &mut JSONSchemaProps {
    match &mut list.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => items,
        _ => panic!("the types have no list there"),
    }
}

fn text() -> JSONSchemaProps {
    JSONSchemaProps {
        type_: Some("string".to_owned()),
        ..JSONSchemaProps::default()
    }
}

fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::by_id;

    #[test]
    fn every_condition_is_of_a_fixed_rule() {
        for condition in CONDITIONS {
            let rule = by_id(condition.rule).unwrap_or_else(|| panic!("{} is no rule", condition.rule));
            assert!(rule.is_fixed, "{} could be relaxed, but not in the schema", rule.id);
        }
    }

    #[test]
    fn every_text_of_the_spec_is_bounded() {
        fn unbounded(path: &str, schema: &JSONSchemaProps, found: &mut Vec<String>) {
            if schema.type_.as_deref() == Some("string") && schema.max_length.is_none() && schema.enum_.is_none() {
                found.push(path.to_owned());
            }
            for (key, property) in schema.properties.iter().flatten() {
                unbounded(&format!("{path}.{key}"), property, found);
            }
            if let Some(JSONSchemaPropsOrArray::Schema(item)) = &schema.items {
                unbounded(&format!("{path}[]"), item, found);
                assert!(schema.max_items.is_some(), "{path}");
            }
        }
        let mut crd = crd();
        let root = crd.spec.versions[0]
            .schema
            .as_mut()
            .unwrap()
            .open_api_v3_schema
            .as_mut()
            .unwrap();
        let mut found = Vec::new();
        unbounded("spec", field(root, FieldId::Spec), &mut found);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn nothing_is_nullable_and_nothing_but_an_unseen_status_is_defaulted() {
        let json = serde_json::to_string(&crd()).unwrap();
        for word in ["nullable", "null"] {
            assert!(!json.contains(word), "{word}");
        }
        let defaults: Vec<_> = json.match_indices("\"default\":").collect();
        assert_eq!(defaults.len(), 1);
        assert!(json.contains(r#""default":{"observedGeneration":-1}"#));
    }
}

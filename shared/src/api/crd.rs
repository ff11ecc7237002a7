//! The CustomResourceDefinition, generated from the Rust types and extended with limits and CEL validation rules.
//!
//! The CEL rules cover only rules with a fixed level, so that invalid resources are rejected even if the webhook is not available. Everything
//! that the schema rejects is also rejected by the rules; a test with a real API server compares both. CEL cannot read annotations or the
//! configuration.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, ValidationRule,
};
use kube::CustomResourceExt as _;

use super::{CustomNBImage, limits};
use crate::path::FieldId;

/// One CEL validation rule of the schema.
#[derive(Clone, Copy, Debug)]
pub struct Validation {
    /// The field that it validates; `self` in the expression.
    pub field: FieldId,
    /// Id of the rule.
    pub rule: &'static str,
    /// `fieldPath`: the path below the field that an error reports.
    pub field_path: Option<&'static str>,
    /// The CEL expression. With `oldSelf`, it is evaluated for updates only.
    pub expression: &'static str,
    /// The error message, after the id of the rule.
    pub message: &'static str,
}

const fn validation(field: FieldId, rule: &'static str, expression: &'static str, message: &'static str) -> Validation {
    Validation {
        field,
        rule,
        field_path: None,
        expression,
        message,
    }
}

/// A validation rule on the spec that reports one field.
const fn spec(
    field_path: &'static str,
    rule: &'static str,
    expression: &'static str,
    message: &'static str,
) -> Validation {
    Validation {
        field: FieldId::Spec,
        rule,
        field_path: Some(field_path),
        expression,
        message,
    }
}

const fn name(expression: &'static str, message: &'static str) -> Validation {
    Validation {
        field: FieldId::Object,
        rule: "CNB003",
        field_path: Some(".metadata.name"),
        expression,
        message,
    }
}

/// An image reference by the grammar of `github.com/distribution/reference`, without its length limits.
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

/// The CEL validation rules. [`LENGTHS`] limits their cost; otherwise the API server rejects the schema. The API server repeats an invalid text
/// in the error, but not an invalid spec, so fields that may contain a password are validated on the spec.
#[rustfmt::skip]
pub const VALIDATIONS: &[Validation] = &[
    spec(".fromImage", "CNB001", "self.buildType == 'ImageImport' || !has(self.fromImage)",
        "fromImage is only allowed with buildType ImageImport"),
    spec(".runtimeEnvironment", "CNB001", "self.buildType == 'PackageList' || !has(self.runtimeEnvironment)",
        "runtimeEnvironment is only allowed with buildType PackageList"),
    spec(".builderImage", "CNB001", "self.buildType != 'ImageImport' || !has(self.builderImage)",
        "builderImage is only allowed with buildType PackageList or GitRepository"),
    spec(".packageVersions", "CNB001", "self.buildType == 'PackageList' || !has(self.packageVersions)",
        "packageVersions is only allowed with buildType PackageList"),
    spec(".repositoryUrl", "CNB001", "self.buildType == 'GitRepository' || !has(self.repositoryUrl)",
        "repositoryUrl is only allowed with buildType GitRepository"),
    spec(".gitRef", "CNB001", "self.buildType == 'GitRepository' || !has(self.gitRef)",
        "gitRef is only allowed with buildType GitRepository"),

    validation(FieldId::BuildType, "CNB002", "self == oldSelf",
        "buildType cannot be changed; create a new resource with another name"),
    spec(".targetNamespace", "CNB002",
        "!has(oldSelf.targetNamespace) || has(self.targetNamespace) && self.targetNamespace == oldSelf.targetNamespace",
        "targetNamespace cannot be changed; create a new resource with another name"),

    name("self.metadata.name.matches('^[a-z0-9]+([._-][a-z0-9]+)*$')",
        "the name must be a valid ImageStream name: lower case letters and digits, with single '.' and '-' between them"),
    name("!has(self.spec.targetNamespace) || size(self.metadata.name) + size(self.spec.targetNamespace) < 255",
        "name and targetNamespace must have at most 254 characters together"),

    validation(FieldId::TargetNamespace, "CNB020", "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "targetNamespace must be a valid namespace name"),

    spec(".fromImage", "CNB101", "self.buildType != 'ImageImport' || has(self.fromImage)",
        "buildType ImageImport needs fromImage"),

    spec(".fromImage", "CNB102", image!("fromImage"),
        "fromImage must be an image reference: registry/repository:tag, in lower case, without a scheme"),
    spec(".builderImage", "CNB102", image!("builderImage"),
        "builderImage must be an image reference: registry/repository:tag, in lower case, without a scheme"),

    validation(FieldId::ImagePullSecretName, "CNB113",
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
        "imagePullSecret.name must be a valid Secret name"),

    spec(".packageVersions", "CNB201",
        "self.buildType != 'PackageList' || has(self.packageVersions) && size(self.packageVersions) > 0",
        "buildType PackageList needs at least one item in packageVersions"),

    validation(FieldId::PackageVersions, "CNB202", "self.all(item, item.matches('[A-Za-z0-9]'))",
        "each item of packageVersions must be a requirement such as pandas or boto3>=1.24.0"),
    validation(FieldId::PackageVersions, "CNB203",
        r"self.all(item, !item.matches('^ *-') && !item.trim().matches('[\n\r]'))",
        "each item of packageVersions must be one requirement on one line, not an option"),

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
        "repositoryUrl must not contain a user, password or token"),

    spec(".gitRef", "CNB304",
        "!has(self.gitRef) || size(self.gitRef) > 0 && !self.gitRef.matches('^[-/]|[ ~^:?*[]|[.][.]|@[{]|//|/$|[.]lock$')",
        "gitRef must be a valid branch, tag or commit"),
];

/// Maximum and minimum number of characters of each text.
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

/// Required fields of each object.
const REQUIRED: &[(FieldId, &[&str])] = &[
    (FieldId::Object, &["spec"]),
    (FieldId::Spec, &["buildType"]),
    (FieldId::ImagePullSecret, &["name"]),
    (FieldId::RuntimeEnvironment, &["osName", "osVersion", "pythonVersion"]),
];

/// The CustomResourceDefinition.
///
/// # Panics
/// Never; a test calls it.
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

/// The CustomResourceDefinition as YAML.
///
/// # Panics
/// Never; see [`crd`].
pub fn yaml() -> String {
    let body = serde_saphyr::to_string(&crd()).expect("a definition is plain data");
    format!("# Generated from shared/src/api; `UPDATE=1 cargo test -p cnbi-shared` updates it.\n{body}")
}

fn refine(root: &mut JSONSchemaProps) {
    remove_nullable(root);
    // The API server validates metadata itself. A schema may limit the name, which limits the cost of the expression.
    root.properties.get_or_insert_default().insert(
        "metadata".to_owned(),
        JSONSchemaProps {
            type_: Some("object".to_owned()),
            properties: Some([("name".to_owned(), text())].into()),
            ..JSONSchemaProps::default()
        },
    );
    let spec = schema_of(root, FieldId::Spec);
    spec.description = Some("The build request.".to_owned());
    for &(field, max, min) in LENGTHS {
        let text = schema_of(root, field);
        text.max_length = Some(count(max));
        text.min_length = min.map(count);
    }
    let packages = schema_of(root, FieldId::PackageVersions);
    packages.max_items = Some(count(limits::PACKAGES));
    // A list type that merges would change the order of the items.
    packages.x_kubernetes_list_type = Some("atomic".to_owned());
    items(packages).max_length = Some(count(limits::PACKAGE));
    for &(field, names) in REQUIRED {
        schema_of(root, field).required = Some(names.iter().map(|&name| name.to_owned()).collect());
    }
    for validation in VALIDATIONS {
        schema_of(root, validation.field)
            .x_kubernetes_validations
            .get_or_insert_default()
            .push(ValidationRule {
                rule: validation.expression.to_owned(),
                message: Some(format!("{}: {}", validation.rule, validation.message)),
                field_path: validation.field_path.map(str::to_owned),
                ..ValidationRule::default()
            });
    }
    let status = child(root, "status");
    // kstatus treats a resource without status as current. The default marks it as not observed until the controller updates it, as in Flux.
    status.default = Some(JSON(serde_json::json!({"observedGeneration": -1})));
    let conditions = child(status, "conditions");
    conditions.x_kubernetes_list_type = Some("map".to_owned());
    conditions.x_kubernetes_list_map_keys = Some(vec!["type".to_owned()]);
}

/// Removes `nullable` and defaults, which schemars generates for `Option`.
fn remove_nullable(schema: &mut JSONSchemaProps) {
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
        remove_nullable(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        remove_nullable(items);
    }
}

fn schema_of(root: &mut JSONSchemaProps, field: FieldId) -> &mut JSONSchemaProps {
    field.keys().iter().fold(root, |schema, key| child(schema, key))
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
    fn every_validation_belongs_to_a_fixed_rule() {
        for validation in VALIDATIONS {
            let rule = by_id(validation.rule).unwrap_or_else(|| panic!("{} is not a rule", validation.rule));
            assert!(rule.is_fixed, "{} could be relaxed, but not in the schema", rule.id);
        }
    }

    #[test]
    fn every_text_of_the_spec_has_a_maximum_length() {
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
        unbounded("spec", schema_of(root, FieldId::Spec), &mut found);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn nothing_is_nullable_and_only_status_has_a_default() {
        let json = serde_json::to_string(&crd()).unwrap();
        for word in ["nullable", "null"] {
            assert!(!json.contains(word), "{word}");
        }
        let defaults: Vec<_> = json.match_indices("\"default\":").collect();
        assert_eq!(defaults.len(), 1);
        assert!(json.contains(r#""default":{"observedGeneration":-1}"#));
    }
}

//! The request of a valid resource, with all fields of its build type. Parsed once from a [`ValidatedImage`].
//!
//! What depends on the configuration (image of a runtime environment, allowed target namespaces) is not decided here.

use cnbi_shared::api::annotations::{CREATOR, DESCRIPTION, DISPLAY_NAME};
use cnbi_shared::api::{BuildType, CustomNBImage, Spec};
use cnbi_shared::grammar::image::ImageReference;
use cnbi_shared::rules::ValidatedImage;

/// One resource's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What to build.
    pub build: Build,
    /// Name of the pull Secret, in the resource's namespace.
    pub pull_secret: Option<String>,
    /// The target namespace in the spec.
    pub target: Option<String>,
    /// The display annotations.
    pub display: Display,
}

/// What to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Build {
    /// Import an image.
    Import {
        /// Its reference.
        from_image: ImageReference,
    },
    /// Install packages.
    Packages {
        /// The base image.
        base: Base,
        /// PEP 508 requirements, as written.
        requirements: Vec<String>,
    },
    /// Build a repository.
    Git {
        /// Clone URL.
        url: String,
        /// Branch, tag or commit; `None`: the default branch.
        git_ref: Option<String>,
        /// The builder image; `None` if the repository defines it.
        builder: Option<ImageReference>,
    },
}

/// The base image of a package list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// An image reference.
    Image(ImageReference),
    /// A runtime environment, mapped to an image by the configuration.
    Environment {
        /// Operating system.
        os_name: String,
        /// Its version.
        os_version: String,
        /// Python version.
        python_version: String,
    },
}

/// The annotations that are copied to the ImageStream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Display {
    /// [`DISPLAY_NAME`]
    pub name: Option<String>,
    /// [`DESCRIPTION`]
    pub description: Option<String>,
    /// [`CREATOR`]
    pub creator: Option<String>,
}

impl Display {
    /// Key and value of each.
    pub fn pairs(&self) -> [(&'static str, Option<&str>); 3] {
        [
            (DISPLAY_NAME, self.name.as_deref()),
            (DESCRIPTION, self.description.as_deref()),
            (CREATOR, self.creator.as_deref()),
        ]
    }
}

impl Request {
    /// Parses the request. Returns `None` only if the rules accept a resource that lacks a field, which a test excludes: such a
    /// mistake must end in a status and not in a panic.
    pub fn of(accepted: &ValidatedImage<CustomNBImage>) -> Option<Self> {
        let CustomNBImage { metadata, spec, .. } = accepted.resource();
        let annotation = |key: &str| metadata.annotations.as_ref()?.get(key).cloned();
        Some(Self {
            build: build(spec)?,
            pull_secret: spec.pull_secret().map(str::to_owned),
            target: spec.target_namespace.text().map(str::to_owned),
            display: Display {
                name: annotation(DISPLAY_NAME),
                description: annotation(DESCRIPTION),
                creator: annotation(CREATOR),
            },
        })
    }

    /// The build type.
    pub fn build_type(&self) -> BuildType {
        match self.build {
            Build::Import { .. } => BuildType::ImageImport,
            Build::Packages { .. } => BuildType::PackageList,
            Build::Git { .. } => BuildType::GitRepository,
        }
    }

    /// The ImageStream's tag for this request at that generation.
    pub fn tag(&self, generation: i64) -> String {
        let Build::Import { from_image } = &self.build else {
            return format!("v{generation}");
        };
        match (from_image.tag(), from_image.digest()) {
            (Some(tag), _) => tag.to_owned(),
            (None, Some(digest)) => {
                let (algorithm, hex) = digest.split_once(':').unwrap_or(("sha256", digest));
                format!("{algorithm}-{}", &hex[..hex.len().min(12)])
            }
            // Only if the rule that requires a tag is disabled.
            (None, None) => "latest".to_owned(),
        }
    }
}

fn build(spec: &Spec) -> Option<Build> {
    let image = |text: Option<&str>| text.and_then(|text| ImageReference::parse(text).ok());
    let builder = image(spec.builder_image.text());
    Some(match spec.build_type()? {
        BuildType::ImageImport => Build::Import {
            from_image: image(spec.from_image.text())?,
        },
        BuildType::PackageList => Build::Packages {
            base: match builder {
                Some(builder) => Base::Image(builder),
                None => environment(spec)?,
            },
            requirements: spec.packages().map(|(_, text)| text.to_owned()).collect(),
        },
        BuildType::GitRepository => Build::Git {
            url: spec.repository_url.text()?.to_owned(),
            git_ref: spec.git_ref.text().map(str::to_owned),
            builder,
        },
    })
}

fn environment(spec: &Spec) -> Option<Base> {
    let parts = spec.runtime_environment.value()?;
    Some(Base::Environment {
        os_name: parts.os_name.text()?.to_owned(),
        os_version: parts.os_version.text()?.to_owned(),
        python_version: parts.python_version.text()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use cnbi_shared::config::Config;
    use cnbi_shared::rules::validate;
    use serde_json::{Value, json};

    use super::*;

    fn request(spec: &Value) -> Option<Request> {
        let resource = json!({
            "apiVersion": "meteor.zone/v1alpha1", "kind": "CustomNBImage",
            "metadata": {"name": "example", "namespace": "team-a", "annotations": {DISPLAY_NAME: "Example"}},
            "spec": spec,
        });
        let accepted = validate(serde_json::from_value(resource).unwrap(), &Config::shipped()).ok()?;
        Some(Request::of(&accepted).expect("a valid resource has a request"))
    }

    #[test]
    fn each_build_type_has_its_fields() {
        let import = request(
            &json!({"buildType": "ImageImport", "fromImage": "quay.io/a/b:v1", "imagePullSecret": {"name": "s"}}),
        )
        .unwrap();
        assert!(matches!(&import.build, Build::Import { from_image } if from_image.as_str() == "quay.io/a/b:v1"));
        assert_eq!(import.pull_secret.as_deref(), Some("s"));
        assert_eq!(import.display.name.as_deref(), Some("Example"));
        let packages = request(&json!({
            "buildType": "PackageList", "packageVersions": ["pandas", "boto3>=1.24.0"], "targetNamespace": "gpu",
            "runtimeEnvironment": {"osName": "ubi", "osVersion": "8", "pythonVersion": "3.8"},
        }))
        .unwrap();
        assert!(
            matches!(&packages.build, Build::Packages { base: Base::Environment { os_name, .. }, requirements }
                if os_name == "ubi" && requirements == &["pandas", "boto3>=1.24.0"])
        );
        assert_eq!(packages.target.as_deref(), Some("gpu"));
        let git = request(
            &json!({"buildType": "GitRepository", "repositoryUrl": "https://github.com/a/b", "gitRef": "main"}),
        )
        .unwrap();
        assert!(matches!(&git.build, Build::Git { git_ref: Some(git_ref), builder: None, .. } if git_ref == "main"));
    }

    #[test]
    fn tags_come_from_the_reference_or_the_generation() {
        let hex = "0123456789abcdef".repeat(4);
        for (from_image, tag) in [
            ("quay.io/a/b:v1".to_owned(), "v1"),
            ("localhost:5000/a/b:x".to_owned(), "x"),
            (format!("quay.io/a/b@sha256:{hex}"), "sha256-0123456789ab"),
            (format!("quay.io/a/b:v1@sha256:{hex}"), "v1"),
        ] {
            let request = request(&json!({"buildType": "ImageImport", "fromImage": from_image})).unwrap();
            assert_eq!(request.tag(3), tag);
        }
        let git = request(&json!({"buildType": "GitRepository", "repositoryUrl": "https://github.com/a/b"})).unwrap();
        assert_eq!(git.tag(3), "v3");
    }

    /// All combinations of field values: each resource that the rules accept has a request.
    #[test]
    fn each_valid_resource_has_a_request() {
        let values = |field: &str| -> Vec<Value> {
            let some: &[Value] = &match field {
                "buildType" => vec![
                    json!("ImageImport"),
                    json!("PackageList"),
                    json!("GitRepository"),
                    json!(7),
                ],
                "fromImage" | "builderImage" => vec![json!("quay.io/a/b:v1"), json!("NOT AN IMAGE"), json!("")],
                "packageVersions" => vec![json!(["pandas"]), json!([]), json!([1]), json!("pandas")],
                "repositoryUrl" => vec![json!("https://github.com/a/b"), json!("nonsense")],
                "gitRef" => vec![json!("main"), json!("")],
                _ => vec![
                    json!({"osName": "ubi", "osVersion": "8", "pythonVersion": "3.8"}),
                    json!({"osName": "ubi"}),
                    json!({"osName": "ubi", "osVersion": 8, "pythonVersion": ""}),
                ],
            };
            [Value::Null].iter().chain(some).cloned().collect()
        };
        let fields = [
            "buildType",
            "fromImage",
            "builderImage",
            "packageVersions",
            "repositoryUrl",
            "gitRef",
            "runtimeEnvironment",
        ];
        let mut specs = vec![json!({})];
        for field in fields {
            let choices = values(field);
            specs = specs
                .iter()
                .flat_map(|spec| {
                    choices.iter().map(move |value| {
                        let mut spec = spec.clone();
                        if !value.is_null() {
                            spec[field] = value.clone();
                        }
                        spec
                    })
                })
                .collect();
        }
        let accepted = specs.iter().filter(|spec| request(spec).is_some()).count();
        assert!(accepted >= 6, "{accepted} of {}", specs.len());
    }
}

//! Facts about the cluster that rules depend on.
//!
//! A fact is [`Fact::Known`], [`Fact::Absent`] or [`Fact::Unknown`]. A rule that needs an unknown fact is reported as
//! [`crate::verdict::NotChecked`]; it never passes silently. To find out which facts to read, evaluate with [`Facts::none`]: the report
//! lists the required lookups.

use std::fmt;

use serde::Deserialize;

/// A fact that a rule needs to know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lookup {
    /// A Secret: whether it exists, its type, and the registries of its entries.
    Secret {
        /// Namespace of the Secret: a valid name, or empty if the namespace of the resource is not known.
        namespace: String,
        /// Its name, already validated.
        name: String,
    },
    /// Whether a namespace exists.
    Namespace {
        /// Its name, already validated.
        name: String,
    },
    /// An ImageStream: whether it exists, and its owner.
    ImageStream {
        /// Namespace of the stream.
        namespace: String,
        /// Its name, already validated.
        name: String,
    },
    /// Whether the requesting user may create ImageStreams in a namespace.
    Access {
        /// The namespace.
        namespace: String,
    },
    /// The configuration of the cluster; offline it may be unknown.
    Configuration,
    /// The requesting user; offline unknown.
    Requester,
}

impl fmt::Display for Lookup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret { namespace, name } if namespace.is_empty() => {
                write!(formatter, "Secret {name} in the resource's namespace")
            }
            Self::Secret { namespace, name } => write!(formatter, "Secret {namespace}/{name}"),
            Self::Namespace { name } => write!(formatter, "Namespace {name}"),
            Self::ImageStream { namespace, name } => write!(formatter, "ImageStream {namespace}/{name}"),
            Self::Access { namespace } => write!(formatter, "permission to create ImageStreams in {namespace}"),
            Self::Configuration => formatter.write_str("the cluster's configuration"),
            Self::Requester => formatter.write_str("the requesting user"),
        }
    }
}

/// The state of a fact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fact<T> {
    /// It exists, with these properties.
    Known(T),
    /// It does not exist.
    Absent,
    /// Not known.
    #[default]
    Unknown,
}

impl<T> Fact<T> {
    /// Borrows the value.
    pub fn as_ref(&self) -> Fact<&T> {
        match self {
            Self::Known(value) => Fact::Known(value),
            Self::Absent => Fact::Absent,
            Self::Unknown => Fact::Unknown,
        }
    }
}

/// The relevant properties of a pull secret; never a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PullSecret {
    /// Valid, with entries for these registries, as written.
    Registries(Vec<String>),
    /// Not a type for registry credentials.
    WrongType,
    /// The right type, but invalid content.
    Unreadable,
}

impl PullSecret {
    /// Reads the registries of a Secret. `content` is the value of [`Self::data_key`] (`.dockerconfigjson` or
    /// `.dockercfg`), decoded from base64. Credentials are skipped while parsing and never copied.
    pub fn parse(secret_type: &str, content: Option<&[u8]>) -> Self {
        #[derive(Deserialize)]
        struct DockerConfig {
            auths: Keys,
        }
        let registries = match (secret_type, content) {
            (Self::DOCKER_CONFIG_JSON, Some(json)) => serde_json::from_slice::<DockerConfig>(json)
                .ok()
                .map(|config| config.auths),
            (Self::DOCKER_CFG, Some(json)) => serde_json::from_slice::<Keys>(json).ok(),
            (Self::DOCKER_CONFIG_JSON | Self::DOCKER_CFG, None) => None,
            _ => return Self::WrongType,
        };
        registries.map_or(Self::Unreadable, |keys| Self::Registries(keys.0))
    }

    /// Type of a Secret created by `kubectl create secret docker-registry`.
    pub const DOCKER_CONFIG_JSON: &'static str = "kubernetes.io/dockerconfigjson";
    /// Older type for the same purpose.
    pub const DOCKER_CFG: &'static str = "kubernetes.io/dockercfg";

    /// The key of the credentials in the data of a Secret of this type.
    pub fn data_key(secret_type: &str) -> Option<&'static str> {
        match secret_type {
            Self::DOCKER_CONFIG_JSON => Some(".dockerconfigjson"),
            Self::DOCKER_CFG => Some(".dockercfg"),
            _ => None,
        }
    }
}

/// The keys of a JSON object; the values must be objects and are skipped.
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Keys;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of registries")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                #[derive(Deserialize)]
                struct Entry {}
                let mut keys = Vec::new();
                while let Some((key, Entry {})) = map.next_entry()? {
                    keys.push(key);
                }
                Ok(Keys(keys))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// The owner of an ImageStream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamOwner {
    /// It has the owner annotation of this resource.
    Resource {
        /// Namespace of the resource.
        namespace: String,
        /// Name of the resource.
        name: String,
    },
    /// It has no owner annotation: a user or another program created it.
    Unmanaged,
}

impl StreamOwner {
    /// Parses the annotation [`crate::api::annotations::OWNED_BY`].
    pub fn from_annotation(annotation: Option<&str>) -> Self {
        match annotation.and_then(|value| value.split_once('/')) {
            Some((namespace, name)) => Self::Resource {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            },
            None => Self::Unmanaged,
        }
    }
}

/// The known facts for one evaluation.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    known: Vec<(Lookup, LookupResult)>,
}

/// The result of a [`Lookup`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupResult {
    /// Of [`Lookup::Secret`].
    Secret(PullSecret),
    /// Of [`Lookup::ImageStream`].
    ImageStream(StreamOwner),
    /// Of [`Lookup::Namespace`], [`Lookup::Access`], [`Lookup::Configuration`] and [`Lookup::Requester`]: yes.
    Yes,
    /// It does not exist; for [`Lookup::Access`], the user is not allowed.
    No,
}

impl Facts {
    /// No facts.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds a result. It replaces an earlier result of the same lookup.
    pub fn insert(&mut self, lookup: Lookup, lookup_result: LookupResult) {
        self.known.retain(|(known, _)| *known != lookup);
        self.known.push((lookup, lookup_result));
    }

    /// Like [`Facts::insert`], for method chaining.
    #[must_use]
    pub fn with(mut self, lookup: Lookup, lookup_result: LookupResult) -> Self {
        self.insert(lookup, lookup_result);
        self
    }

    fn lookup_result(&self, lookup: &Lookup) -> Option<&LookupResult> {
        self.known
            .iter()
            .find(|(known, _)| known == lookup)
            .map(|(_, lookup_result)| lookup_result)
    }

    /// The known state of a Secret.
    pub fn secret(&self, lookup: &Lookup) -> Fact<&PullSecret> {
        match self.lookup_result(lookup) {
            Some(LookupResult::Secret(secret)) => Fact::Known(secret),
            Some(LookupResult::No) => Fact::Absent,
            _ => Fact::Unknown,
        }
    }

    /// The known state of an ImageStream.
    pub fn image_stream(&self, lookup: &Lookup) -> Fact<&StreamOwner> {
        match self.lookup_result(lookup) {
            Some(LookupResult::ImageStream(owner)) => Fact::Known(owner),
            Some(LookupResult::No) => Fact::Absent,
            _ => Fact::Unknown,
        }
    }

    /// Whether a namespace exists, access is granted or a configuration is set; `None` if not known.
    pub fn is_confirmed(&self, lookup: &Lookup) -> Option<bool> {
        match self.lookup_result(lookup) {
            Some(LookupResult::No) => Some(false),
            Some(_) => Some(true),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_registries_of_a_pull_secret_are_read() {
        let json = br#"{"auths":{"quay.io":{"auth":"c2VjcmV0"},"reg:5000":{}},"credHelpers":{"x":"y"}}"#;
        assert_eq!(
            PullSecret::parse(PullSecret::DOCKER_CONFIG_JSON, Some(json)),
            PullSecret::Registries(vec!["quay.io".into(), "reg:5000".into()])
        );
        assert_eq!(
            PullSecret::parse(PullSecret::DOCKER_CFG, Some(br#"{"quay.io":{}}"#)),
            PullSecret::Registries(vec!["quay.io".into()])
        );
    }

    #[test]
    fn invalid_pull_secrets_are_unreadable() {
        for content in [
            &b""[..],
            b"not json",
            b"[]",
            b"{}",
            br#"{"auths":[]}"#,
            br#"{"auths":{"a":1}}"#,
            b"\xff\xfe",
        ] {
            assert_eq!(
                PullSecret::parse(PullSecret::DOCKER_CONFIG_JSON, Some(content)),
                PullSecret::Unreadable
            );
        }
        assert_eq!(
            PullSecret::parse(PullSecret::DOCKER_CONFIG_JSON, None),
            PullSecret::Unreadable
        );
        assert_eq!(PullSecret::parse("Opaque", Some(b"{}")), PullSecret::WrongType);
    }
}

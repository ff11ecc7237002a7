//! What rules have to know besides the object itself, and what is known of it.
//!
//! A fact is [`Fact::Known`], [`Fact::Absent`] or [`Fact::Unknown`]. A rule that meets an unknown fact says so
//! ([`crate::verdict::Undecided`]); it never takes it for a pass. Which facts to read follows from that: judge with
//! [`Facts::none`], and the report's undecided rules name exactly what is needed.

use std::fmt;

use serde::Deserialize;

/// Something outside the object that a rule has to know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lookup {
    /// A Secret: is it there, of what type, with entries for which registries.
    Secret {
        /// Namespace of the Secret: a legal name, or empty where the resource's namespace is not known.
        namespace: String,
        /// Its name, known to be a legal one.
        name: String,
    },
    /// Whether a namespace is there.
    Namespace {
        /// Its name, known to be a legal one.
        name: String,
    },
    /// An ImageStream: is it there, and whose is it.
    ImageStream {
        /// Namespace of the stream.
        namespace: String,
        /// Its name, known to be a legal one.
        name: String,
    },
    /// Whether the requesting user may create ImageStreams in a namespace.
    Access {
        /// The namespace.
        namespace: String,
    },
    /// The configuration that the cluster's admin has set; offline there may be none.
    Configuration,
    /// Who makes the request; offline there is nobody.
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
            Self::Access { namespace } => write!(formatter, "access review for ImageStreams in {namespace}"),
            Self::Configuration => formatter.write_str("the cluster's configuration"),
            Self::Requester => formatter.write_str("the requesting user"),
        }
    }
}

/// What is known of one thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fact<T> {
    /// It is there, and this is what matters of it.
    Known(T),
    /// It is not there.
    Absent,
    /// Nobody could say.
    #[default]
    Unknown,
}

impl<T> Fact<T> {
    /// The same by reference.
    pub fn as_ref(&self) -> Fact<&T> {
        match self {
            Self::Known(value) => Fact::Known(value),
            Self::Absent => Fact::Absent,
            Self::Unknown => Fact::Unknown,
        }
    }
}

/// All that matters of a pull Secret: never a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PullSecret {
    /// Readable, with entries for these registries as they are written in it.
    Registries(Vec<String>),
    /// Not of a type that holds registry credentials.
    WrongType,
    /// Of the right type, but its content cannot be read as one.
    Unreadable,
}

impl PullSecret {
    /// Reads the registries out of a Secret. `content` is the value of the type's own key (`.dockerconfigjson` or
    /// `.dockercfg`), already decoded from base64; credentials in it are skipped while parsing, never copied.
    pub fn read(secret_type: &str, content: Option<&[u8]>) -> Self {
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

    /// Type of a Secret made by `kubectl create secret docker-registry`.
    pub const DOCKER_CONFIG_JSON: &'static str = "kubernetes.io/dockerconfigjson";
    /// Older type of the same purpose.
    pub const DOCKER_CFG: &'static str = "kubernetes.io/dockercfg";

    /// The key of a Secret's data that holds the credentials, for a Secret of that type.
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

/// Whose an ImageStream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamOwner {
    /// It carries the mark of this resource.
    Resource {
        /// Namespace of the resource.
        namespace: String,
        /// Name of the resource.
        name: String,
    },
    /// A person's, or another program's: it carries no mark of ours.
    Other,
}

impl StreamOwner {
    /// Reads the annotation [`crate::api::annotations::OWNED_BY`].
    pub fn read(annotation: Option<&str>) -> Self {
        match annotation.and_then(|value| value.split_once('/')) {
            Some((namespace, name)) => Self::Resource {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            },
            None => Self::Other,
        }
    }
}

/// Everything that is known for one judgement.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    known: Vec<(Lookup, LookupResult)>,
}

/// What was found out about a [`Lookup`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupResult {
    /// To [`Lookup::Secret`].
    Secret(PullSecret),
    /// To [`Lookup::ImageStream`].
    ImageStream(StreamOwner),
    /// To [`Lookup::Namespace`], [`Lookup::Access`], [`Lookup::Configuration`] and [`Lookup::Requester`]: yes.
    Yes,
    /// It is not there; or, to [`Lookup::Access`], the user may not.
    No,
}

impl Facts {
    /// Nothing is known.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds what was found out. A later answer to the same need replaces an earlier one.
    pub fn insert(&mut self, need: Lookup, answer: LookupResult) {
        self.known.retain(|(known, _)| *known != need);
        self.known.push((need, answer));
    }

    /// The same, for building in one expression.
    #[must_use]
    pub fn with(mut self, need: Lookup, answer: LookupResult) -> Self {
        self.insert(need, answer);
        self
    }

    fn answer(&self, need: &Lookup) -> Option<&LookupResult> {
        self.known
            .iter()
            .find(|(known, _)| known == need)
            .map(|(_, answer)| answer)
    }

    /// What is known of a Secret.
    pub fn secret(&self, need: &Lookup) -> Fact<&PullSecret> {
        match self.answer(need) {
            Some(LookupResult::Secret(secret)) => Fact::Known(secret),
            Some(LookupResult::No) => Fact::Absent,
            _ => Fact::Unknown,
        }
    }

    /// What is known of an ImageStream.
    pub fn image_stream(&self, need: &Lookup) -> Fact<&StreamOwner> {
        match self.answer(need) {
            Some(LookupResult::ImageStream(owner)) => Fact::Known(owner),
            Some(LookupResult::No) => Fact::Absent,
            _ => Fact::Unknown,
        }
    }

    /// Whether something is so: a namespace is there, access is granted, a configuration is set.
    pub fn holds(&self, need: &Lookup) -> Option<bool> {
        match self.answer(need) {
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
    fn only_the_hosts_of_a_pull_secret_are_read() {
        let json = br#"{"auths":{"quay.io":{"auth":"c2VjcmV0"},"reg:5000":{}},"credHelpers":{"x":"y"}}"#;
        assert_eq!(
            PullSecret::read(PullSecret::DOCKER_CONFIG_JSON, Some(json)),
            PullSecret::Registries(vec!["quay.io".into(), "reg:5000".into()])
        );
        assert_eq!(
            PullSecret::read(PullSecret::DOCKER_CFG, Some(br#"{"quay.io":{}}"#)),
            PullSecret::Registries(vec!["quay.io".into()])
        );
    }

    #[test]
    fn hostile_pull_secrets_are_unreadable_not_fatal() {
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
                PullSecret::read(PullSecret::DOCKER_CONFIG_JSON, Some(content)),
                PullSecret::Unreadable
            );
        }
        assert_eq!(
            PullSecret::read(PullSecret::DOCKER_CONFIG_JSON, None),
            PullSecret::Unreadable
        );
        assert_eq!(PullSecret::read("Opaque", Some(b"{}")), PullSecret::WrongType);
    }
}

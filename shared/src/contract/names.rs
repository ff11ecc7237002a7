//! The names that both sides use, each written once.

/// Names of tasks.
pub mod tasks {
    #![allow(missing_docs, reason = "each is what it says")]
    pub const CREATE_IMAGE_STREAM: &str = "create-imagestream";
    pub const SETUP: &str = "setup";
    pub const FETCH: &str = "fetch";
    pub const PREPARE: &str = "prepare";
    pub const RECORD_SOURCE: &str = "record-source";
    pub const BUILD: &str = "build";
    pub const PUSH: &str = "push";
    pub const VALIDATE: &str = "validate";
    pub const UPDATE_IMAGE_STREAM: &str = "update-imagestream";
}

/// Names of parameters.
pub mod params {
    /// Namespace of the resource.
    pub const NAMESPACE: &str = "resource-namespace";
    /// Name of the resource, and of its ImageStream.
    pub const NAME: &str = "resource-name";
    /// The resource's uid: the fence for writes to the ImageStream.
    pub const UID: &str = "resource-uid";
    /// The resource's generation: a write for an older one is refused.
    pub const GENERATION: &str = "resource-generation";
    /// Namespace of the ImageStream.
    pub const TARGET: &str = "target-namespace";
    /// The ImageStream's tag.
    pub const TAG: &str = "tag";
    /// Everything that a user wrote, as [`super::super::ParamKind::Encoded`].
    pub const REQUEST: &str = "request";
    /// What the admin decided that tasks need to know, as [`super::super::Settings`], encoded the same way.
    pub const SETTINGS: &str = "settings";
}

/// Names of workspaces.
pub mod workspaces {
    /// A Secret of type `kubernetes.io/dockerconfigjson` with the credentials for the image to pull.
    pub const DOCKER_CONFIG: &str = "dockerconfig";
    /// The Secret with the admin's credentials for the Git host.
    pub const GIT_CREDENTIALS: &str = "git-credentials";
    /// The Secret with the public keys that signatures are verified with.
    pub const SIGNATURE_KEYS: &str = "signature-keys";
    /// The Secret with the admin's credentials for the Git host that source is pushed to.
    pub const SOURCE_CREDENTIALS: &str = "source-credentials";
    /// A Secret of type `kubernetes.io/dockerconfigjson` with the credentials to push built images.
    pub const PUSH_CREDENTIALS: &str = "push-credentials";
    /// The ConfigMap with further certificate authorities.
    pub const CA_BUNDLE: &str = "ca-bundle";
    /// The volume through which tasks hand on files.
    pub const WORK: &str = "work";
}

/// Names of results. All are of Tekton's type string.
pub mod results {
    /// Every task: why it fails, as a [`super::super::Reason`].
    pub const REASON: &str = "reason";
    /// Every task: the same for people, in a sentence.
    pub const MESSAGE: &str = "message";
    /// Uid of the ImageStream that the run began with.
    pub const STREAM_UID: &str = "stream-uid";
    /// Digest of the image's manifest.
    pub const DIGEST: &str = "digest";
    /// The whole reference of the image.
    pub const REFERENCE: &str = "reference";
    /// What a container of the image starts with, for `validate`: base64 of a JSON list, and of `null` where it is too long to be told.
    pub const START_COMMAND: &str = "start-command";
    /// The commit that was built.
    pub const COMMIT: &str = "commit";
    /// Where the commit was pushed to; empty where it was kept for the run only.
    pub const SOURCE_URL: &str = "source-url";
    /// Digest of the list of locked requirements.
    pub const LOCK_DIGEST: &str = "lock-digest";
    /// JSON for the tag's annotation of software.
    pub const SOFTWARE: &str = "software";
    /// JSON for the tag's annotation of Python packages.
    pub const PYTHON_DEPENDENCIES: &str = "python-dependencies";
}

//! The names that the controller and the pipelines share.

/// Names of tasks.
pub mod tasks {
    #![allow(missing_docs, reason = "the names are self-explanatory")]
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
    /// UID of the resource. Writes to the ImageStream for another UID are rejected.
    pub const UID: &str = "resource-uid";
    /// Generation of the resource. Writes for an older generation are rejected.
    pub const GENERATION: &str = "resource-generation";
    /// Namespace of the ImageStream.
    pub const TARGET: &str = "target-namespace";
    /// The ImageStream's tag.
    pub const TAG: &str = "tag";
    /// All user input, as [`super::super::BuildRequest`] in the form [`super::super::ParamKind::Encoded`].
    pub const REQUEST: &str = "request";
    /// The configuration of the tasks, as [`super::super::Settings`] in the same form.
    pub const SETTINGS: &str = "settings";
}

/// Names of workspaces.
pub mod workspaces {
    /// Secret of type `kubernetes.io/dockerconfigjson` with the credentials to pull the image.
    pub const DOCKER_CONFIG: &str = "dockerconfig";
    /// Secret with the credentials for the Git host.
    pub const GIT_CREDENTIALS: &str = "git-credentials";
    /// Secret with the public keys for signatures.
    pub const SIGNATURE_KEYS: &str = "signature-keys";
    /// Secret with the credentials for the Git host that sources are pushed to.
    pub const SOURCE_CREDENTIALS: &str = "source-credentials";
    /// Secret of type `kubernetes.io/dockerconfigjson` with the credentials to push images.
    pub const PUSH_CREDENTIALS: &str = "push-credentials";
    /// ConfigMap with additional certificate authorities.
    pub const CA_BUNDLE: &str = "ca-bundle";
    /// Volume that the tasks share.
    pub const WORK: &str = "work";
}

/// Names of results. All have Tekton's type string.
pub mod results {
    /// Every task: the reason of its failure, a [`super::super::Reason`].
    pub const REASON: &str = "reason";
    /// Every task: the message of its failure.
    pub const MESSAGE: &str = "message";
    /// UID of the ImageStream at the start of the run.
    pub const STREAM_UID: &str = "stream-uid";
    /// Digest of the image's manifest.
    pub const DIGEST: &str = "digest";
    /// Complete reference of the image.
    pub const REFERENCE: &str = "reference";
    /// Start command of the image, for `validate`: base64 of a JSON list, or of `null` if it is too long.
    pub const START_COMMAND: &str = "start-command";
    /// The commit that was built.
    pub const COMMIT: &str = "commit";
    /// URL that the commit was pushed to; empty if it was not pushed.
    pub const SOURCE_URL: &str = "source-url";
    /// Digest of the locked requirements.
    pub const LOCK_DIGEST: &str = "lock-digest";
    /// JSON for the software annotation of the tag.
    pub const SOFTWARE: &str = "software";
    /// JSON for the Python packages annotation of the tag.
    pub const PYTHON_DEPENDENCIES: &str = "python-dependencies";
}

//! The three Pipelines.

use super::pipeline::{Param, ParamKind, Pipeline, Task, Trust, Workspace, WorkspaceKind};
use super::{ConditionType, Reason, params, results, tasks, workspaces};
use crate::api::BuildType;
use crate::api::status::Step;

const fn create_image_stream(step: Step) -> Task {
    Task {
        name: tasks::CREATE_IMAGE_STREAM,
        trust: Trust::Trusted,
        step,
        condition: ConditionType::ImageStreamUpdated,
        default_reason: Reason::ImageStreamCreateFailed,
        reasons: STREAM_REASONS,
        results: &[results::STREAM_UID],
    }
}

const fn update_image_stream(step: Step) -> Task {
    Task {
        name: tasks::UPDATE_IMAGE_STREAM,
        results: &[],
        ..create_image_stream(step)
    }
}

const fn validate(step: Step) -> Task {
    Task {
        name: tasks::VALIDATE,
        trust: Trust::Untrusted,
        step,
        condition: ConditionType::ImageValidated,
        default_reason: Reason::ImageInvalid,
        reasons: &[Reason::ImageInvalid],
        results: &[results::SOFTWARE, results::PYTHON_DEPENDENCIES],
    }
}

const STREAM_REASONS: &[Reason] = &[
    Reason::ImageStreamCreateFailed,
    Reason::ImageStreamConflict,
    Reason::ImageStreamApiMissing,
];

const SETUP: Task = Task {
    name: tasks::SETUP,
    trust: Trust::Trusted,
    step: Step::Validating,
    condition: ConditionType::ImageValidated,
    default_reason: Reason::ImageInvalid,
    reasons: &[
        Reason::ImageInvalid,
        Reason::ImageNotFound,
        Reason::RegistryUnauthorized,
        Reason::RegistryUnavailable,
        Reason::SignatureInvalid,
    ],
    results: &[results::DIGEST, results::REFERENCE, results::START_COMMAND],
};

const BUILD: Task = Task {
    name: tasks::BUILD,
    trust: Trust::Untrusted,
    step: Step::Building,
    condition: ConditionType::ImageBuilt,
    default_reason: Reason::BuildFailed,
    reasons: &[Reason::BuildFailed],
    results: &[],
};

const PUSH: Task = Task {
    name: tasks::PUSH,
    trust: Trust::Trusted,
    step: Step::Building,
    condition: ConditionType::ImageBuilt,
    default_reason: Reason::PushFailed,
    // The result of the build may not be an image.
    reasons: &[Reason::PushFailed, Reason::BuildFailed],
    results: &[results::DIGEST, results::REFERENCE, results::START_COMMAND],
};

const fn source_task(
    name: &'static str,
    trust: Trust,
    reasons: &'static [Reason],
    results: &'static [&'static str],
) -> Task {
    Task {
        name,
        trust,
        step: Step::Preparing,
        condition: ConditionType::SourcePrepared,
        default_reason: Reason::BuildFailed,
        reasons,
        results,
    }
}

const fn plain(name: &'static str) -> Param {
    Param {
        name,
        kind: ParamKind::Plain,
    }
}

const PARAMS: &[Param] = &[
    plain(params::NAMESPACE),
    plain(params::NAME),
    plain(params::UID),
    plain(params::GENERATION),
    plain(params::TARGET),
    plain(params::TAG),
    Param {
        name: params::REQUEST,
        kind: ParamKind::Encoded,
    },
    Param {
        name: params::SETTINGS,
        kind: ParamKind::Encoded,
    },
];

const fn secret(name: &'static str) -> Workspace {
    Workspace {
        name,
        kind: WorkspaceKind::OptionalSecret,
    }
}

const DOCKER_CONFIG: Workspace = secret(workspaces::DOCKER_CONFIG);
const GIT_CREDENTIALS: Workspace = secret(workspaces::GIT_CREDENTIALS);
const SIGNATURE_KEYS: Workspace = secret(workspaces::SIGNATURE_KEYS);
const SOURCE_CREDENTIALS: Workspace = secret(workspaces::SOURCE_CREDENTIALS);
const PUSH_CREDENTIALS: Workspace = secret(workspaces::PUSH_CREDENTIALS);

const CA_BUNDLE: Workspace = Workspace {
    name: workspaces::CA_BUNDLE,
    kind: WorkspaceKind::OptionalConfigMap,
};

const WORK: Workspace = Workspace {
    name: workspaces::WORK,
    kind: WorkspaceKind::Volume,
};

/// Imports an image.
pub const IMPORT: Pipeline = Pipeline {
    name: "cnbi-import",
    build_type: BuildType::ImageImport,
    tasks: &[create_image_stream(Step::Importing), SETUP, validate(Step::Validating)],
    finally: &[update_image_stream(Step::Validating)],
    params: PARAMS,
    workspaces: &[DOCKER_CONFIG, SIGNATURE_KEYS, CA_BUNDLE],
    results: &[results::DIGEST, results::REFERENCE],
};

/// Installs packages on a base image.
pub const PACKAGE_LIST: Pipeline = Pipeline {
    name: "cnbi-package-list",
    build_type: BuildType::PackageList,
    tasks: &[
        create_image_stream(Step::Preparing),
        source_task(
            tasks::FETCH,
            Trust::Trusted,
            &[
                Reason::ImageNotFound,
                Reason::RegistryUnauthorized,
                Reason::RegistryUnavailable,
                Reason::SignatureInvalid,
            ],
            &[],
        ),
        source_task(
            tasks::PREPARE,
            Trust::Untrusted,
            &[
                Reason::PackageListUnavailable,
                Reason::RequirementsUnsolvable,
                Reason::SourceRepositoryUnavailable,
            ],
            &[results::LOCK_DIGEST],
        ),
        source_task(
            tasks::RECORD_SOURCE,
            Trust::Trusted,
            &[Reason::SourceRepositoryUnavailable, Reason::GitUnauthorized],
            // Computed from the files, because the previous task may have run code of packages.
            &[results::SOURCE_URL, results::COMMIT],
        ),
        BUILD,
        PUSH,
        validate(Step::Building),
    ],
    finally: &[update_image_stream(Step::Building)],
    params: PARAMS,
    workspaces: &[
        DOCKER_CONFIG,
        SIGNATURE_KEYS,
        SOURCE_CREDENTIALS,
        PUSH_CREDENTIALS,
        CA_BUNDLE,
        WORK,
    ],
    results: &[
        results::DIGEST,
        results::REFERENCE,
        results::COMMIT,
        results::SOURCE_URL,
        results::LOCK_DIGEST,
    ],
};

/// Builds a Git repository.
pub const GIT_REPOSITORY: Pipeline = Pipeline {
    name: "cnbi-git-repository",
    build_type: BuildType::GitRepository,
    tasks: &[
        create_image_stream(Step::Preparing),
        source_task(
            tasks::FETCH,
            Trust::Trusted,
            &[
                Reason::SourceRepositoryUnavailable,
                Reason::GitRefNotFound,
                Reason::GitUnauthorized,
                Reason::ImageNotFound,
                Reason::RegistryUnauthorized,
                Reason::RegistryUnavailable,
                Reason::SignatureInvalid,
            ],
            &[results::COMMIT],
        ),
        source_task(
            tasks::PREPARE,
            Trust::Untrusted,
            &[
                Reason::NothingToBuild,
                Reason::RequirementsUnsolvable,
                Reason::SourceRepositoryUnavailable,
            ],
            &[results::LOCK_DIGEST],
        ),
        BUILD,
        PUSH,
        validate(Step::Building),
    ],
    finally: &[update_image_stream(Step::Building)],
    params: PARAMS,
    workspaces: &[
        DOCKER_CONFIG,
        GIT_CREDENTIALS,
        SIGNATURE_KEYS,
        PUSH_CREDENTIALS,
        CA_BUNDLE,
        WORK,
    ],
    results: &[
        results::DIGEST,
        results::REFERENCE,
        results::COMMIT,
        results::LOCK_DIGEST,
    ],
};

/// All pipelines.
pub const PIPELINES: [&Pipeline; 3] = [&IMPORT, &PACKAGE_LIST, &GIT_REPOSITORY];

/// The pipeline for a build type.
pub const fn pipeline_for(build_type: BuildType) -> &'static Pipeline {
    match build_type {
        BuildType::ImageImport => &IMPORT,
        BuildType::PackageList => &PACKAGE_LIST,
        BuildType::GitRepository => &GIT_REPOSITORY,
    }
}

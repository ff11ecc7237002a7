use std::collections::BTreeSet;

use super::*;
use crate::api::BuildType;
use crate::api::status::Step;
use crate::config::Config;
use crate::grammar::dns;

/// Reason, condition (`-`: that of the task), temporary: what the documentation of the resource promises.
const PROMISED: &str = "
    RequiredSecretMissing PullSecretReady temporary
    SecretTypeInvalid PullSecretReady permanent
    NoCredentialsForRegistry PullSecretReady permanent
    Queued PipelineRunCreated temporary
    PipelineRunCreateFailed PipelineRunCreated temporary
    QuotaExceeded PipelineRunCreated temporary
    PipelineNotInstalled PipelineRunCreated temporary
    BuildNamespaceMissing PipelineRunCreated temporary
    BuildAccountMissing PipelineRunCreated temporary
    BuildInputMissing PipelineRunCreated temporary
    PipelineInvalid PipelineRunCreated permanent
    TargetNamespaceNotAllowed PipelineRunCreated permanent
    RuntimeEnvironmentUnknown PipelineRunCreated permanent
    PackageListUnavailable SourcePrepared permanent
    SourceRepositoryUnavailable SourcePrepared temporary
    RequirementsUnsolvable SourcePrepared permanent
    GitRefNotFound SourcePrepared permanent
    GitUnauthorized SourcePrepared permanent
    NothingToBuild SourcePrepared permanent
    ImageInvalid ImageValidated permanent
    ImageNotFound ImageValidated permanent
    RegistryUnauthorized ImageValidated permanent
    RegistryUnavailable ImageValidated temporary
    SignatureInvalid ImageValidated permanent
    BuildFailed - permanent
    PushFailed ImageBuilt temporary
    TimedOut - permanent
    OutOfMemory - permanent
    Cancelled - permanent
    Evicted - temporary
    StepImagePullFailed - temporary
    ImageStreamCreateFailed ImageStreamUpdated temporary
    ImageStreamConflict ImageStreamUpdated permanent
    ImageStreamApiMissing ImageStreamUpdated temporary
";

#[test]
fn every_reason_is_as_promised() {
    let table: BTreeSet<String> = REASONS
        .iter()
        .map(|reason| {
            let condition = match reason.speaks() {
                Speaks::Of(condition) => condition.as_str(),
                Speaks::OfItsTask => "-",
            };
            let lasts = if reason.is_temporary() {
                "temporary"
            } else {
                "permanent"
            };
            format!("{reason} {condition} {lasts}")
        })
        .collect();
    let promised = PROMISED.lines().map(str::trim).filter(|line| !line.is_empty());
    assert_eq!(table, promised.map(str::to_owned).collect());
    assert_eq!(table.len(), REASONS.len());
    for reason in REASONS {
        assert_eq!(Reason::by_name(reason.as_str()), Some(*reason));
        assert!(
            !reason.advice().is_empty() && !reason.advice().ends_with('.'),
            "{reason}"
        );
    }
    assert_eq!(Reason::by_name("Nonsense"), None);
}

#[test]
fn every_reason_of_the_work_itself_is_some_tasks_to_give() {
    let given: BTreeSet<Reason> = PIPELINES
        .iter()
        .flat_map(|pipeline| pipeline.all_tasks())
        .flat_map(|task| task.reasons)
        .copied()
        .collect();
    for reason in REASONS {
        // What stops a run from being made, and what Tekton finds out itself, no task can say.
        let is_of_tasks = match reason.speaks() {
            Speaks::Of(ConditionType::PullSecretReady | ConditionType::PipelineRunCreated) => false,
            Speaks::Of(_) => true,
            Speaks::OfItsTask => *reason == Reason::BuildFailed,
        };
        assert_eq!(given.contains(reason), is_of_tasks, "{reason}");
    }
}

#[test]
fn a_task_gives_only_reasons_that_its_resources_have_a_condition_for() {
    for pipeline in PIPELINES {
        for task in pipeline.all_tasks() {
            for reason in task.reasons.iter().chain([&task.default]) {
                let condition = match reason.speaks() {
                    Speaks::Of(condition) => condition,
                    Speaks::OfItsTask => task.condition,
                };
                assert!(
                    condition.applies_to(pipeline.build_type, false),
                    "{} {} {reason}",
                    pipeline.name,
                    task.name
                );
            }
        }
    }
}

#[test]
fn names_are_unique_and_such_as_tekton_takes() {
    for pipeline in PIPELINES {
        assert_eq!(dns::label(pipeline.name), Ok(()));
        let groups: [Vec<&str>; 3] = [
            pipeline.all_tasks().map(|task| task.name).collect(),
            pipeline.params.iter().map(|param| param.name).collect(),
            pipeline.workspaces.iter().map(|workspace| workspace.name).collect(),
        ];
        for names in groups {
            assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
            for name in names {
                assert_eq!(dns::label(name), Ok(()), "{name}");
            }
        }
        for result in pipeline.results {
            assert!(
                pipeline.tasks.iter().any(|task| task.results.contains(result)),
                "no task of {} reports {result}",
                pipeline.name
            );
        }
    }
    let names: BTreeSet<_> = PIPELINES.iter().map(|pipeline| pipeline.name).collect();
    assert_eq!(names.len(), PIPELINES.len());
}

#[test]
fn build_types_and_pipelines_are_pairs() {
    for build_type in BuildType::ALL {
        assert_eq!(of(build_type).build_type, build_type);
    }
}

#[test]
fn tasks_are_in_the_order_and_of_the_trust_that_was_agreed() {
    let told: Vec<String> = PIPELINES
        .iter()
        .map(|pipeline| {
            let tasks: Vec<String> = pipeline
                .all_tasks()
                .map(|task| {
                    let mark = if task.trust == Trust::Trusted { "" } else { "!" };
                    format!("{}{mark}", task.name)
                })
                .collect();
            format!("{}: {}", pipeline.name, tasks.join(" "))
        })
        .collect();
    assert_eq!(
        told,
        [
            "cnbi-import: create-imagestream setup validate! update-imagestream",
            "cnbi-package-list: create-imagestream fetch prepare! record-source build! push validate! update-imagestream",
            "cnbi-git-repository: create-imagestream fetch prepare! build! push validate! update-imagestream",
        ]
    );
}

#[test]
fn steps_only_go_forward() {
    let order = |step: Step| match step {
        Step::Importing | Step::Preparing => 0,
        Step::Validating | Step::Building => 1,
        Step::Success | Step::Failed => 2,
    };
    for pipeline in PIPELINES {
        let steps: Vec<_> = pipeline.all_tasks().map(|task| order(task.step)).collect();
        assert!(
            steps.is_sorted() && steps.iter().all(|step| *step < 2),
            "{}",
            pipeline.name
        );
    }
}

#[test]
fn conditions_are_known_by_their_names() {
    for condition in ConditionType::ALL {
        assert_eq!(ConditionType::by_name(condition.as_str()), Some(condition));
    }
    assert_eq!(ConditionType::by_name("ready"), None);
    assert!(
        APPLY_TO_ALL
            .iter()
            .all(|condition| condition.applies_to(BuildType::ImageImport, false))
    );
}

#[test]
fn the_admins_image_is_for_repositories_that_name_none() {
    let config = Config::from_yaml("repositories: {builderImage: 'quay.io/admins/base:v1'}").unwrap();
    let settings = Settings::of(&config);
    let own = Some("quay.io/own/base:v1".to_owned());
    let repository = BuildRequest {
        repository_url: Some("https://git.example/a".to_owned()),
        ..BuildRequest::default()
    };
    assert_eq!(settings.builder(&repository), Some("quay.io/admins/base:v1"));
    let named = BuildRequest {
        builder_image: own.clone(),
        ..repository
    };
    assert_eq!(settings.builder(&named), own.as_deref());
    assert_eq!(settings.builder(&BuildRequest::default()), None);
}

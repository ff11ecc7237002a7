use std::collections::BTreeSet;

use super::*;
use crate::api::BuildType;
use crate::api::status::Step;
use crate::config::Config;
use crate::grammar::dns;

/// Reason, condition (`-`: that of the task) and whether it is temporary, as documented.
const DOCUMENTED: &str = "
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
fn every_reason_is_as_documented() {
    let table: BTreeSet<String> = REASONS
        .iter()
        .map(|reason| {
            let condition = match reason.reported_in() {
                ReportedIn::Condition(condition) => condition.as_str(),
                ReportedIn::TaskCondition => "-",
            };
            let duration = if reason.is_temporary() {
                "temporary"
            } else {
                "permanent"
            };
            format!("{reason} {condition} {duration}")
        })
        .collect();
    let documented = DOCUMENTED.lines().map(str::trim).filter(|line| !line.is_empty());
    assert_eq!(table, documented.map(str::to_owned).collect());
    assert_eq!(table.len(), REASONS.len());
    for reason in REASONS {
        assert_eq!(Reason::by_name(reason.as_str()), Some(*reason));
        assert!(
            !reason.remedy().is_empty() && !reason.remedy().ends_with('.') && reason.meaning().ends_with('.'),
            "{reason}"
        );
    }
    assert_eq!(Reason::by_name("Nonsense"), None);
}

#[test]
fn every_reason_of_a_task_condition_is_reported_by_a_task() {
    let reported: BTreeSet<Reason> = PIPELINES
        .iter()
        .flat_map(|pipeline| pipeline.all_tasks())
        .flat_map(|task| task.reasons)
        .copied()
        .collect();
    for reason in REASONS {
        // Tasks cannot report what prevents a PipelineRun, or what Tekton detects.
        let is_of_tasks = match reason.reported_in() {
            ReportedIn::Condition(ConditionType::PullSecretReady | ConditionType::PipelineRunCreated) => false,
            ReportedIn::Condition(_) => true,
            ReportedIn::TaskCondition => *reason == Reason::BuildFailed,
        };
        assert_eq!(reported.contains(reason), is_of_tasks, "{reason}");
    }
}

#[test]
fn tasks_report_only_reasons_with_a_condition_of_the_resource() {
    for pipeline in PIPELINES {
        for task in pipeline.all_tasks() {
            for reason in task.reasons.iter().chain([&task.default_reason]) {
                let condition = match reason.reported_in() {
                    ReportedIn::Condition(condition) => condition,
                    ReportedIn::TaskCondition => task.condition,
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
fn names_are_unique_and_valid_in_tekton() {
    for pipeline in PIPELINES {
        assert_eq!(dns::validate_label(pipeline.name), Ok(()));
        let groups: [Vec<&str>; 3] = [
            pipeline.all_tasks().map(|task| task.name).collect(),
            pipeline.params.iter().map(|param| param.name).collect(),
            pipeline.workspaces.iter().map(|workspace| workspace.name).collect(),
        ];
        for names in groups {
            assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
            for name in names {
                assert_eq!(dns::validate_label(name), Ok(()), "{name}");
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
fn every_build_type_has_its_pipeline() {
    for build_type in BuildType::ALL {
        assert_eq!(pipeline_for(build_type).build_type, build_type);
    }
}

#[test]
fn tasks_have_the_expected_order_and_trust() {
    let listed: Vec<String> = PIPELINES
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
        listed,
        [
            "cnbi-import: create-imagestream setup validate! update-imagestream",
            "cnbi-package-list: create-imagestream fetch prepare! record-source build! push validate! update-imagestream",
            "cnbi-git-repository: create-imagestream fetch prepare! build! push validate! update-imagestream",
        ]
    );
}

#[test]
fn steps_never_go_back() {
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
fn conditions_are_found_by_name() {
    for condition in ConditionType::ALL {
        assert_eq!(ConditionType::by_name(condition.as_str()), Some(condition));
        assert!(!condition.meaning().ends_with('.'));
    }
    assert_eq!(ConditionType::by_name("ready"), None);
    assert!(
        COMMON_CONDITIONS
            .iter()
            .all(|condition| condition.applies_to(BuildType::ImageImport, false))
    );
}

#[test]
fn the_default_builder_is_used_for_repositories_without_one() {
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

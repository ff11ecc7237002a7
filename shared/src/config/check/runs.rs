//! Validation of the sections for PipelineRuns.

use crate::config::{OWN_NAMESPACE, Pipelines, Problem, Resources, Retry, ServiceAccounts};
use crate::grammar::dns;
use crate::verdict::printable;

impl Pipelines {
    pub(in crate::config) fn check(&self, problems: &mut Vec<Problem>) {
        let Self {
            run_namespace,
            max_concurrent,
            service_accounts,
            timeouts,
            resources,
            workspace,
            pod_template,
        } = self;
        if run_namespace != OWN_NAMESPACE {
            check_name(problems, dns::validate_label(run_namespace), "pipelines.runNamespace");
        }
        positive(problems, max_concurrent.total, "pipelines.maxConcurrent.total");
        positive(
            problems,
            max_concurrent.per_namespace,
            "pipelines.maxConcurrent.perNamespace",
        );
        let ServiceAccounts { trusted, untrusted } = service_accounts;
        check_name(
            problems,
            dns::validate_subdomain(trusted),
            "pipelines.serviceAccounts.trusted",
        );
        check_name(
            problems,
            dns::validate_subdomain(untrusted),
            "pipelines.serviceAccounts.untrusted",
        );
        if trusted == untrusted {
            add_problem(
                problems,
                "pipelines.serviceAccounts.untrusted",
                "must differ from the trusted service account, because it runs user code",
            );
        }
        positive(problems, timeouts.tasks.as_seconds(), "pipelines.timeouts.tasks");
        positive(problems, timeouts.finally.as_seconds(), "pipelines.timeouts.finally");
        if timeouts.tasks.plus(timeouts.finally).is_none() {
            add_problem(problems, "pipelines.timeouts.tasks", "is too long");
        }
        for (trust, Resources { requests, limits }) in
            [("trusted", &resources.trusted), ("untrusted", &resources.untrusted)]
        {
            for (kind, quantities) in [("requests", requests), ("limits", limits)] {
                for (resource, text) in quantities {
                    quantity(
                        problems,
                        text,
                        &format!("pipelines.resources.{trust}.{kind}.{}", printable(resource, 80)),
                    );
                }
            }
        }
        quantity(problems, &workspace.size, "pipelines.workspace.size");
        if !workspace.storage_class.is_empty() {
            check_name(
                problems,
                dns::validate_subdomain(&workspace.storage_class),
                "pipelines.workspace.storageClass",
            );
        }
        pod_template.check(problems);
    }
}

impl Retry {
    pub(in crate::config) fn check(&self, problems: &mut Vec<Problem>) {
        positive(problems, self.limit, "retry.limit");
        positive(problems, self.base.as_seconds(), "retry.base");
        if self.max < self.base {
            add_problem(problems, "retry.max", "is shorter than retry.base");
        }
    }
}

pub(in crate::config) fn add_problem(problems: &mut Vec<Problem>, location: &str, message: impl Into<String>) {
    problems.push(Problem {
        location: location.to_owned(),
        message: message.into(),
    });
}

pub(in crate::config) fn check_name(problems: &mut Vec<Problem>, name: Result<(), dns::NameError>, location: &str) {
    if let Err(error) = name {
        add_problem(problems, location, format!("the name {error}"));
    }
}

fn positive(problems: &mut Vec<Problem>, number: u32, location: &str) {
    if number == 0 {
        add_problem(problems, location, "must be greater than zero");
    }
}

/// Requires a positive Kubernetes quantity without exponent: digits, an optional fraction and an optional suffix.
fn quantity(problems: &mut Vec<Problem>, text: &str, location: &str) {
    const SUFFIXES: [&str; 13] = ["", "m", "k", "M", "G", "T", "P", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (path, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_positive = number.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    if !(digits(path) && digits(fraction) && is_positive && SUFFIXES.contains(&suffix)) {
        add_problem(
            problems,
            location,
            "must be a Kubernetes quantity such as 500m, \"2\" or 10Gi",
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn invalid_values_are_rejected_with_their_path() {
        for (yaml, path) in [
            ("pipelines: {runNamespace: own!}", "pipelines.runNamespace"),
            ("pipelines: {runNamespace: ''}", "pipelines.runNamespace"),
            (
                "pipelines: {maxConcurrent: {total: 0}}",
                "pipelines.maxConcurrent.total",
            ),
            (
                "pipelines: {maxConcurrent: {perNamespace: 0}}",
                "pipelines.maxConcurrent.perNamespace",
            ),
            (
                "pipelines: {serviceAccounts: {trusted: A}}",
                "pipelines.serviceAccounts.trusted",
            ),
            (
                "pipelines: {serviceAccounts: {untrusted: cnbi-trusted}}",
                "pipelines.serviceAccounts.untrusted",
            ),
            ("pipelines: {timeouts: {tasks: 0s}}", "pipelines.timeouts.tasks"),
            ("pipelines: {timeouts: {finally: 0s}}", "pipelines.timeouts.finally"),
            (
                "pipelines: {timeouts: {tasks: 1193046h, finally: 1h}}",
                "pipelines.timeouts.tasks",
            ),
            (
                "pipelines: {resources: {untrusted: {limits: {memory: lots}}}}",
                "pipelines.resources.untrusted.limits.memory",
            ),
            ("pipelines: {workspace: {size: 0Gi}}", "pipelines.workspace.size"),
            ("pipelines: {workspace: {size: 1e3}}", "pipelines.workspace.size"),
            (
                "pipelines: {workspace: {storageClass: A}}",
                "pipelines.workspace.storageClass",
            ),
            ("retry: {limit: 0}", "retry.limit"),
            ("retry: {base: 0s}", "retry.base"),
            ("retry: {base: 10m, max: 1m}", "retry.max"),
        ] {
            let error = Config::from_yaml(yaml).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{path}: ")), "{yaml}: {error}");
        }
        assert!(
            Config::from_yaml("retry: {base: soon}")
                .unwrap_err()
                .to_string()
                .contains("such as 90s")
        );
    }
}

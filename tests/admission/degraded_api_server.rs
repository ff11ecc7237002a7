//! The API server is slow, disconnects or returns errors when the webhook reads facts: the webhook responds in time and reports
//! the rules that were not checked.

use std::time::{Duration, Instant};

use anyhow::Result;
use cnbi_tests::installation::ProxyAction;
use http::Method;
use serde_json::json;

use crate::api_response::ApiResponse;
use crate::cluster::{ADMIN, resource};
use crate::test_installation::TestInstallation;

/// The sum of `timeoutSeconds` of both webhooks. A later response is not from CNBi.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A target namespace other than the default, which requires a SubjectAccessReview.
const ELSEWHERE: &str = "unwell-images";

/// Part of the URL path of each read, and a rule that depends on it.
const READS: [(&str, &str); 4] = [
    ("/secrets/", "CNB110"),
    ("/namespaces/unwell-images", "CNB023"),
    ("/subjectaccessreviews", "CNB022"),
    ("/imagestreams/", "CNB004"),
];

/// Each fault of a read, and the expected text in the response; `None` if the read still succeeds.
fn treatments() -> Vec<(ProxyAction, Option<&'static str>)> {
    let status = |code| {
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no", "code": code});
        ProxyAction::Respond(code, status.to_string())
    };
    let taken = |body: &str| ProxyAction::Respond(200, body.to_owned());
    let unreadable = Some("cannot be read: the response of the API server is invalid");
    vec![
        (ProxyAction::Late(Duration::from_millis(300)), None),
        (ProxyAction::Never, Some("was not read within 2s")),
        (ProxyAction::CutOff, Some("the API server cannot be reached")),
        (
            status(500),
            Some("cannot be read: the API server responded with status 500"),
        ),
        (
            status(429),
            Some("cannot be read: the API server responded with status 429"),
        ),
        (
            status(503),
            Some("cannot be read: the API server responded with status 503"),
        ),
        (status(401), Some("cannot be read: cnbi-webhook has no permission")),
        (
            status(404),
            Some("cannot be read: the API server responded with status 404"),
        ),
        (taken("<html>Please log in.</html>"), unreadable),
        (taken("{}"), unreadable),
        (taken("[]"), unreadable),
        (taken(""), unreadable),
        (taken(r#"{"kind": "Secret", "metadata": {"name": "qu"#), unreadable),
        (
            taken(r#"{"kind": "Status", "metadata": {}, "status": "Success"}"#),
            unreadable,
        ),
        (taken(&"[".repeat(100_000)), unreadable),
    ]
}

/// Creates a resource with this pull Secret (dry run); fails if the response is late.
async fn send_request(setup: &TestInstallation<'_>, secret: &str) -> Result<ApiResponse> {
    let spec = json!({"imagePullSecret": {"name": secret}, "targetNamespace": ELSEWHERE});
    let object = resource(&setup.namespace(), "read", spec);
    let begin = Instant::now();
    let response = setup.dry_run(ADMIN, &object).await?;
    assert!(begin.elapsed() < TIMEOUT, "{:?}: {}", begin.elapsed(), response.body);
    Ok(response)
}

#[tokio::test]
async fn failed_reads_are_reported_as_not_checked() -> Result<()> {
    TestInstallation::run("unwell", async |setup| {
        let docker_config = json!({"auths": {"quay.io": {"auth": "eDp5"}}}).to_string();
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
            "metadata": {"name": "there"}, "stringData": {".dockerconfigjson": docker_config}});
        let secrets = format!("/api/v1/namespaces/{}/secrets", setup.namespace());
        setup.done(Method::POST, &secrets, &secret).await?;
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ELSEWHERE}});
        setup.done(Method::POST, "/api/v1/namespaces", &namespace).await?;

        let fault_proxy = setup.restart_behind().await?;
        let allowed = format!("[{{namespace: {ELSEWHERE}, from: [\"*\"]}}]");
        setup
            .configure(&format!(
                "targetNamespace: {{default: opendatahub, allowed: {allowed}}}\nrules: {{CNB023: Deny}}"
            ))
            .await?;

        let (mut sent, mut right, mut refused) = (0, 0, 0);
        for (read, rule) in READS {
            for (action, says) in treatments() {
                let case = format!("{read}, {action:?}").chars().take(120).collect::<String>();
                fault_proxy.set(move |path| {
                    // Paths of Secrets contain the namespace as well.
                    let is_it = path.ends_with(read) || (read.ends_with('/') && path.contains(read));
                    if is_it { action.clone() } else { ProxyAction::Pass }
                });
                let (response, of_missing) =
                    futures::future::try_join(send_request(setup, "there"), send_request(setup, "missing")).await?;
                sent += 2;
                // The existing Secret is valid, so no rule may reject the resource.
                match says {
                    None => {
                        assert!(response.is_success(), "{case}: {}", response.body);
                        right += 1;
                    }
                    Some(says) => {
                        assert_eq!(
                            (response.code, &response.body["reason"]),
                            (503, &json!("ServiceUnavailable")),
                            "{case}: {}",
                            response.body
                        );
                        let message = response.message();
                        assert!(message.contains(says) && message.contains(rule), "{case}: {message}");
                        refused += 1;
                    }
                }
                // The missing Secret is never accepted.
                let response = of_missing;
                match response.code {
                    422 => {
                        let mut causes = response.lines();
                        causes.retain(|(how, ..)| how == "rejected");
                        let is_it = causes.iter().all(|(_, rule, _)| rule == "CNB110");
                        assert!(is_it && !causes.is_empty(), "{case}: {}", response.body);
                        right += 1;
                    }
                    503 => {
                        assert!(
                            says.is_some_and(|says| response.message().contains(says)),
                            "{case}: {}",
                            response.body
                        );
                        refused += 1;
                    }
                    _ => panic!("{case}: {}", response.body),
                }
            }
        }
        eprintln!("{sent} requests: {right} correct responses, {refused} not checked, 0 wrong, 0 lost");
        assert_eq!(sent, right + refused);

        fault_proxy.set(|_| ProxyAction::Pass);
        let response = send_request(setup, "there").await?;
        assert!(response.is_success(), "{}", response.body);
        Ok(())
    })
    .await
}

//! Configuration of the Kubernetes client.

use std::time::Duration;

use http::HeaderValue;
use http::header::USER_AGENT;
use kube::Config;
use kube::config::InferConfigError;

/// Timeout of a connection attempt to the API server; shorter than the time in which a review has to read its facts.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The client configuration of the pod, or of the current context of `KUBECONFIG`. `user_agent` names the program and its
/// version.
///
/// # Errors
/// There is neither a service account nor a valid kubeconfig.
pub async fn config(user_agent: &'static str) -> Result<Config, InferConfigError> {
    let mut config = Config::infer().await?;
    configure(&mut config, user_agent);
    Ok(config)
}

fn configure(config: &mut Config, user_agent: &'static str) {
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // Every caller has a deadline or a backoff of its own. Retries in the client would hide a 503 from it for minutes.
    config.default_retry = false;
    config.headers.push((USER_AGENT, HeaderValue::from_static(user_agent)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_have_a_user_agent_and_a_connect_timeout_and_do_not_retry() {
        let mut config = Config::new(http::Uri::from_static("http://127.0.0.1:1"));
        configure(&mut config, "cnbi-test/1");
        assert_eq!(config.connect_timeout, Some(Duration::from_secs(2)));
        assert!(!config.default_retry);
        assert_eq!(config.headers, [(USER_AGENT, HeaderValue::from_static("cnbi-test/1"))]);
    }
}

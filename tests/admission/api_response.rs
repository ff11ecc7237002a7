//! Raw requests to the API server: status, body and warnings of the response.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use http::{Method, Request, header};
use kube::Client;
use kube::client::Body;
use serde_json::Value;

/// A response of the API server.
#[derive(Clone, Debug)]
pub struct ApiResponse {
    /// HTTP status.
    pub code: u16,
    /// An object or a Status.
    pub body: Value,
    /// The texts of the `Warning` headers.
    pub warnings: Vec<String>,
}

/// One reported finding: `rejected` or `warned`, the rule and the path.
pub type Line = (String, String, String);

/// Sends a request as `user`, or as administrator if `None`. A patch is a JSON merge patch.
pub async fn send_request(
    client: &Client,
    user: Option<&str>,
    method: Method,
    path: &str,
    body: &Value,
) -> Result<ApiResponse> {
    let content_type = if method == Method::PATCH {
        "application/merge-patch+json"
    } else {
        "application/json"
    };
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, content_type);
    if let Some(user) = user {
        request = request.header("Impersonate-User", user);
    }
    let body = if body.is_null() {
        Vec::new()
    } else {
        serde_json::to_vec(body)?
    };
    let response = client.send(request.body(Body::from(body))?).await?;
    let code = response.status().as_u16();
    let headers = response.headers().get_all(header::WARNING);
    let warnings = headers
        .iter()
        .map(|value| warning(value.as_bytes()))
        .collect::<Result<_>>()?;
    let bytes = response.into_body().collect_bytes().await?;
    let body = serde_json::from_slice(&bytes).with_context(|| String::from_utf8_lossy(&bytes).into_owned())?;
    Ok(ApiResponse { code, body, warnings })
}

impl ApiResponse {
    /// All findings in the response, sorted: the causes of a rejection and the warnings.
    pub fn lines(&self) -> Vec<Line> {
        let causes = self.body["details"]["causes"].as_array().into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut lines: Vec<Line> = causes
            .map(|cause| {
                (
                    "rejected".to_owned(),
                    rule_of(&text(&cause["message"])),
                    text(&cause["field"]),
                )
            })
            .collect();
        for warning in &self.warnings {
            let path = warning.split_once(": ").map_or("", |(path, _)| path);
            lines.push(("warned".to_owned(), rule_of(warning), path.to_owned()));
        }
        lines.sort();
        lines
    }

    /// Whether the request succeeded.
    pub fn is_success(&self) -> bool {
        self.code < 300
    }

    /// The message of a Status.
    pub fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

/// The rule id at the end of the text; the whole text if it has none, so that assertions show it.
fn rule_of(text: &str) -> String {
    let id = text.rsplit_once('[').and_then(|(_, rest)| rest.strip_suffix(']'));
    id.unwrap_or(text).to_owned()
}

/// The text of `299 - "text"` (RFC 9111, section 5.5).
fn warning(header: &[u8]) -> Result<String> {
    let header = str::from_utf8(header).context("the Warning header is not UTF-8")?;
    let quoted = header.split_once('"').and_then(|(_, rest)| rest.strip_suffix('"'));
    let mut text = String::new();
    let mut characters = quoted
        .with_context(|| format!("the Warning header has no text: {header}"))?
        .chars();
    while let Some(character) = characters.next() {
        text.extend(if character == '\\' {
            characters.next()
        } else {
            Some(character)
        });
    }
    Ok(text)
}

/// The integer samples of a metrics page, by name and labels as printed.
pub fn samples(page: &str) -> BTreeMap<String, i64> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.rsplit_once(' '));
    pairs
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect()
}

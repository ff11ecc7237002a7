//! The three paths over HTTP: what is not a review is turned away here, with a status and a clear text.
//!
//! Knows nothing of sockets and TLS; see [`crate::serve`].

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use cnbi_shared::verdict::printable;
use futures::FutureExt as _;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::time::{Instant, timeout_at};

use crate::gate::Gate;
use crate::metrics::Metrics;
use crate::review::NotOurs;
use crate::reviewer::{Answer, Reviewer, Webhook};

/// Most bytes of a body: two objects of 3 MB and what is around them.
pub const BODY_LIMIT: usize = 7 * 1024 * 1024;

/// Most bytes of a refused body that are read and dropped, so that the client hears why instead of a broken pipe.
const DISCARD_LIMIT: usize = 4 * BODY_LIMIT;

/// Answers requests.
pub struct Service {
    /// Answers reviews.
    pub reviewer: Reviewer,
    /// Bounds how many at once.
    pub gate: Gate,
    /// How long one request may wait and send its body; the API server itself waits no longer than that.
    pub limit: Duration,
}

/// The paths.
pub fn router(service: Arc<Service>) -> Router {
    let answer = |webhook: Webhook| {
        post(
            move |State(service): State<Arc<Service>>, request: Request| async move {
                service.answer(webhook, request).await
            },
        )
    };
    Router::new()
        .route("/mutate", answer(Webhook::Mutate))
        .route("/validate", answer(Webhook::Validate))
        .route("/validate-config", answer(Webhook::ValidateConfig))
        .with_state(service)
}

/// Why a request gets no review in answer.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("send application/json")]
    ContentType,
    #[error("the body has more than {BODY_LIMIT} bytes")]
    TooLarge,
    #[error("the body did not arrive in time")]
    TooSlow,
    #[error("the body broke off")]
    BrokenOff,
    #[error(transparent)]
    NotOurs(#[from] NotOurs),
    #[error(transparent)]
    Overloaded(#[from] crate::gate::Overloaded),
    #[error("cnbi-webhook failed; its log says how")]
    Panicked,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BrokenOff | Self::NotOurs(_) => StatusCode::BAD_REQUEST,
            Self::Overloaded(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The label of a metric.
    fn label(&self) -> &'static str {
        match self {
            Self::ContentType | Self::TooLarge | Self::BrokenOff | Self::NotOurs(_) => "client_error",
            Self::TooSlow => "too_slow",
            Self::Overloaded(_) => "overloaded",
            Self::Panicked => "panicked",
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status(), format!("{self}\n")).into_response()
    }
}

impl Service {
    async fn answer(&self, webhook: Webhook, request: Request) -> Response {
        let begin = Instant::now();
        let metrics = &self.reviewer.metrics;
        // What a panic leaves behind is dropped with the request: there is no state that it could have broken.
        let answered = AssertUnwindSafe(self.review(webhook, request, begin + self.limit))
            .catch_unwind()
            .await;
        let answered = answered.unwrap_or_else(|panic| {
            metrics.panics.inc();
            tracing::error!(
                webhook = webhook.label(),
                panic = panic_text(&*panic),
                "a review panicked"
            );
            Err(Refusal::Panicked)
        });
        let (operation, outcome, response) = match answered {
            Ok(Answer {
                json,
                operation,
                outcome,
            }) => (
                operation.as_str(),
                outcome,
                ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
            ),
            Err(refusal) => {
                tracing::debug!(webhook = webhook.label(), status = refusal.status().as_u16(), %refusal, "not answered");
                ("", refusal.label(), refusal.into_response())
            }
        };
        metrics.review(webhook.label(), operation, outcome, begin.elapsed());
        response
    }

    async fn review(&self, webhook: Webhook, request: Request, deadline: Instant) -> Result<Answer, Refusal> {
        let (head, body) = request.into_parts();
        let size = content_length(&head.headers);
        let admitted = if !is_json(&head.headers) {
            Err(Refusal::ContentType)
        } else if size.is_some_and(|size| size > BODY_LIMIT as u64) {
            Err(Refusal::TooLarge)
        } else {
            self.gate.enter(size, deadline).await.map_err(Refusal::from)
        };
        let _pass = match admitted {
            Ok(pass) => pass,
            Err(refusal) => {
                discard(body, deadline).await;
                return Err(refusal);
            }
        };
        let _in_flight = InFlight::new(&self.reviewer.metrics);
        let body = collect(body, deadline).await?;
        Ok(self.reviewer.answer(webhook, &body).await?)
    }
}

/// Counts a review for as long as it lives, also when the client goes away.
struct InFlight<'a>(&'a Metrics);

impl<'a> InFlight<'a> {
    fn new(metrics: &'a Metrics) -> Self {
        metrics.in_flight.inc();
        Self(metrics)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.dec();
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

async fn collect(body: Body, deadline: Instant) -> Result<Bytes, Refusal> {
    match timeout_at(deadline, Limited::new(body, BODY_LIMIT).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge),
        Ok(Err(_)) => Err(Refusal::BrokenOff),
        Err(_) => Err(Refusal::TooSlow),
    }
}

/// Reads a body and keeps nothing of it, within bounds.
async fn discard(body: Body, deadline: Instant) {
    let mut body = Limited::new(body, DISCARD_LIMIT);
    let drained = async { while let Some(Ok(_)) = body.frame().await {} };
    // What is still on its way then is the connection's end, and the client's loss.
    let _ = timeout_at(deadline, drained).await;
}

/// What a panic said, safe to print.
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    printable(text.unwrap_or("no text"), 500)
}

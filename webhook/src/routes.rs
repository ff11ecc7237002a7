//! The HTTP routes of the webhooks. A request without a valid review is rejected here with a status and a message.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use cnbi_runtime::logging::panic_text;
use futures::FutureExt as _;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use tokio::time::{Instant, timeout_at};

use crate::admission_request::InvalidReview;
use crate::body_budget::{BODY_LIMIT, BodyBudget, BodyError};
use crate::concurrency_limit::{ConcurrencyLimit, Overloaded};
use crate::connection::{self, Activity, Connection};
use crate::metrics::Metrics;
use crate::reviewer::{ReviewResult, Reviewer, Webhook};

/// Most bytes of a rejected body that are read and dropped, so that the client gets the response instead of a broken pipe.
const DISCARD_LIMIT: usize = 4 * BODY_LIMIT;

/// Handles requests.
pub struct Service {
    /// Answers reviews.
    pub reviewer: Reviewer,
    /// Limits the memory of bodies that arrive.
    pub body_budget: BodyBudget,
    /// Limits how many reviews are evaluated at once.
    pub concurrency_limit: ConcurrencyLimit,
    /// How long a request may take to send its body and to wait for a slot.
    pub timeout: Duration,
}

/// The routes.
pub fn router(service: Arc<Service>) -> Router {
    let handler = |webhook: Webhook| {
        post(
            move |State(service): State<Arc<Service>>, request: Request| async move {
                service.handle(webhook, request).await
            },
        )
    };
    Router::new()
        .route("/mutate", handler(Webhook::Mutate))
        .route("/validate", handler(Webhook::Validate))
        .route("/validate-config", handler(Webhook::ValidateConfig))
        .with_state(service)
}

/// Why a request gets no review in response.
#[derive(Debug, thiserror::Error)]
enum RequestError {
    #[error("the Content-Type must be application/json")]
    ContentType,
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    InvalidReview(#[from] InvalidReview),
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    #[error("internal error of cnbi-webhook; see its log")]
    Panicked,
}

impl RequestError {
    fn status(&self) -> StatusCode {
        match self {
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Body(BodyError::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(BodyError::TooSlow) => StatusCode::REQUEST_TIMEOUT,
            Self::Body(BodyError::Incomplete) | Self::InvalidReview(_) => StatusCode::BAD_REQUEST,
            Self::Body(BodyError::NoMemory) | Self::Overloaded(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The label of a metric.
    fn label(&self) -> &'static str {
        match self {
            Self::ContentType | Self::Body(BodyError::TooLarge | BodyError::Incomplete) | Self::InvalidReview(_) => {
                "client_error"
            }
            Self::Body(BodyError::TooSlow) => "too_slow",
            Self::Body(BodyError::NoMemory) | Self::Overloaded(_) => "overloaded",
            Self::Panicked => "panicked",
        }
    }
}

impl IntoResponse for RequestError {
    fn into_response(self) -> Response {
        (self.status(), format!("{self}\n")).into_response()
    }
}

impl Service {
    async fn handle(&self, webhook: Webhook, request: Request) -> Response {
        let begin = Instant::now();
        let metrics = &self.reviewer.metrics;
        // A panic leaves no broken state behind: everything that it was working on is dropped with the request.
        let result = AssertUnwindSafe(self.review(webhook, request, begin))
            .catch_unwind()
            .await;
        let result = result.unwrap_or_else(|panic| {
            metrics.panics.inc();
            tracing::error!(
                webhook = webhook.label(),
                panic = panic_text(&*panic),
                "a review panicked"
            );
            Err(RequestError::Panicked)
        });
        let (operation, outcome, response) = match result {
            Ok(ReviewResult {
                json,
                operation,
                outcome,
            }) => (
                operation.as_str(),
                outcome,
                ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
            ),
            Err(error) => {
                tracing::debug!(webhook = webhook.label(), status = error.status().as_u16(), %error, "request rejected");
                ("", error.label(), error.into_response())
            }
        };
        metrics.review(webhook.label(), operation, outcome, begin.elapsed());
        response
    }

    async fn review(&self, webhook: Webhook, request: Request, begin: Instant) -> Result<ReviewResult, RequestError> {
        let deadline = begin + self.timeout;
        let (head, body) = request.into_parts();
        let rejected = if !is_json(&head.headers) {
            Some(RequestError::ContentType)
        } else if body.size_hint().lower() > BODY_LIMIT as u64 {
            Some(BodyError::TooLarge.into())
        } else {
            None
        };
        if let Some(error) = rejected {
            discard(body, deadline).await;
            return Err(error);
        }
        let body = self.body_budget.receive(body, begin, deadline).await?;
        connection::current(|current| current.set_activity(Activity::Answering));
        let _permit = self.concurrency_limit.acquire(body.bytes.len(), deadline).await?;
        let _in_flight = InFlight::new(&self.reviewer.metrics);
        let result = self.reviewer.review(webhook, &body.bytes).await?;
        connection::current(Connection::set_has_sent_review);
        Ok(result)
    }
}

/// Counts a review in flight until it is dropped, also when the client disconnects.
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

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// Reads and drops a body, up to [`DISCARD_LIMIT`].
async fn discard(body: Body, deadline: Instant) {
    let mut body = Limited::new(body, DISCARD_LIMIT);
    let drained = async { while let Some(Ok(_)) = body.frame().await {} };
    // After the deadline the connection is closed with the rest of the body unread.
    let _ = timeout_at(deadline, drained).await;
}

//! Why a body is not a valid review, as a message for the client.

use cnbi_shared::verdict::printable;

use super::{API_VERSION, SHOWN};

/// Why a body is not a valid review.
#[derive(Debug, thiserror::Error)]
pub enum InvalidReview {
    /// The body is empty.
    #[error("the body is empty; send an AdmissionReview of {API_VERSION}")]
    Empty,
    /// The JSON ends too early.
    #[error("the body is cut off: {0}")]
    Truncated(String),
    /// It is not JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// It is JSON, but not a review.
    #[error("the body is not an AdmissionReview of {API_VERSION}: {0}")]
    NotAReview(String),
    /// It is a review of another resource.
    #[error("this path is for reviews of {expected}, not of {found}")]
    AnotherKind {
        /// The resource of this path.
        expected: &'static str,
        /// The resource in the review.
        found: String,
    },
    /// The webhook is not registered for the operation.
    #[error("operation {0} is not supported; register the webhook for CREATE and UPDATE")]
    Operation(&'static str),
    /// A field is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
}

impl From<serde_json::Error> for InvalidReview {
    fn from(error: serde_json::Error) -> Self {
        let text = printable(&error.to_string(), SHOWN);
        match error.classify() {
            serde_json::error::Category::Eof => Self::Truncated(text),
            serde_json::error::Category::Data => Self::NotAReview(text),
            serde_json::error::Category::Syntax | serde_json::error::Category::Io => Self::NotJson(text),
        }
    }
}

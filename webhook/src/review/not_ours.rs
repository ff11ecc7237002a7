//! Why a body is not a review that we can answer, in words for whoever sent it.

use cnbi_shared::verdict::printable;

use super::{API_VERSION, SHOWN};

/// Why a body is not a review that we can answer: the caller's mistake.
#[derive(Debug, thiserror::Error)]
pub enum NotOurs {
    /// Nothing was sent.
    #[error("the body is empty; send an AdmissionReview of {API_VERSION}")]
    Empty,
    /// It ends too early.
    #[error("the body is cut off: {0}")]
    Truncated(String),
    /// It is not JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// It is JSON but not a review.
    #[error("the body is not an AdmissionReview of {API_VERSION}: {0}")]
    NotAReview(String),
    /// It is a review of something else.
    #[error("this path answers reviews of {expected}, not of {found}")]
    AnotherKind {
        /// What the path is for.
        expected: &'static str,
        /// What was sent.
        found: String,
    },
    /// It asks about an operation that we are not registered for.
    #[error("reviews of operation {0} are not answered here; register for CREATE and UPDATE")]
    Operation(&'static str),
    /// There is nothing to judge.
    #[error("request.{0} is missing")]
    NoObject(&'static str),
}

impl From<serde_json::Error> for NotOurs {
    fn from(error: serde_json::Error) -> Self {
        let text = printable(&error.to_string(), SHOWN);
        match error.classify() {
            serde_json::error::Category::Eof => Self::Truncated(text),
            serde_json::error::Category::Data => Self::NotAReview(text),
            serde_json::error::Category::Syntax | serde_json::error::Category::Io => Self::NotJson(text),
        }
    }
}

//! What is known of the certificates, for readiness and metrics. Never a key, never a certificate.

use jiff::Timestamp;

/// The state after the latest look at the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// When the serving certificate ends. None before there is one.
    pub serving_not_after: Option<Timestamp>,
    /// When the CA that signs ends. None before it has been read, and where it is not known.
    pub ca_not_after: Option<Timestamp>,
    /// Whether API servers accept the serving certificate: it verifies, for every name, against what each configuration
    /// publishes; of one that others have made, that it holds, as they see to the trust in it.
    pub trusted: bool,
    /// What went wrong at the latest look, or why the serving certificate is not trusted.
    pub last_error: Option<String>,
    /// Why what lies in the folder is not what is served. Always `None` where we make the certificate ourselves.
    pub refused: Option<String>,
}

impl Status {
    /// When the serving certificate ends, in seconds since the Unix epoch.
    pub fn serving_not_after_seconds(&self) -> Option<i64> {
        self.serving_not_after.map(Timestamp::as_second)
    }

    /// When the CA that signs ends, in seconds since the Unix epoch.
    pub fn ca_not_after_seconds(&self) -> Option<i64> {
        self.ca_not_after.map(Timestamp::as_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{after, start};

    #[test]
    fn ends_are_in_unix_seconds() {
        assert_eq!(Status::default().serving_not_after_seconds(), None);
        assert_eq!(Status::default().ca_not_after_seconds(), None);
        let status = Status {
            serving_not_after: Some(start()),
            ca_not_after: Some(after(1)),
            ..Status::default()
        };
        assert_eq!(status.serving_not_after_seconds(), Some(1_767_225_600));
        assert_eq!(status.ca_not_after_seconds(), Some(1_767_225_601));
    }
}

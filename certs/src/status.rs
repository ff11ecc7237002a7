//! The state of the certificates for readiness and metrics. Contains no key and no certificate.

use jiff::Timestamp;

/// The state after the latest reconciliation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// When the serving certificate expires. `None` before the first one.
    pub serving_not_after: Option<Timestamp>,
    /// When the current CA expires. `None` if it is not known.
    pub ca_not_after: Option<Timestamp>,
    /// Whether API servers accept the serving certificate: it verifies for every name with the bundle of every
    /// configuration. For a certificate from a folder: whether it is valid now; its issuer publishes the CA.
    pub trusted: bool,
    /// The error of the latest reconciliation, or why the serving certificate is not trusted.
    pub last_error: Option<String>,
    /// Why the certificate in the folder is not the one that is served. Always `None` for self-managed certificates.
    pub rejected: Option<String>,
}

impl Status {
    /// When the serving certificate expires, in seconds since the Unix epoch.
    pub fn serving_not_after_seconds(&self) -> Option<i64> {
        self.serving_not_after.map(Timestamp::as_second)
    }

    /// When the current CA expires, in seconds since the Unix epoch.
    pub fn ca_not_after_seconds(&self) -> Option<i64> {
        self.ca_not_after.map(Timestamp::as_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{after, start};

    #[test]
    fn expiry_is_in_unix_seconds() {
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

//! The names in the certificates and of the cluster objects that contain them.

use std::collections::BTreeSet;

use rustls_pki_types::ServerName;

/// The names of one installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The namespace of the Service and of the CA Secret.
    pub namespace: String,
    /// The Service through which the API server reaches the webhook.
    pub service: String,
    /// The Secret that holds the CA.
    pub secret: String,
    /// The MutatingWebhookConfigurations whose `caBundle` is managed.
    pub mutating: Vec<String>,
    /// The ValidatingWebhookConfigurations whose `caBundle` is managed.
    pub validating: Vec<String>,
    /// The cluster's DNS domain, such as `cluster.local`. Empty if the cluster has none.
    pub cluster_domain: String,
    /// Further subject alternative names (DNS names and IP addresses) of the serving certificate.
    pub extra_sans: Vec<String>,
    /// The pod's name, for `reportingInstance` of Events.
    pub instance: String,
}

/// A name that cannot be a subject alternative name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a DNS name nor an IP address")]
pub struct InvalidName(pub String);

impl Names {
    /// The subject alternative names of the serving certificate without duplicates. The first one,
    /// `<service>.<namespace>.svc`, is the name that the API server verifies.
    pub fn subject_alternative_names(&self) -> Result<Vec<ServerName<'static>>, InvalidName> {
        let host = format!("{}.{}.svc", self.service, self.namespace);
        let domain = self.cluster_domain.trim_matches('.');
        let qualified = (!domain.is_empty()).then(|| format!("{host}.{domain}"));
        let mut seen = BTreeSet::new();
        std::iter::once(host)
            .chain(qualified)
            .chain(self.extra_sans.iter().map(|san| san.trim().to_owned()))
            .filter(|name| seen.insert(name.to_ascii_lowercase()))
            .map(|name| ServerName::try_from(name.clone()).map_err(|_| InvalidName(name)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::names;

    fn sans(names: &Names) -> Vec<String> {
        names
            .subject_alternative_names()
            .unwrap()
            .iter()
            .map(|name| name.to_str().into_owned())
            .collect()
    }

    #[test]
    fn the_service_comes_first_then_its_qualified_name() {
        assert_eq!(sans(&names()), ["hook.system.svc", "hook.system.svc.cluster.local"]);
    }

    #[test]
    fn the_cluster_domain_may_be_empty_or_have_dots() {
        let mut names = names();
        names.cluster_domain = String::new();
        assert_eq!(sans(&names), ["hook.system.svc"]);
        names.cluster_domain = ".example.org.".to_owned();
        assert_eq!(sans(&names), ["hook.system.svc", "hook.system.svc.example.org"]);
    }

    #[test]
    fn extra_names_are_dns_names_or_addresses_without_duplicates() {
        let mut names = names();
        names.extra_sans = ["127.0.0.1", "::1", "localhost", "LOCALHOST", "hook.system.svc"]
            .map(str::to_owned)
            .to_vec();
        assert_eq!(sans(&names)[2..], ["127.0.0.1", "::1", "localhost"].map(str::to_owned));
    }

    #[test]
    fn an_invalid_name_is_reported() {
        let mut names = names();
        names.extra_sans = vec!["not a host".to_owned()];
        assert_eq!(
            names.subject_alternative_names(),
            Err(InvalidName("not a host".to_owned()))
        );
    }
}

//! Network access of other programs: proxy and CA certificates from the configuration.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use cnbi_shared::config::Network;

use crate::error::StepError;
use crate::registry::credentials::entries;

/// Bundles of public CA certificates, by distribution.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// Proxy and CA certificates for other programs.
#[derive(Clone, Debug, Default)]
pub struct Egress {
    network: Network,
    ca_bundle: Option<PathBuf>,
}

impl Egress {
    /// `added` is a mounted ConfigMap with additional CA certificates (PEM, in any entry). Together with the public ones they are written to
    /// `bundle`. Without them, programs use their own defaults.
    pub fn new(network: &Network, added: Option<&Path>, bundle: &Path) -> Result<Self, StepError> {
        let added = added.map_or(Ok(Vec::new()), |folder| entries(&folder.to_string_lossy()))?;
        let write = || -> io::Result<()> {
            let mut text = public_certificates()?;
            for (_, certificates) in &added {
                text.extend(certificates);
                text.push(b'\n');
            }
            fs::write(bundle, text)
        };
        if !added.is_empty() {
            write().map_err(|error| StepError::other(format!("cannot write the CA bundle: {error}")))?;
        }
        Ok(Self {
            network: network.clone(),
            ca_bundle: (!added.is_empty()).then(|| bundle.to_owned()),
        })
    }

    /// The bundle with the additional CA certificates, if any are configured.
    pub fn ca_bundle(&self) -> Option<&Path> {
        self.ca_bundle.as_deref()
    }

    /// Sets the environment variables that curl, Git, uv, pip and Go read.
    pub fn configure(&self, command: &mut Command) {
        for (name, value) in self.proxies() {
            command.env(name, value);
        }
        // For machines whose public CA certificates are in a custom location.
        let ca_bundle = self.ca_bundle.clone().or_else(system_bundle);
        if let Some(path) = ca_bundle {
            for name in ["SSL_CERT_FILE", "GIT_SSL_CAINFO", "PIP_CERT"] {
                command.env(name, &path);
            }
        }
    }

    fn proxies(&self) -> Vec<(&'static str, String)> {
        let no_proxy = self.network.no_proxy.join(",");
        [
            (["HTTP_PROXY", "http_proxy"], self.network.http_proxy.clone()),
            (["HTTPS_PROXY", "https_proxy"], self.network.https_proxy.clone()),
            (["NO_PROXY", "no_proxy"], no_proxy),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .flat_map(|(names, value)| names.map(|name| (name, value.clone())))
        .collect()
    }
}

fn system_bundle() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("SSL_CERT_FILE")?);
    path.is_file().then_some(path)
}

fn public_certificates() -> io::Result<Vec<u8>> {
    let mut bundle = match system_bundle().or_else(|| BUNDLES.iter().map(PathBuf::from).find(|path| path.is_file())) {
        Some(path) => fs::read(path)?,
        None => Vec::new(),
    };
    bundle.push(b'\n');
    Ok(bundle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ca_certificates_are_appended_to_the_public_ones() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("..data")).unwrap();
        fs::write(folder.path().join("..data/x.pem"), "hidden").unwrap();
        fs::write(folder.path().join("a.pem"), "first").unwrap();
        fs::write(folder.path().join("b.crt"), "second").unwrap();
        let bundle = folder.path().join("..bundle");
        let egress = Egress::new(&Network::default(), Some(folder.path()), &bundle).unwrap();
        let text = String::from_utf8_lossy(&fs::read(egress.ca_bundle().unwrap()).unwrap()).into_owned();
        assert!(text.ends_with("first\nsecond\n") && !text.contains("hidden"), "{text}");
        let none = Egress::new(&Network::default(), None, &bundle).unwrap();
        assert_eq!(none.ca_bundle(), None);
    }

    #[test]
    fn proxy_variables_are_set_in_upper_and_lower_case() {
        let network = Network {
            https_proxy: "http://proxy.example:3128".to_owned(),
            no_proxy: vec![".example".to_owned(), "10.0.0.1".to_owned()],
            ..Network::default()
        };
        let egress = Egress::new(&network, None, Path::new("/nowhere")).unwrap();
        let mut command = Command::new("x");
        command.env_clear();
        egress.configure(&mut command);
        let variables: Vec<_> = command
            .get_envs()
            .filter_map(|(name, value)| Some(format!("{}={}", name.to_str()?, value?.to_str()?)))
            .filter(|pair| pair.to_ascii_lowercase().contains("proxy"))
            .collect();
        assert_eq!(
            variables,
            [
                "HTTPS_PROXY=http://proxy.example:3128",
                "NO_PROXY=.example,10.0.0.1",
                "https_proxy=http://proxy.example:3128",
                "no_proxy=.example,10.0.0.1",
            ]
        );
    }
}

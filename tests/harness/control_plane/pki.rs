//! Keys and certificates of one control plane.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// The folder with the files.
#[derive(Clone, Debug)]
pub(super) struct Pki {
    folder: PathBuf,
}

impl Pki {
    /// Creates all keys and certificates; they are never reused for another control plane.
    pub(super) fn generate(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        let pki = Self {
            folder: folder.to_owned(),
        };

        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = name("cnbi-control-plane", None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        fs::write(pki.authority(), params.self_signed(&key)?.pem())?;
        let issuer = Issuer::new(params, key);

        let names = ["127.0.0.1", "localhost"].map(str::to_owned);
        pki.issue(
            &issuer,
            "server",
            "kube-apiserver",
            None,
            &names,
            ExtendedKeyUsagePurpose::ServerAuth,
        )?;
        for (file, user, group) in [
            ("admin", "admin", Some("system:masters")),
            ("controllers", "system:kube-controller-manager", None),
        ] {
            pki.issue(&issuer, file, user, group, &[], ExtendedKeyUsagePurpose::ClientAuth)?;
        }

        let tokens = KeyPair::generate()?;
        write_private(&pki.key("tokens"), &tokens.serialize_pem())?;
        fs::write(pki.token_verifier(), tokens.public_key_pem())?;
        Ok(pki)
    }

    pub(super) fn authority(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// `server`, `admin` or `controllers`.
    pub(super) fn certificate(&self, of: &str) -> PathBuf {
        self.folder.join(format!("{of}.crt"))
    }

    /// The key of a certificate, or `tokens`, which signs service account tokens.
    pub(super) fn key(&self, of: &str) -> PathBuf {
        self.folder.join(format!("{of}.key"))
    }

    /// The public key of `tokens`.
    pub(super) fn token_verifier(&self) -> PathBuf {
        self.folder.join("tokens.pub")
    }

    fn issue(
        &self,
        issuer: &Issuer<'_, KeyPair>,
        file: &str,
        user: &str,
        group: Option<&str>,
        names: &[String],
        purpose: ExtendedKeyUsagePurpose,
    ) -> Result<()> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = name(user, group);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        fs::write(self.certificate(file), params.signed_by(&key, issuer)?.pem())?;
        write_private(&self.key(file), &key.serialize_pem())
    }
}

/// Kubernetes maps the common name to the user and the organization to the group.
fn name(user: &str, group: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, user);
    if let Some(group) = group {
        name.push(DnType::OrganizationName, group);
    }
    name
}

/// Writes a file that only the owner can read.
pub(super) fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    // Renamed when complete, because concurrent tests may read the file.
    let folder = path.parent().context("the path has no parent folder")?;
    let mut file =
        tempfile::NamedTempFile::new_in(folder).with_context(|| format!("writing to {}", folder.display()))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.persist(path).map(drop).map_err(Into::into))
        .with_context(|| format!("writing {}", path.display()))
}

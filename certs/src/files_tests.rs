//! A folder on a real file system, written as admins, cert-manager and the kubelet write it.

use std::os::unix::fs::symlink;

use rustls::client::danger::ServerCertVerifier as _;
use rustls_pki_types::CertificateDer;

use super::*;
use crate::pair::Rejected;
use crate::testing::{Chain, after, names};

struct Folder {
    folder: tempfile::TempDir,
    files: Files,
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path(), &names(), Clock::default()).unwrap();
        Self { folder, files }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn put(&self, chain: &Chain) {
        self.write(CHAIN, &chain.certificates);
        self.write(KEY, &chain.key);
    }

    /// Like the kubelet: a new folder, then the symlink is replaced.
    fn swap(&self, generation: &str, chain: &Chain) {
        let root = self.folder.path();
        fs::create_dir(root.join(generation)).unwrap();
        self.write(&format!("{generation}/{CHAIN}"), &chain.certificates);
        self.write(&format!("{generation}/{KEY}"), &chain.key);
        symlink(generation, root.join("..data_tmp")).unwrap();
        let before = fs::read_link(root.join("..data"));
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        match before {
            Ok(before) => fs::remove_dir_all(root.join(before)).unwrap(),
            Err(_) => {
                for name in [CHAIN, KEY] {
                    symlink(format!("..data/{name}"), root.join(name)).unwrap();
                }
            }
        }
    }

    fn reconcile(&mut self, seconds: i64) -> Status {
        let read = Content::read(self.folder.path());
        self.files.reconcile(read, after(seconds));
        self.files.status.borrow().clone()
    }

    fn served(&self) -> Vec<CertificateDer<'static>> {
        let served = self.files.served.as_ref();
        served
            .map(|(pair, _)| pair.certified().cert.clone())
            .unwrap_or_default()
    }
}

#[test]
fn missing_files_are_reported() {
    let mut folder = Folder::new();
    let new_status = folder.reconcile(0);
    assert!(!new_status.trusted);
    assert_eq!(new_status.serving_not_after, None);
    let expected = format!("{}: tls.crt: No such file", folder.folder.path().display());
    assert!(
        new_status.last_error.unwrap().starts_with(&expected),
        "{:?}",
        new_status.rejected
    );
    let chain = Chain::new(0, 90);
    folder.write(CHAIN, &chain.certificates);
    assert!(folder.reconcile(1).rejected.unwrap().contains("tls.key: No such file"));
    folder.write(KEY, &chain.key);
    let new_status = folder.reconcile(2);
    assert!(
        new_status.trusted && new_status.rejected.is_none() && new_status.last_error.is_none(),
        "{new_status:?}"
    );
    assert_eq!(new_status.serving_not_after, Some(after(90)));
    assert_eq!(folder.served(), chain.ders(), "the complete chain");
}

#[test]
fn an_invalid_certificate_is_rejected_and_the_old_one_served() {
    let mut folder = Folder::new();
    let good = Chain::new(0, 500);
    folder.put(&good);
    assert!(folder.reconcile(0).trusted);

    let other = Chain::new(0, 500);
    let cases: [(&str, &str, String); 6] = [
        ("nonsense", &other.key, "the certificate cannot be parsed".to_owned()),
        (
            &other.certificates,
            "nonsense",
            "the private key cannot be parsed".to_owned(),
        ),
        (
            &other.certificates,
            &good.key,
            "the private key does not match the certificate".to_owned(),
        ),
        (
            &Chain::new(0, 9).certificates,
            "",
            "the private key cannot be parsed".to_owned(),
        ),
        ("", "", "the certificate cannot be parsed".to_owned()),
        (
            &" ".repeat(usize::try_from(MAX_FILE_SIZE).unwrap() + 1),
            "",
            "tls.crt: the file is larger than".to_owned(),
        ),
    ];
    for (certificates, key, why) in cases {
        folder.write(CHAIN, certificates);
        folder.write(KEY, key);
        let new_status = folder.reconcile(10);
        assert!(
            new_status.rejected.as_ref().unwrap().contains(&why),
            "{:?}",
            new_status.rejected
        );
        assert!(new_status.trusted);
        assert_eq!(new_status.serving_not_after, Some(after(500)));
        assert_eq!(folder.served(), good.ders());
    }
    for (chain, why) in [
        (Chain::new(0, 9), Rejected::Expired(after(9))),
        (Chain::new(11, 900), Rejected::NotYetValid(after(11))),
        (
            Chain::for_name("stranger.svc", 0, 900),
            Rejected::Name("hook.system.svc, hook.system.svc.cluster.local".to_owned()),
        ),
    ] {
        folder.put(&chain);
        let new_status = folder.reconcile(10);
        assert!(
            new_status.rejected.as_ref().unwrap().ends_with(&format!(": {why}")),
            "{new_status:?}"
        );
        assert!(new_status.trusted);
        assert_eq!(folder.served(), good.ders());
    }
    folder.put(&other);
    let new_status = folder.reconcile(12);
    assert_eq!(new_status.rejected, None);
    assert_eq!(folder.served(), other.ders());
}

#[test]
fn a_certificate_is_served_once_it_is_valid() {
    let mut folder = Folder::new();
    let (now, then) = (Chain::new(0, 500), Chain::new(100, 900));
    folder.put(&now);
    folder.reconcile(0);
    folder.put(&then);
    assert!(folder.reconcile(99).rejected.is_some());
    assert_eq!(folder.served(), now.ders());
    assert_eq!(folder.reconcile(100).rejected, None, "the folder has not changed");
    assert_eq!(folder.served(), then.ders());
}

#[test]
fn an_expired_certificate_is_still_served_and_reported() {
    let mut folder = Folder::new();
    folder.put(&Chain::new(0, 90));
    folder.reconcile(0);
    let new_status = folder.reconcile(91);
    assert!(!new_status.trusted);
    assert_eq!(new_status.rejected, None, "the folder contains the served certificate");
    assert_eq!(
        new_status.last_error.as_deref(),
        Some("the served certificate has expired")
    );
    assert_eq!(new_status.serving_not_after, Some(after(90)));
    assert_eq!(folder.served().len(), 2);
}

#[test]
fn a_kubelet_update_is_read_atomically() {
    let mut folder = Folder::new();
    for (number, generation) in ["..2026_01", "..2026_02", "..2026_03"].into_iter().enumerate() {
        let chain = Chain::new(0, 90 + i64::try_from(number).unwrap());
        folder.swap(generation, &chain);
        let new_status = folder.reconcile(1);
        assert_eq!(new_status.rejected, None);
        assert_eq!(folder.served(), chain.ders());
    }
    // The top-level links lead to another version: reading each link by itself would mix certificate and key.
    let read = Content::read(folder.folder.path()).unwrap();
    assert_eq!(
        read.chain,
        fs::read(folder.folder.path().join("..2026_03/tls.crt")).unwrap()
    );
}

#[test]
fn deleted_files_are_reported_and_the_certificate_stays_served() {
    let mut folder = Folder::new();
    let chain = Chain::new(0, 90);
    folder.put(&chain);
    folder.reconcile(0);
    fs::remove_file(folder.folder.path().join(KEY)).unwrap();
    let new_status = folder.reconcile(1);
    assert!(new_status.trusted && new_status.rejected.unwrap().contains("tls.key"));
    assert_eq!(folder.served(), chain.ders());
    folder.put(&chain);
    assert_eq!(folder.reconcile(2).rejected, None);
}

#[test]
fn the_expiry_of_the_ca_is_reported_if_known() {
    let mut folder = Folder::new();
    let chain = Chain::new(0, 90);
    folder.write(CHAIN, chain.leaf());
    folder.write(KEY, &chain.key);
    assert_eq!(folder.reconcile(0).ca_not_after, None);
    folder.put(&chain);
    assert_eq!(folder.reconcile(1).ca_not_after, Some(after(Chain::INTERMEDIATE_ENDS)));
    folder.write(CA, &chain.root);
    assert_eq!(
        folder.reconcile(2).ca_not_after,
        Some(after(Chain::ROOT_ENDS)),
        "the certificate is the same"
    );
    folder.write(CA, "nonsense");
    let new_status = folder.reconcile(3);
    assert_eq!(
        (new_status.ca_not_after, new_status.rejected),
        (Some(after(Chain::INTERMEDIATE_ENDS)), None)
    );
}

#[test]
fn rewriting_the_same_content_changes_nothing() {
    let mut folder = Folder::new();
    let chain = Chain::new(0, 90);
    folder.put(&chain);
    folder.reconcile(0);
    let before = folder.files.served.as_ref().unwrap().0.certified();
    folder.put(&chain);
    folder.reconcile(1);
    assert!(Arc::ptr_eq(
        &before,
        &folder.files.served.as_ref().unwrap().0.certified()
    ));
}

#[tokio::test]
async fn it_starts_and_reloads_on_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::new(folder.path(), &names(), Clock::new(|| after(1))).unwrap();
    let resolver = Arc::clone(&files.resolver);
    let mut status = files.status();
    let running = tokio::spawn(files.run(std::future::pending()));
    status.wait_for(|status| status.rejected.is_some()).await.unwrap();

    let folder = Folder {
        files: Files::new(folder.path(), &names(), Clock::default()).unwrap(),
        folder,
    };
    for (generation, until) in [("..1", 90), ("..2", 91), ("..3", 92)] {
        let chain = Chain::new(0, until);
        folder.swap(generation, &chain);
        status
            .wait_for(|status| status.serving_not_after == Some(after(until)))
            .await
            .unwrap();
        verified(&resolver, &chain);
    }
    running.abort();
}

/// Verifies that a client which trusts only the root accepts the served chain.
fn verified(resolver: &Resolver, chain: &Chain) {
    let served = resolver.current().unwrap();
    let mut roots = rustls::RootCertStore::empty();
    let [root] = crate::authority::CaCertificate::all_from_pem(chain.root.as_bytes())
        .try_into()
        .unwrap();
    roots.add(root.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    let at = u64::try_from(after(1).as_second()).unwrap();
    verifier
        .build()
        .unwrap()
        .verify_server_cert(
            &served.cert[0],
            &served.cert[1..],
            &ServerName::try_from("hook.system.svc").unwrap(),
            &[],
            rustls_pki_types::UnixTime::since_unix_epoch(Duration::from_secs(at)),
        )
        .unwrap();
}

//! A folder on a real file system, written as people, cert-manager and kubelets write it; time as it is told.

use std::os::unix::fs::symlink;

use rustls::client::danger::ServerCertVerifier as _;
use rustls_pki_types::CertificateDer;

use super::*;
use crate::pair::Refused;
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

    /// As a kubelet does it: a new folder, and a link that is swapped.
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

    fn look(&mut self, seconds: i64) -> Status {
        let read = Content::read(self.folder.path());
        self.files.look(read, after(seconds));
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
fn without_files_it_says_what_it_waits_for() {
    let mut folder = Folder::new();
    let told = folder.look(0);
    assert!(!told.trusted);
    assert_eq!(told.serving_not_after, None);
    let expected = format!("{}: tls.crt: No such file", folder.folder.path().display());
    assert!(told.last_error.unwrap().starts_with(&expected), "{:?}", told.refused);
    let chain = Chain::new(0, 90);
    folder.write(CHAIN, &chain.certificates);
    assert!(folder.look(1).refused.unwrap().contains("tls.key: No such file"));
    folder.write(KEY, &chain.key);
    let told = folder.look(2);
    assert!(
        told.trusted && told.refused.is_none() && told.last_error.is_none(),
        "{told:?}"
    );
    assert_eq!(told.serving_not_after, Some(after(90)));
    assert_eq!(folder.served(), chain.ders(), "the whole chain");
}

#[test]
fn a_bad_pair_is_refused_while_the_old_one_goes_on() {
    let mut folder = Folder::new();
    let good = Chain::new(0, 500);
    folder.put(&good);
    assert!(folder.look(0).trusted);

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
            &" ".repeat(usize::try_from(MOST).unwrap() + 1),
            "",
            "tls.crt: it is larger than".to_owned(),
        ),
    ];
    for (certificates, key, why) in cases {
        folder.write(CHAIN, certificates);
        folder.write(KEY, key);
        let told = folder.look(10);
        assert!(told.refused.as_ref().unwrap().contains(&why), "{:?}", told.refused);
        assert!(told.trusted);
        assert_eq!(told.serving_not_after, Some(after(500)));
        assert_eq!(folder.served(), good.ders());
    }
    for (chain, why) in [
        (Chain::new(0, 9), Refused::Ended(after(9))),
        (Chain::new(11, 900), Refused::NotYet(after(11))),
        (
            Chain::for_name("stranger.svc", 0, 900),
            Refused::Name("hook.system.svc, hook.system.svc.cluster.local".to_owned()),
        ),
    ] {
        folder.put(&chain);
        let told = folder.look(10);
        assert!(
            told.refused.as_ref().unwrap().ends_with(&format!(": {why}")),
            "{told:?}"
        );
        assert!(told.trusted);
        assert_eq!(folder.served(), good.ders());
    }
    folder.put(&other);
    let told = folder.look(12);
    assert_eq!(told.refused, None);
    assert_eq!(folder.served(), other.ders());
}

#[test]
fn one_of_the_future_is_taken_when_its_time_has_come() {
    let mut folder = Folder::new();
    let (now, then) = (Chain::new(0, 500), Chain::new(100, 900));
    folder.put(&now);
    folder.look(0);
    folder.put(&then);
    assert!(folder.look(99).refused.is_some());
    assert_eq!(folder.served(), now.ders());
    assert_eq!(folder.look(100).refused, None, "nothing in the folder has changed");
    assert_eq!(folder.served(), then.ders());
}

#[test]
fn one_that_ends_while_it_is_served_goes_on_and_says_so() {
    let mut folder = Folder::new();
    folder.put(&Chain::new(0, 90));
    folder.look(0);
    let told = folder.look(91);
    assert!(!told.trusted);
    assert_eq!(told.refused, None, "it is what lies there");
    assert_eq!(
        told.last_error.as_deref(),
        Some("the certificate that is served has ended")
    );
    assert_eq!(told.serving_not_after, Some(after(90)));
    assert_eq!(folder.served().len(), 2);
}

#[test]
fn a_kubelets_swap_is_seen_and_never_half() {
    let mut folder = Folder::new();
    for (number, generation) in ["..2026_01", "..2026_02", "..2026_03"].into_iter().enumerate() {
        let chain = Chain::new(0, 90 + i64::try_from(number).unwrap());
        folder.swap(generation, &chain);
        let told = folder.look(1);
        assert_eq!(told.refused, None);
        assert_eq!(folder.served(), chain.ders());
    }
    // The links lead to a generation whose key is of another: whoever followed each link by itself would mix them.
    let read = Content::read(folder.folder.path()).unwrap();
    assert_eq!(
        read.chain,
        fs::read(folder.folder.path().join("..2026_03/tls.crt")).unwrap()
    );
}

#[test]
fn files_that_go_away_change_nothing_but_what_is_told() {
    let mut folder = Folder::new();
    let chain = Chain::new(0, 90);
    folder.put(&chain);
    folder.look(0);
    fs::remove_file(folder.folder.path().join(KEY)).unwrap();
    let told = folder.look(1);
    assert!(told.trusted && told.refused.unwrap().contains("tls.key"));
    assert_eq!(folder.served(), chain.ders());
    folder.put(&chain);
    assert_eq!(folder.look(2).refused, None);
}

#[test]
fn the_end_of_the_ca_is_told_where_it_is_known() {
    let mut folder = Folder::new();
    let chain = Chain::new(0, 90);
    folder.write(CHAIN, chain.leaf());
    folder.write(KEY, &chain.key);
    assert_eq!(folder.look(0).ca_not_after, None);
    folder.put(&chain);
    assert_eq!(folder.look(1).ca_not_after, Some(after(Chain::INTERMEDIATE_ENDS)));
    folder.write(CA, &chain.root);
    assert_eq!(
        folder.look(2).ca_not_after,
        Some(after(Chain::ROOT_ENDS)),
        "the pair is the same"
    );
    folder.write(CA, "nonsense");
    let told = folder.look(3);
    assert_eq!(
        (told.ca_not_after, told.refused),
        (Some(after(Chain::INTERMEDIATE_ENDS)), None)
    );
}

#[test]
fn the_same_content_written_again_is_nothing_new() {
    let mut folder = Folder::new();
    let chain = Chain::new(0, 90);
    folder.put(&chain);
    folder.look(0);
    let before = folder.files.served.as_ref().unwrap().0.certified();
    folder.put(&chain);
    folder.look(1);
    assert!(Arc::ptr_eq(
        &before,
        &folder.files.served.as_ref().unwrap().0.certified()
    ));
}

#[tokio::test]
async fn it_comes_up_by_itself_and_follows() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::new(folder.path(), &names(), Clock::new(|| after(1))).unwrap();
    let resolver = Arc::clone(&files.resolver);
    let mut status = files.status();
    let running = tokio::spawn(files.run(std::future::pending()));
    status.wait_for(|status| status.refused.is_some()).await.unwrap();

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

/// A client that trusts the root alone accepts what is served, which needs the chain.
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

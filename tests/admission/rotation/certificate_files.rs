//! Certificates from files: the test acts as cert-manager and as the kubelet that mounts its Secret.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::installation::shipped;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};

use super::Outcome;
use super::fleet::{Fleet, WITHIN};

/// A mounted Secret.
struct Mount {
    folder: PathBuf,
    swaps: u32,
}

impl Mount {
    /// Replaces the files atomically, like the kubelet.
    fn put(&mut self, chain: &str, key: &str) -> Outcome {
        self.swaps += 1;
        let generation = format!("..2026_{}", self.swaps);
        let folder = self.folder.join(&generation);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("tls.crt"), chain)?;
        fs::write(folder.join("tls.key"), key)?;
        symlink(&generation, self.folder.join("..data_tmp"))?;
        fs::rename(self.folder.join("..data_tmp"), self.folder.join("..data"))?;
        for name in ["tls.crt", "tls.key"].into_iter().filter(|_| self.swaps == 1) {
            symlink(format!("..data/{name}"), self.folder.join(name))?;
        }
        Ok(())
    }
}

type Ca = CertifiedIssuer<'static, KeyPair>;

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn intermediate(root: &Ca) -> Outcome<Ca> {
    let mut params = params("intermediate");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Ok(CertifiedIssuer::signed_by(params, KeyPair::generate()?, root)?)
}

/// A certificate chain and its key, valid until that day of January 2098.
fn serving(ca: &Ca, name: &str, day: u8) -> Outcome<(String, String)> {
    let key = KeyPair::generate()?;
    let mut params = params("serving");
    params.subject_alt_names = vec![SanType::DnsName(name.try_into()?)];
    params.not_after = rcgen::date_time_ymd(2098, 1, day);
    let chain = params.signed_by(&key, ca)?.pem() + &ca.pem();
    Ok((chain, key.serialize_pem()))
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_files_are_reloaded_and_invalid_ones_ignored_without_failed_creates() -> Outcome {
    let cluster = ControlPlane::shared().await?;
    let mut mount = Mount {
        folder: cluster.data().join("files.mount"),
        swaps: 0,
    };
    fs::create_dir(&mount.folder)?;
    let folder = mount.folder.display().to_string();
    let mut fleet = Fleet::install("files", &[("--certs", "files"), ("--certs-dir", &folder)]).await?;
    let name = format!("cnbi-webhook.{}.svc", fleet.installation.namespace());
    let mut root = params("root");
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate()?)?;
    fleet.set_bundle(&root.pem()).await?;
    let bundles = fleet.bundles().await?;

    let mut waiting = fleet.installation.start_beside(shipped::WEBHOOK).await?;
    let not_ready = waiting.ready(Duration::from_secs(2)).await.unwrap_err().to_string();
    assert!(not_ready.contains("tls.crt: No such file"), "{not_ready}");
    let ca = intermediate(&root)?;
    let (chain, key) = serving(&ca, &name, 1)?;
    mount.put(&chain, &key)?;
    waiting.ready(WITHIN).await?;
    drop(waiting);
    fleet.add(2).await?;

    let load = fleet.load().await?;
    let until = async |fleet: &Fleet, metric: &str, value: i64| -> Outcome {
        let begin = std::time::Instant::now();
        while fleet.metrics(metric).await? != [value; 2] {
            assert!(begin.elapsed() < WITHIN, "timed out waiting until {metric} is {value}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    };
    let ends = "cnbi_webhook_certificate_expiration_timestamp_seconds";
    let first = fleet.metrics(ends).await?[0];
    for day in 2..=4 {
        // A new intermediate each time, so that clients accept only the complete chain.
        let ca = intermediate(&root)?;
        let (chain, key) = serving(&ca, &name, day)?;
        mount.put(&chain, &key)?;
        until(&fleet, ends, first + (i64::from(day) - 1) * 86_400).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;

        let (other, _) = serving(&ca, &name, 9)?;
        let (stranger, its_key) = serving(&ca, "stranger.svc", 9)?;
        for (chain, key) in [(&other, &key), (&stranger, &its_key)] {
            mount.put(chain, key)?;
            until(&fleet, "cnbi_webhook_certificate_rejected", 1).await?;
            until(&fleet, ends, first + (i64::from(day) - 1) * 86_400).await?;
        }
    }
    load.end().await?.none_failed("certificates from files")?;

    // The webhook has not written bundles or a CA.
    assert_eq!(fleet.bundles().await?, bundles);
    assert!(fleet.ca().await?.is_empty(), "no CA Secret");
    Ok(())
}

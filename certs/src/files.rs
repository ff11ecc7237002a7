//! The certificate source `files`: a folder with a mounted Secret, for example from cert-manager or OpenShift's service CA.
//!
//! The folder is read again whenever it may have changed. An invalid certificate is rejected, and the previous one is
//! still served. Nothing is read from or written to the cluster: the issuer publishes its CA.

use std::fs::{self, File};
use std::future::Future;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::server::ResolvesServerCert;
use rustls_pki_types::ServerName;
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::folder_watch::FolderWatch;
use crate::names::{InvalidName, Names};
use crate::pair::Pair;
use crate::resolver::Resolver;
use crate::status::Status;

/// The chain, serving certificate first, as in every Secret of type `kubernetes.io/tls`.
pub const CHAIN: &str = "tls.crt";
/// The private key.
pub const KEY: &str = "tls.key";
/// The issuer's CA certificates; optional. cert-manager adds this file.
pub const CA: &str = "ca.crt";

/// How often the folder is read without a file event.
const POLL: Duration = Duration::from_secs(2);

/// Largest accepted file in bytes; a Secret cannot be larger.
const MAX_FILE_SIZE: u64 = 1 << 20;

/// How often a read is repeated if the kubelet replaces the folder's content meanwhile.
const ATTEMPTS: usize = 3;

/// Serves the certificate of a folder.
pub struct Files {
    folder: PathBuf,
    names: Vec<ServerName<'static>>,
    clock: Clock,
    resolver: Arc<Resolver>,
    status: watch::Sender<Status>,
    /// The certificate that is served, and the digest of its files.
    served: Option<(Pair, Digest)>,
}

impl Files {
    /// Reads nothing before [`run`](Self::run). A certificate must contain at least one of `names`.
    pub fn new(folder: impl Into<PathBuf>, names: &Names, clock: Clock) -> Result<Self, InvalidName> {
        Ok(Self {
            folder: folder.into(),
            names: names.subject_alternative_names()?,
            clock,
            resolver: Arc::default(),
            status: watch::Sender::default(),
            served: None,
        })
    }

    /// Resolves to the current certificate. Handshakes fail until one has been loaded.
    pub fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        Arc::clone(&self.resolver) as Arc<Resolver>
    }

    /// The state after each read; notifies only of changes.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Serves and reloads the certificate until `shutdown` completes.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        let mut watch = FolderWatch::new(&self.folder, POLL);
        loop {
            let look_and_wait = async {
                let folder = self.folder.clone();
                let read = tokio::task::spawn_blocking(move || Content::read(&folder)).await;
                let read = read.unwrap_or_else(|error| Err(error.to_string()));
                self.reconcile(read, self.clock.now());
                watch.next().await;
            };
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                () = look_and_wait => {}
            }
        }
    }

    /// Serves the certificate that was read, or reports why it is rejected.
    fn reconcile(&mut self, read: Result<Content, String>, now: Timestamp) {
        let taken = read.and_then(|content| {
            let digest = content.digest();
            if self.served.as_ref().is_some_and(|(_, served)| *served == digest) {
                return Ok(None);
            }
            let pair = content.pair().map_err(|error| error.to_string())?;
            pair.check(&self.names, now).map_err(|error| error.to_string())?;
            Ok(Some((pair, digest)))
        });
        let rejected = match taken {
            Ok(None) => None,
            Ok(Some((pair, digest))) => {
                tracing::info!(
                    folder = %self.folder.display(),
                    not_after = %pair.validity().not_after,
                    chain = pair.certified().cert.len(),
                    "serving the certificate from the folder"
                );
                self.resolver.swap(pair.certified());
                self.served = Some((pair, digest));
                None
            }
            Err(why) => Some(format!("{}: {why}", self.folder.display())),
        };
        self.tell(rejected, now);
    }

    fn tell(&self, rejected: Option<String>, now: Timestamp) {
        let served = self.served.as_ref().map(|(pair, _)| pair);
        let ended = served.is_some_and(|pair| pair.validity().is_expired(now));
        self.status.send_if_modified(|status| {
            let new_status = Status {
                serving_not_after: served.map(|pair| pair.validity().not_after),
                ca_not_after: served.and_then(Pair::ca_not_after),
                trusted: served.is_some() && !ended,
                last_error: rejected
                    .clone()
                    .or_else(|| ended.then(|| "the served certificate has expired".to_owned())),
                rejected,
            };
            let changed = *status != new_status;
            if changed && let Some(error) = &new_status.last_error {
                let serves_on = served.is_some();
                tracing::warn!(%error, serves_on, "the certificate from the folder is not served");
            }
            *status = new_status;
            changed
        });
    }
}

type Digest = [u8; 32];

/// The content of the folder.
struct Content {
    chain: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    ca: Option<Vec<u8>>,
}

impl Content {
    /// Reads all files from the same version of a mounted volume.
    fn read(folder: &Path) -> Result<Self, String> {
        let mut outcome = Err(String::new());
        for _ in 0..ATTEMPTS {
            // The kubelet writes a new folder and then switches the symlink `..data` to it.
            let generation = fs::canonicalize(folder.join("..data")).unwrap_or_else(|_| folder.to_owned());
            outcome = Self::read_from(&generation);
            if outcome.is_ok() || generation == folder {
                break;
            }
        }
        outcome
    }

    fn read_from(folder: &Path) -> Result<Self, String> {
        let read = |name: &str| bytes(&folder.join(name)).map_err(|error| format!("{name}: {error}"));
        Ok(Self {
            chain: read(CHAIN)?.to_vec(),
            key: read(KEY)?,
            ca: bytes(&folder.join(CA)).ok().map(|bytes| bytes.to_vec()),
        })
    }

    fn pair(&self) -> Result<Pair, crate::authority::CertificateError> {
        Pair::parse(&self.chain, &self.key, self.ca.as_deref())
    }

    /// SHA-256 of all files, to detect a change without keeping the key.
    fn digest(&self) -> Digest {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        for part in [&self.chain, &*self.key, self.ca.as_deref().unwrap_or_default()] {
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        let mut digest = Digest::default();
        digest.copy_from_slice(context.finish().as_ref());
        digest
    }
}

fn bytes(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    // Allocated once: a growing buffer would leave copies of the key in freed memory.
    let room = usize::try_from(file.metadata()?.len().min(MAX_FILE_SIZE)).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(room + 1));
    file.take(MAX_FILE_SIZE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_SIZE {
        return Err(io::Error::other("the file is larger than 1 MiB, the limit of a Secret"));
    }
    Ok(bytes)
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;

//! The source `files`: a certificate that lies in a folder, as cert-manager or a service CA puts it into a mounted Secret.
//!
//! The folder is read again whenever it may have changed; what counts is its content. A pair that cannot be served is refused,
//! and the one before it goes on being served. Nothing is read from or written to the cluster: whoever makes the certificate
//! sees to the trust in it.

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
use crate::follow::Follow;
use crate::names::{InvalidName, Names};
use crate::pair::Pair;
use crate::resolver::Resolver;
use crate::status::Status;

/// The chain, the serving certificate in front, as in every Secret of the type `kubernetes.io/tls`.
pub const CHAIN: &str = "tls.crt";
/// Its key.
pub const KEY: &str = "tls.key";
/// What its issuer says to trust. cert-manager puts it there; nobody has to.
pub const CA: &str = "ca.crt";

/// How often the folder is looked at without being told to.
const POLL: Duration = Duration::from_secs(2);

/// Most bytes of a file: a Secret cannot hold more.
const MOST: u64 = 1 << 20;

/// How often a read is repeated that met a swap of the folder's content.
const ATTEMPTS: usize = 3;

/// Serves what lies in a folder.
pub struct Files {
    folder: PathBuf,
    names: Vec<ServerName<'static>>,
    clock: Clock,
    resolver: Arc<Resolver>,
    status: watch::Sender<Status>,
    /// What is served.
    served: Option<(Pair, Digest)>,
}

impl Files {
    /// Prepares; nothing is read before [`run`](Self::run). A certificate has to be for one of `names` at least.
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

    /// The certificate to serve, now and after each swap. Refuses handshakes until there is one.
    pub fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        Arc::clone(&self.resolver) as Arc<Resolver>
    }

    /// What is known after each look; changes only when something has changed.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Follows the folder until `shutdown` is done.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        let mut follow = Follow::new(&self.folder, POLL);
        loop {
            let look_and_wait = async {
                let folder = self.folder.clone();
                let read = tokio::task::spawn_blocking(move || Content::read(&folder)).await;
                let read = read.unwrap_or_else(|error| Err(error.to_string()));
                self.look(read, self.clock.now());
                follow.look_again().await;
            };
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                () = look_and_wait => {}
            }
        }
    }

    /// Takes what was read, or says why not.
    fn look(&mut self, read: Result<Content, String>, now: Timestamp) {
        let taken = read.and_then(|content| {
            let digest = content.digest();
            if self.served.as_ref().is_some_and(|(_, served)| *served == digest) {
                return Ok(None);
            }
            let pair = content.pair().map_err(|error| error.to_string())?;
            pair.judge(&self.names, now).map_err(|error| error.to_string())?;
            Ok(Some((pair, digest)))
        });
        let refused = match taken {
            Ok(None) => None,
            Ok(Some((pair, digest))) => {
                tracing::info!(
                    folder = %self.folder.display(),
                    not_after = %pair.validity().not_after,
                    chain = pair.certified().cert.len(),
                    "serving the certificate of the folder"
                );
                self.resolver.swap(pair.certified());
                self.served = Some((pair, digest));
                None
            }
            Err(why) => Some(format!("{}: {why}", self.folder.display())),
        };
        self.tell(refused, now);
    }

    fn tell(&self, refused: Option<String>, now: Timestamp) {
        let served = self.served.as_ref().map(|(pair, _)| pair);
        let ended = served.is_some_and(|pair| pair.validity().is_over(now));
        self.status.send_if_modified(|status| {
            let told = Status {
                serving_not_after: served.map(|pair| pair.validity().not_after),
                ca_not_after: served.and_then(Pair::ca_not_after),
                trusted: served.is_some() && !ended,
                last_error: refused
                    .clone()
                    .or_else(|| ended.then(|| "the certificate that is served has ended".to_owned())),
                refused,
            };
            let changed = *status != told;
            if changed && let Some(error) = &told.last_error {
                let serves_on = served.is_some();
                tracing::warn!(%error, serves_on, "the certificate of the folder is not served");
            }
            *status = told;
            changed
        });
    }
}

type Digest = [u8; 32];

/// What lies in the folder.
struct Content {
    chain: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    ca: Option<Vec<u8>>,
}

impl Content {
    /// Reads the files, all of one generation where the kubelet keeps generations.
    fn read(folder: &Path) -> Result<Self, String> {
        let mut outcome = Err(String::new());
        for _ in 0..ATTEMPTS {
            // A volume's files are links through `..data`, and that is a link which is swapped when all are written.
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

    fn pair(&self) -> Result<Pair, crate::authority::Unusable> {
        Pair::parse(&self.chain, &self.key, self.ca.as_deref())
    }

    /// SHA-256 of everything, so that the key need not be kept to see a change.
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
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let room = usize::try_from(file.metadata()?.len().min(MOST)).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(room + 1));
    file.take(MOST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST {
        return Err(io::Error::other("it is larger than a Secret can be"));
    }
    Ok(bytes)
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;

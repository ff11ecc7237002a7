//! OCI image layouts in the workspace: writes base images and reads built images.
//!
//! Layouts are untrusted: links are not followed, only regular files are opened, and all digests are verified.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use rustix::fs::{Mode, OFlags, open, openat};
use serde_json::json;

use super::MAX_DOCUMENT;
use super::image::{Configuration, Descriptor, Manifest};

/// Maximum size of all layers of an image, in bytes.
pub const MAX_IMAGE: u64 = 64 << 30;

/// Folder of the blobs.
pub const BLOBS: &str = "blobs/sha256";

/// Buffer size for reading, in bytes.
const PIECE: usize = 1 << 20;

/// Why a layout cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// I/O error.
    #[error("{0}: {1}")]
    Io(String, io::Error),
    /// The layout is invalid.
    #[error("{0}")]
    Invalid(String),
}

fn invalid(what: impl Into<String>) -> LayoutError {
    LayoutError::Invalid(what.into())
}

/// The file name of a blob: the hexadecimal digits of its sha256 digest.
pub fn blob_name(digest: &str) -> Result<&str, LayoutError> {
    let is_hex = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
    match digest.strip_prefix("sha256:") {
        Some(hex) if hex.len() == 64 && hex.bytes().all(is_hex) => Ok(hex),
        _ => Err(invalid("a digest is not sha256 with 64 hexadecimal digits")),
    }
}

/// The sha256 digest of bytes.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(ring::digest::digest(&SHA256, bytes)))
}

/// An untrusted layout.
#[derive(Debug)]
pub struct Layout {
    blobs: OwnedFd,
    /// Descriptor of the manifest.
    pub descriptor: Descriptor,
    /// Manifest as bytes.
    pub bytes: Vec<u8>,
    /// Manifest.
    pub manifest: Manifest,
}

impl Layout {
    /// Opens the layout in `folder` of `work` and reads the manifest of its only image.
    pub fn open(work: &Path, folder: &str) -> Result<Self, LayoutError> {
        let io = |what: &str| {
            let what = what.to_owned();
            move |error: rustix::io::Errno| LayoutError::Io(what, error.into())
        };
        let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(work, directory, Mode::empty()).map_err(io("the volume"))?;
        let inner = directory | OFlags::NOFOLLOW;
        let layout = openat(&root, folder, inner, Mode::empty()).map_err(io("the layout of the image"))?;
        let index = document(&open_regular_file(layout.as_fd(), "index.json")?, "index.json")?;
        let blobs = openat(&layout, "blobs", inner, Mode::empty()).map_err(io("blobs"))?;
        let blobs = openat(&blobs, "sha256", inner, Mode::empty()).map_err(io("blobs/sha256"))?;
        let index: Manifest = parsed(&index, "index.json")?;
        let [descriptor] = index.manifests.as_slice() else {
            return Err(invalid(format!("index.json lists {} images", index.manifests.len())));
        };
        let file = blob(blobs.as_fd(), descriptor)?;
        let bytes = document(&file, "the manifest")?;
        if digest(&bytes) != descriptor.digest {
            return Err(invalid("the manifest does not match its digest"));
        }
        let manifest: Manifest = parsed(&bytes, "the manifest")?;
        check(&manifest)?;
        Ok(Self {
            descriptor: descriptor.clone(),
            blobs,
            bytes,
            manifest,
        })
    }

    /// Media type of the manifest.
    pub fn media_type(&self) -> &str {
        match self.manifest.media_type.as_str() {
            "" => self.descriptor.media_type.as_str(),
            given => given,
        }
    }

    /// The layers in order, verified.
    pub fn layers(&self) -> Result<Vec<File>, LayoutError> {
        self.manifest.layers.iter().map(|layer| self.blob(layer)).collect()
    }

    /// Configuration and layers without duplicates.
    pub fn parts(&self) -> Vec<&Descriptor> {
        let mut parts: Vec<&Descriptor> = Vec::new();
        for part in self.manifest.config.iter().chain(&self.manifest.layers) {
            if parts.iter().all(|other| other.digest != part.digest) {
                parts.push(part);
            }
        }
        parts
    }

    /// The image configuration.
    pub fn configuration(&self) -> Result<Configuration, LayoutError> {
        let config = self.manifest.config.as_ref();
        let config = config.ok_or_else(|| invalid("index.json lists a manifest without a configuration"))?;
        let bytes = document(&self.blob(config)?, "the configuration")?;
        Configuration::read(&bytes).map_err(|_| invalid("the configuration is not valid JSON"))
    }

    /// Opens a blob after verifying its digest.
    pub fn blob(&self, part: &Descriptor) -> Result<File, LayoutError> {
        use std::io::Seek as _;
        let mut file = blob(self.blobs.as_fd(), part)?;
        let mut context = Context::new(&SHA256);
        let mut piece = vec![0; PIECE];
        let io = |error| LayoutError::Io("a blob".to_owned(), error);
        loop {
            let count = file.read(&mut piece).map_err(io)?;
            if count == 0 {
                break;
            }
            context.update(&piece[..count]);
        }
        if format!("sha256:{}", hex::encode(context.finish())) != part.digest {
            return Err(invalid(format!("the blob {} does not match its digest", part.digest)));
        }
        file.rewind().map_err(io)?;
        Ok(file)
    }
}

/// Checks that a manifest can be pushed.
fn check(manifest: &Manifest) -> Result<(), LayoutError> {
    if manifest.config.is_none() {
        return Err(invalid("index.json lists a manifest without a configuration"));
    }
    if manifest.layers.len() > 256 {
        return Err(invalid(format!(
            "the image has {} layers; the maximum is 256",
            manifest.layers.len()
        )));
    }
    for part in manifest.config.iter().chain(&manifest.layers) {
        blob_name(&part.digest)?;
        if part.urls.is_some() || part.media_type.contains("nondistributable") || part.media_type.contains("foreign") {
            return Err(invalid("the image has a foreign layer, which is stored elsewhere"));
        }
    }
    let sizes = manifest.layers.iter().map(|layer| layer.size);
    if sizes.fold(0, u64::saturating_add) > MAX_IMAGE {
        return Err(invalid(format!("the image is larger than {} GiB", MAX_IMAGE >> 30)));
    }
    Ok(())
}

/// Opens a regular file without following links.
fn open_regular_file(folder: impl AsFd, name: &str) -> Result<File, LayoutError> {
    // Without NONBLOCK, opening a pipe would wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(folder, name, flags, Mode::empty());
    let file = File::from(file.map_err(|error| LayoutError::Io(name.to_owned(), error.into()))?);
    let about = file
        .metadata()
        .map_err(|error| LayoutError::Io(name.to_owned(), error))?;
    if !about.is_file() {
        return Err(invalid(format!("{name} is not a regular file")));
    }
    Ok(file)
}

fn blob(blobs: impl AsFd, descriptor: &Descriptor) -> Result<File, LayoutError> {
    let file = open_regular_file(blobs, blob_name(&descriptor.digest)?)?;
    let about = file
        .metadata()
        .map_err(|error| LayoutError::Io("a blob".to_owned(), error))?;
    if about.len() != descriptor.size {
        let digest = &descriptor.digest;
        return Err(invalid(format!(
            "the blob {digest} does not have the size of its descriptor"
        )));
    }
    Ok(file)
}

fn document(file: &File, name: &str) -> Result<Vec<u8>, LayoutError> {
    let mut bytes = Vec::new();
    let most = u64::try_from(MAX_DOCUMENT).unwrap_or(u64::MAX);
    let read = file.take(most + 1).read_to_end(&mut bytes);
    read.map_err(|error| LayoutError::Io(name.to_owned(), error))?;
    if bytes.len() > MAX_DOCUMENT {
        return Err(invalid(format!("{name} is larger than {MAX_DOCUMENT} bytes")));
    }
    Ok(bytes)
}

fn parsed(bytes: &[u8], name: &str) -> Result<Manifest, LayoutError> {
    serde_json::from_slice(bytes).map_err(|_| invalid(format!("{name} is not valid JSON")))
}

/// A layout that is being written.
#[derive(Debug)]
pub struct NewLayout {
    folder: PathBuf,
}

impl NewLayout {
    /// Creates an empty layout in `folder`.
    pub fn create(folder: &Path) -> io::Result<Self> {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::create_dir_all(folder.join(BLOBS))?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// Creates the file of a blob.
    pub fn blob(&self, hex: &str) -> io::Result<File> {
        File::create(self.folder.join(BLOBS).join(hex))
    }

    /// Writes a blob.
    pub fn write(&self, hex: &str, bytes: &[u8]) -> io::Result<()> {
        self.blob(hex)?.write_all(bytes)
    }

    /// Writes index.json and oci-layout last, so that an incomplete layout is invalid.
    pub fn finish(self, digest: &str, media_type: &str, size: usize, name: &str) -> io::Result<()> {
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [{
                "mediaType": media_type, "digest": digest, "size": size,
                "annotations": { "org.opencontainers.image.ref.name": name },
            }],
        });
        fs::write(self.folder.join("index.json"), index.to_string())?;
        fs::write(self.folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    type Change = fn(&mut serde_json::Value);

    const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

    /// A valid layout in `<work>/image`, except for the change.
    fn written(change: impl FnOnce(&mut serde_json::Value)) -> tempfile::TempDir {
        let work = tempfile::tempdir().unwrap();
        let layout = NewLayout::create(&work.path().join("image")).unwrap();
        let part = |media_type: &str, bytes: &[u8]| {
            let digest = digest(bytes);
            layout.write(blob_name(&digest).unwrap(), bytes).unwrap();
            json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
        };
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": part(CONFIG, b"{}"), "layers": [part(LAYER, b"layer")],
        });
        change(&mut manifest);
        let bytes = manifest.to_string().into_bytes();
        let digest = digest(&bytes);
        layout.write(blob_name(&digest).unwrap(), &bytes).unwrap();
        layout.finish(&digest, MANIFEST, bytes.len(), "image").unwrap();
        work
    }

    fn blob_path(work: &Path, bytes: &[u8]) -> PathBuf {
        work.join("image/blobs/sha256").join(blob_name(&digest(bytes)).unwrap())
    }

    fn rejection(work: &Path) -> String {
        let layout = match Layout::open(work, "image") {
            Ok(layout) => layout,
            Err(error) => return error.to_string(),
        };
        let parts = layout.parts().into_iter().map(|part| layout.blob(part));
        parts.filter_map(Result::err).map(|error| error.to_string()).collect()
    }

    #[test]
    fn a_written_layout_can_be_read() {
        let work = written(|_| {});
        let layout = Layout::open(work.path(), "image").unwrap();
        assert_eq!(layout.parts().len(), 2);
        let mut text = String::new();
        layout
            .blob(layout.parts()[1])
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "layer");
        assert_eq!(rejection(work.path()), "");
    }

    #[test]
    fn invalid_digests_are_rejected() {
        for digest in ["sha256:../../etc/passwd", "sha256:", "x:00", "sha25600", "md5:00"] {
            assert!(blob_name(digest).is_err(), "{digest}");
        }
    }

    #[test]
    fn links_are_not_followed() {
        let outside = tempfile::NamedTempFile::new().unwrap();
        fs::write(outside.path(), "layer").unwrap();
        let work = written(|_| {});
        let layer = blob_path(work.path(), b"layer");
        fs::remove_file(&layer).unwrap();
        symlink(outside.path(), &layer).unwrap();
        assert!(!rejection(work.path()).is_empty());

        for linked in ["image", "image/blobs", "image/blobs/sha256"] {
            let work = written(|_| {});
            let (from, to) = (work.path().join(linked), work.path().join("elsewhere"));
            fs::rename(&from, &to).unwrap();
            symlink(&to, &from).unwrap();
            assert!(!rejection(work.path()).is_empty(), "{linked}");
        }
    }

    #[test]
    fn invalid_layouts_are_rejected_with_the_reason() {
        let work = written(|_| {});
        fs::write(blob_path(work.path(), b"layer"), "LAYER").unwrap();
        assert!(rejection(work.path()).contains("does not match its digest"));
        fs::write(blob_path(work.path(), b"layer"), "longer than before").unwrap();
        assert!(rejection(work.path()).contains("does not have the size"));
        fs::remove_file(blob_path(work.path(), b"layer")).unwrap();
        assert!(rejection(work.path()).contains("No such file"));
        let cases: [(Change, &str); 5] = [
            (
                |m| m["layers"][0]["digest"] = json!("sha256:../../../../etc/passwd"),
                "64 hexadecimal digits",
            ),
            (
                |m| m["layers"][0]["urls"] = json!(["https://example.com"]),
                "stored elsewhere",
            ),
            (|m| m["layers"][0]["size"] = json!(u64::MAX), "GiB"),
            (|m| m["config"] = json!(null), "without a configuration"),
            (|m| m["layers"] = json!(vec![m["layers"][0].clone(); 300]), "300 layers"),
        ];
        for (change, what) in cases {
            let message = rejection(written(change).path());
            assert!(message.contains(what), "{what}: {message}");
        }
        let work = written(|_| {});
        fs::write(work.path().join("image/index.json"), " ".repeat(MAX_DOCUMENT + 1)).unwrap();
        assert!(rejection(work.path()).contains("is larger than"));
    }

    #[test]
    fn pipes_do_not_block() {
        let work = written(|_| {});
        let index = work.path().join("image/index.json");
        fs::remove_file(&index).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &index, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        assert!(rejection(work.path()).contains("not a regular file"));
    }
}

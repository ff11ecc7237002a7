//! OCI image layouts on a run's volume: one is written for tasks to build on, one is read that an untrusted task has left.
//!
//! What is read is hostile. No link is followed, nothing but plain files is opened, and every byte has to be what its digest says.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use rustix::fs::{Mode, OFlags, open, openat};
use serde_json::json;

use super::DOCUMENT;
use super::image::{Configuration, Descriptor, Manifest};

/// Most bytes of all layers of an image.
pub const IMAGE: u64 = 64 << 30;

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

/// Why a layout is not taken.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// It cannot be read or written.
    #[error("{0}: {1}")]
    Io(String, io::Error),
    /// It is not what a layout is.
    #[error("{0}")]
    Wrong(String),
}

fn wrong(what: impl Into<String>) -> LayoutError {
    LayoutError::Wrong(what.into())
}

/// The part of a sha256 digest that names a file, if it is one.
pub fn blob_name(digest: &str) -> Result<&str, LayoutError> {
    let is_hex = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
    match digest.strip_prefix("sha256:") {
        Some(hex) if hex.len() == 64 && hex.bytes().all(is_hex) => Ok(hex),
        _ => Err(wrong("there is a digest that is not sha256 and 64 hexadecimal digits")),
    }
}

/// The digest of bytes.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(ring::digest::digest(&SHA256, bytes)))
}

/// A layout that somebody else has written.
#[derive(Debug)]
pub struct Layout {
    blobs: OwnedFd,
    /// What it leads to.
    pub descriptor: Descriptor,
    /// The manifest of its image, as it is.
    pub bytes: Vec<u8>,
    /// The manifest.
    pub manifest: Manifest,
}

impl Layout {
    /// Opens the layout in `folder` below `work`, and reads the manifest of its only image.
    pub fn open(work: &Path, folder: &str) -> Result<Self, LayoutError> {
        let io = |what: &str| {
            let what = what.to_owned();
            move |error: rustix::io::Errno| LayoutError::Io(what, error.into())
        };
        let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(work, directory, Mode::empty()).map_err(io("the volume"))?;
        let inner = directory | OFlags::NOFOLLOW;
        let layout = openat(&root, folder, inner, Mode::empty()).map_err(io("the layout of the image"))?;
        let index = document(&plain(layout.as_fd(), "index.json")?, "index.json")?;
        let blobs = openat(&layout, "blobs", inner, Mode::empty()).map_err(io("blobs"))?;
        let blobs = openat(&blobs, "sha256", inner, Mode::empty()).map_err(io("blobs/sha256"))?;
        let index: Manifest = parsed(&index, "index.json")?;
        let [descriptor] = index.manifests.as_slice() else {
            return Err(wrong(format!("index.json lists {} images", index.manifests.len())));
        };
        let file = blob(blobs.as_fd(), descriptor)?;
        let bytes = document(&file, "the manifest")?;
        if digest(&bytes) != descriptor.digest {
            return Err(wrong("the manifest is not what its digest says"));
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

    /// The media type of the manifest.
    pub fn media_type(&self) -> &str {
        match self.manifest.media_type.as_str() {
            "" => self.descriptor.media_type.as_str(),
            given => given,
        }
    }

    /// The layers, the lowest first, each verified.
    pub fn layers(&self) -> Result<Vec<File>, LayoutError> {
        self.manifest.layers.iter().map(|layer| self.blob(layer)).collect()
    }

    /// Configuration and layers, each once.
    pub fn parts(&self) -> Vec<&Descriptor> {
        let mut parts: Vec<&Descriptor> = Vec::new();
        for part in self.manifest.config.iter().chain(&self.manifest.layers) {
            if parts.iter().all(|other| other.digest != part.digest) {
                parts.push(part);
            }
        }
        parts
    }

    /// The image's configuration.
    pub fn configuration(&self) -> Result<Configuration, LayoutError> {
        let config = self.manifest.config.as_ref();
        let config = config.ok_or_else(|| wrong("what index.json lists is no image"))?;
        let bytes = document(&self.blob(config)?, "the configuration")?;
        Configuration::read(&bytes).map_err(|_| wrong("the configuration cannot be read"))
    }

    /// A part of the image, verified, from its beginning.
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
            return Err(wrong(format!("the blob {} is not what its digest says", part.digest)));
        }
        file.rewind().map_err(io)?;
        Ok(file)
    }
}

/// What a manifest has to be for an image to be pushed.
fn check(manifest: &Manifest) -> Result<(), LayoutError> {
    if manifest.config.is_none() {
        return Err(wrong("what index.json lists is no image"));
    }
    if manifest.layers.len() > 256 {
        return Err(wrong(format!("the image has {} layers", manifest.layers.len())));
    }
    for part in manifest.config.iter().chain(&manifest.layers) {
        blob_name(&part.digest)?;
        if part.urls.is_some() || part.media_type.contains("nondistributable") || part.media_type.contains("foreign") {
            return Err(wrong("the image has a layer that is kept elsewhere"));
        }
    }
    let sizes = manifest.layers.iter().map(|layer| layer.size);
    if sizes.fold(0, u64::saturating_add) > IMAGE {
        return Err(wrong(format!("the image has more than {} GiB", IMAGE >> 30)));
    }
    Ok(())
}

/// A plain file in a folder: no link, no pipe, no device.
fn plain(folder: impl AsFd, name: &str) -> Result<File, LayoutError> {
    // Without NONBLOCK, opening a pipe would wait for somebody to write to it.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(folder, name, flags, Mode::empty());
    let file = File::from(file.map_err(|error| LayoutError::Io(name.to_owned(), error.into()))?);
    let about = file
        .metadata()
        .map_err(|error| LayoutError::Io(name.to_owned(), error))?;
    if !about.is_file() {
        return Err(wrong(format!("{name} is no plain file")));
    }
    Ok(file)
}

fn blob(blobs: impl AsFd, descriptor: &Descriptor) -> Result<File, LayoutError> {
    let file = plain(blobs, blob_name(&descriptor.digest)?)?;
    let about = file
        .metadata()
        .map_err(|error| LayoutError::Io("a blob".to_owned(), error))?;
    if about.len() != descriptor.size {
        let digest = &descriptor.digest;
        return Err(wrong(format!("the blob {digest} has not the size that is said of it")));
    }
    Ok(file)
}

fn document(file: &File, name: &str) -> Result<Vec<u8>, LayoutError> {
    let mut bytes = Vec::new();
    let most = u64::try_from(DOCUMENT).unwrap_or(u64::MAX);
    let read = file.take(most + 1).read_to_end(&mut bytes);
    read.map_err(|error| LayoutError::Io(name.to_owned(), error))?;
    if bytes.len() > DOCUMENT {
        return Err(wrong(format!("{name} has more than {DOCUMENT} bytes")));
    }
    Ok(bytes)
}

fn parsed(bytes: &[u8], name: &str) -> Result<Manifest, LayoutError> {
    serde_json::from_slice(bytes).map_err(|_| wrong(format!("{name} cannot be read")))
}

/// A layout that is being written.
#[derive(Debug)]
pub struct NewLayout {
    folder: PathBuf,
}

impl NewLayout {
    /// Begins it in `folder`, which is emptied.
    pub fn create(folder: &Path) -> io::Result<Self> {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::create_dir_all(folder.join("blobs/sha256"))?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// The file for a blob, to be written.
    pub fn blob(&self, hex: &str) -> io::Result<File> {
        File::create(self.folder.join("blobs/sha256").join(hex))
    }

    /// Writes a blob that is there already.
    pub fn write(&self, hex: &str, bytes: &[u8]) -> io::Result<()> {
        self.blob(hex)?.write_all(bytes)
    }

    /// Writes what makes it a layout, at last: it is whole, or it is none.
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

    /// A whole layout in `<work>/image`, with the manifest changed.
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

    fn refused(work: &Path) -> String {
        let layout = match Layout::open(work, "image") {
            Ok(layout) => layout,
            Err(error) => return error.to_string(),
        };
        let parts = layout.parts().into_iter().map(|part| layout.blob(part));
        parts.filter_map(Result::err).map(|error| error.to_string()).collect()
    }

    #[test]
    fn what_was_written_is_read() {
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
        assert_eq!(refused(work.path()), "");
    }

    #[test]
    fn links_lead_nowhere() {
        let outside = tempfile::NamedTempFile::new().unwrap();
        fs::write(outside.path(), "layer").unwrap();
        let work = written(|_| {});
        let layer = blob_path(work.path(), b"layer");
        fs::remove_file(&layer).unwrap();
        symlink(outside.path(), &layer).unwrap();
        assert!(!refused(work.path()).is_empty());

        for linked in ["image", "image/blobs", "image/blobs/sha256"] {
            let work = written(|_| {});
            let (from, to) = (work.path().join(linked), work.path().join("elsewhere"));
            fs::rename(&from, &to).unwrap();
            symlink(&to, &from).unwrap();
            assert!(!refused(work.path()).is_empty(), "{linked}");
        }
    }

    #[test]
    fn what_is_not_what_it_says_is_refused_by_what_is_wrong() {
        let work = written(|_| {});
        fs::write(blob_path(work.path(), b"layer"), "LAYER").unwrap();
        assert!(refused(work.path()).contains("is not what its digest says"));
        fs::write(blob_path(work.path(), b"layer"), "longer than before").unwrap();
        assert!(refused(work.path()).contains("has not the size"));
        fs::remove_file(blob_path(work.path(), b"layer")).unwrap();
        assert!(refused(work.path()).contains("No such file"));
        let cases: [(Change, &str); 5] = [
            (
                |m| m["layers"][0]["digest"] = json!("sha256:../../../../etc/passwd"),
                "64 hexadecimal digits",
            ),
            (
                |m| m["layers"][0]["urls"] = json!(["https://example.com"]),
                "kept elsewhere",
            ),
            (|m| m["layers"][0]["size"] = json!(u64::MAX), "GiB"),
            (|m| m["config"] = json!(null), "is no image"),
            (|m| m["layers"] = json!(vec![m["layers"][0].clone(); 300]), "300 layers"),
        ];
        for (change, what) in cases {
            let said = refused(written(change).path());
            assert!(said.contains(what), "{what}: {said}");
        }
        let work = written(|_| {});
        fs::write(work.path().join("image/index.json"), " ".repeat(DOCUMENT + 1)).unwrap();
        assert!(refused(work.path()).contains("has more than"));
    }

    #[test]
    fn a_pipe_does_not_hold_it_up() {
        let work = written(|_| {});
        let index = work.path().join("image/index.json");
        fs::remove_file(&index).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &index, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        assert!(refused(work.path()).contains("no plain file"));
    }
}

//! Lists the entries of image layers without reading file contents.
//!
//! Layers are uncompressed, or compressed with gzip or Zstandard. They are untrusted, so sizes and counts are limited.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom};

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use tar::{Archive, EntryType};

/// Maximum uncompressed size of all layers of an image, in bytes.
pub const MAX_BYTES: u64 = 64 << 30;
/// Maximum number of entries in all layers of an image.
pub const MAX_ENTRIES: usize = 5_000_000;

/// The rest of these limits.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    bytes: u64,
    entries: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            bytes: MAX_BYTES,
            entries: MAX_ENTRIES,
        }
    }
}

/// An entry of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Absolute path without `.`.
    pub path: String,
    /// Type.
    pub kind: EntryType,
    /// Target of a link.
    pub target: Option<String>,
}

/// What a layer hides in lower layers (whiteout).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// The path and everything below.
    Path(String),
    /// Everything below the path.
    Below(String),
}

impl Entry {
    /// What the entry hides if it is a whiteout (image specification, `layer.md`).
    pub fn hidden(&self) -> Option<Hidden> {
        let (folder, name) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let name = name.strip_prefix(".wh.")?;
        Some(if name == ".wh..opq" {
            Hidden::Below(folder.to_owned())
        } else {
            Hidden::Path(format!("{folder}/{name}"))
        })
    }
}

/// Passes each entry of a layer to `see` until it returns false. `None`: the layer is invalid or exceeds the limits, or `see` returned
/// false.
pub fn read(mut layer: File, budget: &mut Budget, see: &mut dyn FnMut(Entry) -> bool) -> Option<()> {
    let mut magic = [0; 4];
    let read = layer.read(&mut magic).ok()?;
    layer.seek(SeekFrom::Start(0)).ok()?;
    let layer = BufReader::new(layer);
    let mut unpacked: Box<dyn Read> = match magic {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(layer)),
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Box::new(Frames::new(layer)),
        _ if read < 4 => return Some(()),
        _ => Box::new(layer),
    };
    let mut bounded = unpacked.by_ref().take(budget.bytes);
    let mut archive = Archive::new(&mut bounded);
    for entry in archive.entries().ok()? {
        let entry = entry.ok()?;
        budget.entries = budget.entries.checked_sub(1)?;
        let path = normal(&entry.path().ok()?.to_string_lossy());
        let kind = entry.header().entry_type();
        let target = entry.link_name().ok()?.map(|name| name.to_string_lossy().into_owned());
        if !see(Entry { path, kind, target }) {
            return None;
        }
    }
    budget.bytes = bounded.limit();
    (budget.bytes > 0).then_some(())
}

/// Makes a path absolute and removes `.`.
fn normal(path: &str) -> String {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    parts.fold(String::new(), |path, part| path + "/" + part)
}

/// The content of all frames of a Zstandard file (RFC 8878) without skippable frames. The decoder limits the window to 128 MiB.
struct Frames<R> {
    source: R,
    decoder: FrameDecoder,
}

impl<R: BufRead> Frames<R> {
    fn new(source: R) -> Self {
        Self {
            source,
            decoder: FrameDecoder::new(),
        }
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.decoder.can_collect() == 0 {
            if !self.decoder.is_finished() {
                let strategy = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder
                    .decode_blocks(&mut self.source, strategy)
                    .map_err(io::Error::other)?;
                continue;
            }
            if self.source.fill_buf()?.is_empty() {
                return Ok(0);
            }
            match self.decoder.init(&mut self.source) {
                Ok(()) => {}
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    io::copy(&mut self.source.by_ref().take(length.into()), &mut io::sink())?;
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        self.decoder.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    use tar::{Builder, Header};

    use super::*;

    fn archive(names: &[&str]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for name in names {
            let mut header = Header::new_ustar();
            header.set_size(3);
            builder.append_data(&mut header, name, &b"abc"[..]).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn names(layer: &[u8], budget: &mut Budget) -> Option<Vec<String>> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(layer).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        let mut names = Vec::new();
        read(file, budget, &mut |entry| {
            names.push(entry.path);
            true
        })?;
        Some(names)
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        compress_to_vec(bytes, CompressionLevel::Fastest)
    }

    #[test]
    fn zstandard_is_read_frame_by_frame() {
        let tar = archive(&["./a", "b/c"]);
        assert_eq!(names(&packed(&tar), &mut Budget::default()).unwrap(), ["/a", "/b/c"]);
        // Several frames with skippable ones, as in `zstd:chunked`.
        let (begin, end) = tar.split_at(700);
        let skipped = [&[0x5e, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"xyz"].concat();
        let many = [packed(begin), skipped.clone(), packed(end), skipped.clone()].concat();
        assert_eq!(names(&many, &mut Budget::default()).unwrap(), ["/a", "/b/c"]);
        let first = [skipped, packed(&tar)].concat();
        assert_eq!(names(&first, &mut Budget::default()).unwrap(), ["/a", "/b/c"]);
    }

    #[test]
    fn truncated_and_oversized_layers_are_rejected() {
        let tar = archive(&["a", "b", "c"]);
        let whole = packed(&tar);
        assert_eq!(names(&whole[..whole.len() / 2], &mut Budget::default()), None);
        assert_eq!(names(b"\x28\xb5\x2f\xfdnonsense", &mut Budget::default()), None);
        let mut few = Budget {
            entries: 2,
            ..Budget::default()
        };
        assert_eq!(names(&tar, &mut few), None);
        // Compresses well: 1 MiB of zeros after the beginning of the archive.
        let mut bomb = tar[..1024].to_vec();
        bomb.extend(vec![0; 1 << 20]);
        let mut small = Budget {
            bytes: 1024,
            ..Budget::default()
        };
        assert_eq!(names(&packed(&bomb), &mut small), None);
        // A window of 2 GiB is rejected.
        let window = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00];
        assert_eq!(names(&window, &mut Budget::default()), None);
    }

    #[test]
    fn whiteouts_are_recognized_by_name() {
        let hidden = |path: &str| {
            let entry = Entry {
                path: path.to_owned(),
                kind: EntryType::Regular,
                target: None,
            };
            entry.hidden()
        };
        assert_eq!(hidden("/a/.wh.b"), Some(Hidden::Path("/a/b".to_owned())));
        assert_eq!(hidden("/a/.wh..wh..opq"), Some(Hidden::Below("/a".to_owned())));
        assert_eq!(hidden("/a/b.wh."), None);
    }
}

//! Reads what the layers of an image list: names, kinds and links. No file's content is looked at and nothing is written.
//!
//! Layers are packed with gzip, with Zstandard or not at all. They are hostile, so everything has a bound.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom};

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use tar::{Archive, EntryType};

/// Most bytes of all layers of an image together, unpacked.
pub const UNPACKED: u64 = 64 << 30;
/// Most entries of all layers of an image together.
pub const ENTRIES: usize = 5_000_000;

/// How much may still be read of an image's layers.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    bytes: u64,
    entries: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            bytes: UNPACKED,
            entries: ENTRIES,
        }
    }
}

/// What a layer says of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The path: absolute, without `.` in it.
    pub path: String,
    /// What is there.
    pub kind: EntryType,
    /// Where it leads, if it is a link.
    pub target: Option<String>,
}

/// What a layer hides of those below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// That path, and whatever lies below it.
    Path(String),
    /// Whatever lies below that path.
    Below(String),
}

impl Entry {
    /// What the entry hides, if that is what it is there for: see "whiteouts" in the image specification's `layer.md`.
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

/// Shows each entry of a layer to `see`, for as long as that gives true. `None`: the layer cannot be read, has more in it than
/// there is room for, or `see` has had enough.
pub fn read(mut layer: File, room: &mut Room, see: &mut dyn FnMut(Entry) -> bool) -> Option<()> {
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
    let mut bounded = unpacked.by_ref().take(room.bytes);
    let mut archive = Archive::new(&mut bounded);
    for entry in archive.entries().ok()? {
        let entry = entry.ok()?;
        room.entries = room.entries.checked_sub(1)?;
        let path = normal(&entry.path().ok()?.to_string_lossy());
        let kind = entry.header().entry_type();
        let target = entry.link_name().ok()?.map(|name| name.to_string_lossy().into_owned());
        if !see(Entry { path, kind, target }) {
            return None;
        }
    }
    room.bytes = bounded.limit();
    (room.bytes > 0).then_some(())
}

/// An absolute path without `.` in it.
fn normal(path: &str) -> String {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    parts.fold(String::new(), |path, part| path + "/" + part)
}

/// The content of all frames of a Zstandard file, one after another, as RFC 8878 has it; frames that are to be skipped are.
/// A window takes no more than the decoder's own bound, 128 MiB.
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

    fn names(layer: &[u8], room: &mut Room) -> Option<Vec<String>> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(layer).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        let mut names = Vec::new();
        read(file, room, &mut |entry| {
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
        assert_eq!(names(&packed(&tar), &mut Room::default()).unwrap(), ["/a", "/b/c"]);
        // As `zstd:chunked` has it: several frames, and some that are to be skipped.
        let (begin, end) = tar.split_at(700);
        let skipped = [&[0x5e, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"xyz"].concat();
        let many = [packed(begin), skipped.clone(), packed(end), skipped.clone()].concat();
        assert_eq!(names(&many, &mut Room::default()).unwrap(), ["/a", "/b/c"]);
        let first = [skipped, packed(&tar)].concat();
        assert_eq!(names(&first, &mut Room::default()).unwrap(), ["/a", "/b/c"]);
    }

    #[test]
    fn what_is_torn_or_too_much_is_not_read() {
        let tar = archive(&["a", "b", "c"]);
        let whole = packed(&tar);
        assert_eq!(names(&whole[..whole.len() / 2], &mut Room::default()), None);
        assert_eq!(names(b"\x28\xb5\x2f\xfdnonsense", &mut Room::default()), None);
        let mut few = Room {
            entries: 2,
            ..Room::default()
        };
        assert_eq!(names(&tar, &mut few), None);
        // What unpacks to much more than it takes: a MiB of zeros after the archive's beginning.
        let mut bomb = tar[..1024].to_vec();
        bomb.extend(vec![0; 1 << 20]);
        let mut small = Room {
            bytes: 1024,
            ..Room::default()
        };
        assert_eq!(names(&packed(&bomb), &mut small), None);
        // A window of 2 GiB is not made room for.
        let window = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00];
        assert_eq!(names(&window, &mut Room::default()), None);
    }

    #[test]
    fn whiteouts_are_known_by_their_names() {
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

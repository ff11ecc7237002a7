//! Points in the order of versions (PEP 440): versions, and positions between versions.
//!
//! `pep440_rs` parses a version. It has no positions between versions, so the order is implemented here.

use std::cmp::Ordering;
use std::str::FromStr;

use pep440_rs::{LocalSegment, PrereleaseKind, Version};

use super::specifier::{Specifier, is_python_space};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VersionParts {
    pub(super) epoch: u64,
    pub(super) release: Vec<u64>,
    pub(super) pre: Option<(u8, u64)>,
    pub(super) post: Option<u64>,
    pub(super) dev: Option<u64>,
    pub(super) local: Vec<LocalPart>,
}

/// A part of a local version; text sorts before numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LocalPart {
    Text(String),
    Number(u64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Point {
    Version(VersionParts),
    /// Above the version and its local versions.
    AfterLocals(VersionParts),
    /// Above the version and its post-releases.
    AfterPosts(VersionParts),
}

impl VersionParts {
    /// `None` if the text is not a version, or a number does not fit into 64 bits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let version = Version::from_str(text.trim_matches(is_python_space)).ok()?;
        let parts = Self {
            epoch: version.epoch(),
            release: version.release().to_vec(),
            pre: version.pre().map(|pre| {
                let rank = match pre.kind {
                    PrereleaseKind::Alpha => 0,
                    PrereleaseKind::Beta => 1,
                    PrereleaseKind::Rc => 2,
                };
                (rank, pre.number)
            }),
            post: version.post(),
            dev: version.dev(),
            local: version
                .local()
                .iter()
                .map(|segment| match segment {
                    LocalSegment::String(text) => LocalPart::Text(text.to_ascii_lowercase()),
                    LocalSegment::Number(number) => LocalPart::Number(*number),
                })
                .collect(),
        };
        // These numbers are incremented, and the maximum is reserved for positions.
        let room = |number: u64| number < u64::MAX - 1;
        let numbers = [parts.post, parts.dev, parts.pre.map(|(_, number)| number)];
        (parts.release.iter().all(|&n| room(n)) && numbers.into_iter().flatten().all(room)).then_some(parts)
    }

    pub(super) fn is_prerelease(&self) -> bool {
        self.pre.is_some() || self.dev.is_some()
    }

    pub(super) fn without_local(&self) -> Self {
        Self {
            local: Vec::new(),
            ..self.clone()
        }
    }

    /// The first version with the release `release`: its `.dev0`.
    pub(super) fn dev0(epoch: u64, release: Vec<u64>) -> Self {
        Self {
            epoch,
            release,
            pre: None,
            post: None,
            dev: Some(0),
            local: Vec::new(),
        }
    }

    /// `1.2` -> `1.3.dev0`.
    pub(super) fn next_release(epoch: u64, mut release: Vec<u64>) -> Self {
        if let Some(last) = release.last_mut() {
            *last += 1;
        }
        Self::dev0(epoch, release)
    }
}

/// Sort key: pre-release, post-release, development release.
type Suffix = ((u8, u64), (u8, u64), (u8, u64));

impl Point {
    fn parts(&self) -> &VersionParts {
        match self {
            Self::Version(parts) | Self::AfterLocals(parts) | Self::AfterPosts(parts) => parts,
        }
    }

    fn suffix(&self) -> Suffix {
        let parts = self.parts();
        let pre = match (parts.pre, parts.post, parts.dev) {
            (Some((rank, number)), _, _) => (rank + 1, number),
            (None, None, Some(_)) => (0, 0),
            (None, _, _) => (4, 0),
        };
        if matches!(self, Self::AfterPosts(_)) {
            return (pre, (1, u64::MAX), (1, 0));
        }
        (
            pre,
            parts.post.map_or((0, 0), |n| (1, n)),
            parts.dev.map_or((1, 0), |n| (0, n)),
        )
    }
}

impl PartialOrd for Point {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Point {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (self.parts(), other.parts());
        let beyond_locals = |point: &Self| !matches!(point, Self::Version(_));
        a.epoch
            .cmp(&b.epoch)
            .then_with(|| trimmed(&a.release).cmp(trimmed(&b.release)))
            .then_with(|| self.suffix().cmp(&other.suffix()))
            .then_with(|| match (beyond_locals(self), beyond_locals(other)) {
                (false, false) => a.local.cmp(&b.local),
                (a, b) => a.cmp(&b),
            })
    }
}

fn trimmed(release: &[u64]) -> &[u64] {
    &release[..release.iter().rposition(|&n| n != 0).map_or(0, |last| last + 1)]
}

/// The first version above a position, if there is one.
pub(super) fn first_above(point: &Point) -> Option<VersionParts> {
    match point {
        Point::Version(_) => None,
        Point::AfterLocals(parts) => Some(match parts.dev {
            Some(dev) => VersionParts {
                dev: Some(dev + 1),
                ..parts.without_local()
            },
            None => VersionParts {
                post: Some(parts.post.map_or(0, |post| post + 1)),
                dev: Some(0),
                ..parts.without_local()
            },
        }),
        Point::AfterPosts(parts) => parts.pre.map(|(kind, number)| VersionParts {
            pre: Some((kind, number + 1)),
            post: None,
            dev: Some(0),
            ..parts.without_local()
        }),
    }
}

/// Whether `text` is a version, whatever the size of its numbers. `pep440_rs` rejects numbers of more than 64 bits; `packaging` accepts them.
pub(super) fn is_version(text: &str) -> bool {
    let text = text.trim_matches(is_python_space);
    !text.starts_with('=') && !text.ends_with('*') && Specifier::is_whole(&format!("=={text}"))
}

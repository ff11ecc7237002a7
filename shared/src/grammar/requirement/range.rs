//! The versions that specifiers allow, as intervals in the order of PEP 440.
//!
//! Bounds are versions, or points between versions: above `1.0` and all `1.0+local` but below `1.0.post0` (the end of `<=1.0`), and above all
//! `1.0.postN` (the beginning of `>1.0`). The construction follows `packaging`, so that both find the same specifiers unsatisfiable.

use super::interval::{Bound, Interval};
use super::simple_version;
use super::specifier::{Operator, Specifier};
use super::version_point::{Point, VersionParts, first_above, is_version};

/// Maximum number of specifiers to intersect. An item of 512 characters has fewer.
pub const SPECIFIERS_MAX: usize = 512;

/// Allowed versions: sorted, disjoint intervals.
#[derive(Debug, Clone)]
pub(super) struct Ranges(Vec<Interval>);

impl Ranges {
    pub(super) fn full() -> Self {
        Self(vec![Interval {
            lower: Bound::open(),
            upper: Bound::open(),
        }])
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The versions that `specifier` allows; all for `===`. `None` if a number is too large.
    pub(super) fn of(specifier: &Specifier<'_>) -> Option<Self> {
        if specifier.operator() == Operator::Arbitrary {
            return Some(Self::full());
        }
        let (text, wildcard) = match specifier.version().strip_suffix(".*") {
            Some(base) => (base, true),
            None => (specifier.version(), false),
        };
        let version = VersionParts::parse(text)?;
        let has_local = !version.local.is_empty();
        let intervals = match specifier.operator() {
            Operator::Equal if wildcard => vec![Interval {
                lower: Bound::at(
                    Point::Version(VersionParts::dev0(version.epoch, version.release.clone())),
                    true,
                ),
                upper: Bound::at(
                    Point::Version(VersionParts::next_release(version.epoch, version.release)),
                    false,
                ),
            }],
            Operator::NotEqual if wildcard => vec![
                Interval::to(Bound::at(
                    Point::Version(VersionParts::dev0(version.epoch, version.release.clone())),
                    false,
                )),
                Interval::from(Bound::at(
                    Point::Version(VersionParts::next_release(version.epoch, version.release)),
                    true,
                )),
            ],
            Operator::Equal | Operator::NotEqual => {
                let upper = if has_local {
                    Point::Version(version.clone())
                } else {
                    Point::AfterLocals(version.clone())
                };
                let lower = Point::Version(version);
                if specifier.operator() == Operator::Equal {
                    vec![Interval {
                        lower: Bound::at(lower, true),
                        upper: Bound::at(upper, true),
                    }]
                } else {
                    vec![
                        Interval::to(Bound::at(lower, false)),
                        Interval::from(Bound::at(upper, false)),
                    ]
                }
            }
            Operator::Compatible => {
                let mut family = version.release.clone();
                family.pop();
                let upper = Bound::at(Point::Version(VersionParts::next_release(version.epoch, family)), false);
                vec![Interval {
                    lower: Bound::at(Point::Version(version), true),
                    upper,
                }]
            }
            Operator::GreaterEqual => vec![Interval::from(Bound::at(Point::Version(version), true))],
            Operator::LessEqual => vec![Interval::to(Bound::at(Point::AfterLocals(version), true))],
            Operator::Greater => vec![Interval::from(match (version.dev, version.post) {
                (None, None) => Bound::at(Point::AfterPosts(version), false),
                _ => Bound::at(Point::Version(first_above(&Point::AfterLocals(version))?), true),
            })],
            Operator::Less => {
                let bound = if version.is_prerelease() {
                    version
                } else {
                    VersionParts {
                        dev: Some(0),
                        ..version.without_local()
                    }
                };
                let interval = Interval::to(Bound::at(Point::Version(bound), false));
                if interval.is_empty() {
                    Vec::new()
                } else {
                    vec![interval]
                }
            }
            Operator::Arbitrary => return Some(Self::full()),
        };
        Some(Self(intervals))
    }

    pub(super) fn intersect(&self, other: &Self) -> Self {
        let mut intervals = Vec::new();
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            let lower = if a.lower.compare_lower(&b.lower).is_lt() {
                &b.lower
            } else {
                &a.lower
            };
            let left_ends_first = a.upper.compare_upper(&b.upper).is_lt();
            let upper = if left_ends_first { &a.upper } else { &b.upper };
            let common = Interval {
                lower: lower.clone(),
                upper: upper.clone(),
            };
            if !common.is_empty() {
                intervals.push(common);
            }
            if left_ends_first {
                left.next();
            } else {
                right.next();
            }
        }
        Self(intervals)
    }
}

/// Whether `version` satisfies `specifier`, including pre-releases. `None` if a number is too large.
pub(super) fn contains(specifier: &Specifier<'_>, version: &str) -> Option<bool> {
    simple_version::contains(specifier, version).map_or_else(|| contains_by_ranges(specifier, version), Some)
}

/// [`contains`] without the fast path.
pub(super) fn contains_by_ranges(specifier: &Specifier<'_>, version: &str) -> Option<bool> {
    if specifier.operator() == Operator::Arbitrary {
        return Some(specifier.version().to_lowercase() == version.to_lowercase());
    }
    if !is_version(version) {
        return Some(false);
    }
    let version = Point::Version(VersionParts::parse(version)?);
    Some(
        Ranges::of(specifier)?
            .0
            .iter()
            .any(|interval| interval.contains(&version)),
    )
}

/// Whether no version satisfies all of `specifiers`. `None` if a number is too large or there are too many specifiers.
pub(super) fn unsatisfiable(specifiers: &[Specifier<'_>]) -> Option<bool> {
    if specifiers.len() > SPECIFIERS_MAX {
        return None;
    }
    if simple_version::is_satisfiable(specifiers) {
        return Some(false);
    }
    unsatisfiable_by_ranges(specifiers)
}

/// [`unsatisfiable`] without the fast path.
pub(super) fn unsatisfiable_by_ranges(specifiers: &[Specifier<'_>]) -> Option<bool> {
    let mut allowed: Option<Ranges> = None;
    for specifier in specifiers {
        let ranges = Ranges::of(specifier)?;
        allowed = Some(match allowed {
            None => ranges,
            Some(allowed) => allowed.intersect(&ranges),
        });
        if allowed.as_ref().is_some_and(Ranges::is_empty) {
            return Some(true);
        }
    }
    let (arbitrary, others): (Vec<&Specifier<'_>>, Vec<_>) = specifiers
        .iter()
        .partition(|specifier| specifier.operator() == Operator::Arbitrary);
    // `===` allows only its own text: all other specifiers must allow it.
    let Some((first, more)) = arbitrary.split_first() else {
        return Some(false);
    };
    let candidate = first.version().to_lowercase();
    if more.iter().any(|other| other.version().to_lowercase() != candidate) {
        return Some(true);
    }
    for specifier in others {
        if !contains(specifier, first.version())? {
            return Some(true);
        }
    }
    Some(false)
}

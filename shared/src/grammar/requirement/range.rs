//! The set of versions that specifiers allow, as intervals on PEP 440's order.
//!
//! Between two versions there are points that are no version: above `1.0` and all `1.0+local` but below `1.0.post0`, and
//! above all `1.0.postN`. `<=1.0` ends at the first and `>1.0` begins at the second. The construction is that of
//! `packaging`'s own ranges, so that both call the same specifiers unsatisfiable.

use std::cmp::Ordering;

use super::plain;
use super::specifier::{Operator, Specifier};
use super::version_point::{Parts, Point, is_version, least_above};

/// More specifiers than this are not intersected: an item of 512 characters has fewer.
pub const SPECIFIERS_MAX: usize = 512;

#[derive(Debug, Clone)]
struct Bound {
    /// `None` is beyond all versions, downwards or upwards.
    point: Option<Point>,
    inclusive: bool,
}

#[derive(Debug, Clone)]
struct Interval {
    lower: Bound,
    upper: Bound,
}

/// The versions one specifier or several allow: intervals in order, apart from each other.
#[derive(Debug, Clone)]
pub(super) struct Ranges(Vec<Interval>);

impl Bound {
    fn open() -> Self {
        Self {
            point: None,
            inclusive: false,
        }
    }

    fn at(point: Point, inclusive: bool) -> Self {
        Self {
            point: Some(point),
            inclusive,
        }
    }

    fn compare_lower(&self, other: &Self) -> Ordering {
        match (&self.point, &other.point) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => a.cmp(b).then(other.inclusive.cmp(&self.inclusive)),
        }
    }

    fn compare_upper(&self, other: &Self) -> Ordering {
        match (&self.point, &other.point) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) => a.cmp(b).then(self.inclusive.cmp(&other.inclusive)),
        }
    }
}

impl Interval {
    fn from(lower: Bound) -> Self {
        Self {
            lower,
            upper: Bound::open(),
        }
    }

    fn to(upper: Bound) -> Self {
        Self {
            lower: Bound::open(),
            upper,
        }
    }

    fn is_empty(&self) -> bool {
        let Some(upper) = &self.upper.point else { return false };
        let Some(lower) = &self.lower.point else {
            return !self.upper.inclusive
                && matches!(upper, Point::FieldId(_))
                && *upper <= Point::FieldId(Parts::dev0(0, vec![0]));
        };
        if let Some(successor) = least_above(lower) {
            return match upper.cmp(&Point::FieldId(successor)) {
                Ordering::Less => true,
                Ordering::Equal => !self.upper.inclusive,
                Ordering::Greater => false,
            };
        }
        match lower.cmp(upper) {
            Ordering::Less => false,
            Ordering::Equal => !(self.lower.inclusive && self.upper.inclusive),
            Ordering::Greater => true,
        }
    }

    fn contains(&self, version: &Point) -> bool {
        let above = self.lower.point.as_ref().is_none_or(|lower| match version.cmp(lower) {
            Ordering::Less => false,
            Ordering::Equal => self.lower.inclusive,
            Ordering::Greater => true,
        });
        above
            && self.upper.point.as_ref().is_none_or(|upper| match version.cmp(upper) {
                Ordering::Less => true,
                Ordering::Equal => self.upper.inclusive,
                Ordering::Greater => false,
            })
    }
}

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

    /// The versions that `specifier` allows; all for `===`. `None` where a number is too large for us.
    pub(super) fn of(specifier: &Specifier<'_>) -> Option<Self> {
        if specifier.operator() == Operator::Arbitrary {
            return Some(Self::full());
        }
        let (text, wildcard) = match specifier.version().strip_suffix(".*") {
            Some(base) => (base, true),
            None => (specifier.version(), false),
        };
        let version = Parts::parse(text)?;
        let has_local = !version.local.is_empty();
        let intervals = match specifier.operator() {
            Operator::Equal if wildcard => vec![Interval {
                lower: Bound::at(
                    Point::FieldId(Parts::dev0(version.epoch, version.release.clone())),
                    true,
                ),
                upper: Bound::at(
                    Point::FieldId(Parts::next_family(version.epoch, version.release)),
                    false,
                ),
            }],
            Operator::NotEqual if wildcard => vec![
                Interval::to(Bound::at(
                    Point::FieldId(Parts::dev0(version.epoch, version.release.clone())),
                    false,
                )),
                Interval::from(Bound::at(
                    Point::FieldId(Parts::next_family(version.epoch, version.release)),
                    true,
                )),
            ],
            Operator::Equal | Operator::NotEqual => {
                let upper = if has_local {
                    Point::FieldId(version.clone())
                } else {
                    Point::AfterLocals(version.clone())
                };
                let lower = Point::FieldId(version);
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
                let upper = Bound::at(Point::FieldId(Parts::next_family(version.epoch, family)), false);
                vec![Interval {
                    lower: Bound::at(Point::FieldId(version), true),
                    upper,
                }]
            }
            Operator::GreaterEqual => vec![Interval::from(Bound::at(Point::FieldId(version), true))],
            Operator::LessEqual => vec![Interval::to(Bound::at(Point::AfterLocals(version), true))],
            Operator::Greater => vec![Interval::from(match (version.dev, version.post) {
                (None, None) => Bound::at(Point::AfterPosts(version), false),
                _ => Bound::at(Point::FieldId(least_above(&Point::AfterLocals(version))?), true),
            })],
            Operator::Less => {
                let bound = if version.is_prerelease() {
                    version
                } else {
                    Parts {
                        dev: Some(0),
                        ..version.without_local()
                    }
                };
                let interval = Interval::to(Bound::at(Point::FieldId(bound), false));
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

/// Whether `version` satisfies `specifier`, pre-releases allowed.
pub(super) fn contains(specifier: &Specifier<'_>, version: &str) -> Option<bool> {
    plain::contains(specifier, version).map_or_else(|| contains_by_ranges(specifier, version), Some)
}

/// The same by arithmetic.
pub(super) fn contains_by_ranges(specifier: &Specifier<'_>, version: &str) -> Option<bool> {
    if specifier.operator() == Operator::Arbitrary {
        return Some(specifier.version().to_lowercase() == version.to_lowercase());
    }
    if !is_version(version) {
        return Some(false);
    }
    let version = Point::FieldId(Parts::parse(version)?);
    Some(
        Ranges::of(specifier)?
            .0
            .iter()
            .any(|interval| interval.contains(&version)),
    )
}

/// Whether no version satisfies all of `specifiers`. `None` where that is beyond us.
pub(super) fn unsatisfiable(specifiers: &[Specifier<'_>]) -> Option<bool> {
    if specifiers.len() > SPECIFIERS_MAX {
        return None;
    }
    if plain::is_satisfiable(specifiers) {
        return Some(false);
    }
    unsatisfiable_by_ranges(specifiers)
}

/// The same by arithmetic.
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
    // `===` leaves one candidate, its own text: the others must agree on it and allow it.
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

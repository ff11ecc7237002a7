//! Intervals of versions, with bounds that are versions or positions between versions.

use std::cmp::Ordering;

use super::version_point::{Point, VersionParts, first_above};

#[derive(Debug, Clone)]
pub(super) struct Bound {
    /// `None` is unbounded.
    point: Option<Point>,
    inclusive: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Interval {
    pub(super) lower: Bound,
    pub(super) upper: Bound,
}

impl Bound {
    pub(super) fn open() -> Self {
        Self {
            point: None,
            inclusive: false,
        }
    }

    pub(super) fn at(point: Point, inclusive: bool) -> Self {
        Self {
            point: Some(point),
            inclusive,
        }
    }

    pub(super) fn compare_lower(&self, other: &Self) -> Ordering {
        match (&self.point, &other.point) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => a.cmp(b).then(other.inclusive.cmp(&self.inclusive)),
        }
    }

    pub(super) fn compare_upper(&self, other: &Self) -> Ordering {
        match (&self.point, &other.point) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) => a.cmp(b).then(self.inclusive.cmp(&other.inclusive)),
        }
    }
}

impl Interval {
    pub(super) fn from(lower: Bound) -> Self {
        Self {
            lower,
            upper: Bound::open(),
        }
    }

    pub(super) fn to(upper: Bound) -> Self {
        Self {
            lower: Bound::open(),
            upper,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        let Some(upper) = &self.upper.point else { return false };
        let Some(lower) = &self.lower.point else {
            return !self.upper.inclusive
                && matches!(upper, Point::Version(_))
                && *upper <= Point::Version(VersionParts::dev0(0, vec![0]));
        };
        if let Some(successor) = first_above(lower) {
            return match upper.cmp(&Point::Version(successor)) {
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

    pub(super) fn contains(&self, version: &Point) -> bool {
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

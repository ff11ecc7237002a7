//! Fast path for versions that consist of numbers only, such as `1.26.4`. [`super::range`] handles all versions.

use std::cmp::Ordering;

use super::specifier::{Operator, Specifier};

/// Compares two versions of short numbers separated by dots. `None` for other versions.
fn compare(left: &str, right: &str) -> Option<Ordering> {
    let number = |part: Option<&str>| {
        let digits = part.unwrap_or("0").bytes();
        let is_short = (1..=9).contains(&digits.len());
        (is_short && digits.clone().all(|byte| byte.is_ascii_digit()))
            .then(|| digits.fold(0_u64, |number, digit| 10 * number + u64::from(digit - b'0')))
    };
    let (mut left, mut right) = (left.split('.'), right.split('.'));
    let mut ordering = Ordering::Equal;
    loop {
        let parts = (left.next(), right.next());
        if parts == (None, None) {
            return Some(ordering);
        }
        ordering = ordering.then(number(parts.0)?.cmp(&number(parts.1)?));
    }
}

/// Whether `version` satisfies `specifier`. `None` if one of them is not a simple version, or for `~=` and `===`.
pub(super) fn contains(specifier: &Specifier<'_>, version: &str) -> Option<bool> {
    let ordering = || compare(version, specifier.version());
    Some(match specifier.operator() {
        Operator::Equal => ordering()?.is_eq(),
        Operator::NotEqual => ordering()?.is_ne(),
        Operator::LessEqual => ordering()?.is_le(),
        Operator::GreaterEqual => ordering()?.is_ge(),
        Operator::Less => ordering()?.is_lt(),
        Operator::Greater => ordering()?.is_gt(),
        Operator::Compatible | Operator::Arbitrary => return None,
    })
}

/// Whether `specifiers` are satisfiable for a simple reason: they have no upper bound, or are a pair such as `>=1.5,<3`. `false` means unknown.
pub(super) fn is_satisfiable(specifiers: &[Specifier<'_>]) -> bool {
    let (from, to) = match specifiers {
        [a, b] if b.operator() == Operator::Less => (a, b),
        [a, b] if a.operator() == Operator::Less => (b, a),
        all => {
            let is_open = |operator| {
                matches!(
                    operator,
                    Operator::GreaterEqual | Operator::Greater | Operator::NotEqual
                )
            };
            return all.iter().all(|specifier| is_open(specifier.operator()));
        }
    };
    // Pre-releases of the upper bound do not satisfy `<`, but all versions below do.
    from.operator() == Operator::GreaterEqual && compare(from.version(), to.version()) == Some(Ordering::Less)
}

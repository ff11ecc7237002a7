//! What can be said of versions that are plain numbers, such as `1.26.4`, without making ranges of them: nearly all that people
//! write. Whatever else there is, [`super::range`] answers.

use std::cmp::Ordering;

use super::specifier::{Operator, Specifier};

/// How two versions compare that are nothing but short numbers with dots between, as most are. `None` for any other.
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

/// Whether `version` satisfies `specifier`. `None` where one of them is no plain number, or where a family or text is meant.
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

/// Whether it can be seen without arithmetic that some version satisfies all of `specifiers`, as with nearly all that
/// people write: they have no upper end, or are a pair such as `>=1.5,<3`.
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
    // The pre-releases of the upper end are not below it, but those of anything before are.
    from.operator() == Operator::GreaterEqual && compare(from.version(), to.version()) == Some(Ordering::Less)
}

//! Whether two markers are never both true, so that the same project may be listed twice.
//!
//! The result is `false` if it is not certain. The markers are converted to disjunctive normal form, up to a size limit, and each conjunction
//! is checked for contradictory Python versions or string comparisons.

use super::marker::{Comparison, Marker, MarkerOperator, Node, Variable};
use super::range::Ranges;
use super::specifier::{Operator, Specifier};

/// Limits of the disjunctive normal form; beyond them the result is `false`.
const TERMS_MAX: usize = 64;
const COMPARISONS_MAX: usize = 64;

type Term<'a> = Vec<&'a Comparison>;

impl Marker {
    /// Whether no environment satisfies both markers. `false` also where that is not certain.
    pub fn disjoint(&self, other: &Self) -> bool {
        let both = self
            .terms()
            .zip(other.terms())
            .and_then(|(left, right)| product(&left, &right));
        both.is_some_and(|terms| terms.iter().all(|term| contradictory(term)))
    }

    fn terms(&self) -> Option<Vec<Term<'_>>> {
        let mut stack: Vec<Vec<Term<'_>>> = Vec::new();
        for node in &self.nodes {
            let terms = match node {
                Node::Comparison(comparison) => vec![vec![comparison]],
                Node::And | Node::Or => {
                    let right = stack.pop()?;
                    let left = stack.pop()?;
                    if *node == Node::And {
                        product(&left, &right)?
                    } else {
                        [left, right].concat()
                    }
                }
            };
            if terms.len() > TERMS_MAX {
                return None;
            }
            stack.push(terms);
        }
        stack.pop()
    }
}

fn product<'a>(left: &[Term<'a>], right: &[Term<'a>]) -> Option<Vec<Term<'a>>> {
    let small =
        left.len() * right.len() <= TERMS_MAX && left.iter().chain(right).all(|term| term.len() <= COMPARISONS_MAX / 2);
    small.then(|| {
        left.iter()
            .flat_map(|a| right.iter().map(move |b| [a.as_slice(), b].concat()))
            .collect()
    })
}

fn contradictory(term: &[&Comparison]) -> bool {
    let mut versions = VersionConstraints::default();
    let mut texts: Vec<(Variable, bool, &str)> = Vec::new();
    for comparison in term {
        let Some((variable, literal, variable_left)) = comparison.sides() else {
            continue;
        };
        let MarkerOperator::Compare(operator) = comparison.operator else {
            continue;
        };
        match variable {
            Variable::PythonVersion | Variable::PythonFullVersion => {
                versions.add(variable, operator, literal, variable_left);
            }
            // Each requested extra is evaluated separately; the others may be compared as versions.
            Variable::Extra
            | Variable::Extras
            | Variable::DependencyGroups
            | Variable::PlatformRelease
            | Variable::ImplementationVersion => {}
            _ => match operator {
                Operator::Equal => texts.push((variable, true, literal)),
                Operator::NotEqual => texts.push((variable, false, literal)),
                _ => {}
            },
        }
    }
    versions.impossible() || texts_contradict(&texts)
}

fn texts_contradict(texts: &[(Variable, bool, &str)]) -> bool {
    texts.iter().filter(|(_, equal, _)| *equal).any(|(variable, _, value)| {
        texts
            .iter()
            .any(|(other, equal, text)| other == variable && (value == text) != *equal)
    })
}

/// The allowed ranges of `python_version` and `python_full_version`.
#[derive(Default)]
struct VersionConstraints {
    short: Option<Ranges>,
    full: Option<Ranges>,
}

impl VersionConstraints {
    fn add(&mut self, variable: Variable, operator: Operator, literal: &str, variable_left: bool) {
        // With the variable on the right, the operator is reversed. A reversed operator may allow more versions, which is safe; the others are
        // ignored.
        let operator = match (variable_left, operator) {
            (true, operator) => operator,
            (false, Operator::Less | Operator::LessEqual) => Operator::GreaterEqual,
            (false, Operator::Greater | Operator::GreaterEqual) => Operator::LessEqual,
            (false, Operator::Equal) => Operator::Equal,
            (false, _) => return,
        };
        if operator == Operator::Arbitrary || (!variable_left && literal.contains(['*', '+'])) {
            return;
        }
        if variable == Variable::PythonFullVersion {
            narrow(&mut self.full, operator, literal);
            return;
        }
        narrow(&mut self.short, operator, literal);
        // `python_version` is the first two numbers of `python_full_version`, so a comparison with two numbers also limits the full version.
        let Some((major, minor)) = major_minor(literal) else {
            return;
        };
        let (this, next) = (format!("{major}.{minor}.dev0"), format!("{major}.{}.dev0", minor + 1));
        match operator {
            Operator::Equal => narrow(&mut self.full, Operator::Equal, &format!("{major}.{minor}.*")),
            Operator::NotEqual => narrow(&mut self.full, Operator::NotEqual, &format!("{major}.{minor}.*")),
            Operator::GreaterEqual => narrow(&mut self.full, Operator::GreaterEqual, &this),
            Operator::Compatible => {
                narrow(&mut self.full, Operator::GreaterEqual, &this);
                narrow(&mut self.full, Operator::Equal, &format!("{major}.*"));
            }
            Operator::Less => narrow(&mut self.full, Operator::Less, &this),
            Operator::LessEqual => narrow(&mut self.full, Operator::Less, &next),
            Operator::Greater => narrow(&mut self.full, Operator::GreaterEqual, &next),
            Operator::Arbitrary => {}
        }
    }

    fn impossible(&self) -> bool {
        [&self.short, &self.full].into_iter().flatten().any(Ranges::is_empty)
    }
}

/// Intersects the allowed range with a comparison. A literal that is not a version is ignored, because it is compared as text.
fn narrow(allowed: &mut Option<Ranges>, operator: Operator, literal: &str) {
    let text = format!("{}{literal}", operator.as_str());
    if let Some(ranges) = Specifier::parse(&text).as_ref().and_then(Ranges::of) {
        *allowed = Some(
            allowed
                .as_ref()
                .map_or_else(|| ranges.clone(), |allowed| allowed.intersect(&ranges)),
        );
    }
}

fn major_minor(literal: &str) -> Option<(u32, u32)> {
    let (major, minor) = literal.trim().split_once('.')?;
    let number = |text: &str| (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok());
    Some((number(major)??, number(minor)??)).filter(|(_, minor)| *minor < u32::MAX)
}

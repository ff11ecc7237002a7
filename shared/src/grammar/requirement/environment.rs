//! Evaluates markers for a Python version in a partly known environment.
//!
//! The images run Linux, so the variables of the operating system are known; machine, kernel and implementation are unknown. `extra` is empty,
//! as in pip for a list of requirements.

use super::marker::{Comparison, Marker, MarkerOperator, Node, Operand, Variable};
use super::normalize_name;
use super::range::SPECIFIERS_MAX;
use super::specifier::{Operator, Specifier};

/// The known part of the environment of a marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// `major.minor`
    python: Option<(u64, u64)>,
    patch: Option<u64>,
}

/// A truth value of three-valued logic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants say it")]
pub enum Truth {
    True,
    False,
    Unknown,
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

impl Truth {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::False, _) | (_, Self::False) => Self::False,
            (Self::True, Self::True) => Self::True,
            _ => Self::Unknown,
        }
    }

    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::True, _) | (_, Self::True) => Self::True,
            (Self::False, Self::False) => Self::False,
            _ => Self::Unknown,
        }
    }
}

impl Environment {
    /// An environment for a Python version such as `3.8` or `3.8.10`. For other texts, the version is unknown.
    pub fn for_python(version: &str) -> Self {
        let numbers: Option<Vec<u64>> = version
            .split('.')
            .map(|part| {
                if part.bytes().all(|b| b.is_ascii_digit()) {
                    part.parse().ok()
                } else {
                    None
                }
            })
            .collect();
        match numbers.as_deref() {
            Some(&[major, minor]) => Self {
                python: Some((major, minor)),
                patch: None,
            },
            Some(&[major, minor, patch]) => Self {
                python: Some((major, minor)),
                patch: Some(patch),
            },
            _ => Self {
                python: None,
                patch: None,
            },
        }
    }

    /// The value of a variable, if known.
    fn value(&self, variable: Variable) -> Option<String> {
        match variable {
            Variable::PythonVersion => self.python.map(|(major, minor)| format!("{major}.{minor}")),
            Variable::PythonFullVersion => self
                .python
                .zip(self.patch)
                .map(|((major, minor), patch)| format!("{major}.{minor}.{patch}")),
            Variable::OsName => Some("posix".to_owned()),
            Variable::SysPlatform => Some("linux".to_owned()),
            Variable::PlatformSystem => Some("Linux".to_owned()),
            Variable::Extra => Some(String::new()),
            _ => None,
        }
    }
}

impl Marker {
    /// Evaluates the marker with the comparison rules of `packaging`.
    pub fn evaluate(&self, environment: &Environment) -> Truth {
        let mut stack: Vec<Truth> = Vec::new();
        for node in &self.nodes {
            let value = match node {
                Node::Comparison(comparison) => comparison.evaluate(environment),
                Node::And | Node::Or => {
                    let right = stack.pop().unwrap_or(Truth::Unknown);
                    let left = stack.pop().unwrap_or(Truth::Unknown);
                    if *node == Node::And {
                        left.and(right)
                    } else {
                        left.or(right)
                    }
                }
            };
            stack.push(value);
        }
        stack.pop().unwrap_or(Truth::Unknown)
    }
}

impl Comparison {
    /// The variable, the literal, and whether the variable is on the left. `None` for two variables or two literals, which `packaging` cannot
    /// evaluate, and for literals with unrepresentable characters.
    pub(super) fn sides(&self) -> Option<(Variable, &str, bool)> {
        match (&self.left, &self.right) {
            (Operand::Variable(variable), Operand::Literal(text)) => Some((*variable, text.as_str(), true)),
            (Operand::Literal(text), Operand::Variable(variable)) => Some((*variable, text.as_str(), false)),
            _ => None,
        }
        .filter(|(_, text, _)| !text.contains(char::REPLACEMENT_CHARACTER))
    }

    fn evaluate(&self, environment: &Environment) -> Truth {
        let Some((variable, literal, variable_left)) = self.sides() else {
            return Truth::Unknown;
        };
        if variable == Variable::PythonFullVersion && environment.patch.is_none() {
            return self.evaluate_any_patch(environment, literal, variable_left);
        }
        let literal = if variable == Variable::Extra {
            normalize_name(literal).into_owned()
        } else {
            literal.to_owned()
        };
        match environment.value(variable) {
            Some(value) if variable_left => compare(&value, self.operator, &literal, variable),
            Some(value) => compare(&literal, self.operator, &value, variable),
            None => Truth::Unknown,
        }
    }

    /// The result if it is the same for every patch release. It can only change next to a number of the literal, so only those patch releases
    /// are evaluated.
    fn evaluate_any_patch(&self, environment: &Environment, literal: &str, variable_left: bool) -> Truth {
        let Some((major, minor)) = environment.python else {
            return Truth::Unknown;
        };
        if !matches!(self.operator, MarkerOperator::Compare(_)) || literal.len() > SPECIFIERS_MAX {
            return Truth::Unknown;
        }
        let mut patches = vec![0, 1_000_000_000];
        for number in literal
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|digits| digits.parse::<u64>().ok())
        {
            patches.extend([number.saturating_sub(1), number, number.saturating_add(1)]);
        }
        let mut results = patches.into_iter().map(|patch| {
            let value = format!("{major}.{minor}.{patch}");
            if variable_left {
                compare(&value, self.operator, literal, Variable::PythonFullVersion)
            } else {
                compare(literal, self.operator, &value, Variable::PythonFullVersion)
            }
        });
        let first = results.next().unwrap_or(Truth::Unknown);
        if results.all(|result| result == first) {
            first
        } else {
            Truth::Unknown
        }
    }
}

/// Compares as `packaging` does: as versions if the variable is a version and the right side is valid, else as text.
fn compare(left: &str, operator: MarkerOperator, right: &str, variable: Variable) -> Truth {
    let operator = match operator {
        MarkerOperator::In => return right.contains(left).into(),
        MarkerOperator::NotIn => return (!right.contains(left)).into(),
        MarkerOperator::Compare(operator) => operator,
    };
    if variable.is_version()
        && let Some(specifier) = Specifier::parse(&format!("{}{right}", operator.as_str()))
    {
        return specifier.contains(left).map_or(Truth::Unknown, Truth::from);
    }
    match operator {
        Operator::Equal | Operator::LessEqual | Operator::GreaterEqual => (left == right).into(),
        Operator::NotEqual => (left != right).into(),
        Operator::Less | Operator::Greater => Truth::False,
        // Not defined for text: pip reports an error.
        Operator::Compatible | Operator::Arbitrary => Truth::Unknown,
    }
}

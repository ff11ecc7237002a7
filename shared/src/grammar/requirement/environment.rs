//! Evaluating a marker for a Python version that was chosen, while the rest of the environment is only partly known.
//!
//! The images run Linux, so the variables that say so are known; the machine, the kernel and the implementation are not.
//! No extra is ever requested of a list of requirements, so `extra` is empty, as it is for pip.

use super::marker::{Comparison, Marker, MarkerOperator, Node, Operand, Variable};
use super::normalize_name;
use super::range::SPECIFIERS_MAX;
use super::specifier::{Operator, Specifier};

/// What is known of the environment in which a marker is evaluated.
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
    /// An environment with the Python version as a person chose it: `3.8`, or `3.8.10`. What is no such version leaves it
    /// unknown.
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

    /// The one value of a variable, where it is certain.
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
    /// Whether the marker holds in `environment`, by `packaging`'s rules of comparison.
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
    /// The variable, the literal, and whether the variable stands left. `None` for two of a kind, which `packaging` cannot
    /// evaluate, and for a literal that was not all representable.
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

    /// Only what is the same for every patch release of the chosen Python is known. The answer can change only next to a
    /// number that the literal has, so those patches stand for all.
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
        let mut verdicts = patches.into_iter().map(|patch| {
            let value = format!("{major}.{minor}.{patch}");
            if variable_left {
                compare(&value, self.operator, literal, Variable::PythonFullVersion)
            } else {
                compare(literal, self.operator, &value, Variable::PythonFullVersion)
            }
        });
        let first = verdicts.next().unwrap_or(Truth::Unknown);
        if verdicts.all(|verdict| verdict == first) {
            first
        } else {
            Truth::Unknown
        }
    }
}

/// `packaging`'s comparison: as versions where the variable is one and the right side can be read so, else as text.
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
        // Not defined for text: pip stops with an error.
        Operator::Compatible | Operator::Arbitrary => Truth::Unknown,
    }
}

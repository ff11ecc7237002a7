//! Environment markers (PEP 508), parsed into a list in postfix order.
//!
//! With a list, parsing, evaluating and dropping do not recurse, whatever the input.

use super::MARKER_DEPTH_MAX;
use super::cursor::Cursor;
use super::parse::{RequirementError, RequirementErrorKind as Kind, fail};
use super::python_string::unquote;
use super::specifier::Operator;

/// A parsed marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    pub(super) nodes: Vec<Node>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Comparison(Comparison),
    And,
    Or,
}

/// `left operator right`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The left side.
    pub left: Operand,
    /// The operator.
    pub operator: MarkerOperator,
    /// The right side.
    pub right: Operand,
}

/// A side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants say it")]
pub enum Operand {
    Variable(Variable),
    /// A quoted string, unescaped.
    Literal(String),
}

/// The operator of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants are the operators' own names")]
pub enum MarkerOperator {
    In,
    NotIn,
    Compare(Operator),
}

impl MarkerOperator {
    /// The operator as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::NotIn => "not in",
            Self::Compare(operator) => operator.as_str(),
        }
    }
}

/// The variables of PEP 508 and later. The names with a dot and `python_implementation` are deprecated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variables have the names PEP 508 gives them")]
pub enum Variable {
    PythonVersion,
    PythonFullVersion,
    OsName,
    SysPlatform,
    PlatformRelease,
    PlatformSystem,
    PlatformVersion,
    PlatformMachine,
    PlatformPythonImplementation,
    ImplementationName,
    ImplementationVersion,
    Extra,
    Extras,
    DependencyGroups,
}

impl Variable {
    const SPELLINGS: [(&'static str, Self); 20] = [
        ("python_version", Self::PythonVersion),
        ("python_full_version", Self::PythonFullVersion),
        ("os_name", Self::OsName),
        ("os.name", Self::OsName),
        ("sys_platform", Self::SysPlatform),
        ("sys.platform", Self::SysPlatform),
        ("platform_release", Self::PlatformRelease),
        ("platform_system", Self::PlatformSystem),
        ("platform_version", Self::PlatformVersion),
        ("platform.version", Self::PlatformVersion),
        ("platform_machine", Self::PlatformMachine),
        ("platform.machine", Self::PlatformMachine),
        ("platform_python_implementation", Self::PlatformPythonImplementation),
        ("platform.python_implementation", Self::PlatformPythonImplementation),
        ("python_implementation", Self::PlatformPythonImplementation),
        ("implementation_name", Self::ImplementationName),
        ("implementation_version", Self::ImplementationVersion),
        ("extra", Self::Extra),
        ("extras", Self::Extras),
        ("dependency_groups", Self::DependencyGroups),
    ];

    /// Whether `packaging` compares the variable as a version if the other side is one.
    pub(super) fn is_version(self) -> bool {
        matches!(
            self,
            Self::PythonVersion | Self::PythonFullVersion | Self::PlatformRelease | Self::ImplementationVersion
        )
    }
}

/// An entry of the operator stack.
enum Pending {
    Parenthesis,
    And,
    Or,
}

/// Parses the marker after `;` up to the end of the text.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Marker, RequirementError> {
    let mut nodes = Vec::new();
    let mut pending = Vec::new();
    let mut depth = 0;
    loop {
        cursor.skip_blanks();
        if cursor.eat(b'(') {
            depth += 1;
            if depth > MARKER_DEPTH_MAX {
                return fail(Kind::MarkerDepth, cursor);
            }
            pending.push(Pending::Parenthesis);
            continue;
        }
        nodes.push(Node::Comparison(comparison(cursor)?));
        loop {
            cursor.skip_blanks();
            if depth == 0 || !cursor.eat(b')') {
                break;
            }
            depth -= 1;
            reduce(&mut nodes, &mut pending, |top| !matches!(top, Pending::Parenthesis));
            pending.pop();
        }
        if cursor.eat_keyword("and") {
            reduce(&mut nodes, &mut pending, |top| matches!(top, Pending::And));
            pending.push(Pending::And);
        } else if cursor.eat_keyword("or") {
            reduce(&mut nodes, &mut pending, |top| !matches!(top, Pending::Parenthesis));
            pending.push(Pending::Or);
        } else if depth > 0 {
            return fail(Kind::MarkerParenthesis, cursor);
        } else if cursor.at_end() {
            reduce(&mut nodes, &mut pending, |_| true);
            return Ok(Marker { nodes });
        } else {
            return fail(Kind::AfterMarker, cursor);
        }
    }
}

/// Moves operators from the stack to the list while `should_pop` is true.
fn reduce(nodes: &mut Vec<Node>, pending: &mut Vec<Pending>, should_pop: impl Fn(&Pending) -> bool) {
    while let Some(top) = pending.pop_if(|top| should_pop(top)) {
        match top {
            Pending::And => nodes.push(Node::And),
            Pending::Or => nodes.push(Node::Or),
            Pending::Parenthesis => {}
        }
    }
}

fn comparison(cursor: &mut Cursor<'_>) -> Result<Comparison, RequirementError> {
    let left = operand(cursor)?;
    cursor.skip_blanks();
    let operator = operator(cursor)?;
    cursor.skip_blanks();
    let right = operand(cursor)?;
    Ok(Comparison { left, operator, right })
}

fn operand(cursor: &mut Cursor<'_>) -> Result<Operand, RequirementError> {
    if let Some((_, variable)) = Variable::SPELLINGS
        .into_iter()
        .find(|(spelling, _)| cursor.eat_keyword(spelling))
    {
        return Ok(Operand::Variable(variable));
    }
    let Some(quote @ (b'\'' | b'"')) = cursor.peek() else {
        return fail(Kind::MarkerOperand, cursor);
    };
    let Some(length) = cursor.rest()[1..].find(char::from(quote)) else {
        return fail(Kind::MarkerString, cursor);
    };
    let Some(value) = unquote(&cursor.rest()[1..=length]) else {
        return fail(Kind::MarkerString, cursor);
    };
    cursor.take(length + 2);
    Ok(Operand::Literal(value))
}

fn operator(cursor: &mut Cursor<'_>) -> Result<MarkerOperator, RequirementError> {
    if cursor.eat_keyword("in") {
        return Ok(MarkerOperator::In);
    }
    if cursor.eat_keyword("not") {
        let separated = cursor.skip_blanks();
        return if separated && cursor.eat_keyword("in") {
            Ok(MarkerOperator::NotIn)
        } else {
            fail(Kind::MarkerOperator, cursor)
        };
    }
    match Operator::at_start(cursor.rest()) {
        Some(operator) => {
            cursor.take(operator.as_str().len());
            Ok(MarkerOperator::Compare(operator))
        }
        None => fail(Kind::MarkerOperator, cursor),
    }
}

//! Version specifiers (PEP 440), with the lexical form of `packaging.specifiers.Specifier`.

use std::fmt;

use smallvec::SmallVec;

use super::range;
use super::version_lexer::version_length;

/// The operator of a specifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the operators have the names PEP 440 gives them")]
pub enum Operator {
    /// `===`, equality of the text.
    Arbitrary,
    Equal,
    NotEqual,
    /// `~=`
    Compatible,
    LessEqual,
    GreaterEqual,
    Less,
    Greater,
}

impl Operator {
    /// The operator as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Arbitrary => "===",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Compatible => "~=",
            Self::LessEqual => "<=",
            Self::GreaterEqual => ">=",
            Self::Less => "<",
            Self::Greater => ">",
        }
    }

    /// The longest operator at the start of `text`.
    pub(super) fn at_start(text: &str) -> Option<Self> {
        let byte = |index: usize| text.as_bytes().get(index).copied();
        let is_followed = byte(1) == Some(b'=');
        Some(match byte(0)? {
            b'=' if is_followed && byte(2) == Some(b'=') => Self::Arbitrary,
            b'=' if is_followed => Self::Equal,
            b'!' if is_followed => Self::NotEqual,
            b'~' if is_followed => Self::Compatible,
            b'<' if is_followed => Self::LessEqual,
            b'>' if is_followed => Self::GreaterEqual,
            b'<' => Self::Less,
            b'>' => Self::Greater,
            _ => return None,
        })
    }
}

/// One specifier, such as `>=1.2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Specifier<'a> {
    operator: Operator,
    version: &'a str,
}

impl<'a> Specifier<'a> {
    /// Parses one specifier; surrounding white space is ignored, as in Python.
    pub fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim_matches(is_python_space);
        let (specifier, length) = Self::at_start(text)?;
        (length == text.len()).then_some(specifier)
    }

    /// The specifier at the start of `text`, and its length.
    pub(super) fn at_start(text: &'a str) -> Option<(Self, usize)> {
        let operator = Operator::at_start(text)?;
        let rest = text[operator.as_str().len()..].trim_start_matches(is_python_space);
        let version = &rest[..version_length(operator, rest)?];
        let length = text.len() - rest.len() + version.len();
        Some((Self { operator, version }, length))
    }

    /// Whether `text` is exactly one specifier without white space.
    pub(super) fn is_whole(text: &'a str) -> bool {
        Self::at_start(text).is_some_and(|(_, length)| length == text.len())
    }

    /// The operator.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// The version as written, including `.*`. After `===` it can be any text or empty.
    pub fn version(&self) -> &'a str {
        self.version
    }

    /// Whether a version satisfies this specifier, including pre-releases. `None` for numbers of more than 64 bits.
    pub(super) fn contains(&self, version: &str) -> Option<bool> {
        range::contains(self, version)
    }
}

impl fmt::Display for Specifier<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.operator.as_str(), self.version)
    }
}

/// The specifiers of a requirement; a version must satisfy all of them. Empty: any version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Specifiers<'a>(List<'a>);

/// Most requirements have one or two specifiers, which need no allocation.
pub(super) type List<'a> = SmallVec<[Specifier<'a>; 2]>;

impl<'a> Specifiers<'a> {
    /// Creates specifiers from parsed ones. After `===`, a comma does not end the version, so `packaging` splits the version at commas again:
    /// `===a,==1` is two specifiers, and `===a,b` is invalid. The error is the invalid part.
    pub(super) fn new(parsed: List<'a>) -> Result<Self, &'a str> {
        if parsed.iter().all(|specifier| specifier.operator != Operator::Arbitrary) {
            return Ok(Self(parsed));
        }
        let mut specifiers = List::with_capacity(parsed.len());
        for Specifier { operator, version } in parsed {
            // Versions of other operators contain no comma.
            let mut parts = version.split(',').map(|part| part.trim_matches(is_python_space));
            let version = parts.next().unwrap_or_default();
            specifiers.push(Specifier { operator, version });
            for part in parts.filter(|part| !part.is_empty()) {
                specifiers.push(Specifier::parse(part).ok_or(part)?);
            }
        }
        Ok(Self(specifiers))
    }

    /// Whether any version is allowed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The specifiers in their order.
    pub fn iter(&self) -> std::slice::Iter<'_, Specifier<'a>> {
        self.0.iter()
    }

    /// Whether no version can satisfy these specifiers, including pre-releases.
    ///
    /// `false` for numbers of more than 64 bits, or more than [`range::SPECIFIERS_MAX`] specifiers.
    pub fn contradict(&self) -> bool {
        range::unsatisfiable(&self.0).unwrap_or(false)
    }
}

impl<'s, 'a> IntoIterator for &'s Specifiers<'a> {
    type Item = &'s Specifier<'a>;
    type IntoIter = std::slice::Iter<'s, Specifier<'a>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// White space in Python's `str.isspace` and `\s`.
pub(super) fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

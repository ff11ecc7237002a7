//! Version specifiers (PEP 440), with exactly the lexical form that `packaging.specifiers.Specifier` takes.

use std::fmt;

use super::range;

/// The comparison of a specifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the operators have the names PEP 440 gives them")]
pub enum Operator {
    /// `===`, equality of the text itself.
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
    /// In the order in which a text must be tried against them.
    const ALL: [Self; 8] = [
        Self::Arbitrary,
        Self::Equal,
        Self::NotEqual,
        Self::Compatible,
        Self::LessEqual,
        Self::GreaterEqual,
        Self::Less,
        Self::Greater,
    ];

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

    /// The operator that `text` begins with.
    pub(super) fn at_start(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|operator| text.starts_with(operator.as_str()))
    }
}

/// One specifier, such as `>=1.2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Specifier {
    operator: Operator,
    version: String,
}

impl Specifier {
    /// Parses one specifier; white space around it is ignored, as in Python.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches(is_python_space);
        let operator = Operator::at_start(text)?;
        if prefix(text) != Some(text.len()) {
            return None;
        }
        let version = text[operator.as_str().len()..].trim_matches(is_python_space).to_owned();
        Some(Self { operator, version })
    }

    /// The comparison.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// The version as written, with its `.*` if it has one. After `===` it can be any text, or none.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether a version satisfies this specifier, pre-releases allowed. `None` where that is beyond us: numbers of more
    /// than 64 bits.
    pub(super) fn contains(&self, version: &str) -> Option<bool> {
        range::contains(self, version)
    }
}

impl fmt::Display for Specifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.operator.as_str(), self.version)
    }
}

/// The specifiers of a requirement, all of which a version must satisfy. Empty means any version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Specifiers(Vec<Specifier>);

impl Specifiers {
    /// From texts that each are a specifier by [`prefix`].
    pub(super) fn from_parts(parts: &[&str]) -> Result<Self, String> {
        let known = parts.iter().map(|part| {
            let operator = Operator::at_start(part).filter(|operator| *operator != Operator::Arbitrary)?;
            let version = part[operator.as_str().len()..].trim_start_matches(is_python_space);
            Some(Specifier {
                operator,
                version: version.to_owned(),
            })
        });
        // A comma can only be in what follows `===`, so all others are what they were taken for.
        match known.collect::<Option<Vec<_>>>() {
            Some(known) => Ok(Self(known)),
            None => Self::from_joined(&parts.join(",")),
        }
    }

    /// Splits at commas, as `packaging` does after tokenizing: so `===a,==1` is two, and `===a,b` is none.
    fn from_joined(joined: &str) -> Result<Self, String> {
        let parts = joined
            .split(',')
            .map(|part| part.trim_matches(is_python_space))
            .filter(|part| !part.is_empty());
        let parsed = parts.map(|part| Specifier::parse(part).ok_or_else(|| part.to_owned()));
        Ok(Self(parsed.collect::<Result<_, _>>()?))
    }

    /// Whether any version will do.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The specifiers in the order in which they are written.
    pub fn iter(&self) -> std::slice::Iter<'_, Specifier> {
        self.0.iter()
    }

    /// Whether no version at all can satisfy these specifiers, pre-releases included.
    ///
    /// Never true by mistake: with numbers of more than 64 bits, or more than [`range::SPECIFIERS_MAX`] specifiers, it is
    /// `false`.
    pub fn contradict(&self) -> bool {
        range::unsatisfiable(&self.0).unwrap_or(false)
    }
}

impl<'a> IntoIterator for &'a Specifiers {
    type Item = &'a Specifier;
    type IntoIter = std::slice::Iter<'a, Specifier>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// What Python's `str.isspace` and `\s` take for white space.
pub(super) fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// The length of the specifier that `text` begins with.
///
/// Follows `Specifier._specifier_regex_str`. Behind the release everything in that expression is optional, so the first
/// match of each part is the expression's own and there is nothing to go back for.
pub(super) fn prefix(text: &str) -> Option<usize> {
    let operator = Operator::at_start(text)?;
    let mut scanner = Scanner {
        rest: text[operator.as_str().len()..].trim_start_matches(is_python_space),
        folded: operator == Operator::Compatible,
    };
    if operator == Operator::Arbitrary {
        let end = scanner
            .rest
            .find(|c: char| is_python_space(c) || c == ';' || c == ')')
            .unwrap_or(scanner.rest.len());
        return Some(text.len() - scanner.rest.len() + end);
    }
    scanner.one_of(&["v"]);
    let parts = scanner.release()?;
    let equality = matches!(operator, Operator::Equal | Operator::NotEqual);
    if operator == Operator::Compatible && parts < 2 {
        return None;
    }
    if equality && scanner.literal(".*") {
        return Some(text.len() - scanner.rest.len());
    }
    scanner.suffix(&["alpha", "beta", "preview", "pre", "a", "b", "c", "rc"]);
    if !scanner.implicit_post() {
        scanner.suffix(&["post", "rev", "r"]);
    }
    scanner.suffix(&["dev"]);
    if equality {
        scanner.local();
    }
    Some(text.len() - scanner.rest.len())
}

struct Scanner<'a> {
    rest: &'a str,
    /// Letters beyond ASCII that Python folds into it count as well: only in the pattern for `~=`, whose groups are
    /// missing the flag that the others have.
    folded: bool,
}

impl Scanner<'_> {
    fn literal(&mut self, text: &str) -> bool {
        let after = self.rest.strip_prefix(text);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn digits(&mut self) -> bool {
        let after = self.rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let found = after.len() < self.rest.len();
        self.rest = after;
        found
    }

    fn separator(&mut self) {
        self.rest = self.rest.strip_prefix(['-', '_', '.']).unwrap_or(self.rest);
    }

    /// The first of `words`, in any case.
    fn one_of(&mut self, words: &[&str]) -> bool {
        let matched = words.iter().find_map(|word| {
            let mut rest = self.rest.chars();
            word.chars()
                .all(|letter| rest.next().is_some_and(|c| self.same_letter(letter, c)))
                .then_some(rest.as_str())
        });
        self.rest = matched.unwrap_or(self.rest);
        matched.is_some()
    }

    fn same_letter(&self, letter: char, c: char) -> bool {
        c.eq_ignore_ascii_case(&letter)
            || (self.folded && matches!((letter, c), ('s', '\u{17f}') | ('i', '\u{130}' | '\u{131}')))
    }

    /// `[0-9]+!` if there is one, then `[0-9]+(\.[0-9]+)*`; the number of parts in the release.
    fn release(&mut self) -> Option<usize> {
        if !self.digits() {
            return None;
        }
        if self.rest.starts_with('!') && self.rest[1..].starts_with(|c: char| c.is_ascii_digit()) {
            self.rest = &self.rest[1..];
            self.digits();
        }
        let mut parts = 1;
        while self
            .rest
            .strip_prefix('.')
            .is_some_and(|after| after.starts_with(|c: char| c.is_ascii_digit()))
        {
            self.rest = &self.rest[1..];
            self.digits();
            parts += 1;
        }
        Some(parts)
    }

    /// `[-_.]?(words)[-_.]?[0-9]*`
    fn suffix(&mut self, words: &[&str]) {
        let before = self.rest;
        self.separator();
        // Most versions end before this, and every word begins with a letter.
        if self.rest.starts_with(char::is_alphabetic) && self.one_of(words) {
            self.separator();
            self.digits();
        } else {
            self.rest = before;
        }
    }

    /// `-[0-9]+`
    fn implicit_post(&mut self) -> bool {
        let before = self.rest;
        let found = self.literal("-") && self.digits();
        if !found {
            self.rest = before;
        }
        found
    }

    /// `\+[a-z0-9]+([-_.][a-z0-9]+)*`
    fn local(&mut self) {
        let mut before = self.rest;
        let mut more = self.literal("+");
        while more {
            let after = self.rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
            if after.len() == self.rest.len() {
                break;
            }
            self.rest = after;
            before = after;
            self.separator();
            more = self.rest.len() < after.len();
        }
        self.rest = before;
    }
}

//! Version specifiers (PEP 440), with exactly the lexical form that `packaging.specifiers.Specifier` takes.

use std::fmt;

use smallvec::SmallVec;

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

    /// The operator that `text` begins with: the longest that fits.
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
    /// Parses one specifier; white space around it is ignored, as in Python.
    pub fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim_matches(is_python_space);
        let (specifier, length) = Self::at_start(text)?;
        (length == text.len()).then_some(specifier)
    }

    /// The specifier that `text` begins with, and how long it is.
    pub(super) fn at_start(text: &'a str) -> Option<(Self, usize)> {
        let operator = Operator::at_start(text)?;
        let rest = text[operator.as_str().len()..].trim_start_matches(is_python_space);
        let version = &rest[..version_length(operator, rest)?];
        let length = text.len() - rest.len() + version.len();
        Some((Self { operator, version }, length))
    }

    /// Whether `text` is a specifier and nothing else, white space included.
    pub(super) fn is_whole(text: &'a str) -> bool {
        Self::at_start(text).is_some_and(|(_, length)| length == text.len())
    }

    /// The comparison.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// The version as written, with its `.*` if it has one. After `===` it can be any text, or none.
    pub fn version(&self) -> &'a str {
        self.version
    }

    /// Whether a version satisfies this specifier, pre-releases allowed. `None` where that is beyond us: numbers of more
    /// than 64 bits.
    pub(super) fn contains(&self, version: &str) -> Option<bool> {
        range::contains(self, version)
    }
}

impl fmt::Display for Specifier<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.operator.as_str(), self.version)
    }
}

/// The specifiers of a requirement, all of which a version must satisfy. Empty means any version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Specifiers<'a>(List<'a>);

/// Most requirements have one or two, which then cost no memory of their own.
pub(super) type List<'a> = SmallVec<[Specifier<'a>; 2]>;

impl<'a> Specifiers<'a> {
    /// From those that a text was taken for. After `===` a comma does not end the version, so `packaging` splits what it has
    /// read at commas once more: `===a,==1` is two, and `===a,b` is none. The error is the part that is no specifier.
    pub(super) fn new(taken: List<'a>) -> Result<Self, &'a str> {
        if taken.iter().all(|specifier| specifier.operator != Operator::Arbitrary) {
            return Ok(Self(taken));
        }
        let mut specifiers = List::with_capacity(taken.len());
        for Specifier { operator, version } in taken {
            // Another operator's version has no comma in it, so this is all of it.
            let mut parts = version.split(',').map(|part| part.trim_matches(is_python_space));
            let version = parts.next().unwrap_or_default();
            specifiers.push(Specifier { operator, version });
            for part in parts.filter(|part| !part.is_empty()) {
                specifiers.push(Specifier::parse(part).ok_or(part)?);
            }
        }
        Ok(Self(specifiers))
    }

    /// Whether any version will do.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The specifiers in the order in which they are written.
    pub fn iter(&self) -> std::slice::Iter<'_, Specifier<'a>> {
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

impl<'s, 'a> IntoIterator for &'s Specifiers<'a> {
    type Item = &'s Specifier<'a>;
    type IntoIter = std::slice::Iter<'s, Specifier<'a>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// What Python's `str.isspace` and `\s` take for white space.
pub(super) fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// The length of the version that `text`, which stands behind `operator`, begins with.
///
/// Follows `Specifier._specifier_regex_str`. Behind the release everything in that expression is optional, so the first
/// match of each part is the expression's own and there is nothing to go back for.
fn version_length(operator: Operator, text: &str) -> Option<usize> {
    if operator == Operator::Arbitrary {
        let end = text.find(|c: char| is_python_space(c) || c == ';' || c == ')');
        return Some(end.unwrap_or(text.len()));
    }
    let mut scanner = Scanner {
        text,
        position: 0,
        folded: operator == Operator::Compatible,
    };
    scanner.eat(b"vV");
    let parts = scanner.release()?;
    let equality = matches!(operator, Operator::Equal | Operator::NotEqual);
    if operator == Operator::Compatible && parts < 2 {
        return None;
    }
    if equality && scanner.rest().starts_with(".*") {
        return Some(scanner.position + 2);
    }
    scanner.suffix(&["alpha", "beta", "preview", "pre", "a", "b", "c", "rc"]);
    if !scanner.implicit_post() {
        scanner.suffix(&["post", "rev", "r"]);
    }
    scanner.suffix(&["dev"]);
    if equality {
        scanner.local();
    }
    Some(scanner.position)
}

struct Scanner<'a> {
    text: &'a str,
    /// Always on a character boundary.
    position: usize,
    /// Letters beyond ASCII that Python folds into it count as well: only in the pattern for `~=`, whose groups are
    /// missing the flag that the others have.
    folded: bool,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    fn rest(&self) -> &str {
        &self.text[self.position..]
    }

    /// One of these ASCII characters.
    fn eat(&mut self, any_of: &[u8]) -> bool {
        let found = self.peek().is_some_and(|byte| any_of.contains(&byte));
        self.position += usize::from(found);
        found
    }

    /// As many as there are of a class of ASCII characters, and whether there is any.
    fn all(&mut self, class: impl Fn(u8) -> bool) -> bool {
        let before = self.position;
        while self.peek().is_some_and(&class) {
            self.position += 1;
        }
        self.position > before
    }

    fn digits(&mut self) -> bool {
        self.all(|byte| byte.is_ascii_digit())
    }

    fn separator(&mut self) -> bool {
        self.eat(b"-_.")
    }

    /// The first of `words`, in any case.
    fn one_of(&mut self, words: &[&str]) -> bool {
        let matched = words.iter().find_map(|word| {
            let mut rest = self.rest().chars();
            word.chars()
                .all(|letter| rest.next().is_some_and(|c| self.same_letter(letter, c)))
                .then_some(rest.as_str().len())
        });
        self.position = matched.map_or(self.position, |rest| self.text.len() - rest);
        matched.is_some()
    }

    fn same_letter(&self, letter: char, c: char) -> bool {
        c.eq_ignore_ascii_case(&letter)
            || (self.folded && matches!((letter, c), ('s', '\u{17f}') | ('i', '\u{130}' | '\u{131}')))
    }

    /// A character and a digit behind it, of which only the character is taken.
    fn eat_before_digit(&mut self, character: u8) -> bool {
        let behind = self.text.as_bytes().get(self.position + 1);
        behind.is_some_and(u8::is_ascii_digit) && self.eat(&[character])
    }

    /// `[0-9]+!` if there is one, then `[0-9]+(\.[0-9]+)*`; the number of parts in the release.
    fn release(&mut self) -> Option<usize> {
        if !self.digits() {
            return None;
        }
        if self.eat_before_digit(b'!') {
            self.digits();
        }
        let mut parts = 1;
        while self.eat_before_digit(b'.') {
            self.digits();
            parts += 1;
        }
        Some(parts)
    }

    /// `[-_.]?(words)[-_.]?[0-9]*`
    fn suffix(&mut self, words: &[&str]) {
        let before = self.position;
        self.separator();
        // Most versions end before this, and every word begins with a letter.
        let is_letter = |byte: u8| byte.is_ascii_alphabetic() || !byte.is_ascii();
        if self.peek().is_some_and(is_letter) && self.one_of(words) {
            self.separator();
            self.digits();
        } else {
            self.position = before;
        }
    }

    /// `-[0-9]+`
    fn implicit_post(&mut self) -> bool {
        self.eat_before_digit(b'-') && self.digits()
    }

    /// `\+[a-z0-9]+([-_.][a-z0-9]+)*`
    fn local(&mut self) {
        let mut before = self.position;
        let mut more = self.eat(b"+");
        while more && self.all(|byte| byte.is_ascii_alphanumeric()) {
            before = self.position;
            more = self.separator();
        }
        self.position = before;
    }
}

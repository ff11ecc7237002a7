//! Shortens uv's explanation of a failed resolution for a status message.

/// Why uv failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UvError {
    /// The requirements conflict or a version does not exist: the explanation.
    Unsolvable(String),
    /// Requested packages that are not in the index: their names.
    Unknown(String),
    /// The index did not respond or returned an error.
    Unreachable(String),
    /// Another error.
    Other(String),
}

/// Maximum number of clauses in a message.
const MAX_CLAUSES: usize = 4;
/// Maximum length of a clause, in characters.
const MAX_CLAUSE: usize = 110;

/// Texts of network and index errors.
const NETWORK: [&str; 8] = [
    "Request failed",
    "Failed to fetch",
    "error sending request",
    "client error (Connect)",
    "HTTP status server error",
    "HTTP status client error",
    "operation timed out",
    "Failed to download",
];

/// Starts a conclusion.
const CONCLUDED: &str = "\nso: ";

/// Conjunctions between clauses in uv's sentences.
const BETWEEN: [&str; 9] = [
    " and because we know from",
    " and because ",
    " because ",
    " we can conclude that ",
    " and you require ",
    ", and ",
    " and ",
    ", ",
    ". ",
];

/// Classifies uv's standard error. `requested` are the names of the user's requirements.
pub fn classify(stderr: &str, requested: &[String]) -> UvError {
    let hint = |sign: &str| stderr.contains(sign);
    if hint("401 Unauthorized") || hint("403 Forbidden") || hint("lack of valid authentication credentials") {
        return UvError::Unreachable("it rejected the credentials or requires some".to_owned());
    }
    if stderr.contains("No solution found") {
        return solution(stderr, requested);
    }
    let last = root_cause(stderr);
    if NETWORK.iter().any(|sign| stderr.contains(sign)) {
        UvError::Unreachable(last)
    } else {
        UvError::Other(last)
    }
}

fn solution(stderr: &str, requested: &[String]) -> UvError {
    let text = explanation(stderr);
    let clauses = clauses(&text);
    let missing: Vec<&str> = clauses
        .iter()
        .filter_map(|clause| clause.strip_suffix(" was not found in the package registry"))
        .filter(|name| requested.iter().any(|requested| requested == name))
        .collect();
    if !missing.is_empty() {
        return UvError::Unknown(missing.join(", "));
    }
    let mut shown: Vec<String> = Vec::new();
    for clause in clauses.iter().filter(|clause| is_relevant(clause)) {
        let mut clause = clause
            .replacen(" depends on ", " requires ", 1)
            .replacen(" depend on ", " require ", 1);
        if clause.chars().count() > MAX_CLAUSE {
            clause = clause.chars().take(MAX_CLAUSE).collect::<String>() + "…";
        }
        if !shown.contains(&clause) {
            shown.push(clause);
        }
    }
    if shown.is_empty() {
        return UvError::Unsolvable(text);
    }
    // The user's own requirements can be changed, so they are kept when the list is cut.
    shown.sort_by_key(|clause| !clause.starts_with("you require "));
    if shown.len() > MAX_CLAUSES {
        shown.truncate(MAX_CLAUSES);
    }
    // Dependencies first: `pandas==2 requires numpy>=1.23; you require numpy<1.20`.
    shown.sort_by_key(|clause| clause.starts_with("you require "));
    UvError::Unsolvable(shown.join("; "))
}

fn is_relevant(clause: &str) -> bool {
    [
        " depends on ",
        " depend on ",
        "there is no version of ",
        " was not found in the package registry",
        "does not satisfy Python",
        " was yanked",
        " has no wheels",
        " has no usable wheels",
    ]
    .iter()
    .any(|sign| clause.contains(sign))
        || clause.starts_with("you require ")
}

/// The explanation without line breaks, hints and environment markers.
fn explanation(stderr: &str) -> String {
    let after = stderr
        .split_once("No solution found when resolving dependencies")
        .map_or(stderr, |(_, after)| after);
    let after = after.split("\nhint:").next().unwrap_or_default();
    let mut text = String::new();
    let mut depth = 0_usize;
    for c in after.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ if depth == 0 => text.push(c),
            _ => {}
        }
    }
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !matches!(*word, "" | "cause:" | "×" | "╰─▶" | "│" | ":"))
        .collect();
    words.join(" ")
}

fn clauses(text: &str) -> Vec<String> {
    let mut text = format!(" {text}")
        .replace(" Because ", " because ")
        .replace(" And because ", " and because ");
    // A list of requirements starts with `all of:` and belongs to one clause.
    for between in BETWEEN {
        let mark = match between {
            " and you require " => "\n you require ",
            " we can conclude that " => CONCLUDED,
            _ => "\n",
        };
        text = text.replace(between, mark);
    }
    text.lines()
        .map(|clause| clause.trim().trim_end_matches(['.', ',']).to_owned())
        .filter(|clause| !clause.is_empty() && !clause.starts_with(CONCLUDED.trim_start()))
        .collect()
}

/// The last cause without URLs, which may be confidential.
fn root_cause(stderr: &str) -> String {
    let is_error =
        |line: &&str| line.starts_with("cause:") || line.starts_with("error:") || line.starts_with("Caused by:");
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(is_error).collect();
    let shown = |line: &str| {
        let text = line.split_once(": ").map_or(line, |(_, text)| text);
        let words: Vec<&str> = text.split_whitespace().filter(|word| !word.contains("://")).collect();
        words.join(" ")
    };
    match lines.as_slice() {
        [] => "no error message".to_owned(),
        [only] => shown(only),
        [.., before, last] if before.ends_with(':') || lines.len() == 2 => {
            format!("{} {}", shown(before), shown(last))
        }
        [.., last] => shown(last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(stderr: &str) -> UvError {
        classify(stderr, &["pandas".to_owned(), "nosuch".to_owned()])
    }

    #[test]
    fn conflicts_are_summarized() {
        let stderr = "error: No solution found when resolving dependencies\n  cause: Because pandas==2.2.2 depends on numpy{python_full_version < '3.12'}>=1.23.2 and you require pandas==2.2.2, we can conclude that you require numpy>=1.23.2.\n         And because you require numpy<1.20, we can conclude that your requirements are unsatisfiable.\n";
        let UvError::Unsolvable(why) = of(stderr) else {
            panic!("{:?}", of(stderr))
        };
        assert_eq!(
            why,
            "pandas==2.2.2 requires numpy>=1.23.2; you require pandas==2.2.2; you require numpy<1.20"
        );
    }

    #[test]
    fn missing_versions_are_named() {
        let stderr = "error: No solution found when resolving dependencies\n  cause: Because there is no version of six==99.0 and you require six==99.0, we can conclude that your requirements are unsatisfiable.\n";
        assert_eq!(
            of(stderr),
            UvError::Unsolvable("there is no version of six==99.0; you require six==99.0".to_owned())
        );
    }

    #[test]
    fn missing_packages_are_named() {
        let stderr = "error: No solution found when resolving dependencies\n  cause: Because nosuch was not found in the package registry and you require nosuch==1, we can conclude that your requirements are unsatisfiable.\n";
        assert_eq!(of(stderr), UvError::Unknown("nosuch".to_owned()));
        let needed = "error: No solution found when resolving dependencies\n  cause: Because inner was not found in the package registry and pandas==1 depends on inner, we can conclude that pandas==1 cannot be used.\n";
        assert_eq!(
            of(needed),
            UvError::Unsolvable("inner was not found in the package registry; pandas==1 requires inner".to_owned())
        );
    }

    #[test]
    fn index_errors_are_not_conflicts() {
        for (stderr, why) in [
            (
                "error: Request failed after 3 retries in 9.5s\n  cause: Failed to fetch: http://127.0.0.1:9/simple/pandas/\n  cause: error sending request for url (http://127.0.0.1:9/simple/pandas/)\n  cause: client error (Connect)\n  cause: tcp connect error\n  cause: Connection refused (os error 111)\n",
                "Connection refused (os error 111)",
            ),
            (
                "error: Request failed after 1 retry in 1.3s\n  cause: Failed to fetch: http://u:p@x/simple/pandas/\n  cause: HTTP status server error (503 Service Unavailable) for url (http://u:p@x/simple/pandas/)\n",
                "HTTP status server error (503 Service Unavailable) for url",
            ),
            (
                "error: No solution found when resolving dependencies\n  cause: Because pandas was not found in the package registry and you require pandas, we can conclude that your requirements are unsatisfiable.\n\nhint: An index URL (http://x/simple) could not be queried due to a lack of valid authentication credentials (401 Unauthorized)\n",
                "it rejected the credentials or requires some",
            ),
        ] {
            assert_eq!(of(stderr), UvError::Unreachable(why.to_owned()), "{stderr}");
        }
    }

    #[test]
    fn arbitrary_output_is_limited_and_does_not_panic() {
        let long = format!(
            "No solution found when resolving dependencies {}",
            "a depends on b, ".repeat(9999)
        );
        let UvError::Unsolvable(why) = of(&long) else { panic!() };
        assert_eq!(why, "a requires b");
        for stderr in ["", "cause:", "error: \u{0}\u{202e}", "}{}{", "No solution found"] {
            let _ = of(stderr);
        }
    }
}

//! `requirements.txt` as a list of requirements: pip's "Requirements File Format", as far as it is one.
//!
//! What pip would take from elsewhere (options, other files) is not followed: where packages come from is the admin's
//! business. Hashes are left out with a note, because a build locks with hashes of its own.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use super::super::connection::Problem;
use super::super::terminal;

/// Most bytes of a file.
const LIMIT: u64 = 1024 * 1024;

/// Reads a file; `-` is standard input.
pub fn read(path: &Path) -> Result<Vec<String>, Problem> {
    let shown = path.display();
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(LIMIT).read_to_string(&mut text)
    } else {
        fs::File::open(path).and_then(|file| file.take(LIMIT).read_to_string(&mut text))
    };
    read.map_err(|error| Problem(format!("{shown}: {error}")))?;
    let (requirements, has_hashes) = parse(&text).map_err(|(line, why)| Problem(format!("{shown}:{line}: {why}")))?;
    if has_hashes {
        terminal::complain(&format!(
            "{shown}: hashes are left out: the build locks with hashes of its own"
        ));
    }
    Ok(requirements)
}

/// The requirements, and whether there were hashes. `Err` is a line and what is wrong with it.
fn parse(text: &str) -> Result<(Vec<String>, bool), (usize, String)> {
    let mut requirements = Vec::new();
    let mut has_hashes = false;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let mut whole = line.to_owned();
        // A comment line is not continued.
        while whole.ends_with('\\') && !whole.trim_start().starts_with('#') {
            whole.pop();
            whole.push_str(lines.next().map_or("", |(_, line)| line));
        }
        let content = without_comment(&whole).trim().to_owned();
        if content.is_empty() {
            continue;
        }
        if content.starts_with('-') {
            let option = content.split([' ', '=']).next().unwrap_or_default();
            let why = format!(
                "the option {option} is not taken over: what it stands for is for the cluster's admin to decide"
            );
            return Err((number + 1, why));
        }
        let requirement = match content.find(" --hash") {
            Some(at) => {
                has_hashes = true;
                content[..at].trim().to_owned()
            }
            None => content,
        };
        requirements.push(requirement);
    }
    Ok((requirements, has_hashes))
}

/// A comment begins with `#` at the start, or behind a blank: elsewhere it is part of a URL.
fn without_comment(line: &str) -> &str {
    let is_comment = |(at, _): &(usize, &str)| *at == 0 || line[..*at].ends_with(char::is_whitespace);
    line.match_indices('#')
        .find(is_comment)
        .map_or(line, |(at, _)| &line[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_read_as_pip_reads_them() {
        let text = "# pinned\npandas==2.2.0 \\\n    --hash=sha256:ab \\\n    --hash=sha256:cd\n\nx @ https://h/x.whl#egg=x  # why\n  boto3>=1 ; python_version<'3.12'\n";
        let wanted = [
            "pandas==2.2.0",
            "x @ https://h/x.whl#egg=x",
            "boto3>=1 ; python_version<'3.12'",
        ];
        assert_eq!(parse(text), Ok((wanted.map(str::to_owned).to_vec(), true)));
        for (text, line) in [("a\n-r other.txt\n", 2), ("--index-url=https://x\n", 1), ("-e .\n", 1)] {
            assert_eq!(parse(text).map_err(|(line, _)| line), Err(line));
        }
        assert_eq!(parse("a\\"), Ok((vec!["a".to_owned()], false)));
        assert_eq!(parse("# x \\\nb"), Ok((vec!["b".to_owned()], false)));
    }
}

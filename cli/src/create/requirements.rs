//! Reads pip's "Requirements File Format".
//!
//! Options such as `-r` and `--index-url` are errors, because the admin decides where packages come from. Hashes are removed
//! with a note, because the build locks packages with its own hashes.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use super::super::terminal;
use crate::connection::CliError;

/// Maximum size in bytes.
const LIMIT: u64 = 1024 * 1024;

/// Reads a file; `-` means standard input.
pub fn read(path: &Path) -> Result<Vec<String>, CliError> {
    let shown = path.display();
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(LIMIT).read_to_string(&mut text)
    } else {
        fs::File::open(path).and_then(|file| file.take(LIMIT).read_to_string(&mut text))
    };
    read.map_err(|error| CliError(format!("{shown}: {error}")))?;
    let (requirements, has_hashes) = parse(&text).map_err(|(line, why)| CliError(format!("{shown}:{line}: {why}")))?;
    if has_hashes {
        terminal::print_error(&format!(
            "{shown}: hashes are ignored; the build locks packages with its own hashes"
        ));
    }
    Ok(requirements)
}

/// The requirements, and whether the file has hashes. An error is a line number and a message.
fn parse(text: &str) -> Result<(Vec<String>, bool), (usize, String)> {
    let mut requirements = Vec::new();
    let mut has_hashes = false;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let mut whole = line.to_owned();
        // Comment lines cannot be continued.
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
            let why =
                format!("the option {option} is not supported; package indexes are configured by the cluster's admin");
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

/// A comment starts with `#` at the start of the line or after whitespace; elsewhere `#` is part of a URL.
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
    fn requirements_are_parsed_like_pip() {
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

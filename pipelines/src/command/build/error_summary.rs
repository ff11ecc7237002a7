//! Summarizes buildah's output after a failed build: the instruction and the last lines before it failed.

use cnbi_shared::verdict::escaped;

use crate::containerfile::SETUP;

/// Maximum length of an instruction, in characters.
const INSTRUCTION: usize = 120;
/// Maximum length of a line of output, in characters.
const LINE: usize = 160;
/// Number of lines of output.
const LINES: usize = 2;

/// A message such as `RUN pip install x failed: exit status 1; output: No matching distribution`.
pub fn summarize(output: &str) -> String {
    let lines: Vec<String> = output
        .lines()
        .map(without_escapes)
        .filter(|line| !line.is_empty())
        .collect();
    let Some(at) = lines.iter().rposition(|line| line.starts_with("Error: ")) else {
        return lines
            .last()
            .map_or_else(|| "buildah gave no reason".to_owned(), |line| escape(line, LINE));
    };
    let error = lines[at].trim_start_matches("Error: ");
    let (what, before) = match error
        .strip_prefix("building at STEP \"")
        .and_then(|rest| rest.split_once("\": "))
    {
        Some((instruction, why)) => {
            let why = why.strip_prefix("while running runtime: ").unwrap_or(why);
            let instruction = if instruction.contains(SETUP) {
                "installing the packages".to_owned()
            } else {
                escape(instruction, INSTRUCTION)
            };
            let what = format!("{instruction} failed: {}", escape(why, LINE));
            (what, last_output(&lines[..at]))
        }
        None => (escape(error, LINE + INSTRUCTION), Vec::new()),
    };
    if before.is_empty() {
        what
    } else {
        format!("{what}; output: {}", before.join(" / "))
    }
}

/// The last lines of output of the failed instruction.
fn last_output(lines: &[String]) -> Vec<String> {
    let is_buildahs = |line: &str| {
        line.starts_with("STEP ")
            || line.starts_with("time=\"")
            || line.starts_with("process exited with error")
            || line.starts_with("subprocess exited with status")
    };
    let from = lines
        .iter()
        .rposition(|line| line.starts_with("STEP "))
        .map_or(0, |at| at + 1);
    let own: Vec<&String> = lines[from..].iter().filter(|line| !is_buildahs(line)).collect();
    own[own.len().saturating_sub(LINES)..]
        .iter()
        .map(|line| escape(line, LINE))
        .collect()
}

/// Removes terminal control sequences.
fn without_escapes(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => {
                if rest.next_if_eq(&'[').is_some() {
                    while rest.next_if(|c| !('@'..='~').contains(c)).is_some() {}
                    rest.next();
                }
            }
            // A carriage return starts the line anew, as in progress bars.
            '\r' => text.clear(),
            c => text.push(c),
        }
    }
    text.trim().to_owned()
}

fn escape(text: &str, limit: usize) -> String {
    escaped(text, limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_has_the_instruction_and_the_last_lines() {
        let output = "STEP 1/2: FROM scratch\nSTEP 2/2: RUN pip install x\n\u{1b}[31mERROR: No matching distribution found for x\u{1b}[0m\n\
                      subprocess exited with status 1\nError: building at STEP \"RUN pip install x\": while running runtime: exit status 1\n";
        assert_eq!(
            summarize(output),
            "RUN pip install x failed: exit status 1; output: ERROR: No matching distribution found for x"
        );
    }

    #[test]
    fn errors_before_the_first_step_are_repeated() {
        assert_eq!(summarize("Error: no FROM statement found\n"), "no FROM statement found");
        assert_eq!(summarize(""), "buildah gave no reason");
        assert_eq!(summarize("killed\n"), "killed");
    }

    #[test]
    fn the_summary_is_printable_and_limited() {
        let output = format!(
            "STEP 1/1: RUN x\n{}\u{202e}\u{0}\nError: building at STEP \"RUN {}\": exit status 1",
            "o".repeat(9999),
            "i".repeat(9999)
        );
        let summarize = summarize(&output);
        assert!(
            summarize.len() < 600 && !summarize.contains(['\u{0}', '\u{202e}']),
            "{summarize}"
        );
        let forged = "STEP 1/1: RUN x\nError: building at STEP \"RUN y\": no\nmore\nError: building at STEP \"RUN x\": exit status 1";
        assert!(super::summarize(forged).starts_with("RUN x failed: exit status 1; output: "));
    }
}

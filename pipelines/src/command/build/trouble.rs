//! Reads what buildah said when a build failed: which instruction it was, and what came last before.

use cnbi_shared::verdict::escaped;

use crate::containerfile::SETUP;

/// Most characters of an instruction.
const INSTRUCTION: usize = 120;
/// Most characters of a line of output.
const LINE: usize = 160;
/// How many lines of output are told.
const LINES: usize = 2;

/// A sentence without its full stop, such as `RUN pip install x failed: exit status 1; before that: No matching distribution`.
pub fn told(output: &str) -> String {
    let lines: Vec<String> = output.lines().map(plain).filter(|line| !line.is_empty()).collect();
    let Some(at) = lines.iter().rposition(|line| line.starts_with("Error: ")) else {
        return lines
            .last()
            .map_or_else(|| "it gave no reason".to_owned(), |line| shown(line, LINE));
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
                shown(instruction, INSTRUCTION)
            };
            let what = format!("{instruction} failed: {}", shown(why, LINE));
            (what, said(&lines[..at]))
        }
        None => (shown(error, LINE + INSTRUCTION), Vec::new()),
    };
    if before.is_empty() {
        what
    } else {
        format!("{what}; before that: {}", before.join(" / "))
    }
}

/// The last lines that a program printed in the failing step.
fn said(lines: &[String]) -> Vec<String> {
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
        .map(|line| shown(line, LINE))
        .collect()
}

/// A line without colours and other control sequences.
fn plain(line: &str) -> String {
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
            // A progress bar overwrites its line; what it showed last counts.
            '\r' => text.clear(),
            c => text.push(c),
        }
    }
    text.trim().to_owned()
}

fn shown(text: &str, limit: usize) -> String {
    escaped(text, limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instruction_and_the_last_lines_are_told() {
        let output = "STEP 1/2: FROM scratch\nSTEP 2/2: RUN pip install x\n\u{1b}[31mERROR: No matching distribution found for x\u{1b}[0m\n\
                      subprocess exited with status 1\nError: building at STEP \"RUN pip install x\": while running runtime: exit status 1\n";
        assert_eq!(
            told(output),
            "RUN pip install x failed: exit status 1; before that: ERROR: No matching distribution found for x"
        );
    }

    #[test]
    fn what_fails_before_any_step_is_told_as_it_is() {
        assert_eq!(told("Error: no FROM statement found\n"), "no FROM statement found");
        assert_eq!(told(""), "it gave no reason");
        assert_eq!(told("killed\n"), "killed");
    }

    #[test]
    fn nothing_unprintable_and_no_more_than_fits_is_told() {
        let output = format!(
            "STEP 1/1: RUN x\n{}\u{202e}\u{0}\nError: building at STEP \"RUN {}\": exit status 1",
            "o".repeat(9999),
            "i".repeat(9999)
        );
        let told = told(&output);
        assert!(told.len() < 600 && !told.contains(['\u{0}', '\u{202e}']), "{told}");
        let forged = "STEP 1/1: RUN x\nError: building at STEP \"RUN y\": no\nmore\nError: building at STEP \"RUN x\": exit status 1";
        assert!(super::told(forged).starts_with("RUN x failed: exit status 1; before that: "));
    }
}

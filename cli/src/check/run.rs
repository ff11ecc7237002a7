//! Runs [`super::Check`] for files, prints the report and returns the exit status.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anstream::{AutoStream, ColorChoice};

use cnbi_shared::config::Config;
use cnbi_shared::verdict::{escaped, printable};

use super::args::{CheckArgs, Output};
use super::{CheckReport, KnownFacts, Settings, config, files, fix, github, parallel, sarif, text};
use crate::{FAILURE, FINDINGS, SUCCESS};

/// File names of kustomizations.
const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
/// Maximum number of notes about kustomizations.
const FOLDERS: usize = 5;
/// Maximum number of notes about unreadable files.
const NOTES: usize = 50;

/// Runs the subcommand. Returns the exit status.
pub fn run(args: &CheckArgs) -> u8 {
    let settings = match settings(args) {
        Ok(settings) => settings,
        Err(message) => {
            print_error(&message);
            return FAILURE;
        }
    };
    let names: Vec<_> = args.filename.iter().chain(&args.files).cloned().collect();
    let mut has_failed = false;
    if args.fix {
        for error in fix_all(&settings, files::inputs(&names).collect()) {
            has_failed = true;
            print_error(&error);
        }
    }
    let (report, is_unread) = parallel::check_files(&settings, files::inputs(&names).collect());
    has_failed |= is_unread;
    for note in report.notes.iter().take(NOTES) {
        print_error(note);
    }
    if report.notes.len() > NOTES {
        print_error(&format!(
            "and {} more files or documents that were not read",
            report.notes.len() - NOTES
        ));
    }
    if args.output == Output::Text {
        for note in kustomized(&report) {
            print_error(&note);
        }
    }
    let is_printed = print(&report, args.output, &settings);
    if has_failed || !is_printed {
        FAILURE
    } else if report.is_allowed() {
        SUCCESS
    } else {
        FINDINGS
    }
}

fn settings(args: &CheckArgs) -> Result<Settings, String> {
    let mut known = KnownFacts::default();
    for (path, input) in files::inputs(&args.facts) {
        let text = input.and_then(|input| files::read(&input));
        let text = text.map_err(|error| format!("--facts {}: {error}", path.display()))?;
        known.add(&text, &args.namespace);
    }
    Ok(Settings {
        config: args.config.as_deref().map(read_config).transpose()?,
        namespace: args.namespace.clone(),
        strict: args.strict,
        known,
    })
}

/// Fixes files and prints the changes to stderr. Returns errors for files that could not be written.
fn fix_all(settings: &Settings, inputs: Vec<parallel::NamedInput>) -> Vec<String> {
    let work = |name: &Path, input: io::Result<files::Input>| -> Result<Vec<String>, String> {
        // The check that follows reports unreadable files.
        let Ok(input) = input else { return Ok(Vec::new()) };
        let files::Input::File(path) = &input else {
            return Err("--fix cannot be used with standard input".to_owned());
        };
        let Ok(text) = files::read(&input) else {
            return Ok(Vec::new());
        };
        let file = name.to_string_lossy();
        let Some((new_text, fixes)) = fix::fix(settings, &file, &text) else {
            return Ok(Vec::new());
        };
        fix::replace(path, &text, &new_text).map_err(|error| format!("{file}: {error}"))?;
        let changes = fixes.iter().map(|fix| {
            let shown = |text: &str| printable(text, 80);
            let (before, after) = (shown(&fix.before), shown(&fix.after));
            format!(
                "{file}:{}: {} {}: changed \"{before}\" to \"{after}\"",
                fix.line, fix.rule, fix.path
            )
        });
        Ok(changes.collect())
    };
    let mut errors = Vec::new();
    for result in parallel::map(inputs, work) {
        match result.flatten() {
            Ok(changes) => changes.iter().for_each(|change| print_line(change)),
            Err(error) => errors.push(error),
        }
    }
    errors
}

fn print_line(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", escaped(line, usize::MAX));
}

/// Notes for rejected files in kustomizations: a patch or a base may be valid only after the build.
fn kustomized(report: &CheckReport) -> Vec<String> {
    let rejected = report.documents.iter().filter(|document| !document.allowed);
    let files: BTreeSet<&Path> = rejected.map(|document| Path::new(&document.file)).collect();
    let folders: BTreeSet<&Path> = files
        .into_iter()
        .filter(|file| file.is_file())
        .filter_map(Path::parent)
        .filter(|folder| KUSTOMIZATIONS.iter().any(|name| folder.join(name).is_file()))
        .collect();
    let notes = folders.into_iter().take(FOLDERS).map(|folder| {
        let folder = match escaped(&folder.to_string_lossy(), usize::MAX) {
            here if here.is_empty() => ".".to_owned(),
            folder => folder,
        };
        format!(
            "{folder} is a kustomization; to check its output, run: kubectl kustomize {folder} | kubectl cnbi check -"
        )
    });
    notes.collect()
}

/// Reads the configuration of a cluster.
///
/// # Errors
/// A message for the user.
pub fn read_config(path: &Path) -> Result<Config, String> {
    let file = path.display();
    let input = if path.as_os_str() == "-" {
        files::Input::Stdin
    } else {
        files::Input::File(path.to_owned())
    };
    let yaml = files::read(&input).map_err(|error| format!("--config {file}: {error}"))?;
    config::read(&yaml).map_err(|error| {
        format!("--config {file}: {error}\nexpected config.yaml, or a manifest of the ConfigMap cnbi-config")
    })
}

/// Reads files; `-` means standard input. Returns names and texts.
///
/// # Errors
/// A message about the first file that cannot be read.
pub fn read_texts(names: &[PathBuf]) -> Result<Vec<(String, String)>, String> {
    let read = |(path, input): parallel::NamedInput| {
        let file = path.to_string_lossy().into_owned();
        let text = input.and_then(|input| files::read(&input));
        text.map(|text| (file.clone(), text))
            .map_err(|error| format!("{file}: {error}"))
    };
    files::inputs(names).map(read).collect()
}

/// Prints the report. Returns false on errors; a closed pipe is not an error.
fn print(report: &CheckReport, output: Output, settings: &Settings) -> bool {
    let stdout = io::stdout();
    let mut text = match output {
        Output::Text => {
            let is_colored = AutoStream::choice(&stdout) != ColorChoice::Never;
            text::render(report, is_colored).into_bytes()
        }
        Output::Json => serde_json::to_vec(report).unwrap_or_default(),
        Output::Sarif => serde_json::to_vec(&sarif::render(report, settings)).unwrap_or_default(),
        Output::Github => github::render(report, settings).into_bytes(),
    };
    if matches!(output, Output::Json | Output::Sarif) {
        text.push(b'\n');
    }
    let mut stdout = stdout.lock();
    match stdout.write_all(&text).and_then(|()| stdout.flush()) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => true,
        Err(error) => {
            print_error(&format!("standard output: {error}"));
            false
        }
    }
}

fn print_error(message: &str) {
    let _ = writeln!(io::stderr().lock(), "kubectl-cnbi: {message}");
}

//! The shell around [`super::Check`]: files in, text or JSON out, an exit status.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anstream::{AutoStream, ColorChoice};

use cnbi_shared::config::Config;
use cnbi_shared::verdict::{escaped, printable};

use super::args::{CheckArgs, Output};
use super::{CheckReport, Known, Settings, files, fix, github, parallel, policy, sarif, text};

/// Nothing was refused.
const PASSED: u8 = 0;
/// Something was.
const REFUSED: u8 = 1;
/// The arguments make no sense, or something cannot be read.
const UNUSABLE: u8 = 2;

/// The names under which kustomize looks for its own file.
const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
/// Most folders of kustomize that are spoken of.
const FOLDERS: usize = 5;
/// Most notes about unreadable documents that are printed.
const NOTES: usize = 50;

/// Checks what the arguments name and prints what comes of it. The exit status.
pub fn run(args: &CheckArgs) -> u8 {
    let settings = match settings(args) {
        Ok(settings) => settings,
        Err(message) => {
            complain(&message);
            return UNUSABLE;
        }
    };
    let names: Vec<_> = args.filename.iter().chain(&args.files).cloned().collect();
    let mut has_failed = false;
    if args.fix {
        for complaint in fix_all(&settings, files::inputs(&names).collect()) {
            has_failed = true;
            complain(&complaint);
        }
    }
    let (report, is_unread) = parallel::check_files(&settings, files::inputs(&names).collect());
    has_failed |= is_unread;
    for note in report.notes.iter().take(NOTES) {
        complain(note);
    }
    if report.notes.len() > NOTES {
        complain(&format!("and {} more that were not read", report.notes.len() - NOTES));
    }
    if args.output == Output::Text {
        for note in kustomized(&report) {
            complain(&note);
        }
    }
    let is_printed = print(&report, args.output, &settings);
    if has_failed || !is_printed {
        UNUSABLE
    } else if report.is_allowed() {
        PASSED
    } else {
        REFUSED
    }
}

fn settings(args: &CheckArgs) -> Result<Settings, String> {
    let mut known = Known::default();
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

/// Corrects files, and tells on stderr what was done. What could not be written, in words.
fn fix_all(settings: &Settings, inputs: Vec<parallel::NamedInput>) -> Vec<String> {
    let work = |name: &Path, input: io::Result<files::Input>| -> Result<Vec<String>, String> {
        // What cannot be read is told by the check that follows.
        let Ok(input) = input else { return Ok(Vec::new()) };
        let files::Input::File(path) = &input else {
            return Err("--fix writes into files, and standard input is none".to_owned());
        };
        let Ok(text) = files::read(&input) else {
            return Ok(Vec::new());
        };
        let file = name.to_string_lossy();
        let Some((mended, fixes)) = fix::fix(settings, &file, &text) else {
            return Ok(Vec::new());
        };
        fix::replace(path, &text, &mended).map_err(|error| format!("{file}: {error}"))?;
        let told = fixes.iter().map(|fix| {
            let shown = |text: &str| printable(text, 80);
            let (before, after) = (shown(&fix.before), shown(&fix.after));
            format!(
                "{file}:{}: {} {}: \"{before}\" is \"{after}\" now",
                fix.line, fix.rule, fix.path
            )
        });
        Ok(told.collect())
    };
    let mut complaints = Vec::new();
    for outcome in parallel::map(inputs, work) {
        match outcome.flatten() {
            Ok(told) => told.iter().for_each(|line| tell(line)),
            Err(complaint) => complaints.push(complaint),
        }
    }
    complaints
}

fn tell(line: &str) {
    // Nobody is left to tell when this fails.
    let _ = writeln!(io::stderr().lock(), "{}", escaped(line, usize::MAX));
}

/// What is refused in a folder of kustomize may be a part that is whole only once it is built.
fn kustomized(report: &CheckReport) -> Vec<String> {
    let refused = report.documents.iter().filter(|document| !document.allowed);
    let files: BTreeSet<&Path> = refused.map(|document| Path::new(&document.file)).collect();
    let folders: BTreeSet<&Path> = files
        .into_iter()
        .filter(|file| file.is_file())
        .filter_map(Path::parent)
        .filter(|folder| KUSTOMIZATIONS.iter().any(|name| folder.join(name).is_file()))
        .collect();
    let said = folders.into_iter().take(FOLDERS).map(|folder| {
        let folder = match escaped(&folder.to_string_lossy(), usize::MAX) {
            here if here.is_empty() => ".".to_owned(),
            folder => folder,
        };
        format!("{folder} is a kustomization; what it builds is checked by: kubectl kustomize {folder} | kubectl cnbi check -")
    });
    said.collect()
}

/// Reads the policy of a cluster.
///
/// # Errors
/// In words.
pub fn read_config(path: &Path) -> Result<Config, String> {
    let file = path.display();
    let input = if path.as_os_str() == "-" {
        files::Input::Stdin
    } else {
        files::Input::File(path.to_owned())
    };
    let yaml = files::read(&input).map_err(|error| format!("--config {file}: {error}"))?;
    policy::read(&yaml).map_err(|error| {
        format!(
            "--config {file}: {error}\ngive the ConfigMap cnbi-config, or the text that it holds under the key config.yaml"
        )
    })
}

/// The texts of files, by name; `-` is standard input.
///
/// # Errors
/// In words, the first that cannot be read.
pub fn read_texts(names: &[PathBuf]) -> Result<Vec<(String, String)>, String> {
    let read = |(path, input): parallel::NamedInput| {
        let file = path.to_string_lossy().into_owned();
        let text = input.and_then(|input| files::read(&input));
        text.map(|text| (file.clone(), text))
            .map_err(|error| format!("{file}: {error}"))
    };
    files::inputs(names).map(read).collect()
}

/// Whether it could be printed. A reader that goes away early wants no more, and that is no failure.
fn print(report: &CheckReport, output: Output, settings: &Settings) -> bool {
    let stdout = io::stdout();
    let mut text = match output {
        Output::Text => {
            let is_coloured = AutoStream::choice(&stdout) != ColorChoice::Never;
            text::render(report, is_coloured).into_bytes()
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
            complain(&format!("standard output: {error}"));
            false
        }
    }
}

fn complain(message: &str) {
    // Nobody is left to tell when this fails.
    let _ = writeln!(io::stderr().lock(), "kubectl-cnbi: {message}");
}

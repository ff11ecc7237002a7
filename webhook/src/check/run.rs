//! The shell around [`Check`]: files in, text or JSON out, an exit status.

use std::io::{self, Write};
use std::path::Path;

use anstream::{AutoStream, ColorChoice};

use cnbi_shared::config::Config;

use super::args::{CheckArgs, Output};
use super::{Check, CheckReport, Settings, files, text};

/// Nothing was refused.
const PASSED: u8 = 0;
/// Something was.
const REFUSED: u8 = 1;
/// The arguments make no sense, or something cannot be read.
const UNUSABLE: u8 = 2;

/// Most notes about unreadable documents that are printed.
const NOTES: usize = 50;

/// Checks what the arguments name and prints what comes of it. The exit status.
pub fn run(args: &CheckArgs) -> u8 {
    let config = match args.config.as_deref().map(read_config).transpose() {
        Ok(config) => config,
        Err(message) => {
            complain(&message);
            return UNUSABLE;
        }
    };
    let settings = Settings {
        config,
        namespace: args.namespace.clone(),
        strict: args.strict,
    };
    let mut check = Check::new(&settings);
    let mut has_failed = false;
    let names: Vec<_> = args.filename.iter().chain(&args.files).cloned().collect();
    for (path, input) in files::inputs(&names) {
        let file = path.to_string_lossy();
        match input.and_then(|input| files::read(&input)) {
            Ok(text) => check.add(&file, &text),
            Err(error) => {
                has_failed = true;
                check.unreadable(&format!("{file}: {error}"));
            }
        }
    }
    let report = check.finish();
    for note in report.notes.iter().take(NOTES) {
        complain(note);
    }
    if report.notes.len() > NOTES {
        complain(&format!("and {} more that were not read", report.notes.len() - NOTES));
    }
    let is_printed = print(&report, args.output);
    if has_failed || !is_printed {
        UNUSABLE
    } else if report.is_allowed() {
        PASSED
    } else {
        REFUSED
    }
}

fn read_config(path: &Path) -> Result<Config, String> {
    let file = path.display();
    let input = if path.as_os_str() == "-" {
        files::Input::Stdin
    } else {
        files::Input::File(path.to_owned())
    };
    let yaml = files::read(&input).map_err(|error| format!("--config {file}: {error}"))?;
    Config::from_yaml(&yaml).map_err(|error| {
        format!(
            "--config {file}: {error}\ngive the text that the ConfigMap cnbi-config holds under the key config.yaml"
        )
    })
}

/// Whether it could be printed. A reader that goes away early wants no more, and that is no failure.
fn print(report: &CheckReport, output: Output) -> bool {
    let stdout = io::stdout();
    let mut text = match output {
        Output::Text => {
            let is_coloured = AutoStream::choice(&stdout) != ColorChoice::Never;
            text::render(report, is_coloured).into_bytes()
        }
        Output::Json => serde_json::to_vec(report).unwrap_or_default(),
    };
    if output == Output::Json {
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

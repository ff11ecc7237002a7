//! `docs/reference/cli`, the outputs in the tutorial and the screenshot in the README are those of the programs. To rewrite them:
//! `cargo build --bins && UPDATE=1 cargo test -p cnbi-tests --test cli generated_docs`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use cnbi_shared::config::SHIPPED;
use cnbi_tests::process::binary;
use tempfile::TempDir;

use crate::cluster::Result;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");

/// Name of each program, and how users call it.
const PROGRAMS: [(&str, &str); 4] = [
    ("kubectl-cnbi", "kubectl cnbi"),
    ("cnbi-webhook", "cnbi-webhook"),
    ("cnbi-controller", "cnbi-controller"),
    ("cnbi-step", "cnbi-step"),
];

fn assert_generated(page: &str, content: &str) -> Result {
    let path = Path::new(DOCS).join(page);
    if std::env::var_os("UPDATE").is_some_and(|value| !value.is_empty()) {
        fs::create_dir_all(path.parent().ok_or("no folder")?)?;
        fs::write(path, content)?;
        return Ok(());
    }
    let stored = fs::read_to_string(path).unwrap_or_default();
    assert!(
        stored == content,
        "docs/{page} is out of date; UPDATE=1 cargo test -p cnbi-tests --test cli generated_docs rewrites it"
    );
    Ok(())
}

/// A folder with the files that the first section of the tutorial uses.
fn tutorial_folder() -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    fs::create_dir_all(folder.path().join("deploy/base"))?;
    fs::write(folder.path().join("deploy/base/config.yaml"), SHIPPED)?;
    Ok(folder)
}

/// Runs the commands in the console blocks of a text, and replaces their quoted output. Building the plugin is left out.
fn transcribe(text: &str, folder: &Path) -> Result<String> {
    let plugin = binary("kubectl-cnbi")?;
    let path = format!("{}:/usr/bin:/bin", plugin.parent().ok_or("no folder")?.display());
    let mut transcript = String::new();
    let mut is_console = false;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let command = line.strip_prefix("$ ").filter(|_| is_console);
        if line.starts_with("```") {
            is_console = line == "```console";
        } else if is_console && command.is_none() {
            continue;
        }
        writeln!(transcript, "{line}")?;
        let Some(command) = command else { continue };
        let mut script = command.to_owned();
        if command.ends_with("<<'YAML'") {
            for line in lines.by_ref() {
                writeln!(transcript, "{line}")?;
                write!(script, "\n{line}")?;
                if line == "YAML" {
                    break;
                }
            }
        }
        if !command.starts_with("cargo ") && !command.starts_with("export ") {
            let shell = ["-c", script.as_str()];
            let output = Command::new("sh")
                .args(shell)
                .current_dir(folder)
                .env("PATH", &path)
                .output()?;
            transcript.push_str(&String::from_utf8(output.stdout)?);
            transcript.push_str(&String::from_utf8(output.stderr)?);
        }
    }
    Ok(transcript)
}

/// The output of a program without the environment of this machine.
fn output(program: &str, arguments: &[&str], folder: &Path, environment: &[(&str, &str)]) -> Result<String> {
    let output = Command::new(binary(program)?)
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .envs(environment.iter().copied())
        .output()?;
    Ok(String::from_utf8(output.stdout)?)
}

/// Names in the section `Commands:` of a help text.
fn subcommands(help: &str) -> Vec<&str> {
    let section = help.split_once("\nCommands:\n").map_or("", |(_, rest)| rest);
    let names = section
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").collect()
}

/// Adds the help of a command and of its subcommands.
fn add_help(page: &mut String, program: &str, command: &[&str], heading: &str) -> Result {
    let help = output(program, &[command, &["--help"]].concat(), Path::new(DOCS), &[])?;
    if !command.is_empty() {
        write!(page, "\n## {heading}\n")?;
    }
    let text: Vec<&str> = help.lines().map(str::trim_end).collect();
    write!(page, "\n```text\n{}\n```\n", text.join("\n").trim_end())?;
    for name in subcommands(&help) {
        add_help(
            page,
            program,
            &[command, &[name]].concat(),
            &format!("{heading} {name}"),
        )?;
    }
    Ok(())
}

#[test]
fn the_cli_reference_is_the_help_of_the_programs() -> Result {
    for (program, heading) in PROGRAMS {
        let mut page = format!(
            "<!-- Generated; `UPDATE=1 cargo test -p cnbi-tests --test cli generated_docs` rewrites it. -->\n# {heading}\n"
        );
        add_help(&mut page, program, &[], heading)?;
        assert_generated(&format!("reference/cli/{program}.md"), &page)?;
    }
    Ok(())
}

#[test]
fn the_outputs_in_the_tutorial_are_real() -> Result {
    let text = fs::read_to_string(Path::new(DOCS).join("tutorial.md"))?;
    let (start, rest) = text.split_once("\n## 1. ").ok_or("no section 1")?;
    let (section, end) = rest.split_once("\n## 2. ").ok_or("no section 2")?;
    let section = transcribe(section, tutorial_folder()?.path())?;
    assert_generated("tutorial.md", &format!("{start}\n## 1. {section}\n## 2. {end}"))
}

#[test]
fn the_screenshot_shows_the_output_of_check() -> Result {
    let folder = tutorial_folder()?;
    let text = fs::read_to_string(Path::new(DOCS).join("tutorial.md"))?;
    let (_, rest) = text.split_once("<<'YAML'\n").ok_or("no manifest")?;
    let (manifest, _) = rest.split_once("YAML\n").ok_or("no end of the manifest")?;
    fs::write(folder.path().join("notebook.yaml"), manifest)?;
    let arguments = ["check", "notebook.yaml", "--config", "deploy/base/config.yaml"];
    let shown = output("kubectl-cnbi", &arguments, folder.path(), &[("CLICOLOR_FORCE", "1")])?;
    let screen = format!("$ kubectl cnbi check notebook.yaml\n{shown}");
    assert_generated("images/check.svg", &anstyle_svg::Term::new().render_svg(&screen))
}

//! Compares the grammars with the reference implementations: `packaging`, `distribution/reference`, Git, Kubernetes.
//!
//! Recorded results are in `tests/oracles/vectors`, so that the tests need neither Python nor Go nor a network. If Python and Git are available,
//! they are also compared on new random inputs; the seed is printed, and `CNBI_SEED` repeats it. `make test` installs them and sets
//! `CNBI_ORACLE_PYTHON`; otherwise a message is printed and only recorded results are used. `tests/oracles/run` records many more inputs and
//! sets `CNBI_ORACLE_VECTORS`. Intended differences are listed in `docs/development/grammar-exceptions.md`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use cnbi_shared::grammar::image::ImageReference;
use cnbi_shared::grammar::requirement::{self, Environment, PackageItemError, Requirement, Truth};
use cnbi_shared::grammar::{dns, git_ref};
use serde_json::Value;

/// Number of new inputs per kind; a quarter of it for markers.
const FRESH: u32 = 1000;

/// Exit code of the recorder if the reference implementation is not installed.
const NOT_INSTALLED: i32 = 3;

/// Recorded results, and new ones if possible.
fn rows(kind: &str) -> Vec<Value> {
    if let Some(folder) = std::env::var_os("CNBI_ORACLE_VECTORS") {
        return read(Path::new(&folder), kind);
    }
    let mut rows = read(&oracles().join("vectors"), kind);
    rows.extend(fresh(kind));
    rows
}

fn oracles() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/oracles"))
}

fn read(folder: &Path, kind: &str) -> Vec<Value> {
    let path = folder.join(format!("{kind}.jsonl"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let rows: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    assert!(rows.len() >= 250, "{}: only {} lines", path.display(), rows.len());
    rows
}

/// Results for new inputs; none, with a message, if the reference implementation is not installed.
fn fresh(kind: &str) -> Vec<Value> {
    // The other kinds need a Go program.
    if !["requirement", "marker", "git-ref"].contains(&kind) {
        return Vec::new();
    }
    let seed = std::env::var("CNBI_SEED").unwrap_or_else(|_| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.as_nanos().to_string()
    });
    let packages = std::env::var_os("CNBI_ORACLE_PYTHON");
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{kind}-{}", std::process::id()));
    let mut record = Command::new("python3");
    record.arg("-B").arg(oracles().join("record.py")).arg(&folder);
    record.args([&FRESH.to_string(), &seed, kind]);
    if let Some(packages) = &packages {
        record.env("PYTHONPATH", packages);
    }
    let why = match record.output() {
        Ok(done) if done.status.success() => None,
        Ok(done) => {
            let error = String::from_utf8_lossy(&done.stderr).into_owned();
            assert_eq!(done.status.code(), Some(NOT_INSTALLED), "{kind}: {error}");
            Some(error)
        }
        Err(error) => Some(format!("python3: {error}")),
    };
    let rows = if let Some(why) = why {
        assert!(packages.is_none(), "new inputs cannot be compared: {why}");
        println!(
            "{kind}: SKIPPED: new inputs; only recorded results are compared: {}",
            why.trim()
        );
        Vec::new()
    } else {
        println!("{kind}: CNBI_SEED={seed}");
        read(&folder, kind)
    };
    let _ = fs::remove_dir_all(folder);
    rows
}

/// Fails with the first disagreements, if there are any.
fn report(disagreements: &[String]) {
    let shown: Vec<&str> = disagreements.iter().take(40).map(String::as_str).collect();
    assert!(
        disagreements.is_empty(),
        "{} disagreements:\n{}",
        disagreements.len(),
        shown.join("\n")
    );
}

/// Both results must occur often enough.
fn assert_mixed(accepted: usize, all: usize) {
    assert!(
        accepted * 20 > all && accepted * 20 < all * 19,
        "{accepted} of {all} accepted"
    );
}

fn sorted<T: Ord>(mut texts: Vec<T>) -> Vec<T> {
    texts.sort();
    texts
}

/// Whether `packaging` accepts the text and CNBi rejects it intentionally.
fn rejected_intentionally(text: &str) -> bool {
    let is_line_break = |c: char| matches!(c, '\n'..='\r' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}');
    requirement::trim(text).contains(is_line_break) || text.contains("\\N{")
}

fn has_large_number(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_digit())
        .any(|digits| digits.trim_start_matches('0').len() > 18)
}

#[test]
fn requirements_are_parsed_as_in_packaging() {
    let rows = rows("requirement");
    let mut disagreements = Vec::new();
    let mut accepted = 0;
    for row in &rows {
        let text = row[0].as_str().expect("the input");
        let parsed = Requirement::parse(text);
        accepted += usize::from(parsed.is_ok());
        let expected = if rejected_intentionally(text) {
            &Value::Bool(false)
        } else {
            &row[1]
        };
        let found = match &parsed {
            Err(_) => Value::Bool(false),
            Ok(requirement) => {
                let mut extras = sorted(requirement.extras().to_vec());
                extras.dedup();
                let specifiers = requirement.specifiers().iter();
                let mut specifiers: Vec<String> = sorted(specifiers.map(ToString::to_string).collect());
                specifiers.dedup();
                let contradict = match &expected[4] {
                    // `packaging` cannot decide.
                    Value::Null => Value::Null,
                    // Numbers of more than 64 bits are not supported, so no contradiction is reported.
                    verdict if has_large_number(text) => {
                        assert!(
                            !requirement.specifiers().contradict() || *verdict == Value::Bool(true),
                            "{text:?}"
                        );
                        verdict.clone()
                    }
                    _ => requirement.specifiers().contradict().into(),
                };
                let mut found =
                    serde_json::json!([requirement.name(), extras, specifiers, requirement.url(), contradict]);
                // Some versions of `packaging` remove duplicate specifiers.
                if let (Some(Value::Array(theirs)), Some(ours)) = (expected.get(2), found.get_mut(2)) {
                    let mut theirs = theirs.clone();
                    theirs.dedup();
                    if *ours == Value::Array(theirs) {
                        *ours = expected[2].clone();
                    }
                }
                found
            }
        };
        if found != *expected {
            disagreements.push(format!("{text:?}: {found}, packaging: {expected}"));
        }
        let admitted = requirement::parse_package_item(text);
        if admitted.is_ok() != parsed.is_ok()
            || matches!((&admitted, &parsed), (Err(PackageItemError::Requirement(a)), Err(b)) if a != b)
        {
            disagreements.push(format!("{text:?}: admitted {admitted:?}, parsed {parsed:?}"));
        }
        if let Some(suggestion) = requirement::suggest(text)
            && (Requirement::parse(&suggestion).is_err() || suggestion == text)
        {
            disagreements.push(format!("{text:?}: suggested {suggestion:?}"));
        }
    }
    report(&disagreements);
    assert_mixed(accepted, rows.len());
}

/// The Python versions of the recorder, in its order; for each, two Linux environments and one Windows environment.
const PYTHONS: [&str; 12] = [
    "3.7.9", "3.8.0", "3.8.0rc1", "3.8.1", "3.8.2", "3.8.3", "3.8.20", "3.9.0a1", "3.9.0", "3.10.1", "2.7.18", "3.6.0",
];

#[test]
fn markers_are_evaluated_as_in_packaging() {
    let marker = |text: &str| {
        let text = format!("a; {text}");
        let requirement = Requirement::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        requirement.marker().expect("a marker").clone()
    };
    let mut disagreements = Vec::new();
    let (mut known, mut disjoint) = (0, 0);
    let rows = rows("marker");
    for row in &rows {
        let [a, b, in_a, in_b] = [0, 1, 2, 3].map(|column| row[column].as_str().expect("text"));
        let (left, right) = (marker(a), marker(b));
        for (index, verdict) in in_a.bytes().enumerate().filter(|(index, _)| index % 3 < 2) {
            let python = PYTHONS[index / 3];
            // Images have releases of Python; pre-releases are not compared.
            if python.contains(['a', 'r']) {
                continue;
            }
            let short = &python[..python.rfind('.').expect("a dot")];
            for version in [python, short] {
                let truth = left.evaluate(&Environment::for_python(version));
                known += usize::from(truth != Truth::Unknown);
                if matches!((truth, verdict), (Truth::True, b'0') | (Truth::False, b'1')) {
                    disagreements.push(format!(
                        "{a:?} for {version}: {truth:?}, packaging for {python}: {}",
                        char::from(verdict)
                    ));
                }
            }
        }
        let together = in_a.bytes().zip(in_b.bytes()).any(|both| both == (b'1', b'1'));
        let claimed = left.disjoint(&right);
        disjoint += usize::from(claimed);
        if claimed != right.disjoint(&left) || (claimed && together) {
            disagreements.push(format!("{a:?} and {b:?}: disjoint {claimed}, packaging: {in_a} {in_b}"));
        }
    }
    report(&disagreements);
    assert!(
        known > rows.len() * 10,
        "only {known} evaluations of {} markers are known",
        rows.len()
    );
    assert!(
        disjoint * 50 > rows.len(),
        "only {disjoint} of {} pairs are disjoint",
        rows.len()
    );
}

#[test]
fn image_references_are_parsed_as_in_distribution() {
    let rows = rows("image");
    let mut disagreements = Vec::new();
    let mut accepted = 0;
    for row in &rows {
        let text = row[0].as_str().expect("the input");
        let parsed = ImageReference::parse(text);
        accepted += usize::from(parsed.is_ok());
        let agrees = match &parsed {
            Err(_) => row[1] == Value::Bool(false),
            Ok(reference) => {
                // The domain is empty if Docker rejects the reference: a 64-digit id, or a name that is too long with Docker's prefix.
                let docker = row[1][0].as_str().is_none_or(|domain| {
                    let qualified = format!("{domain}/{}", row[1][1].as_str().unwrap_or_default());
                    domain.is_empty() || reference.qualified().starts_with(&qualified)
                });
                docker
                    && row[1][2] == reference.tag().unwrap_or_default()
                    && row[1][3] == reference.digest().unwrap_or_default()
                    && reference.has_tag_or_digest() == (row[1][2] != "" || row[1][3] != "")
            }
        };
        if !agrees {
            disagreements.push(format!("{text:?}: {parsed:?}, reference: {}", row[1]));
        }
        if let Err(error) = &parsed
            && let Some(suggestion) = error.suggestion()
            && ImageReference::parse(suggestion).is_err()
        {
            disagreements.push(format!("{text:?}: suggested {suggestion:?}"));
        }
    }
    report(&disagreements);
    assert_mixed(accepted, rows.len());
}

#[test]
fn git_refs_are_validated_as_in_git() {
    let rows = rows("git-ref");
    let mut disagreements = Vec::new();
    let mut accepted = 0;
    for row in &rows {
        let text = row[0].as_str().expect("the input");
        let verdict = git_ref::validate(text);
        accepted += usize::from(verdict.is_ok());
        // A leading dash is rejected intentionally.
        let expected = row[1] == Value::Bool(true) && !text.starts_with('-');
        if verdict.is_ok() != expected {
            disagreements.push(format!("{text:?}: {verdict:?}, Git: {}", row[1]));
        }
    }
    report(&disagreements);
    assert_mixed(accepted, rows.len());
}

#[test]
fn dns_names_are_validated_as_in_kubernetes() {
    let rows = rows("dns");
    let mut disagreements = Vec::new();
    let mut accepted = 0;
    for row in &rows {
        let text = row[0].as_str().expect("the input");
        let found = serde_json::json!([dns::validate_label(text).is_ok(), dns::validate_subdomain(text).is_ok()]);
        accepted += usize::from(dns::validate_subdomain(text).is_ok());
        if found != row[1] {
            disagreements.push(format!("{text:?}: {found}, Kubernetes: {}", row[1]));
        }
    }
    report(&disagreements);
    assert_mixed(accepted, rows.len());
}

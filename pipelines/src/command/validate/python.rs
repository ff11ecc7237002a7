//! Finds the image's Python and lists its packages.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cnbi_shared::grammar::requirement::normalize_name;
use serde::{Deserialize, Serialize};

use crate::program::{self, Limits, Log, ProgramError};

/// Folders besides the search path, which the start command may extend.
const USUAL: [&str; 5] = [
    "/opt/app-root/bin",
    "/opt/conda/bin",
    "/usr/local/bin",
    "/usr/bin",
    "/bin",
];

/// Maximum output of Python, in bytes.
const ANSWER: usize = 1 << 20;
/// Maximum number of packages.
const PACKAGES: usize = 10_000;

/// Packages that are listed first: name in the index and display name.
const PROMINENT: [(&str, &str); 30] = [
    ("jupyterlab", "JupyterLab"),
    ("notebook", "Notebook"),
    ("torch", "PyTorch"),
    ("tensorflow", "TensorFlow"),
    ("numpy", "NumPy"),
    ("pandas", "Pandas"),
    ("scipy", "SciPy"),
    ("scikit-learn", "Scikit-learn"),
    ("matplotlib", "Matplotlib"),
    ("boto3", "Boto3"),
    ("elyra", "Elyra"),
    ("kfp", "KFP"),
    ("mlflow", "MLflow"),
    ("transformers", "Transformers"),
    ("pyspark", "PySpark"),
    ("dask", "Dask"),
    ("ray", "Ray"),
    ("xgboost", "XGBoost"),
    ("lightgbm", "LightGBM"),
    ("keras", "Keras"),
    ("onnx", "ONNX"),
    ("plotly", "Plotly"),
    ("bokeh", "Bokeh"),
    ("seaborn", "Seaborn"),
    ("polars", "Polars"),
    ("kafka-python", "Kafka-Python"),
    ("sqlalchemy", "SQLAlchemy"),
    ("requests", "Requests"),
    ("ipykernel", "IPykernel"),
    ("jupyter-server", "Jupyter Server"),
];

/// Runs on any version of Python. The result is on a line of its own, because start-up code of the image may print too.
const QUESTION: &str = r#"
import sys
packages = []
try:
    from importlib import metadata
    for found in metadata.distributions():
        try:
            packages.append([found.metadata["Name"], found.version])
        except Exception:
            pass
except ImportError:
    pass
import json
sys.stdout.write("\n" + "cnbi-validate " + json.dumps({"version": list(sys.version_info[:3]), "packages": packages[:10000]}) + "\n")
"#;

#[derive(Deserialize)]
struct Answer {
    version: (u32, u32, u32),
    packages: Vec<(Option<String>, Option<String>)>,
}

/// An entry of the dashboard's lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    name: String,
    version: String,
}

/// The image's Python.
#[derive(Clone, Debug)]
pub struct Python {
    /// Major and minor version.
    pub version: (u32, u32),
    /// Whether `python -m pip` works.
    pub has_pip: bool,
    patch: u32,
    /// Versions by normalized name.
    packages: BTreeMap<String, String>,
}

/// Finds the image's Python. An error is a clause about the image.
pub fn find(home: &Path, time: Duration) -> Result<Python, String> {
    let program = program().ok_or("it has no Python")?;
    let ask = |args: &[&str]| {
        let mut command = std::process::Command::new(&program);
        // Keeps the image's environment, as for a notebook.
        command.args(args).current_dir(home).env("PYTHONDONTWRITEBYTECODE", "1");
        program::run(
            &mut command,
            Limits { time, output: ANSWER },
            b"",
            Log::Off,
            &mut program::never_stop,
        )
    };
    let ended = ask(&["-c", QUESTION]).map_err(|error| match error {
        ProgramError::TimedOut { .. } => format!("its Python did not respond within {} s", time.as_secs()),
        error => format!("its Python does not run: {error}"),
    })?;
    let answer = answer(&ended.stdout).ok_or_else(|| match ended.status.code() {
        Some(code) => format!("its Python returned no version and exit code {code}"),
        None => "its Python returned no version".to_owned(),
    })?;
    let has_pip = ask(&["-m", "pip", "--version"]).is_ok_and(|ended| ended.status.success());
    Ok(Python::of(answer, has_pip))
}

/// The first `python3`, or else `python`, in the search path and the usual folders.
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .chain(USUAL.map(PathBuf::from))
        .collect();
    ["python3", "python"]
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|program| super::server::is_program(program))
}

fn answer(output: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(output);
    let line = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("cnbi-validate "))?;
    serde_json::from_str(line).ok()
}

impl Python {
    fn of(answer: Answer, has_pip: bool) -> Self {
        let (major, minor, patch) = answer.version;
        let packages = answer
            .packages
            .into_iter()
            .take(PACKAGES)
            .filter_map(|(name, version)| Some((name?, version?)))
            .filter(|(name, version)| is_plain(name, 64, "._-") && is_plain(version, 40, "._-+!"))
            .map(|(name, version)| (normalize_name(&name).into_owned(), version))
            .collect();
        Self {
            version: (major, minor),
            has_pip,
            patch,
            packages,
        }
    }

    /// Version such as `3.11.4`.
    pub fn shown(&self) -> String {
        format!("{}.{}.{}", self.version.0, self.version.1, self.patch)
    }

    /// Whether a package is installed, by normalized name.
    pub fn has(&self, name: &str) -> bool {
        self.packages.contains_key(name)
    }

    /// The dashboard's list of software.
    pub fn software(&self) -> Vec<Entry> {
        vec![Entry {
            name: "Python".to_owned(),
            version: format!("v{}.{}", self.version.0, self.version.1),
        }]
    }

    /// The dashboard's list of packages: the well-known ones first, then the others by name.
    pub fn top_packages(&self) -> Vec<Entry> {
        let prominent = PROMINENT.iter().filter_map(|(name, shown)| {
            let version = self.packages.get(*name)?;
            Some(((*shown).to_owned(), version))
        });
        let others = self
            .packages
            .iter()
            .filter(|(name, _)| PROMINENT.iter().all(|(prominent, _)| prominent != name))
            .map(|(name, version)| (name.clone(), version));
        prominent
            .chain(others)
            .map(|(name, version)| Entry {
                name,
                version: version.clone(),
            })
            .collect()
    }
}

fn is_plain(text: &str, most: usize, more: &str) -> bool {
    (1..=most).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_is_found_among_other_output() {
        let output = b"welcome!\ncnbi-validate {\"version\": [3, 11, 4], \"packages\": [[\"Foo_Bar\", \"1\"], [null, \"1\"]]}\nbye\n";
        let python = Python::of(answer(output).unwrap(), true);
        assert_eq!((python.version, python.shown().as_str()), ((3, 11), "3.11.4"));
        assert!(python.has("foo-bar"));
        assert!(answer(b"cnbi-validate {}").is_none());
        assert!(answer(b"\xff").is_none());
    }

    #[test]
    fn invalid_names_are_omitted() {
        let packages = [
            ("pandas", "2.2.2"),
            ("<script>", "1"),
            ("a", "\"}]"),
            ("b", ""),
            ("c\n", "1"),
            ("JupyterLab", "4.2"),
            ("abc", "1!2+local"),
        ];
        let packages = packages.map(|(name, version)| (Some(name.to_owned()), Some(version.to_owned())));
        let answer = Answer {
            version: (3, 12, 0),
            packages: packages.to_vec(),
        };
        let entries: Vec<_> = Python::of(answer, true)
            .top_packages()
            .into_iter()
            .map(|entry| format!("{} {}", entry.name, entry.version))
            .collect();
        assert_eq!(entries, ["JupyterLab 4.2", "Pandas 2.2.2", "abc 1!2+local"]);
    }
}

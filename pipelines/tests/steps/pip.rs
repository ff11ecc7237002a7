//! Runs the pip command of generated Containerfiles in a virtual environment.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use cnbi_pipelines::base_image::BaseImage;
use cnbi_pipelines::containerfile;

/// Writes a wheel with a module and a script, and prints its digest.
const WHEEL: &str = r"
import hashlib, sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w') as wheel:
    wheel.writestr('cnbi_test/__init__.py', 'def main(): pass\n')
    info = 'cnbi_test-1.0.dist-info/'
    wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\nName: cnbi-test\nVersion: 1.0\n')
    wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n')
    wheel.writestr(info + 'entry_points.txt', '[console_scripts]\ncnbi-test = cnbi_test:main\n')
    wheel.writestr(info + 'RECORD', '')
print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())
";

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// All paths below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                [vec![path.clone()], files(&path)].concat()
            } else {
                vec![path]
            }
        })
        .collect()
}

#[test]
fn packages_are_installed_into_the_interpreters_site_packages_whatever_the_base_image_sets() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let python = path("venv/bin/python3");
    output(Command::new("python3").args(["-m", "venv"]).arg(path("venv")));
    let wheel = path("cnbi_test-1.0-py3-none-any.whl");
    let digest = output(Command::new(&python).args(["-c", WHEEL]).arg(&wheel));
    let lock = path("requirements.txt");
    fs::write(
        &lock,
        format!("cnbi-test @ file://{} --hash=sha256:{digest}\n", wheel.display()),
    )
    .unwrap();
    let base = BaseImage {
        reference: "x".to_owned(),
        digest: String::new(),
        user: "1001".to_owned(),
        target: None,
    };
    let text = containerfile::packages(&base, "3.11", "requirements.txt");
    let run = text.lines().find_map(|line| line.strip_prefix("RUN ")).unwrap();
    let mut args: Vec<String> = serde_json::from_str(run).unwrap();
    assert_eq!(args.remove(0), "python3");
    *args.last_mut().unwrap() = lock.to_str().unwrap().to_owned();

    fs::create_dir_all(path("home/.config/pip")).unwrap();
    let elsewhere = path("home/elsewhere");
    let config = format!("[install]\nuser = true\nprefix = {}\n", elsewhere.display());
    fs::write(path("home/.config/pip/pip.conf"), &config).unwrap();
    fs::write(path("venv/pip.conf"), &config).unwrap();
    let mut command = Command::new("sh");
    command
        .args(["-c", "umask 077; exec \"$0\" \"$@\""])
        .arg(&python)
        .args(&args)
        .env("HOME", path("home"))
        .env("PYTHONUSERBASE", &elsewhere)
        .env("PIP_USER", "1")
        .env("PIP_CONFIG_FILE", path("home/.config/pip/pip.conf"));
    for name in ["PIP_PREFIX", "PIP_TARGET", "PIP_ROOT"] {
        command.env(name, &elsewhere);
    }
    output(&mut command);

    let purelib = output(Command::new(&python).args(["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]));
    let installed = files(&path("venv")).into_iter();
    let installed: Vec<_> = installed
        .filter(|path| path.to_string_lossy().contains("cnbi"))
        .collect();
    for name in [
        "cnbi_test/__init__.py",
        "cnbi_test-1.0.dist-info/METADATA",
        "../../../bin/cnbi-test",
    ] {
        assert!(Path::new(&purelib).join(name).is_file(), "{name}: {installed:?}");
    }
    for path in &installed {
        let mode = fs::metadata(path).unwrap().mode();
        assert_eq!((mode >> 3) & 7, (mode >> 6) & 7, "{mode:o} {}", path.display());
    }
    assert_eq!(files(&path("home")).len(), 3, "{:?}", files(&path("home")));
}

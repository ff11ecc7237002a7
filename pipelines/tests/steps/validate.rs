//! `validate`, with this machine's Python and with fake ones.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::step_runner::{StepOutput, StepRunner};

fn program(folder: &Path, name: &str, text: &str) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join(name), text).unwrap();
    fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
}

/// An image with this machine's Python and these packages.
fn image(packages: &[(&str, &str)]) -> StepRunner {
    let runner = StepRunner::new("");
    let site = runner.path("image/site");
    for (name, version) in packages {
        let folder = site.join(format!("{name}-{version}.dist-info"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(
            folder.join("METADATA"),
            format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"),
        )
        .unwrap();
    }
    let (site, home) = (site.display().to_string(), runner.path("image").display().to_string());
    runner.with("PYTHONPATH", site).with("HOME", home)
}

/// An image with a script as python3.
fn with_python(text: &str) -> StepRunner {
    let runner = StepRunner::new("");
    let bin = runner.path("image/bin");
    program(&bin, "python3", text);
    let (path, home) = (
        format!("{}:/usr/bin:/bin", bin.display()),
        runner.path("image").display().to_string(),
    );
    runner.with("PATH", path).with("HOME", home)
}

/// An encoded start command.
fn started_with(command: &[&str]) -> String {
    format!("--start={}", STANDARD.encode(json!(command).to_string()))
}

fn validate(runner: &StepRunner, more: &[&str]) -> StepOutput {
    let mut args = vec!["validate", "--timeout", "20"];
    args.extend(more);
    runner.run_plain(&args)
}

#[test]
fn a_notebook_image_is_reported_with_its_software() {
    let runner = image(&[("jupyterlab", "4.2.0"), ("Zebra_X", "1.0"), ("pandas", "2.2.2")]);
    let output = validate(&runner, &[]).done();
    let software: Value = serde_json::from_str(&output.result("software")).unwrap();
    assert_eq!(software[0]["name"], "Python");
    assert!(
        software[0]["version"].as_str().unwrap().starts_with("v3."),
        "{software}"
    );
    let packages: Vec<Value> = serde_json::from_str(&output.result("python-dependencies")).unwrap();
    assert_eq!(packages[0], json!({"name": "JupyterLab", "version": "4.2.0"}));
    assert!(
        packages.contains(&json!({"name": "Pandas", "version": "2.2.2"})),
        "{packages:?}"
    );
}

#[test]
fn all_findings_are_reported_together() {
    let runner =
        with_python("#!/bin/sh\necho 'cnbi-validate {\"version\": [3, 6, 8], \"packages\": []}'\n[ \"$1\" = -c ]\n");
    let output = validate(&runner, &[]).failed("ImageInvalid", "its Python is 3.6.8; notebooks need 3.8 or later");
    assert!(
        output
            .message
            .contains("; its Python has no pip; it has neither JupyterLab nor a start command"),
        "{output:?}"
    );
    assert_eq!(output.result("software"), "");
}

#[test]
fn a_read_only_home_is_reported() {
    let runner = image(&[("jupyterlab", "4.2.0")]).with("HOME", "/proc");
    validate(&runner, &[]).failed("ImageInvalid", "its home /proc is not writable");
}

#[test]
fn programs_without_a_result_are_reported_and_killed() {
    let hanging = with_python("#!/bin/sh\nsleep 600 & sleep 600\n");
    let started = Instant::now();
    let output = hanging.run_plain(&["validate", "--timeout", "1"]);
    output.failed("ImageInvalid", "its Python did not respond within 1 s");
    assert!(started.elapsed() < Duration::from_secs(20));
    for (text, what) in [
        ("#!/bin/sh\nexit 3\n", "returned no version and exit code 3"),
        ("#!/bin/sh\nkill -9 $$\n", "its Python returned no version"),
        ("#!/no/such/program\n", "its Python does not run"),
        ("#!/bin/sh\nhead -c 100000000 /dev/zero\n", "returned no version"),
        (
            "#!/bin/sh\necho 'cnbi-validate {\"version\": \"<script>\"}'\n",
            "returned no version",
        ),
    ] {
        validate(&with_python(text), &[]).failed("ImageInvalid", what);
    }
}

#[test]
fn results_of_untrusted_images_are_limited() {
    let runner = with_python(
        "#!/bin/sh\nprintf 'cnbi-validate {\"version\": [3, 11, 4], \"packages\": [[\"jupyterlab\", \"4.2.0\"], [\"<script>\", \"1\"], [\"x\", \"\\\\\"}]\"]'\ni=0; while [ $i -lt 5000 ]; do printf ', [\"package-%s\", \"1.0\"]' $i; i=$((i+1)); done\necho ']}'\n",
    );
    let output = validate(&runner, &[]).done();
    let packages: Vec<Value> = serde_json::from_str(&output.result("python-dependencies")).unwrap();
    assert!(packages.len() > 10 && output.result("python-dependencies").len() < 2000);
    assert!(!output.result("python-dependencies").contains("script"));
}

#[test]
fn an_image_without_jupyterlab_must_serve_the_api() {
    let free = || {
        std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port()
            .to_string()
    };
    let serving = "import http.server, os\nclass H(http.server.BaseHTTPRequestHandler):\n    def do_GET(self):\n        self.send_response(200 if self.path == '/api' else 404)\n        self.end_headers()\nhttp.server.HTTPServer(('127.0.0.1', int(os.environ['NOTEBOOK_PORT'])), H).serve_forever()\n";
    // This machine's Python may have JupyterLab; -S and an empty search path hide it.
    let python = "#!/bin/sh\ncase \"$1\" in -m) exit 0;; esac\necho 'cnbi-validate {\"version\": [3, 11, 4], \"packages\": []}'\n";
    let runner = with_python(python);
    fs::write(runner.path("image/serve.py"), serving).unwrap();
    let script = runner.path("image/serve.py").display().to_string();
    let real = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .map(|folder| folder.join("python3"))
        .find(|program| program.is_file())
        .unwrap();
    let real = real.to_str().unwrap();
    validate(&runner, &["--port", &free(), &started_with(&[real, &script])]).done();
    validate(&runner, &["--port", &free(), &started_with(&["/bin/true"])])
        .failed("ImageInvalid", "its start command exited without serving /api");
    validate(&runner, &["--port", &free(), &started_with(&["no-such-command"])])
        .failed("ImageInvalid", "its start command does not run");
    let port = free();
    let output = runner.run_plain(&[
        "validate",
        "--timeout",
        "1",
        "--port",
        &port,
        &started_with(&["/bin/sleep", "600"]),
    ]);
    output.failed("ImageInvalid", "within 1 s");
    let too_long = format!("--start={}", STANDARD.encode("null"));
    validate(&runner, &["--port", &free(), &too_long]).failed("ImageInvalid", "move it to a script that serves /api");
    validate(&runner, &["--port", &free()]).failed("ImageInvalid", "install jupyterlab, or set a CMD that serves /api");
    // Not an encoded command; only another version could send it.
    let output = validate(&runner, &["--start=$(params.x)"]);
    assert_eq!(
        (output.code, output.message.as_str()),
        (Some(2), "--start is not base64")
    );
}

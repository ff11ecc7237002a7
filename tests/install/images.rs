//! The images of the programs, as `make images` makes them, except that the programs are not optimized as those of a release are.
//! They are linked statically in a separate build, which `make test` runs first.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cnbi_tests::control_plane::ports;
use cnbi_tests::process::Program;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const PROGRAMS: [&str; 2] = ["cnbi-webhook", "cnbi-controller"];
const WITHIN: Duration = Duration::from_secs(60);

/// Starts a program in an image's file system as the image's user, which can write only to a private `/tmp`.
const AS_DEPLOYED: &str = r#"
set -eu
mount --bind "$ROOT" "$ROOT"
mount -t tmpfs tmpfs "$ROOT/tmp"
printf '127.0.0.1 api.example\n' >"$ROOT/etc/hosts"
printf 'nameserver 127.0.0.1\noptions attempts:1 timeout:1\n' >"$ROOT/etc/resolv.conf"
printf %s "$KUBECONFIG_TEXT" >"$ROOT/tmp/kubeconfig"
mount -o remount,bind,ro "$ROOT"
unset ROOT KUBECONFIG_TEXT
exec chroot --userspec=65532:65532 "$@"
"#;

/// An API server that never responds; its name is resolved only through the mounted `/etc/hosts`. Both programs stay live and
/// retry.
const KUBECONFIG: &str = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "none",
"clusters": [{"name": "none", "cluster": {"server": "http://api.example:PORT"}}], "users": [{"name": "none", "user": {}}],
"contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}]}"#;

/// buildah with separate storage.
struct Buildah {
    folder: tempfile::TempDir,
}

impl Buildah {
    fn new() -> Outcome<Self> {
        let found = Command::new("buildah").arg("--version").output();
        if !found.is_ok_and(|output| output.status.success()) {
            return Err(
                "buildah not found; install it with `make tools`, or skip these tests with CNBI_WITHOUT=buildah".into(),
            );
        }
        Ok(Self {
            folder: tempfile::tempdir()?,
        })
    }

    fn flags(&self) -> Vec<String> {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        [
            "--storage-driver",
            "vfs",
            "--root",
            &path("root"),
            "--runroot",
            &path("run"),
        ]
        .map(str::to_owned)
        .to_vec()
    }

    /// Calls buildah as root of a user namespace.
    fn call(&self, args: &[&str]) -> Outcome<String> {
        let mut command = if is_root() {
            Command::new("buildah")
        } else {
            let mut command = Command::new("buildah");
            command.args(["unshare", "buildah"]);
            command
        };
        output(command.args(self.flags()).args(args))
    }

    /// Builds both images and returns the metadata of each.
    fn images(&self) -> Outcome<Vec<String>> {
        let mut command = Command::new(repository().join("deploy/images/build"));
        command
            .env("PROFILE", "dev")
            .env("BUILDAH", self.flags().join(" "))
            .env("SOURCE_DATE_EPOCH", "1767225600");
        Ok(output(&mut command)?.lines().map(str::to_owned).collect())
    }
}

fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_owned()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn output(command: &mut Command) -> Outcome<String> {
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// All relative paths in a folder.
fn files(folder: &Path) -> Outcome<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path().strip_prefix(folder)?.display().to_string());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The process with these arguments.
fn process(program: &str, argument: &str) -> Outcome<PathBuf> {
    for entry in fs::read_dir("/proc")? {
        let folder = entry?.path();
        let line = fs::read_to_string(folder.join("cmdline")).unwrap_or_default();
        let mut words = line.split('\0');
        if words.next() == Some(&format!("/{program}")) && words.any(|word| word == argument) {
            return Ok(folder);
        }
    }
    Err(format!("no process of {program}").into())
}

mod buildah {
    use super::*;

    #[tokio::test]
    async fn images_are_reproducible_and_self_contained() -> Outcome {
        let buildah = Buildah::new()?;
        let told = buildah.images()?;
        for line in &told {
            eprintln!("{line}");
        }
        assert_eq!(told, buildah.images()?, "the same input gives the same image");
        assert_eq!(told.len(), PROGRAMS.len());

        for program in PROGRAMS {
            let image = format!("localhost/{program}:0.1.0");
            let config = buildah.call(&["inspect", "--type=image", &image])?;
            let config: serde_json::Value = serde_json::from_str(&config)?;
            let config = &config["OCIv1"]["config"];
            assert_eq!(config["User"], "65532:65532");
            assert_eq!(config["Entrypoint"], serde_json::json!([format!("/{program}")]));
            assert_eq!(config["Labels"]["org.opencontainers.image.licenses"], "Apache-2.0");
            assert_eq!(config["Labels"]["org.opencontainers.image.title"], program);

            let container = buildah.call(&["from", "--pull=never", &image])?;
            let root = PathBuf::from(buildah.call(&["mount", &container])?);
            assert_eq!(
                files(&root)?,
                [program, "etc/group", "etc/passwd", "etc/ssl/certs/ca-certificates.crt"],
                "no shell, no library, nothing else"
            );
            runs(&buildah, program, &root).await?;
        }
        Ok(())
    }

    async fn runs(buildah: &Buildah, program: &str, root: &Path) -> Outcome {
        let [status, reviews] = ports::free()?;
        let api_server = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let kubeconfig = KUBECONFIG.replace("PORT", &api_server.local_addr()?.port().to_string());
        let argument = format!("--status-listen=127.0.0.1:{status}");
        let log = buildah.folder.path().join(format!("{program}.log"));
        let start = if is_root() { "unshare" } else { "buildah" };
        let path = ["/usr/bin", "/bin", "/usr/local/bin"].map(|folder| Path::new(folder).join(start));
        let path = path.into_iter().find(|path| path.is_file()).ok_or("no unshare")?;
        let mut started = Program::new(program, path, &log);
        let mut args = if is_root() { vec![] } else { vec!["unshare", "unshare"] };
        let (name, listen) = (format!("/{program}"), format!("--listen=127.0.0.1:{reviews}"));
        let root_name = root.display().to_string();
        args.extend(["--mount", "sh", "-c", AS_DEPLOYED, "sh", &root_name, &name, &argument]);
        if program == "cnbi-webhook" {
            args.push(&listen);
        }
        started.args = args.into_iter().map(Into::into).collect();
        for (name, value) in [
            ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            ("ROOT", &root_name),
            ("KUBECONFIG_TEXT", &kubeconfig),
            ("KUBECONFIG", "/tmp/kubeconfig"),
        ] {
            started.env.insert(name.to_owned(), value.into());
        }
        let mut running = started.start()?;
        running
            .wait_until_ok(&format!("http://127.0.0.1:{status}/livez"), WITHIN)
            .await?;

        let asked = tokio::time::timeout(WITHIN, api_server.accept()).await;
        asked.map_err(|_| format!("{program} finds no name in /etc/hosts"))??;

        let found = process(program, &argument)?;
        let mounts = fs::read_to_string(found.join("mountinfo"))?;
        let of_root = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let options = of_root
            .filter(|words| words.get(4) == Some(&"/"))
            .filter_map(|words| words.get(5).copied());
        let options: Vec<&str> = options.collect();
        assert!(
            options
                .last()
                .is_some_and(|last| last.split(',').any(|word| word == "ro")),
            "{mounts}"
        );
        if is_root() {
            let told = fs::read_to_string(found.join("status"))?;
            let uid = told.lines().find(|line| line.starts_with("Uid:"));
            assert_eq!(uid, Some("Uid:\t65532\t65532\t65532\t65532"));
        }
        running.kill().await?;
        Ok(())
    }
}

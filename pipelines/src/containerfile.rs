//! Generates Containerfiles. The only user input is the reference of the base image, whose grammar allows no white space.

use crate::base_image::BaseImage;

/// Folder of the lock file or environment file in the image.
const FOLDER: &str = "/etc/cnbi";

/// Runs before pip or conda. Ensures installation into the interpreter's own site-packages, whatever the base image configures: removes pip's
/// configuration and the user site, and gives group 0 the owner's permissions, because OpenShift uses arbitrary users in this group.
pub const SETUP: &str = "import os, runpy, sys; \
    [os.environ.pop(name) for name in list(os.environ) if name.startswith('PIP_') and name != 'PIP_CERT']; \
    os.environ.update(PIP_CONFIG_FILE=os.devnull, PIP_BREAK_SYSTEM_PACKAGES='1', PYTHONNOUSERSITE='1'); os.umask(0o002); ";

/// Installs a complete lock file without resolving.
pub fn packages(base: &BaseImage, python: &str, lock: &str) -> String {
    let run = [
        "python3",
        "-I",
        "-c",
        &format!("{SETUP}runpy.run_module('pip', run_name='__main__', alter_sys=True)"),
        "install",
        "--no-input",
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--no-deps",
        "--require-hashes",
        "--requirement",
        &format!("{FOLDER}/{lock}"),
    ];
    let arguments = "# The CA bundle for the package index, where one is configured.\nARG PIP_CERT\n";
    containerfile(
        base,
        &format!("Written by CNBi, for Python {python}."),
        arguments,
        lock,
        &run,
    )
}

/// Updates conda's base environment.
pub fn environment(base: &BaseImage, file: &str) -> String {
    let run = [
        "python3",
        "-I",
        "-c",
        &format!("{SETUP}os.execvp('conda', ['conda'] + sys.argv[1:])"),
        "env",
        "update",
        "--quiet",
        "--name",
        "base",
        "--file",
        &format!("{FOLDER}/{file}"),
    ];
    containerfile(base, "Written by CNBi.", "", file, &run)
}

fn containerfile(base: &BaseImage, comment: &str, arguments: &str, file: &str, run: &[&str]) -> String {
    // An image without a user runs as root; no instruction is needed.
    let (root, back) = match base.user.as_str() {
        "" => (String::new(), String::new()),
        user => ("USER 0:0\n".to_owned(), format!("USER {user}\n")),
    };
    let (from, run) = (&base.reference, serde_json::json!(run));
    format!("# {comment}\nFROM {from}\n{root}{arguments}COPY {file} {FOLDER}/{file}\nRUN {run}\n{back}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(user: &str) -> BaseImage {
        BaseImage {
            reference: "quay.io/a/b@sha256:0".to_owned(),
            digest: "sha256:0".to_owned(),
            user: user.to_owned(),
            target: None,
        }
    }

    #[test]
    fn the_text_is_stable() {
        // A change of this text changes the commit of every package list.
        assert_eq!(
            packages(&base("1001"), "3.11", "requirements.txt"),
            "# Written by CNBi, for Python 3.11.\n\
             FROM quay.io/a/b@sha256:0\n\
             USER 0:0\n\
             # The CA bundle for the package index, where one is configured.\n\
             ARG PIP_CERT\n\
             COPY requirements.txt /etc/cnbi/requirements.txt\n\
             RUN [\"python3\",\"-I\",\"-c\",\"import os, runpy, sys; \
             [os.environ.pop(name) for name in list(os.environ) if name.startswith('PIP_') and name != 'PIP_CERT']; \
             os.environ.update(PIP_CONFIG_FILE=os.devnull, PIP_BREAK_SYSTEM_PACKAGES='1', PYTHONNOUSERSITE='1'); os.umask(0o002); \
             runpy.run_module('pip', run_name='__main__', alter_sys=True)\",\"install\",\"--no-input\",\"--no-cache-dir\",\
             \"--disable-pip-version-check\",\"--no-deps\",\"--require-hashes\",\"--requirement\",\"/etc/cnbi/requirements.txt\"]\n\
             USER 1001\n"
        );
        assert!(environment(&base(""), "environment.yml").ends_with("\"/etc/cnbi/environment.yml\"]\n"));
    }

    #[test]
    fn the_user_of_the_base_image_is_restored() {
        for user in ["1001", "default:root", "jovyan"] {
            let text = environment(&base(user), "environment.yml");
            assert!(
                text.ends_with(&format!("\nUSER {user}\n")) && text.contains("\nUSER 0:0\n"),
                "{text}"
            );
        }
        assert!(!environment(&base(""), "environment.yml").contains("\nUSER "));
    }
}

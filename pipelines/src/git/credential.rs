//! Credentials for a Git host: from a Secret's folder to Git, without ever being an argument, a URL or a line of a log.
//!
//! For https, Git runs this program as its credential helper, which answers for one host only. For ssh, Git is told where
//! the key lies.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use zeroize::Zeroizing;

/// The argument that makes this program a credential helper.
pub const HELPER: &str = "git-credential";

const FOLDER: &str = "CNBI_GIT_SECRET";
const SCHEME: &str = "CNBI_GIT_SCHEME";
const HOST: &str = "CNBI_GIT_HOST";
const PROGRAM: &str = "CNBI_GIT_HELPER";

/// Most bytes of one entry of a Secret.
const ENTRY: u64 = 64 << 10;

/// Why a Secret is of no use. Nothing of it is repeated.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// It lacks what the transport needs.
    #[error("the Secret for the Git host has no {0}")]
    Missing(&'static str),
    /// It cannot be read.
    #[error("the Secret for the Git host cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// How Git gets at the credential for one host.
#[derive(Clone, Debug)]
pub enum Access {
    /// By this program as a helper.
    Https {
        /// The Secret's folder.
        folder: PathBuf,
        /// Scheme of the host's URL.
        scheme: &'static str,
        /// The host as Git names it, with its port where the URL has one.
        host: String,
    },
    /// By a key.
    Ssh {
        /// A copy of the key that only we can read, as ssh wants it.
        key: PathBuf,
        /// The host keys to expect.
        known_hosts: PathBuf,
    },
}

impl Access {
    /// By a password or token of the Secret in `folder`: its entries `password` or `token`, and `username` where it matters.
    pub fn https(folder: &Path, scheme: &'static str, host: &str) -> Result<Self, CredentialError> {
        if password(folder)?.is_none() {
            return Err(CredentialError::Missing("entry password or token"));
        }
        Ok(Self::Https {
            folder: folder.to_owned(),
            scheme,
            host: host.to_owned(),
        })
    }

    /// By the entries `ssh-privatekey` and `known_hosts`. `home` is a folder of ours.
    pub fn ssh(folder: &Path, home: &Path) -> Result<Self, CredentialError> {
        let key = entry(folder, "ssh-privatekey")?.ok_or(CredentialError::Missing("entry ssh-privatekey"))?;
        // Without it nobody could tell the host from somebody on the way.
        let hosts = entry(folder, "known_hosts")?
            .ok_or(CredentialError::Missing("entry known_hosts with the keys of the host"))?;
        let paths = [home.join("key"), home.join("known_hosts")];
        for (path, text) in paths.iter().zip([key, hosts]) {
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(path)?;
            file.write_all(text.trim_end().as_bytes())?;
            file.write_all(b"\n")?;
        }
        let [key, known_hosts] = paths;
        Ok(Self::Ssh { key, known_hosts })
    }

    pub(super) fn tell(&self, command: &mut Command) {
        match self {
            Self::Https { folder, scheme, host } => {
                let program = std::env::current_exe().unwrap_or_default();
                command
                    .env(FOLDER, folder)
                    .env(SCHEME, scheme)
                    .env(HOST, host)
                    .env(PROGRAM, program)
                    // Git has a shell run it; the variable keeps every path out of the shell's text.
                    .args(["-c", &format!("credential.helper=!\"${PROGRAM}\" {HELPER}")]);
            }
            Self::Ssh { key, known_hosts } => {
                command
                    .env("CNBI_GIT_KEY", key)
                    .env("CNBI_GIT_KNOWN_HOSTS", known_hosts)
                    .env(
                        "GIT_SSH_COMMAND",
                        "ssh -F /dev/null -o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes \
                     -o ForwardAgent=no -o ClearAllForwardings=yes -o ConnectTimeout=30 -i \"$CNBI_GIT_KEY\" \
                     -o UserKnownHostsFile=\"$CNBI_GIT_KNOWN_HOSTS\"",
                    );
            }
        }
    }
}

/// Answers Git where it has started this program as its helper: `None` where it has not.
pub fn answered(mut args: impl Iterator<Item = OsString>) -> Option<io::Result<()>> {
    args.next();
    if args.next()? != HELPER {
        return None;
    }
    let folder = PathBuf::from(std::env::var_os(FOLDER)?);
    let (scheme, host) = (std::env::var(SCHEME).ok()?, std::env::var(HOST).ok()?);
    if args.next()? != "get" {
        // Nothing is stored, and nothing erased.
        return Some(Ok(()));
    }
    Some(answer(&folder, &scheme, &host, io::stdin().lock(), &mut io::stdout()))
}

fn answer(
    folder: &Path,
    scheme: &str,
    host: &str,
    question: impl io::Read,
    answer: &mut dyn io::Write,
) -> io::Result<()> {
    let mut asked = (None, None);
    for line in io::BufReader::new(question.take(ENTRY)).lines() {
        match line?.split_once('=') {
            Some(("protocol", value)) => asked.0 = Some(value.to_owned()),
            Some(("host", value)) => asked.1 = Some(value.to_owned()),
            _ => {}
        }
    }
    let is_ours = asked.0.as_deref() == Some(scheme) && asked.1.is_some_and(|asked| asked.eq_ignore_ascii_case(host));
    if !is_ours {
        return Ok(());
    }
    let Some(password) = password(folder)? else {
        return Ok(());
    };
    // Hosts that take a token want any name or one of their own.
    let username = entry(folder, "username")?.unwrap_or_else(|| Zeroizing::new("git".to_owned()));
    let (username, password) = (username.trim_end(), password.trim_end());
    if username.contains(char::is_control) || password.contains(char::is_control) {
        return Ok(());
    }
    writeln!(answer, "username={username}\npassword={password}")
}

fn password(folder: &Path) -> io::Result<Option<Zeroizing<String>>> {
    match entry(folder, "password")? {
        None => entry(folder, "token"),
        password => Ok(password),
    }
}

fn entry(folder: &Path, name: &str) -> io::Result<Option<Zeroizing<String>>> {
    let file = match fs::File::open(folder.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut text = Zeroizing::new(String::new());
    file.take(ENTRY).read_to_string(&mut text)?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(entries: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in entries {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn told(folder: &Path, question: &str) -> String {
        let mut told = Vec::new();
        answer(folder, "https", "git.example:8443", question.as_bytes(), &mut told).unwrap();
        String::from_utf8(told).unwrap()
    }

    #[test]
    fn only_the_host_itself_is_answered() {
        let folder = secret(&[("username", "me\n"), ("password", "hunter2\n")]);
        let told = |question| told(folder.path(), question);
        assert_eq!(
            told("protocol=https\nhost=git.example:8443\npath=a\n\n"),
            "username=me\npassword=hunter2\n"
        );
        for question in [
            "protocol=http\nhost=git.example:8443\n",
            "protocol=https\nhost=git.example\n",
            "protocol=https\nhost=evil.example\n",
            "host=git.example:8443\n",
            "",
        ] {
            assert_eq!(told(question), "", "{question}");
        }
    }

    #[test]
    fn a_token_needs_no_name_and_lines_cannot_be_smuggled_in() {
        let question = "protocol=https\nhost=git.example:8443\n";
        assert_eq!(
            told(secret(&[("token", "t")]).path(), question),
            "username=git\npassword=t\n"
        );
        assert_eq!(told(secret(&[("token", "t\nhost=evil")]).path(), question), "");
    }

    #[test]
    fn a_secret_that_lacks_something_is_told_by_what() {
        let said = |error: CredentialError| error.to_string();
        let empty = secret(&[("other", "x")]);
        assert_eq!(
            said(Access::https(empty.path(), "https", "x").unwrap_err()),
            "the Secret for the Git host has no entry password or token"
        );
        let home = tempfile::tempdir().unwrap();
        let key = secret(&[("ssh-privatekey", "k")]);
        assert_eq!(
            said(Access::ssh(key.path(), home.path()).unwrap_err()),
            "the Secret for the Git host has no entry known_hosts with the keys of the host"
        );
    }
}

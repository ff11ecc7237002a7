//! Passes credentials from a mounted Secret to Git without putting them into arguments, URLs or logs.
//!
//! For https, Git runs this program as its credential helper, which responds for one host only. For ssh, Git gets the path of the key.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use zeroize::Zeroizing;

/// The argument that selects the credential helper.
pub const HELPER: &str = "git-credential";

const FOLDER: &str = "CNBI_GIT_SECRET";
const SCHEME: &str = "CNBI_GIT_SCHEME";
const HOST: &str = "CNBI_GIT_HOST";
const PROGRAM: &str = "CNBI_GIT_HELPER";

/// Maximum size of an entry of a Secret, in bytes.
const ENTRY: u64 = 64 << 10;

/// Why a Secret cannot be used. Never contains its values.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// An entry is missing.
    #[error("the Secret with the Git credentials has no {0}")]
    Missing(&'static str),
    /// It cannot be read.
    #[error("cannot read the Secret with the Git credentials: {0}")]
    Io(#[from] io::Error),
}

/// How Git gets the credential for a host.
#[derive(Clone, Debug)]
pub enum Access {
    /// From this program as a credential helper.
    Https {
        /// Folder of the Secret.
        folder: PathBuf,
        /// Scheme of the URL.
        scheme: &'static str,
        /// Host in Git's notation, with the port if the URL has one.
        host: String,
    },
    /// A private key.
    Ssh {
        /// A copy of the key with mode 0600, as ssh requires.
        key: PathBuf,
        /// The expected host keys.
        known_hosts: PathBuf,
    },
}

impl Access {
    /// Uses the entries `password` or `token`, and `username` if present, of the Secret in `folder`.
    pub fn https(folder: &Path, scheme: &'static str, host: &str) -> Result<Self, CredentialError> {
        if password(folder)?.is_none() {
            return Err(CredentialError::Missing("entry \"password\" or \"token\""));
        }
        Ok(Self::Https {
            folder: folder.to_owned(),
            scheme,
            host: host.to_owned(),
        })
    }

    /// Uses the entries `ssh-privatekey` and `known_hosts`, which are copied to `home`.
    pub fn ssh(folder: &Path, home: &Path) -> Result<Self, CredentialError> {
        let key = entry(folder, "ssh-privatekey")?.ok_or(CredentialError::Missing("entry \"ssh-privatekey\""))?;
        // Without host keys, ssh cannot detect an attacker in the network.
        let hosts = entry(folder, "known_hosts")?.ok_or(CredentialError::Missing(
            "entry \"known_hosts\" with the host keys; create it with ssh-keyscan",
        ))?;
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

    pub(super) fn configure(&self, command: &mut Command) {
        match self {
            Self::Https { folder, scheme, host } => {
                let program = std::env::current_exe().unwrap_or_default();
                command
                    .env(FOLDER, folder)
                    .env(SCHEME, scheme)
                    .env(HOST, host)
                    .env(PROGRAM, program)
                    // Git runs the helper with a shell. The variable keeps the path out of the command line.
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

/// Responds if Git started this program as its credential helper; otherwise `None`.
pub fn run_helper(mut args: impl Iterator<Item = OsString>) -> Option<io::Result<()>> {
    args.next();
    if args.next()? != HELPER {
        return None;
    }
    let folder = PathBuf::from(std::env::var_os(FOLDER)?);
    let (scheme, host) = (std::env::var(SCHEME).ok()?, std::env::var(HOST).ok()?);
    if args.next()? != "get" {
        // `store` and `erase` do nothing.
        return Some(Ok(()));
    }
    Some(respond(&folder, &scheme, &host, io::stdin().lock(), &mut io::stdout()))
}

fn respond(
    folder: &Path,
    scheme: &str,
    host: &str,
    input: impl io::Read,
    output: &mut dyn io::Write,
) -> io::Result<()> {
    let mut requested = (None, None);
    for line in io::BufReader::new(input.take(ENTRY)).lines() {
        match line?.split_once('=') {
            Some(("protocol", value)) => requested.0 = Some(value.to_owned()),
            Some(("host", value)) => requested.1 = Some(value.to_owned()),
            _ => {}
        }
    }
    let is_ours = requested.0.as_deref() == Some(scheme)
        && requested
            .1
            .is_some_and(|requested| requested.eq_ignore_ascii_case(host));
    if !is_ours {
        return Ok(());
    }
    let Some(password) = password(folder)? else {
        return Ok(());
    };
    // With a token, hosts accept any user name.
    let username = entry(folder, "username")?.unwrap_or_else(|| Zeroizing::new("git".to_owned()));
    let (username, password) = (username.trim_end(), password.trim_end());
    if username.contains(char::is_control) || password.contains(char::is_control) {
        return Ok(());
    }
    writeln!(output, "username={username}\npassword={password}")
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

    fn response(folder: &Path, input: &str) -> String {
        let mut response = Vec::new();
        respond(folder, "https", "git.example:8443", input.as_bytes(), &mut response).unwrap();
        String::from_utf8(response).unwrap()
    }

    #[test]
    fn the_helper_responds_for_one_host_only() {
        let folder = secret(&[("username", "me\n"), ("password", "hunter2\n")]);
        let response = |input| response(folder.path(), input);
        assert_eq!(
            response("protocol=https\nhost=git.example:8443\npath=a\n\n"),
            "username=me\npassword=hunter2\n"
        );
        for input in [
            "protocol=http\nhost=git.example:8443\n",
            "protocol=https\nhost=git.example\n",
            "protocol=https\nhost=evil.example\n",
            "host=git.example:8443\n",
            "",
        ] {
            assert_eq!(response(input), "", "{input}");
        }
    }

    #[test]
    fn tokens_need_no_user_name_and_line_breaks_are_rejected() {
        let input = "protocol=https\nhost=git.example:8443\n";
        assert_eq!(
            response(secret(&[("token", "t")]).path(), input),
            "username=git\npassword=t\n"
        );
        assert_eq!(response(secret(&[("token", "t\nhost=evil")]).path(), input), "");
    }

    #[test]
    fn missing_entries_of_a_secret_are_named() {
        let message = |error: CredentialError| error.to_string();
        let empty = secret(&[("other", "x")]);
        assert_eq!(
            message(Access::https(empty.path(), "https", "x").unwrap_err()),
            "the Secret with the Git credentials has no entry \"password\" or \"token\""
        );
        let home = tempfile::tempdir().unwrap();
        let key = secret(&[("ssh-privatekey", "k")]);
        assert_eq!(
            message(Access::ssh(key.path(), home.path()).unwrap_err()),
            "the Secret with the Git credentials has no entry \"known_hosts\" with the host keys; create it with ssh-keyscan"
        );
    }
}

//! How many files and sockets the program may have open at once.
//!
//! Does not bound connections; that is for [`crate::serve::Limits`].

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Asks the kernel for as many as it allows this process.
///
/// Many container runtimes begin with 1024 and allow far more, out of regard for programs that use `select`. That is as many as the
/// connections which may be open, so connections that send nothing would use them up before their own bound is reached.
pub fn raise() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, allowed = ?limit.current, "no more files can be open than at the beginning");
    }
}

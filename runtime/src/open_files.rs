//! The limit of open files and sockets of this process, and how many connections fit into it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Open files that are no accepted connections: listeners, connections to the API server, watched files.
const OTHER_FILES: usize = 128;

/// Raises the limit as far as the kernel allows.
///
/// Many container runtimes begin with 1024 and allow far more, for the sake of programs that use `select`. Connections would reach
/// that limit before their own.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, allowed = ?limit.current, "the limit of open files cannot be raised");
    }
}

/// The limits of connections for reviews and for probes, reduced where the limit of open files is too low for both.
pub fn fit(reviews: usize, status: usize) -> (usize, usize) {
    let allowed = getrlimit(Resource::Nofile).current;
    let allowed = allowed.map_or(usize::MAX, |allowed| usize::try_from(allowed).unwrap_or(usize::MAX));
    let fitting = share(allowed, reviews, status);
    if fitting != (reviews, status) {
        let (reviews, status) = fitting;
        tracing::warn!(
            allowed,
            reviews,
            status,
            "the limit of open files reduces the limits of connections"
        );
    }
    fitting
}

fn share(allowed: usize, reviews: usize, status: usize) -> (usize, usize) {
    let available = allowed.saturating_sub(OTHER_FILES);
    if reviews.saturating_add(status) <= available {
        return (reviews, status);
    }
    let status = status.min(available / 8).max(1);
    (available.saturating_sub(status).max(1), status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_listeners_together_fit_into_the_open_files() {
        assert_eq!(share(usize::MAX, 1024, 128), (1024, 128));
        assert_eq!(share(1024 + 128 + OTHER_FILES, 1024, 128), (1024, 128));
        assert_eq!(share(1024, 1024, 128), (1024 - OTHER_FILES - 112, 112));
        assert_eq!(share(0, 1024, 128), (1, 1));
    }
}

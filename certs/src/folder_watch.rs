//! Reports when a folder should be read again: after file events (inotify(7)) and periodically.
//!
//! Events only make a change effective sooner: a network file system sends none, and the folder may not exist yet.

use std::path::PathBuf;
use std::time::Duration;

/// The wait after an event, for writers that write several files one after the other.
const SETTLE: Duration = Duration::from_millis(50);

/// A watched folder.
pub struct FolderWatch {
    folder: PathBuf,
    poll: Duration,
    #[cfg(target_os = "linux")]
    events: Option<events::Events>,
}

impl FolderWatch {
    /// Starts to watch `folder`, which need not exist yet. Must be called within a Tokio runtime.
    pub fn new(folder: impl Into<PathBuf>, poll: Duration) -> Self {
        let folder = folder.into();
        Self {
            #[cfg(target_os = "linux")]
            events: events::Events::of(&folder),
            folder,
            poll,
        }
    }

    /// The folder.
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// Waits until the folder should be read again. Events between two calls are not lost.
    pub async fn next(&mut self) {
        #[cfg(target_os = "linux")]
        if let Some(events) = &mut self.events {
            // The folder may have been created or replaced since the last call.
            events.watch(&self.folder);
            tokio::select! {
                () = tokio::time::sleep(self.poll) => {}
                () = events.any() => {
                    tokio::time::sleep(SETTLE).await;
                    events.discard();
                }
            }
            return;
        }
        tokio::time::sleep(self.poll).await;
    }
}

/// inotify(7).
#[cfg(target_os = "linux")]
mod events {
    use std::os::fd::OwnedFd;
    use std::path::Path;

    use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
    use tokio::io::unix::AsyncFd;

    pub(super) struct Events(AsyncFd<OwnedFd>);

    impl Events {
        /// `None` if the limit of inotify instances is reached.
        pub(super) fn of(folder: &Path) -> Option<Self> {
            let opened = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(std::io::Error::from);
            // Its successor is unsafe and requires only what an `OwnedFd` guarantees.
            #[allow(deprecated)]
            let opened = opened.and_then(AsyncFd::new);
            match opened {
                Ok(descriptor) => {
                    let events = Self(descriptor);
                    events.watch(folder);
                    Some(events)
                }
                Err(error) => {
                    tracing::info!(%error, "no file events; reading files periodically instead");
                    None
                }
            }
        }

        /// Watches the folder that exists now. Has no effect if it is already watched.
        pub(super) fn watch(&self, folder: &Path) {
            let changes = WatchFlags::CREATE
                | WatchFlags::CLOSE_WRITE
                | WatchFlags::MOVED_TO
                | WatchFlags::MOVED_FROM
                | WatchFlags::DELETE
                | WatchFlags::ONLYDIR;
            // A folder that does not exist is found by the periodic read.
            let _ = add_watch(self.0.get_ref(), folder, changes);
        }

        /// Waits for an event.
        pub(super) async fn any(&self) {
            if let Ok(mut ready) = self.0.readable().await {
                ready.retain_ready();
            } else {
                std::future::pending::<()>().await;
            }
        }

        /// Discards all pending events.
        pub(super) fn discard(&mut self) {
            let mut buffer = [0; 4096];
            loop {
                let read = self.0.try_io(tokio::io::Interest::READABLE, |descriptor| {
                    Ok(rustix::io::read(descriptor, &mut buffer)?)
                });
                if !read.is_ok_and(|bytes| bytes > 0) {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A period so long that only an event can end the wait.
    const NEVER: Duration = Duration::from_secs(3_600);

    async fn wait_for_event(watch: &mut FolderWatch) {
        let event = tokio::time::timeout(Duration::from_secs(30), watch.next()).await;
        event.expect("no event was reported");
    }

    #[tokio::test]
    async fn writing_replacing_and_deleting_are_reported() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = FolderWatch::new(folder.path(), NEVER);
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a"), "1").unwrap();
        wait_for_event(&mut watch).await;
        std::os::unix::fs::symlink("a", path("..new")).unwrap();
        wait_for_event(&mut watch).await;
        fs::rename(path("..new"), path("..data")).unwrap();
        wait_for_event(&mut watch).await;
        fs::remove_file(path("..data")).unwrap();
        wait_for_event(&mut watch).await;
    }

    #[tokio::test]
    async fn many_changes_are_reported_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = FolderWatch::new(folder.path(), NEVER);
        for n in 0..500 {
            fs::write(folder.path().join("a"), n.to_string()).unwrap();
        }
        wait_for_event(&mut watch).await;
        let again = tokio::time::timeout(Duration::from_millis(300), watch.next()).await;
        again.expect_err("no event since");
    }

    #[tokio::test]
    async fn the_folder_may_be_created_later() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("tls");
        let mut watch = FolderWatch::new(&folder, Duration::from_millis(5));
        watch.next().await;
        fs::create_dir(&folder).unwrap();
        watch.next().await;
        watch.poll = NEVER;
        tokio::join!(wait_for_event(&mut watch), async {
            tokio::task::yield_now().await;
            fs::write(folder.join("a"), "1").unwrap();
        });
    }
}

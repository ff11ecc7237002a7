//! Says when to look at a folder of files again: when something in it has changed, and every little while besides.
//!
//! Events make a change take effect at once; they are not relied upon. There may be none (a network file system), too many, or
//! the folder may itself come later. What has changed, if anything has, is for whoever looks to find out.

use std::path::PathBuf;
use std::time::Duration;

/// How long whoever writes several files, one after the other, is given to write the last of them.
const SETTLE: Duration = Duration::from_millis(50);

/// A folder that is followed.
pub struct Follow {
    folder: PathBuf,
    poll: Duration,
    #[cfg(target_os = "linux")]
    events: Option<events::Events>,
}

impl Follow {
    /// Follows `folder` from now on, which need not be there. Within a runtime.
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

    /// Waits until it is time to look again. Nothing that happens between two calls is missed.
    pub async fn look_again(&mut self) {
        #[cfg(target_os = "linux")]
        if let Some(events) = &mut self.events {
            // Once more, as the folder may have come, or come anew, since.
            events.watch(&self.folder);
            tokio::select! {
                () = tokio::time::sleep(self.poll) => {}
                () = events.any() => {
                    tokio::time::sleep(SETTLE).await;
                    events.forget();
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
        /// `None` where the kernel has none left to give.
        pub(super) fn of(folder: &Path) -> Option<Self> {
            let opened = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(std::io::Error::from);
            // The constructor that takes its place is unsafe, and asks for nothing that an OwnedFd does not promise.
            #[allow(deprecated)]
            let opened = opened.and_then(AsyncFd::new);
            match opened {
                Ok(descriptor) => {
                    let events = Self(descriptor);
                    events.watch(folder);
                    Some(events)
                }
                Err(error) => {
                    tracing::info!(%error, "no file events; files are looked at every few seconds only");
                    None
                }
            }
        }

        /// Watches the folder that is there now; of one that is watched already, nothing changes.
        pub(super) fn watch(&self, folder: &Path) {
            let changes = WatchFlags::CREATE
                | WatchFlags::CLOSE_WRITE
                | WatchFlags::MOVED_TO
                | WatchFlags::MOVED_FROM
                | WatchFlags::DELETE
                | WatchFlags::ONLYDIR;
            // What is not there cannot be watched, and is looked for anyway.
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

        /// Drops what has been told so far.
        pub(super) fn forget(&mut self) {
            let mut told = [0; 4096];
            loop {
                let read = self.0.try_io(tokio::io::Interest::READABLE, |descriptor| {
                    Ok(rustix::io::read(descriptor, &mut told)?)
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

    /// Longer than any test waits, so that only an event can end a wait.
    const NEVER: Duration = Duration::from_secs(3_600);

    async fn is_told(follow: &mut Follow) {
        let told = tokio::time::timeout(Duration::from_secs(30), follow.look_again()).await;
        told.expect("nothing was told");
    }

    #[tokio::test]
    async fn writing_swapping_and_deleting_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut follow = Follow::new(folder.path(), NEVER);
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a"), "1").unwrap();
        is_told(&mut follow).await;
        std::os::unix::fs::symlink("a", path("..new")).unwrap();
        is_told(&mut follow).await;
        fs::rename(path("..new"), path("..data")).unwrap();
        is_told(&mut follow).await;
        fs::remove_file(path("..data")).unwrap();
        is_told(&mut follow).await;
    }

    #[tokio::test]
    async fn many_changes_are_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut follow = Follow::new(folder.path(), NEVER);
        for n in 0..500 {
            fs::write(folder.path().join("a"), n.to_string()).unwrap();
        }
        is_told(&mut follow).await;
        let again = tokio::time::timeout(Duration::from_millis(300), follow.look_again()).await;
        again.expect_err("nothing has happened since");
    }

    #[tokio::test]
    async fn a_folder_may_come_later() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("tls");
        let mut follow = Follow::new(&folder, Duration::from_millis(5));
        follow.look_again().await;
        fs::create_dir(&folder).unwrap();
        follow.look_again().await;
        follow.poll = NEVER;
        tokio::join!(is_told(&mut follow), async {
            tokio::task::yield_now().await;
            fs::write(folder.join("a"), "1").unwrap();
        });
    }
}

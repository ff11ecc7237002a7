//! What people, shells and systems ask of a program by signals: to end, to stop for a while, to go on.
//!
//! Who listens here has to obey, because the kernel no longer does what it would have done by itself. What is on the terminal
//! meanwhile is [`super::screen`]'s business.

use std::future::pending;
use std::io;

use rustix::process::{Signal as Number, getpgrp, getpid, getppid, getsid, kill_process};
use rustix::termios::tcgetpgrp;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for a signal; for ever where it cannot be listened for.
pub async fn heard(signal: &mut Option<Signal>) {
    let Some(signal) = signal else { return pending().await };
    if signal.recv().await.is_none() {
        pending::<()>().await;
    }
}

/// Waits for the signals by which people and systems end programs. The exit status that a shell gives after each.
pub async fn ended() -> u8 {
    let of = |kind| signal(kind).ok();
    let (mut interrupt, mut terminate) = (of(SignalKind::interrupt()), of(SignalKind::terminate()));
    let (mut hangup, mut quit) = (of(SignalKind::hangup()), of(SignalKind::quit()));
    tokio::select! {
        () = heard(&mut interrupt) => 130,
        () = heard(&mut quit) => 131,
        () = heard(&mut terminate) => 143,
        () = heard(&mut hangup) => 129,
    }
}

/// What a shell with job control asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To make room, and then to [`stop`].
    ToStop,
    /// To go on, in the foreground or behind it.
    ToGoOn,
}

/// Listens for what a shell with job control asks for.
pub struct Requests {
    go_on: Option<Signal>,
    stop: Option<Signal>,
}

impl Requests {
    /// From now on.
    pub fn listen() -> Self {
        let go_on = signal(SignalKind::from_raw(Number::CONT.as_raw())).ok();
        // Who could not hear that it is to go on had better be stopped by the kernel.
        let stop = match go_on {
            Some(_) => signal(SignalKind::from_raw(Number::TSTP.as_raw())).ok(),
            None => None,
        };
        Self { go_on, stop }
    }

    /// The next one.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            biased;
            () = heard(&mut self.stop) => Asked::ToStop,
            () = heard(&mut self.go_on) => Asked::ToGoOn,
        }
    }
}

/// Whether somebody could wake us up again: a shell with job control gives each job a process group of its own, in its own session. In
/// the group of the session's leader, as in a container, the kernel too lets Ctrl-Z have no effect.
pub fn can_stop() -> bool {
    let Ok(session) = getsid(None) else { return false };
    getpgrp() != session && getppid().is_some_and(|parent| getsid(Some(parent)) == Ok(session))
}

/// Stops this process until somebody wakes it up; [`Asked::ToGoOn`] follows.
pub fn stop() {
    // One may always send signals to oneself; and if not, the view just stays away until it is asked to go on.
    let _ = kill_process(getpid(), Number::STOP);
}

/// Whether the terminal behind stdout is ours at the moment, and not that of the shell that has sent us into the background. Where
/// that cannot be known, it is.
pub fn is_in_foreground() -> bool {
    tcgetpgrp(io::stdout()).map_or(true, |group| group == getpgrp())
}

//! Many files at once: each is judged by whoever is free, and told in the order in which they were named.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::files::{self, Input};
use super::{Check, CheckReport, Settings};

/// Who waits this long wants to see that something happens.
const PATIENCE: Duration = Duration::from_millis(700);
/// How often the count is drawn.
const REDRAW: Duration = Duration::from_millis(100);

/// Files by the names under which they are told, and how each is read.
pub type Named = (PathBuf, io::Result<Input>);

/// What came of all files, and whether one of them could not be read.
pub fn judge(settings: &Settings, inputs: Vec<Named>) -> (CheckReport, bool) {
    let work = |(path, input): Named| {
        let file = path.to_string_lossy();
        let mut check = Check::new(settings);
        let failed = match input.and_then(|input| files::read(&input)) {
            Ok(text) => {
                check.add(&file, &text);
                false
            }
            Err(error) => {
                check.unreadable(&format!("{file}: {error}"));
                true
            }
        };
        (check.finish(), failed)
    };
    let mut whole = CheckReport::default();
    let mut has_failed = false;
    for (report, failed) in each(inputs, work) {
        whole.append(report);
        has_failed |= failed;
    }
    (whole, has_failed)
}

/// Does something with each of many things, side by side; the outcomes are in the order of the things.
pub fn each<T: Send, U: Send>(things: Vec<T>, work: impl Fn(T) -> U + Sync) -> Vec<U> {
    let count = things.len();
    let workers = thread::available_parallelism().map_or(1, usize::from).min(count);
    if workers <= 1 {
        return things.into_iter().map(work).collect();
    }
    let things: Vec<Mutex<Option<T>>> = things.into_iter().map(|thing| Mutex::new(Some(thing))).collect();
    let outcomes: Vec<Mutex<Option<U>>> = things.iter().map(|_| Mutex::new(None)).collect();
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let waiter = thread::current();
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(thing) = things.get(at) else { return };
                    let taken = thing.lock().ok().and_then(|mut thing| thing.take());
                    if let (Some(thing), Ok(mut outcome)) = (taken.map(&work), outcomes[at].lock()) {
                        *outcome = Some(thing);
                    }
                    if done.fetch_add(1, Ordering::Release) + 1 == count {
                        waiter.unpark();
                    }
                }
            });
        }
        watch(&done, count);
    });
    let taken = outcomes
        .into_iter()
        .filter_map(|outcome| outcome.into_inner().ok().flatten());
    taken.collect()
}

/// Draws how far it is, where somebody looks and it takes long.
fn watch(done: &AtomicUsize, count: usize) {
    let begin = Instant::now();
    let is_watched = io::stderr().is_terminal();
    let mut is_drawn = false;
    while done.load(Ordering::Acquire) < count {
        thread::park_timeout(REDRAW);
        if is_watched && begin.elapsed() > PATIENCE {
            is_drawn = true;
            let _ = write!(io::stderr(), "\r{} of {count} files", done.load(Ordering::Relaxed));
        }
    }
    if is_drawn {
        let _ = write!(io::stderr(), "\r\u{1b}[2K");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_in_order() {
        let things: Vec<usize> = (0..1000).collect();
        let outcomes = each(things.clone(), |thing| {
            if thing % 7 == 0 {
                thread::yield_now();
            }
            thing
        });
        assert_eq!(outcomes, things);
        assert_eq!(each(Vec::<usize>::new(), |thing| thing), Vec::<usize>::new());
    }
}

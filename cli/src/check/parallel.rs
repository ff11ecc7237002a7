//! Processes many files in parallel. Results keep the order of the input.

use std::any::Any;
use std::io::{self, IsTerminal as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use super::files::{self, Input};
use super::{Check, CheckReport, Settings};

/// Progress is shown only for checks that take longer than this.
const PROGRESS_DELAY: Duration = Duration::from_millis(700);
/// Shortest time between two updates of the progress line.
const REDRAW: Duration = Duration::from_millis(100);

/// A file's name in reports, and where to read it from.
pub type NamedInput = (PathBuf, io::Result<Input>);

/// Checks all files. The second value is true if a file could not be read or its check panicked.
pub fn check_files(settings: &Settings, inputs: Vec<NamedInput>) -> (CheckReport, bool) {
    merge(map(inputs, |path, input| {
        let file = path.to_string_lossy();
        let mut check = Check::new(settings);
        let has_failed = match input.and_then(|input| files::read(&input)) {
            Ok(text) => {
                check.add(&file, &text);
                false
            }
            Err(error) => {
                check.unreadable(&format!("{file}: {error}"));
                true
            }
        };
        (check.finish(), has_failed)
    }))
}

fn merge(outcomes: Vec<Result<(CheckReport, bool), String>>) -> (CheckReport, bool) {
    let mut merged = CheckReport::default();
    let mut has_failed = false;
    for result in outcomes {
        match result {
            Ok((report, failed)) => {
                merged.append(report);
                has_failed |= failed;
            }
            Err(panic) => {
                merged.unreadable += 1;
                merged.notes.push(panic);
                has_failed = true;
            }
        }
    }
    (merged, has_failed)
}

/// Calls `work` for each file on a thread pool. A panic becomes an error that names the file; the other files are
/// still processed.
pub fn map<U: Send>(
    inputs: Vec<NamedInput>,
    work: impl Fn(&Path, io::Result<Input>) -> U + Sync,
) -> Vec<Result<U, String>> {
    let progress = Progress::new(inputs.len());
    inputs
        .into_par_iter()
        .map(|(path, input)| {
            let result = catch_unwind(AssertUnwindSafe(|| work(&path, input)));
            progress.advance();
            result.map_err(|panic| format!("{}: internal error: {}", path.display(), panic_message(&*panic)))
        })
        .collect()
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("panic")
}

/// A line on stderr that counts processed files, if stderr is a terminal. Removed when dropped.
struct Progress {
    total: usize,
    done: AtomicUsize,
    start: Instant,
    is_terminal: bool,
    drawn: Mutex<Option<Instant>>,
}

impl Progress {
    fn new(total: usize) -> Self {
        Self {
            total,
            done: AtomicUsize::new(0),
            start: Instant::now(),
            is_terminal: io::stderr().is_terminal(),
            drawn: Mutex::new(None),
        }
    }

    fn advance(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if self.is_terminal
            && self.start.elapsed() > PROGRESS_DELAY
            && let Ok(mut drawn) = self.drawn.try_lock()
            && drawn.is_none_or(|time| time.elapsed() > REDRAW)
        {
            *drawn = Some(Instant::now());
            let _ = write!(io::stderr(), "\r{done} of {} files", self.total);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.get_mut().is_ok_and(|drawn| drawn.is_some()) {
            let _ = write!(io::stderr(), "\r\u{1b}[2K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(count: usize) -> Vec<NamedInput> {
        (0..count)
            .map(|number| (PathBuf::from(format!("{number}.yaml")), Ok(Input::Stdin)))
            .collect()
    }

    #[test]
    fn results_keep_the_order_of_the_input() {
        let names = map(inputs(1000), |path, _| path.to_owned());
        let expected: Vec<_> = inputs(1000).into_iter().map(|(path, _)| Ok(path)).collect();
        assert_eq!(names, expected);
        assert!(map(Vec::new(), |_, _| ()).is_empty());
    }

    #[test]
    fn a_panic_is_reported_for_its_file_and_the_check_ends() {
        let outcomes = map(inputs(100), |path, _| {
            assert_ne!(path, "50.yaml", "bug");
            (CheckReport::default(), false)
        });
        assert_eq!(outcomes.iter().filter(|result| result.is_ok()).count(), 99);
        let (report, has_failed) = merge(outcomes);
        assert!(has_failed && report.unreadable == 1);
        assert!(report.notes[0].starts_with("50.yaml: internal error: "), "{report:?}");
    }
}

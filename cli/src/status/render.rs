//! The detailed status of one resource. It fits one screen; if space is short, the cause and the next action are kept.

use cnbi_shared::api::status::{Phase, PipelineRun, Status};
use cnbi_shared::contract::ConditionType;
use jiff::Timestamp;

use super::summary::{Summary, age};
use super::{View, build_type, steps};
use crate::task_runs::TaskRun;
use crate::terminal::{DEFAULT_SIZE, Size, sanitize, styled, styles, truncate, wrap};

/// Columns of a label with its colon and a space.
const LABEL: usize = 9;
/// Fewest and most lines that are shown of a log.
const LOG: std::ops::RangeInclusive<usize> = 2..=12;

/// Renders the status. No line is longer than the width; a failure fits the height.
pub fn render(view: &View, now: Timestamp, size: Size) -> String {
    let resource = &view.resource;
    let summary = Summary::of(resource);
    let nothing = Status::default();
    let status = resource.status.as_ref().unwrap_or(&nothing);
    // One line stays free for the prompt.
    let room = size.height.saturating_sub(1);
    let upper_half = |is_compact| {
        let mut page = Page {
            lines: Vec::new(),
            width: size.width,
        };
        page.title(view, status, &summary, now);
        let steps = steps::lines(view, now, size.width, is_compact);
        if !steps.is_empty() {
            page.empty();
        }
        page.lines.extend(steps);
        if let (Some(why), false) = (&summary.why, status.phase == Some(Phase::Ready)) {
            page.empty();
            page.labelled("Why", why, 3);
        }
        if let Some(next) = &summary.next {
            // Enough lines for a whole command.
            page.labelled("Next", next, 5);
        }
        page
    };
    let least = view.log.as_ref().map_or(0, |_| LOG.start() + 1);
    let mut page = upper_half(false);
    if page.lines.len() + least > room {
        page = upper_half(true);
    }
    let needed = page.lines.len();
    page.image(status);
    page.conditions(status);
    if status.phase == Some(Phase::Failed) || view.log.is_some() {
        page.lines.truncate(room.saturating_sub(least).max(needed));
    }
    let left = room.saturating_sub(page.lines.len());
    if let Some(log) = view.log.as_ref().filter(|_| left >= least) {
        page.log(view, log.as_deref(), (left - 1).min(*LOG.end()));
    }
    page.lines.join("\n") + "\n"
}

struct Page {
    lines: Vec<String>,
    width: usize,
}

impl Page {
    fn empty(&mut self) {
        self.lines.push(String::new());
    }

    /// Adds a label and wrapped text. `limit` is the maximum number of lines at 80 columns; narrower windows get more.
    fn labelled(&mut self, label: &str, text: &str, limit: usize) {
        let columns = self.width.saturating_sub(LABEL).max(1);
        let limit = limit * (DEFAULT_SIZE.width - LABEL).div_ceil(columns);
        for (number, line) in wrap(text, columns, limit).iter().enumerate() {
            let label = if number == 0 {
                format!("{label}:")
            } else {
                String::new()
            };
            let padded = format!("{label:LABEL$}");
            self.lines.push(format!("{}{line}", styled(styles::TITLE, &padded)));
        }
    }

    fn title(&mut self, view: &View, status: &Status, summary: &Summary, now: Timestamp) {
        let metadata = &view.resource.metadata;
        let run = status.pipeline_run.as_ref();
        let style = match status.phase {
            Some(Phase::Ready) => styles::OK,
            Some(Phase::Failed) => styles::ERROR,
            _ => styles::IN_PROGRESS,
        };
        let at = run
            .filter(|_| status.phase == Some(Phase::Failed))
            .and_then(|run| run.failed_task.as_deref())
            .map(|task| format!(" at {}", sanitize(task)))
            .unwrap_or_default();
        let since = run
            .and_then(|run| run.completion_time.as_ref())
            .filter(|_| matches!(status.phase, Some(Phase::Ready | Phase::Failed)))
            .map(|end| format!(", {} ago", age(end.0, now)))
            .unwrap_or_default();
        let tail = format!("{}{at}{since}", summary.state);
        let name = format!(
            "{}/{}",
            sanitize(metadata.namespace.as_deref().unwrap_or_default()),
            sanitize(metadata.name.as_deref().unwrap_or_default())
        );
        let name = truncate(&name, self.width.saturating_sub(tail.len() + 2));
        self.lines
            .push(format!("{}: {}", styled(styles::TITLE, &name), styled(style, &tail)));

        let kind = build_type(&view.resource).map_or("invalid build type", |build_type| build_type.as_str());
        let generation = metadata.generation.unwrap_or_default();
        let mut about = format!("  {kind}, generation {generation}");
        if let Some(run) = run {
            about.push_str(&run_summary(run, now));
            self.lines.push(truncate(&about, self.width));
            let part = |text: &Option<String>| sanitize(text.as_deref().unwrap_or("?"));
            let location = format!("  PipelineRun {}/{}", part(&run.namespace), part(&run.name));
            self.lines.push(truncate(&location, self.width));
        } else {
            about.push_str(", no PipelineRun");
            self.lines.push(truncate(&about, self.width));
        }
    }

    /// Adds image, tag and source. Only for a Ready resource: after a failure they are those of an earlier build.
    fn image(&mut self, status: &Status) {
        if status.phase != Some(Phase::Ready) {
            return;
        }
        self.empty();
        let part = |text: &Option<String>| text.as_deref().map(sanitize);
        let image = status.image.as_ref();
        let reference = image.and_then(|image| part(&image.reference));
        let digest = image.and_then(|image| part(&image.digest));
        let digest = digest.filter(|digest| !reference.as_ref().is_some_and(|image| image.contains(digest)));
        if let Some(reference) = &reference {
            self.labelled("Image", reference, 2);
        }
        if let Some(digest) = digest {
            self.labelled("Digest", &digest, 1);
        }
        if let Some(stream) = &status.image_stream {
            let part = |text: &Option<String>| part(text).unwrap_or_else(|| "?".to_owned());
            let (namespace, name, tag) = (part(&stream.namespace), part(&stream.name), part(&stream.tag));
            self.labelled("Tag", &format!("ImageStreamTag {namespace}/{name}:{tag}"), 2);
        }
        if let Some(source) = &status.source {
            let parts = [
                part(&source.repository_url),
                part(&source.git_ref),
                part(&source.commit),
            ];
            let parts: Vec<String> = parts.into_iter().flatten().collect();
            if !parts.is_empty() {
                self.labelled("Source", &parts.join(", "), 2);
            }
        }
    }

    /// Lists conditions by status. A False condition with the reason of Ready is left out: [`Summary`] shows it.
    fn conditions(&mut self, status: &Status) {
        let ready_reason = super::summary::condition(status, ConditionType::Ready).map(|ready| ready.reason.as_str());
        let (mut done, mut pending) = (Vec::new(), Vec::new());
        let mut notes = Vec::new();
        for condition in &status.conditions {
            let Some(phrase) = ConditionType::by_name(&condition.type_).and_then(phrase) else {
                continue;
            };
            match condition.status.as_str() {
                "True" => done.push(phrase),
                "False" if Some(condition.reason.as_str()) == ready_reason => {}
                "False" => notes.push(format!(
                    "not {phrase}: {}: {}",
                    sanitize(&condition.reason),
                    sanitize(&condition.message)
                )),
                _ => pending.push(phrase),
            }
        }
        if status.phase != Some(Phase::Failed) {
            self.empty();
        }
        if !done.is_empty() {
            self.labelled("Done", &done.join(", "), 2);
        }
        if !pending.is_empty() {
            self.labelled("Pending", &pending.join(", "), 2);
        }
        for note in notes {
            self.labelled("Note", &note, 3);
        }
    }

    fn log(&mut self, view: &View, log: Result<&[String], &String>, limit: usize) {
        let task = view.failed_task();
        let step = task.and_then(TaskRun::failed_step);
        let of = match (task, step) {
            (Some(task), Some(step)) => format!(" of {}, step {}", sanitize(&task.task), sanitize(&step.name)),
            (Some(task), None) => format!(" of {}", sanitize(&task.task)),
            _ => String::new(),
        };
        match log {
            Ok([]) => self.lines.push(format!("The log{of} is empty.")),
            Ok(lines) => {
                let title = truncate(&format!("Last lines of the log{of}:"), self.width);
                self.lines.push(styled(styles::TITLE, &title));
                let first = lines.len().saturating_sub(limit);
                for line in &lines[first..] {
                    self.lines
                        .push(format!("  {}", truncate(line, self.width.saturating_sub(2))));
                }
            }
            Err(why) => {
                let text = format!("Log{of} not available: {}", sanitize(why));
                self.lines.extend(wrap(&text, self.width, 3.min(limit)));
            }
        }
    }
}

fn run_summary(run: &PipelineRun, now: Timestamp) -> String {
    let attempt = run
        .attempt
        .filter(|attempt| *attempt > 1)
        .map(|attempt| format!(", attempt {attempt}"))
        .unwrap_or_default();
    let start = run.start_time.as_ref().map(|time| time.0);
    let end = run.completion_time.as_ref().map(|time| time.0);
    let took = match (start, end) {
        (Some(start), Some(end)) => format!(", took {}", age(start, end)),
        (Some(start), None) => format!(", for {}", age(start, now)),
        _ => String::new(),
    };
    format!("{attempt}{took}")
}

fn phrase(condition: ConditionType) -> Option<&'static str> {
    match condition {
        // Shown in the title.
        ConditionType::Ready | ConditionType::Reconciling | ConditionType::Stalled => None,
        ConditionType::WellFormed => Some("valid"),
        ConditionType::PullSecretReady => Some("pull secret ready"),
        ConditionType::PipelineRunCreated => Some("PipelineRun created"),
        ConditionType::SourcePrepared => Some("source prepared"),
        ConditionType::ImageValidated => Some("image validated"),
        ConditionType::ImageBuilt => Some("image built"),
        ConditionType::ImageStreamUpdated => Some("ImageStream updated"),
    }
}

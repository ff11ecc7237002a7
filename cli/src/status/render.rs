//! What is told of one resource: at most a screen, the cause and the next action before everything else that could fill it.

use cnbi_shared::api::status::{Phase, PipelineRun, Status};
use cnbi_shared::contract::ConditionType;
use jiff::Timestamp;

use super::super::runs::TaskRun;
use super::super::terminal::{Size, USUAL, cut, safe, styled, styles, wrap};
use super::words::{Words, age, condition};
use super::{View, build_type, steps};

/// Columns before what is told of a cause, an action or an image: the longest label, its colon and a space.
const LABEL: usize = 8;
/// Fewest and most lines of a log's end.
const LOG: std::ops::RangeInclusive<usize> = 2..=12;

/// The text; no line is longer than the width, and a failure fits the height.
pub fn render(view: &View, now: Timestamp, size: Size) -> String {
    let resource = &view.resource;
    let words = Words::of(resource);
    let nothing = Status::default();
    let status = resource.status.as_ref().unwrap_or(&nothing);
    // A line is left free for whatever comes after.
    let room = size.height.saturating_sub(1);
    let upper_half = |in_short| {
        let mut page = Page {
            lines: Vec::new(),
            width: size.width,
        };
        page.title(view, status, &words, now);
        let steps = steps::lines(view, now, size.width, in_short);
        if !steps.is_empty() {
            page.empty();
        }
        page.lines.extend(steps);
        if let (Some(why), false) = (&words.why, status.phase == Some(Phase::Ready)) {
            page.empty();
            page.labelled("Why", why, 3);
        }
        if let Some(next) = &words.next {
            // Half a command is none.
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

    /// A word in front, and text beside it in as many lines as it takes, up to a limit: that of 80 columns, and more in less.
    fn labelled(&mut self, label: &str, text: &str, limit: usize) {
        let columns = self.width.saturating_sub(LABEL).max(1);
        let limit = limit * (USUAL.width - LABEL).div_ceil(columns);
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

    fn title(&mut self, view: &View, status: &Status, words: &Words, now: Timestamp) {
        let metadata = &view.resource.metadata;
        let run = status.pipeline_run.as_ref();
        let style = match status.phase {
            Some(Phase::Ready) => styles::GOOD,
            Some(Phase::Failed) => styles::BAD,
            _ => styles::UNDER_WAY,
        };
        let at = run
            .filter(|_| status.phase == Some(Phase::Failed))
            .and_then(|run| run.failed_task.as_deref())
            .map(|task| format!(" at {}", safe(task)))
            .unwrap_or_default();
        let since = run
            .and_then(|run| run.completion_time.as_ref())
            .filter(|_| matches!(status.phase, Some(Phase::Ready | Phase::Failed)))
            .map(|end| format!(", {} ago", age(end.0, now)))
            .unwrap_or_default();
        let tail = format!("{}{at}{since}", words.state);
        let name = format!(
            "{}/{}",
            safe(metadata.namespace.as_deref().unwrap_or_default()),
            safe(metadata.name.as_deref().unwrap_or_default())
        );
        let name = cut(&name, self.width.saturating_sub(tail.len() + 2));
        self.lines
            .push(format!("{}: {}", styled(styles::TITLE, &name), styled(style, &tail)));

        let kind = build_type(&view.resource).map_or("no legal build type", |known| known.as_str());
        let generation = metadata.generation.unwrap_or_default();
        let mut about = format!("  {kind}, generation {generation}");
        if let Some(run) = run {
            about.push_str(&run_words(run, now));
            self.lines.push(cut(&about, self.width));
            let part = |text: &Option<String>| safe(text.as_deref().unwrap_or("?"));
            let place = format!("  run {}/{}", part(&run.namespace), part(&run.name));
            self.lines.push(cut(&place, self.width));
        } else {
            about.push_str("; there is no run");
            self.lines.push(cut(&about, self.width));
        }
    }

    fn image(&mut self, status: &Status) {
        let image = status.image.as_ref();
        let reference = image.and_then(|image| image.reference.as_deref());
        let digest = image.and_then(|image| image.digest.as_deref());
        let is_ready = status.phase == Some(Phase::Ready);
        if is_ready && (reference.is_some() || digest.is_some()) {
            self.empty();
        }
        // Of a failure, the image of an earlier build is not what anybody looks for.
        if let (Some(reference), true) = (reference, is_ready) {
            self.labelled("Image", &safe(reference), 2);
        }
        if let (Some(digest), true) = (
            digest.filter(|digest| !reference.is_some_and(|of| of.contains(*digest))),
            is_ready,
        ) {
            self.labelled("Digest", &safe(digest), 1);
        }
        if let (Some(stream), true) = (&status.image_stream, is_ready) {
            let part = |text: &Option<String>| safe(text.as_deref().unwrap_or("?"));
            let text = format!(
                "ImageStream {}/{}, tag {}",
                part(&stream.namespace),
                part(&stream.name),
                part(&stream.tag)
            );
            self.labelled("Found", &text, 2);
        }
        if let (Some(source), true) = (&status.source, is_ready) {
            let part = |text: &Option<String>| text.as_deref().map(safe);
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

    /// The conditions in words: what is done, what is open; what is not well beside what [`Words`] tell of.
    fn conditions(&mut self, status: &Status) {
        let told = condition(status, ConditionType::Ready).map(|ready| ready.reason.as_str());
        let (mut done, mut open) = (Vec::new(), Vec::new());
        let mut notes = Vec::new();
        for said in &status.conditions {
            let Some(phrase) = ConditionType::by_name(&said.type_).and_then(phrase) else {
                continue;
            };
            match said.status.as_str() {
                "True" => done.push(phrase),
                "False" if Some(said.reason.as_str()) == told => {}
                "False" => notes.push(format!("not {phrase}: {}: {}", safe(&said.reason), safe(&said.message))),
                _ => open.push(phrase),
            }
        }
        if status.phase != Some(Phase::Failed) {
            self.empty();
        }
        if !done.is_empty() {
            self.labelled("Done", &done.join(", "), 2);
        }
        if !open.is_empty() {
            self.labelled("Open", &open.join(", "), 2);
        }
        for note in notes {
            self.labelled("Note", &note, 3);
        }
    }

    fn log(&mut self, view: &View, log: Result<&[String], &String>, limit: usize) {
        let task = view.failed_task();
        let step = task.and_then(TaskRun::failed_step);
        let of = match (task, step) {
            (Some(task), Some(step)) => format!(" of {}, step {}", safe(&task.task), safe(&step.name)),
            (Some(task), None) => format!(" of {}", safe(&task.task)),
            _ => String::new(),
        };
        match log {
            Ok([]) => self.lines.push(format!("The log{of} is empty.")),
            Ok(lines) => {
                let title = cut(&format!("The end of the log{of}:"), self.width);
                self.lines.push(styled(styles::TITLE, &title));
                let first = lines.len().saturating_sub(limit);
                for line in &lines[first..] {
                    self.lines
                        .push(format!("  {}", cut(line, self.width.saturating_sub(2))));
                }
            }
            Err(why) => {
                let text = format!("The log{of} is not told: {}", safe(why));
                self.lines.extend(wrap(&text, self.width, 3.min(limit)));
            }
        }
    }
}

fn run_words(run: &PipelineRun, now: Timestamp) -> String {
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
        // The title says it.
        ConditionType::Ready | ConditionType::Reconciling | ConditionType::Stalled => None,
        ConditionType::WellFormed => Some("well-formed"),
        ConditionType::PullSecretReady => Some("pull Secret usable"),
        ConditionType::PipelineRunCreated => Some("run created"),
        ConditionType::SourcePrepared => Some("source prepared"),
        ConditionType::ImageValidated => Some("image validated"),
        ConditionType::ImageBuilt => Some("image built"),
        ConditionType::ImageStreamUpdated => Some("ImageStream updated"),
    }
}

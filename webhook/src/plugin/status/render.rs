//! What is told of one resource: at most a screen, the cause and the next action before everything else that could fill it.

use cnbi_shared::api::CustomNBImage;
use cnbi_shared::api::status::{Phase, PipelineRun, Status, Step};
use cnbi_shared::contract::{self, ConditionType, Reason};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::super::runs::{State, TaskRun};
use super::super::terminal::{Size, cut, safe, styled, styles, wrap};
use super::{View, build_type};

/// Columns before what is told of a cause, an action or an image.
const LABEL: usize = 8;
/// Fewest and most lines of a log's end.
const LOG: std::ops::RangeInclusive<usize> = 2..=12;

/// A resource in a few words, safe to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// How it stands.
    pub state: String,
    /// Why, where that needs saying; the image where there is one to use.
    pub why: Option<String>,
    /// What to do now, where there is anything.
    pub next: Option<String>,
}

impl Words {
    /// What the status says.
    pub fn of(resource: &CustomNBImage) -> Self {
        let Some(status) = resource.status.as_ref().filter(|status| status.phase.is_some()) else {
            return Self {
                state: "Pending".to_owned(),
                why: Some("the controller has not looked at it yet".to_owned()),
                next: None,
            };
        };
        let state = state(status).to_owned();
        if status.observed_generation != resource.metadata.generation {
            return Self {
                state,
                why: Some("the controller has not looked at the last change yet".to_owned()),
                next: None,
            };
        }
        let ready = condition(status, ConditionType::Ready);
        match (status.phase, ready) {
            (Some(Phase::Ready), _) => {
                let image = status.image.as_ref();
                let reference = image.and_then(|image| image.reference.as_deref().or(image.digest.as_deref()));
                let (why, next) = (reference.map(safe), None);
                Self { state, why, next }
            }
            (Some(Phase::Building), Some(ready)) if ready.status == "Unknown" => {
                let (why, next) = (None, None);
                Self { state, why, next }
            }
            (phase, Some(ready)) => {
                let (why, next) = cause(resource, ready, phase == Some(Phase::Failed));
                let why = Some(why);
                Self { state, why, next }
            }
            (_, None) => {
                let (why, next) = (None, None);
                Self { state, why, next }
            }
        }
    }
}

fn state(status: &Status) -> &'static str {
    match (status.phase, status.step) {
        (Some(Phase::Ready), _) => "Ready",
        (Some(Phase::Failed), _) => "Failed",
        (Some(Phase::Building), Some(Step::Importing)) => "Importing",
        (Some(Phase::Building), Some(Step::Validating)) => "Validating",
        (Some(Phase::Building), Some(Step::Preparing)) => "Preparing",
        (Some(Phase::Building), _) => "Building",
        (Some(Phase::Pending) | None, _) => "Pending",
    }
}

fn condition(status: &Status, wanted: ConditionType) -> Option<&Condition> {
    status
        .conditions
        .iter()
        .find(|condition| condition.type_ == wanted.as_str())
}

/// Reason and message without what to do about it, and that apart.
fn cause(resource: &CustomNBImage, ready: &Condition, has_failed: bool) -> (String, Option<String>) {
    let message = safe(&ready.message);
    let known = Reason::by_name(&ready.reason);
    let advice = known.map(Reason::advice);
    // The controller ends its messages with the advice.
    let what = match advice.and_then(|advice| message.find(&format!(". {advice}"))) {
        Some(end) => &message[..end],
        None => message.trim_end_matches('.'),
    };
    let why = format!("{}: {what}", safe(&ready.reason));
    let (namespace, name) = (
        safe(resource.metadata.namespace.as_deref().unwrap_or_default()),
        safe(resource.metadata.name.as_deref().unwrap_or_default()),
    );
    let again = || format!("kubectl annotate cnbi {name} -n {namespace} --overwrite meteor.zone/retry=\"$(date +%s)\"");
    let next = match known {
        None if ready.reason.starts_with("CNB") => Some(format!(
            "correct the manifest and apply it again; about the rule: kubectl cnbi explain {}",
            safe(&ready.reason)
        )),
        None => None,
        Some(Reason::BuildFailed) => Some(format!(
            "read the whole log: kubectl cnbi logs {name} -n {namespace}; then change the spec"
        )),
        Some(Reason::Cancelled) => Some(format!("start it again: {}", again())),
        Some(reason) if has_failed && reason.is_temporary() => {
            Some(format!("it was tried often enough; to try again: {}", again()))
        }
        Some(reason) => Some(lowered(reason.advice())),
    };
    (why, next)
}

fn lowered(sentence: &str) -> String {
    let mut characters = sentence.chars();
    characters
        .next()
        .map(|first| first.to_lowercase().chain(characters).collect())
        .unwrap_or_default()
}

/// How long ago something was, or how long it has taken.
pub fn age(from: Timestamp, to: Timestamp) -> String {
    let seconds = (to.as_second() - from.as_second()).max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// The text; no line is longer than the width, and a failure fits the height.
pub fn render(view: &View, now: Timestamp, size: Size) -> String {
    let resource = &view.resource;
    let words = Words::of(resource);
    let nothing = Status::default();
    let status = resource.status.as_ref().unwrap_or(&nothing);
    let mut page = Page {
        lines: Vec::new(),
        width: size.width,
    };
    page.title(view, status, &words, now);
    page.steps(view, now);
    let is_ready = status.phase == Some(Phase::Ready);
    if let (Some(why), false) = (&words.why, is_ready) {
        page.empty();
        page.labelled("Why", why, 3);
    }
    if let Some(next) = &words.next {
        page.labelled("Next", next, 2);
    }
    page.image(status);
    page.conditions(status);
    if let Some(log) = &view.log {
        let left = size.height.saturating_sub(page.lines.len() + 2);
        page.log(view, log.as_deref(), left.clamp(*LOG.start(), *LOG.end()));
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

    /// A word in front, and text beside it in as many lines as it takes, up to a limit.
    fn labelled(&mut self, label: &str, text: &str, limit: usize) {
        for (number, line) in wrap(text, self.width - LABEL, limit).iter().enumerate() {
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

    fn steps(&mut self, view: &View, now: Timestamp) {
        let status = view.resource.status.as_ref();
        let run = status.and_then(|status| status.pipeline_run.as_ref());
        let (Some(run), Some(build_type)) = (run, build_type(&view.resource)) else {
            return;
        };
        self.empty();
        let tasks = match &view.tasks {
            Ok(tasks) if tasks.is_empty() && run.completion_time.is_some() => {
                self.lines.push("  The record of its tasks is gone.".to_owned());
                return;
            }
            Ok(tasks) => tasks,
            Err(why) => {
                let text = format!("  Its tasks are not told: {}", safe(why));
                self.lines.push(cut(&text, self.width));
                return;
            }
        };
        let pipeline = contract::of(build_type);
        let names: Vec<&str> = pipeline.all_tasks().map(|task| task.name).collect();
        let others = tasks.iter().filter(|task| !names.contains(&task.task.as_str()));
        let rows: Vec<(String, Option<&TaskRun>)> = names
            .iter()
            .map(|name| ((*name).to_owned(), tasks.iter().find(|task| task.task == *name)))
            .chain(others.map(|task| (safe(&task.task), Some(task))))
            .collect();
        let widest = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, task) in rows {
            let (mark, style) = match task.map(|task| task.state) {
                Some(State::Succeeded) => ("done", styles::GOOD),
                Some(State::Failed) => ("FAILED", styles::BAD),
                Some(State::Running) => ("runs", styles::UNDER_WAY),
                Some(State::Waiting) => ("begins", styles::UNDER_WAY),
                None if run.completion_time.is_some() => ("not run", styles::FAINT),
                None => ("waits", styles::FAINT),
            };
            let took = task
                .and_then(|task| Some(age(task.start?, task.end.unwrap_or(now))))
                .unwrap_or_default();
            let more = task.map(detail).unwrap_or_default();
            let plain = format!("{name:widest$} {took:>8}   {more}");
            let plain = cut(plain.trim_end(), self.width.saturating_sub(10));
            let mark = format!("{mark:<7}");
            self.lines.push(format!("  {} {plain}", styled(style, &mark)));
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
            self.labelled("Found as", &text, 1);
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
                self.lines.extend(wrap(&text, self.width, 3));
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

/// What is worth saying of a task beside how long it took.
fn detail(task: &TaskRun) -> String {
    match task.state {
        State::Failed => match task.failed_step() {
            Some(step) => {
                let code = step.exit_code.unwrap_or_default();
                let reason = match task.reason.as_str() {
                    "StepFailed" | "Failed" => String::new(),
                    reason => format!(" ({})", safe(reason)),
                };
                format!("step {}, exit code {code}{reason}", safe(&step.name))
            }
            None => safe(&task.reason),
        },
        State::Running => {
            let step = task.steps.iter().find(|step| step.state == State::Running);
            step.map(|step| format!("step {}", safe(&step.name)))
                .unwrap_or_default()
        }
        State::Waiting | State::Succeeded => String::new(),
    }
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

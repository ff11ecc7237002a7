//! Formats the fields of a span as a JSON object.
//!
//! `tracing_subscriber`'s own formatter builds a tree of the fields, and parses and rebuilds it for each field that is
//! recorded later. Every review has a span, and that took a tenth of its CPU time.

use std::fmt::{self, Debug, Write as _};

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FormatFields, FormattedFields};

/// Formats fields for [`tracing_subscriber::fmt::format::Json`], which expects one JSON object.
#[derive(Clone, Copy, Debug, Default)]
pub struct SpanFields;

impl<'writer> FormatFields<'writer> for SpanFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut object = Object::begin();
        fields.record(&mut object);
        writer.write_str(&object.end()?)
    }

    fn add_fields(&self, current: &'writer mut FormattedFields<Self>, fields: &Record<'_>) -> fmt::Result {
        let mut object = Object::resume(std::mem::take(&mut current.fields));
        fields.record(&mut object);
        current.fields = object.end()?;
        Ok(())
    }
}

/// A JSON object that is being written.
struct Object {
    json: Vec<u8>,
    /// Buffer for the `Debug` output of a value, before it is escaped.
    debug: String,
    /// No write has failed so far.
    is_complete: bool,
}

impl Object {
    fn begin() -> Self {
        Self::resume(String::with_capacity(256))
    }

    /// Continues a complete object, or begins one if `text` is empty.
    fn resume(text: String) -> Self {
        let mut json = text.into_bytes();
        if json.pop().is_none() {
            json.push(b'{');
        }
        Self {
            json,
            debug: String::new(),
            is_complete: true,
        }
    }

    fn end(mut self) -> Result<String, fmt::Error> {
        self.json.push(b'}');
        let text = String::from_utf8(self.json).ok().filter(|_| self.is_complete);
        text.ok_or(fmt::Error)
    }

    fn put(&mut self, field: &Field, value: &(impl Serialize + ?Sized)) {
        let name = field.name();
        if self.json.len() > 1 {
            self.json.push(b',');
        }
        let written = serde_json::to_writer(&mut self.json, name.strip_prefix("r#").unwrap_or(name));
        self.json.push(b':');
        let written = written.and_then(|()| serde_json::to_writer(&mut self.json, value));
        self.is_complete &= written.is_ok();
    }
}

impl Visit for Object {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, &value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut debug = std::mem::take(&mut self.debug);
        debug.clear();
        self.is_complete &= write!(debug, "{value:?}").is_ok();
        self.put(field, debug.as_str());
        self.debug = debug;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    /// Collects the log.
    #[derive(Clone, Default)]
    pub(in crate::logging) struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        pub(in crate::logging) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// The fields of a span as they are logged with an event in it.
    fn logged(formatted: impl FnOnce(Lines) -> tracing::Dispatch) -> Value {
        let lines = Lines::default();
        tracing::dispatcher::with_default(&formatted(lines.clone()), || {
            let span = tracing::info_span!(
                "review",
                uid = %"a\n\"b\"\u{202e}",
                user = ?"é",
                text = "x\\y",
                is_dry_run = true,
                count = 7_u64,
                below = -7_i64,
                half = 0.5,
                r#type = "t",
                outcome = tracing::field::Empty,
                late = tracing::field::Empty,
            );
            span.record("outcome", "allowed");
            span.record("late", tracing::field::display("\u{1b}"));
            span.in_scope(|| tracing::info!("x"));
            tracing::info_span!("bare").in_scope(|| tracing::info!("y"));
        });
        let lines = lines.text();
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[1]["span"], json!({"name": "bare"}));
        lines[0]["span"].clone()
    }

    #[test]
    fn the_output_equals_that_of_the_default_formatter() {
        let ours = logged(|lines| {
            let json = tracing_subscriber::fmt().with_writer(lines).json();
            json.fmt_fields(SpanFields).finish().into()
        });
        let default = logged(|lines| tracing_subscriber::fmt().with_writer(lines).json().finish().into());
        assert_eq!(ours, default);
        assert_eq!(ours["uid"], "a\n\"b\"\u{202e}");
        assert_eq!((&ours["outcome"], &ours["late"]), (&json!("allowed"), &json!("\u{1b}")));
    }
}

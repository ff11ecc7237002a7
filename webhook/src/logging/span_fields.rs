//! The fields of a span as a JSON object, written once.
//!
//! Every review has a span, and nearly none of them ever gets into the log. `tracing_subscriber`'s own formatter makes a
//! tree of the fields, and for one that is recorded later it parses its text, adds to the tree and writes the text anew;
//! that was a tenth of what a review costs.

use std::fmt::{self, Debug, Write as _};

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FormatFields, FormattedFields};

/// Formats fields for [`tracing_subscriber::fmt::format::Json`], which takes them for one object.
#[derive(Clone, Copy, Debug, Default)]
pub struct SpanFields;

impl<'writer> FormatFields<'writer> for SpanFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut object = Object::begin();
        fields.record(&mut object);
        writer.write_str(&object.end()?)
    }

    fn add_fields(&self, current: &'writer mut FormattedFields<Self>, fields: &Record<'_>) -> fmt::Result {
        let mut object = Object::again(std::mem::take(&mut current.fields));
        fields.record(&mut object);
        current.fields = object.end()?;
        Ok(())
    }
}

/// An object that is being written.
struct Object {
    json: Vec<u8>,
    /// What a value says of itself, before it is escaped.
    said: String,
    is_whole: bool,
}

impl Object {
    fn begin() -> Self {
        Self::again(String::with_capacity(256))
    }

    /// Goes on with an object that was ended.
    fn again(text: String) -> Self {
        let mut json = text.into_bytes();
        if json.pop().is_none() {
            json.push(b'{');
        }
        Self {
            json,
            said: String::new(),
            is_whole: true,
        }
    }

    fn end(mut self) -> Result<String, fmt::Error> {
        self.json.push(b'}');
        let text = String::from_utf8(self.json).ok().filter(|_| self.is_whole);
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
        self.is_whole &= written.is_ok();
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
        let mut said = std::mem::take(&mut self.said);
        said.clear();
        self.is_whole &= write!(said, "{value:?}").is_ok();
        self.put(field, said.as_str());
        self.said = said;
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

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

    /// What an event in a span is logged with as the fields of that span.
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
        let lines = lines.0.lock().unwrap().clone();
        let lines = String::from_utf8(lines).unwrap();
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[1]["span"], json!({"name": "bare"}));
        lines[0]["span"].clone()
    }

    #[test]
    fn the_log_says_the_same_as_with_the_formatter_that_it_stands_in_for() {
        let ours = logged(|lines| {
            let json = tracing_subscriber::fmt().with_writer(lines).json();
            json.fmt_fields(SpanFields).finish().into()
        });
        let theirs = logged(|lines| tracing_subscriber::fmt().with_writer(lines).json().finish().into());
        assert_eq!(ours, theirs);
        assert_eq!(ours["uid"], "a\n\"b\"\u{202e}");
        assert_eq!((&ours["outcome"], &ours["late"]), (&json!("allowed"), &json!("\u{1b}")));
    }
}

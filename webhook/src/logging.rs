//! The log: one line an event on standard error, as JSON or text, and panics among them.

mod span_fields;

use std::io::IsTerminal as _;

use clap::ValueEnum;
use cnbi_shared::verdict::printable;
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::routes::panic_text;

use span_fields::SpanFields;

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Logs from now on. `level` is a level or a filter such as `info,cnbi_webhook=debug`.
pub fn init(format: Format, level: &str) -> Result<(), ParseError> {
    // Levels by target and nothing by field: what else a filter could say brings regular expressions into the program.
    let filter: Targets = level.parse()?;
    let lines = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        Format::Text => lines.finish().with(filter).init(),
        Format::Json => {
            let lines = lines.json().flatten_event(true).fmt_fields(SpanFields);
            lines.finish().with(filter).init();
        }
    }
    // The default hook would print what a user wrote as it is.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(
            place = printable(&place, 200),
            text = panic_text(panic.payload()),
            "panic"
        );
    }));
    Ok(())
}

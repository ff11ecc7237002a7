//! The log on standard error, one line per event, and the panic hook that logs panics.

mod span_fields;

use std::any::Any;
use std::io::IsTerminal as _;

use cnbi_shared::verdict::printable;
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::args::{LogArgs, LogFormat};

use span_fields::SpanFields;

/// Most characters of a panic message that are logged.
const PANIC_LIMIT: usize = 500;

/// Installs the log and the panic hook of the process.
///
/// # Errors
/// The filter cannot be parsed.
pub fn init(args: &LogArgs) -> Result<(), ParseError> {
    // `Targets` instead of `EnvFilter`: filters on fields would add a regular expression engine to the programs.
    let filter: Targets = args.log.parse()?;
    let lines = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Text => lines.finish().with(filter).init(),
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).fmt_fields(SpanFields);
            lines.finish().with(filter).init();
        }
    }
    set_panic_hook();
    Ok(())
}

/// Logs panics as events. The default hook prints the message unescaped, and it may contain user input.
fn set_panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(
            location = printable(&location, 200),
            text = panic_text(panic.payload()),
            "panic"
        );
    }));
}

/// The message of a panic, escaped and shortened for the log.
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    printable(text.unwrap_or("(no message)"), PANIC_LIMIT)
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn panic_messages_are_escaped_and_shortened() {
        let text = |message: String| panic_text(&*catch_unwind(|| panic!("{message}")).unwrap_err());
        assert_eq!(text("a\u{1b}[31m\nb\u{202e}".to_owned()), r"a\u{1b}[31m\nb\u{202e}");
        assert_eq!(text("x".repeat(1000)).chars().count(), PANIC_LIMIT + 1);
        assert_eq!(panic_text(&7_u8), "(no message)");
    }

    /// The hook is global, so this is one test; other tests of the crate only add lines to the log.
    #[test]
    fn the_panic_hook_logs_the_message_escaped() {
        let lines = span_fields::tests::Lines::default();
        let log = tracing_subscriber::fmt().with_writer(lines.clone()).json().finish();
        tracing::subscriber::with_default(log, || {
            let default = std::panic::take_hook();
            set_panic_hook();
            let caught = catch_unwind(|| panic!("user text \u{1b}[31m\nsecond line"));
            std::panic::set_hook(default);
            assert!(caught.is_err());
        });
        let logged = lines.text();
        assert!(logged.contains(r"user text \\u{1b}[31m\\nsecond line"), "{logged}");
        assert!(logged.contains("logging.rs"), "{logged}");
    }
}

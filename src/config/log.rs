//! `[log]`: what is logged and how.

use crate::config::section::{Kind, section};

section! {
    /// The log, on standard error.
    pub struct LogConfig [log] {
        /// Which lines are logged: a level, or pairs such as `info,rollcall=debug`.
        ///
        /// In the environment ROLLCALL_LOG sets it, too.
        filter: String = FILTER, default "info";

        /// The form of a line.
        format: LogFormat = FORMAT, default "text";
    }
}

/// The form of a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object a line.
    Json,
}

const FILTER: Kind<String> = Kind::new("a level such as info, or target=level pairs", |text| {
    tracing_subscriber::EnvFilter::try_new(text).ok().map(|_| text.to_owned())
});

const FORMAT: Kind<LogFormat> = Kind::new("text or json", |text| match text {
    "text" => Some(LogFormat::Text),
    "json" => Some(LogFormat::Json),
    _ => None,
});

//! The log, on standard error. Its filter and its form can change while the server runs.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use crate::config::{LogConfig, LogFormat};

type Filter = reload::Handle<EnvFilter, Registry>;

/// The log that runs: one layer for each form, of which one lets nothing through.
pub(super) struct Log {
    text: Filter,
    json: Filter,
}

impl Log {
    /// Starts the log: of the server all that is asked for, of commands only what went wrong.
    pub(super) fn start(config: &LogConfig, is_server: bool) -> Self {
        let asked = if is_server || config.filter != "info" { config.filter.as_str() } else { "error" };
        let (text_filter, text) = reload::Layer::new(filter(config, asked, LogFormat::Text));
        let (json_filter, json) = reload::Layer::new(filter(config, asked, LogFormat::Json));
        let has_colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let layer = || tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(has_colour);
        let layers = vec![layer().with_filter(text_filter).boxed(), layer().json().with_filter(json_filter).boxed()];
        let all = tracing_subscriber::registry().with(layers);
        #[cfg(feature = "otlp")]
        let all = all.with(is_server.then(super::traces::layer).flatten());
        all.init();
        Self { text, json }
    }

    /// Logs as these settings say from now on.
    pub(super) fn apply(&self, config: &LogConfig) {
        for (handle, format) in [(&self.text, LogFormat::Text), (&self.json, LogFormat::Json)] {
            if let Err(error) = handle.reload(filter(config, &config.filter, format)) {
                tracing::error!(%error, "the log cannot be changed");
            }
        }
    }
}

/// What the layer of a form lets through.
fn filter(config: &LogConfig, asked: &str, format: LogFormat) -> EnvFilter {
    if config.format != format {
        return EnvFilter::new("off");
    }
    let filter = EnvFilter::try_new(asked).unwrap_or_default();
    // Below that it logs what the database is asked, with the values: what people typed among them.
    match "tokio_postgres=warn".parse() {
        Ok(quiet) => filter.add_directive(quiet),
        Err(_) => filter,
    }
}

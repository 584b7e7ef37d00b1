//! Spans of requests to an OpenTelemetry collector, over HTTP. The standard variables say where
//! (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_SERVICE_NAME`, …); without an address nothing is sent.

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

use crate::cli::output;

/// The layer that sends spans; `None` when no collector is named or it cannot be spoken to.
pub(super) fn layer<S>() -> Option<impl Layer<S>>
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let named = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
    if named.iter().all(|name| std::env::var_os(name).is_none()) {
        return None;
    }
    let exporter = match SpanExporter::builder().with_http().build() {
        Ok(exporter) => exporter,
        Err(error) => {
            output::say(&format!("rollcall: spans are not sent: {error}"));
            return None;
        }
    };
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).build();
    let tracer = provider.tracer("rollcall");
    // Kept for as long as the process lives: dropping it would end the sending.
    opentelemetry::global::set_tracer_provider(provider);
    let ours = Targets::new().with_target("rollcall", tracing::Level::DEBUG);
    Some(tracing_opentelemetry::layer().with_tracer(tracer).with_filter(ours))
}

//! The listener for Prometheus, and what it samples when it is asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ::metrics::{counter, gauge};
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::watch::status::status;
use crate::domain::oidc::notice::NoticeState;
use crate::http::listener::Listener;
use crate::http::serve::{Bounds, Hooks};
use crate::http::tls::Certificates;
use crate::metrics;
use crate::store::CountKey;

/// How often histograms are drained into their buckets.
const UPKEEP: Duration = Duration::from_secs(5);

const HOOKS: Hooks = Hooks { rewrite: |request| request, timed_out, refused: |status, _| status.into_response() };

/// Serves the metrics until `stop` is done.
///
/// # Errors
/// When the address cannot be listened on, or something else counts already.
pub async fn serve(
    app: &App,
    address: SocketAddr,
    certificates: Option<Arc<Certificates>>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<SocketAddr, String> {
    metrics::start()?;
    let failed =
        |error: std::io::Error| format!("cannot listen for metrics on {address}: {error}; metrics.listen takes another address");
    let listener = tokio::net::TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let listener = Listener::plain(listener).map_err(failed)?;
    let router = Router::new().route("/metrics", get(show)).with_state((app.clone(), certificates));
    // Prometheus keeps one connection for each server that scrapes.
    let bounds = Bounds { in_all: 64, per_address: 32, ..Bounds::default() };
    tokio::spawn(async move {
        let gather = async {
            let mut ticks = tokio::time::interval(UPKEEP);
            loop {
                ticks.tick().await;
                metrics::upkeep();
            }
        };
        tokio::select! {
            () = crate::http::serve::run(vec![listener], router, bounds, HOOKS, stop) => {}
            () = gather => {}
        }
    });
    Ok(address)
}

async fn show(State((app, certificates)): State<(App, Option<Arc<Certificates>>)>) -> Response {
    look(&app).await;
    if let Some(certificates) = certificates {
        gauge!("rollcall_tls_expiry_seconds").set(as_f64(certificates.now().ends - app.clock.now().0 / 1_000_000));
    }
    let Some(text) = metrics::render() else { return axum::http::StatusCode::NOT_FOUND.into_response() };
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// Samples the values that are not counted as they change.
async fn look(app: &App) {
    let commit = option_env!("ROLLCALL_COMMIT").unwrap_or("unknown");
    gauge!("rollcall_build_info", "version" => env!("CARGO_PKG_VERSION"), "commit" => commit).set(1.0);
    let is_ready = !app.is_stopping.load(Ordering::Relaxed) && app.store.ping().await.is_ok();
    gauge!("rollcall_ready").set(if is_ready { 1.0 } else { 0.0 });
    if let Ok(sessions) = app.store.read().count_sessions_of(&CountKey::All).await {
        gauge!("rollcall_sessions").set(as_f64(sessions));
    }
    if app.watched.is_some()
        && let Ok(Some(copy)) = status(app, By::System).await
    {
        gauge!("rollcall_source_sessions").set(as_f64(copy.copied));
        if let Some(age) = copy.age {
            gauge!("rollcall_source_age_seconds").set(age.as_secs_f64());
        }
    }
    if let Ok(open) = app.store.long_read(|db| Box::pin(async move { db.count_all_app_sessions().await })).await {
        gauge!("rollcall_app_sessions").set(as_f64(open));
    }
    if let Ok((counts, oldest)) = app.store.long_read(|db| Box::pin(async move { db.count_all_notices().await })).await {
        for state in [NoticeState::Waiting, NoticeState::Delivered, NoticeState::GivenUp, NoticeState::Dropped] {
            let count = counts.iter().find(|(known, _)| *known == state).map_or(0, |(_, count)| *count);
            gauge!("rollcall_logout_notices", "state" => state.as_str()).set(as_f64(count));
        }
        let age = oldest.map_or(0.0, |oldest| app.clock.now().since(oldest).as_secs_f64());
        gauge!("rollcall_logout_notice_oldest_seconds").set(age);
    }
    let lines = [(("sign_ins", "waiting"), app.sign_ins.waiting()), (("guesses", "waiting"), app.guesses.waiting())];
    for (state, count) in app.store.pool_use().into_iter().chain(lines) {
        gauge!("rollcall_pool", "pool" => state.0, "state" => state.1).set(as_f64(i64::try_from(count).unwrap_or(i64::MAX)));
    }
    let now = app.clock.now().0 / 1_000_000;
    for (file, built) in app.geoip.build_times() {
        gauge!("rollcall_geoip_age_seconds", "file" => file).set(as_f64(now.saturating_sub(built)));
    }
    if let Ok(Some(at)) = crate::actions::backup::last(&app.store.read()).await {
        let age = app.clock.now().since(at).as_secs();
        gauge!("rollcall_backup_age_seconds").set(as_f64(i64::try_from(age).unwrap_or(i64::MAX)));
    }
    let (memory, ticks) = of_process();
    gauge!("process_resident_memory_bytes").set(as_f64(memory));
    // Whole seconds only: a counter of whole numbers.
    counter!("process_cpu_seconds_total").absolute(ticks / 100);
}

/// Resident bytes, and processor time in hundredths of a second, as Linux tells them.
fn of_process() -> (i64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<i64>().ok());
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').skip(11).take(2)).into_iter().flatten();
    (kibibytes.unwrap_or(0) * 1024, fields.filter_map(|field| field.parse::<u64>().ok()).sum())
}

#[expect(clippy::cast_precision_loss, reason = "counts and bytes are far below 2^52")]
fn as_f64(number: i64) -> f64 {
    number as f64
}

/// The answer to a scrape that takes longer than the listener's bound.
fn timed_out() -> Response {
    axum::http::StatusCode::SERVICE_UNAVAILABLE.into_response()
}

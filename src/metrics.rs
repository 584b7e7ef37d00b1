//! Metrics: what is counted while the server runs, and Prometheus' text of it on a listener of its
//! own. Without one nothing is counted.
//!
//! Every label has a bound: routes are templates, methods and statements come from short lists.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::app::App;
use crate::store::CountKey;

/// Upper ends of the histograms' buckets, in seconds.
const BUCKETS: &[f64] = &[0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// How often what was observed is gathered, so that it does not pile up between two scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Begins to count. Once for a process; a second call changes nothing.
///
/// # Errors
/// When something else of the process counts already.
pub fn start() -> Result<(), String> {
    if HANDLE.get().is_some() {
        return Ok(());
    }
    let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), BUCKETS);
    let handle = builder.and_then(PrometheusBuilder::install_recorder).map_err(|error| error.to_string())?;
    drop(HANDLE.set(handle));
    describe();
    Ok(())
}

/// Whether anything is counted.
#[must_use]
pub fn is_on() -> bool {
    HANDLE.get().is_some()
}

fn describe() {
    describe_histogram!("rollcall_http_request_seconds", "Requests by route, method and status: how many, and how long they took");
    describe_gauge!("rollcall_sessions", "Sessions there are now, those included whose time is over and that were not swept yet");
    describe_counter!("rollcall_sessions_created_total", "Sessions that began");
    describe_counter!("rollcall_sessions_ended_total", "Sessions that ended, by reason");
    describe_counter!("rollcall_sign_ins_total", "Sign-ins, by outcome");
    describe_counter!("rollcall_sign_in_limits_total", "Passwords and codes that were not looked at, by the limit that held them");
    describe_histogram!("rollcall_store_seconds", "Statements by kind and table: how many, and how long the database took");
    describe_counter!("rollcall_cache_total", "Look-ups in what is kept in memory, by cache and outcome");
    describe_gauge!("rollcall_pool", "What waits for the database and what it has: by pool and state");
    describe_gauge!("rollcall_geoip_age_seconds", "How long ago a GeoIP file was made, by file");
    describe_gauge!("process_resident_memory_bytes", "Memory of the process");
    describe_counter!("process_cpu_seconds_total", "Processor time of the process");
}

/// Counts an answered request. `route` is a template, or `none`.
pub fn count_request(route: &str, method: &axum::http::Method, status: u16, took: Duration) {
    if !is_on() {
        return;
    }
    // A stranger may make up methods.
    let method = match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known.to_owned(),
        _ => "other".to_owned(),
    };
    let labels = [("route", route.to_owned()), ("method", method), ("status", status.to_string())];
    histogram!("rollcall_http_request_seconds", &labels).record(took.as_secs_f64());
}

/// Counts a statement, from when it was given to the database until the answer was read.
pub(crate) fn count_statement(sql: &str, took: Duration) {
    let (verb, table) = named(sql);
    histogram!("rollcall_store_seconds", "statement" => verb, "table" => table.to_owned()).record(took.as_secs_f64());
}

/// What a statement does, and to which table: ours, since all SQL is.
fn named(sql: &str) -> (&'static str, &str) {
    let mut words = sql.split(|c: char| c.is_whitespace() || c == '(').filter(|word| !word.is_empty()).peekable();
    let (verb, before) = match words.peek().copied().unwrap_or_default() {
        "SELECT" => ("select", "FROM"),
        "INSERT" => ("insert", "INTO"),
        "UPDATE" => ("update", "UPDATE"),
        "DELETE" => ("delete", "FROM"),
        _ => return ("other", "other"),
    };
    let table = words.skip_while(|word| *word != before).nth(1).unwrap_or("other");
    // Where sessions are written.
    let table = if table == "session_rows" { "sessions" } else { table };
    // A sub-select, or a function: named by nothing.
    if table.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') { (verb, table) } else { (verb, "other") }
}

/// Counts sessions that began, once they are committed.
pub(crate) fn count_created(sessions: u64) {
    if sessions > 0 {
        counter!("rollcall_sessions_created_total").increment(sessions);
    }
}

/// Counts sessions that ended, once that is committed.
pub(crate) fn count_ended(reason: &'static str, sessions: u64) {
    counter!("rollcall_sessions_ended_total", "reason" => reason).increment(sessions);
}

/// Counts a sign-in.
pub fn count_sign_in(outcome: &'static str) {
    counter!("rollcall_sign_ins_total", "outcome" => outcome).increment(1);
}

/// Counts a guess that was not looked at.
pub fn count_limited(limit: &'static str) {
    counter!("rollcall_sign_in_limits_total", "limit" => limit).increment(1);
}

/// Counts look-ups in a cache.
pub fn count_cache(cache: &'static str, hits: usize, misses: usize) {
    for (outcome, count) in [("hit", hits), ("miss", misses)] {
        if count > 0 {
            counter!("rollcall_cache_total", "cache" => cache, "outcome" => outcome).increment(u64::try_from(count).unwrap_or(0));
        }
    }
}

/// Serves the metrics until `stop` is done.
///
/// # Errors
/// When the address cannot be listened on, or something else counts already.
pub async fn serve(app: &App, address: SocketAddr, stop: impl Future<Output = ()> + Send + 'static) -> Result<SocketAddr, String> {
    start()?;
    let failed =
        |error: std::io::Error| format!("cannot listen for metrics on {address}: {error}; metrics.listen takes another address");
    let listener = tokio::net::TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let router = Router::new().route("/metrics", get(show)).with_state(app.clone());
    tokio::spawn(async move {
        let gather = async {
            let mut ticks = tokio::time::interval(UPKEEP);
            loop {
                ticks.tick().await;
                if let Some(handle) = HANDLE.get() {
                    handle.run_upkeep();
                }
            }
        };
        tokio::select! {
            () = crate::http::serve::run(listener, router, stop) => {}
            () = gather => {}
        }
    });
    Ok(address)
}

async fn show(State(app): State<App>) -> Response {
    let Some(handle) = HANDLE.get() else { return axum::http::StatusCode::NOT_FOUND.into_response() };
    look(&app).await;
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle.render()).into_response()
}

/// What is not counted as it happens but looked at now.
async fn look(app: &App) {
    if let Ok(sessions) = app.store.read().count_sessions_of(&CountKey::All).await {
        gauge!("rollcall_sessions").set(as_f64(sessions));
    }
    let lines = [(("sign_ins", "waiting"), app.sign_ins.waiting()), (("guesses", "waiting"), app.guesses.waiting())];
    for (state, count) in app.store.pool_use().into_iter().chain(lines) {
        gauge!("rollcall_pool", "pool" => state.0, "state" => state.1).set(as_f64(i64::try_from(count).unwrap_or(i64::MAX)));
    }
    let now = app.clock.now().0 / 1_000_000;
    for (file, built) in app.geoip.build_times() {
        gauge!("rollcall_geoip_age_seconds", "file" => file).set(as_f64(now.saturating_sub(built)));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_named_by_what_they_do_and_to_which_table() {
        for (sql, verb, table) in [
            ("SELECT s.id FROM sessions s WHERE s.uuid = $1", "select", "sessions"),
            ("INSERT INTO events (at) VALUES ($1)", "insert", "events"),
            ("UPDATE users SET name = $1", "update", "users"),
            ("UPDATE session_rows SET label = $1", "update", "sessions"),
            ("DELETE FROM tokens WHERE id = $1", "delete", "tokens"),
            ("SELECT count(*) FROM (SELECT 1)", "select", "other"),
            ("SELECT sqlite_version()", "select", "other"),
            ("PRAGMA cache_size = 1", "other", "other"),
        ] {
            assert_eq!(named(sql), (verb, table), "{sql}");
        }
    }
}

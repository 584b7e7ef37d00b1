//! Metrics: counters of the running server, and Prometheus' text of them. Nothing is counted until
//! [`start`]. The listener that serves the text is `cli/metrics.rs`.
//!
//! Every label has a bound: routes are templates, methods and statements come from short lists.

use std::collections::BTreeSet;
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Upper ends of the histograms' buckets, in seconds.
const BUCKETS: &[f64] = &[0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The most applications that have series of their own; later ones are `other`.
const MAX_APPLICATIONS: usize = 200;

/// What renders the counters; empty until [`start`].
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

/// Prometheus' text of all counters; `None` when nothing is counted.
#[must_use]
pub fn render() -> Option<String> {
    HANDLE.get().map(PrometheusHandle::render)
}

/// Moves the samples of histograms into their buckets, so that they do not accumulate between
/// scrapes.
pub fn upkeep() {
    if let Some(handle) = HANDLE.get() {
        handle.run_upkeep();
    }
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
    describe_counter!("rollcall_ends_refused_total", "Ends of single sessions that were refused to a token");
    describe_counter!("rollcall_source_ends_total", "Ends of single sessions that a watched authentik was asked for, by outcome");
    describe_counter!("rollcall_source_alerts_total", "Alerts about a watched authentik, by kind");
    describe_gauge!("rollcall_source_age_seconds", "How long ago the copy of a watched authentik agreed with it");
    describe_gauge!("rollcall_source_sessions", "Sessions of a watched authentik that are copied");
    describe_gauge!("rollcall_logout_notices", "Messages to apps that a session ended, by state");
    describe_gauge!("rollcall_logout_notice_oldest_seconds", "For how long the oldest of those that wait is owed");
    describe_counter!("rollcall_logout_attempts_total", "Tries to tell an app that a session ended, by outcome");
    describe_counter!("rollcall_oidc_tokens_total", "Requests of apps for tokens, by grant and outcome");
    describe_gauge!("rollcall_app_sessions", "Applications that sessions have open now, one for each session and application");
    describe_counter!("rollcall_guard_checks_total", "Checks of reverse proxies, by kind of proxy, outcome and application");
    describe_histogram!("rollcall_guard_seconds", "Checks by kind of proxy: how many, and how long they took");
    describe_counter!("rollcall_sign_ins_total", "Sign-ins, by outcome");
    describe_counter!("rollcall_sign_in_limits_total", "Passwords and codes that were not looked at, by the limit that held them");
    describe_histogram!("rollcall_store_seconds", "Statements by kind and table: how many, and how long the database took");
    describe_counter!("rollcall_cache_total", "Look-ups in what is kept in memory, by cache and outcome");
    describe_gauge!("rollcall_pool", "What waits for the database and what it has: by pool and state");
    describe_gauge!("rollcall_geoip_age_seconds", "How long ago a GeoIP file was made, by file");
    describe_gauge!("rollcall_backup_age_seconds", "How long ago the last backup was made");
    describe_gauge!(
        "rollcall_tls_expiry_seconds",
        "How long until the certificate of the listeners ends; below zero: it has ended"
    );
    describe_histogram!("rollcall_job_seconds", "Runs of jobs: how many, and how long they took");
    describe_gauge!("rollcall_ready", "Whether the server is ready: 1, or 0 while it stops or the database does not answer");
    describe_gauge!("rollcall_build_info", "1, with the version and the commit of the program");
    describe_gauge!("process_resident_memory_bytes", "Memory of the process");
    describe_counter!("process_cpu_seconds_total", "Processor time of the process");
}

/// Counts a run of a job.
pub fn count_job(task: &'static str, took: Duration) {
    if is_on() {
        histogram!("rollcall_job_seconds", "task" => task).record(took.as_secs_f64());
    }
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
    let mut words = sql.split_ascii_whitespace();
    let (verb, before) = match sql.split_ascii_whitespace().next().unwrap_or_default() {
        "SELECT" => ("select", "FROM"),
        "INSERT" => ("insert", "INTO"),
        "UPDATE" => ("update", "UPDATE"),
        "DELETE" => ("delete", "FROM"),
        _ => return ("other", "other"),
    };
    // Sub-selects have tables of their own.
    let mut depth = 0;
    let mut is_before = |word: &str| {
        let is_it = depth == 0 && word == before;
        depth += word.matches('(').count();
        depth = depth.saturating_sub(word.matches(')').count());
        is_it
    };
    let table = words.find(|word| is_before(word)).and_then(|_| words.next()).unwrap_or_default();
    let table = table.split('(').next().filter(|name| !name.is_empty()).unwrap_or("other");
    // Where sessions are written.
    let table = if table == "session_rows" { "sessions" } else { table };
    // A sub-select, or a function: named by nothing.
    if table.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') { (verb, table) } else { (verb, "other") }
}

/// Counts a check of a reverse proxy. `application` is the slug of the one that was asked about, where that was clear.
pub fn count_check(kind: &'static str, status: u16, application: Option<&str>, took: Duration) {
    static NAMED: RwLock<BTreeSet<String>> = RwLock::new(BTreeSet::new());
    if !is_on() {
        return;
    }
    let application = application.map_or_else(|| "none".to_owned(), |slug| bounded(&NAMED, slug));
    let labels = [("kind", kind.to_owned()), ("outcome", check_outcome(status).to_owned()), ("application", application)];
    counter!("rollcall_guard_checks_total", &labels).increment(1);
    histogram!("rollcall_guard_seconds", "kind" => kind).record(took.as_secs_f64());
}

/// Counts an end that a watched authentik was asked for.
pub fn count_source_end(outcome: &'static str) {
    if is_on() {
        counter!("rollcall_source_ends_total", "outcome" => outcome).increment(1);
    }
}

/// Counts a try to tell an app that a session ended.
pub fn count_notice(outcome: &'static str) {
    if is_on() {
        counter!("rollcall_logout_attempts_total", "outcome" => outcome).increment(1);
    }
}

/// Counts an answer of the token endpoint.
pub fn count_token(grant: &'static str, outcome: &'static str) {
    if is_on() {
        counter!("rollcall_oidc_tokens_total", "grant" => grant, "outcome" => outcome).increment(1);
    }
}

/// Counts an alert about a watched authentik.
pub fn count_source_alert(alert: &'static str) {
    if is_on() {
        counter!("rollcall_source_alerts_total", "alert" => alert).increment(1);
    }
}

/// What a check came to, by the status of its answer.
fn check_outcome(status: u16) -> &'static str {
    match status {
        200 => "allowed",
        // To the sign-in, or a challenge to a program.
        301..=308 | 401 => "sign_in",
        403 => "refused",
        503 => "unavailable",
        _ => "other",
    }
}

/// A name, if it is among the first [`MAX_APPLICATIONS`] of the process; else `other`.
fn bounded(named: &RwLock<BTreeSet<String>>, name: &str) -> String {
    if named.read().unwrap_or_else(PoisonError::into_inner).contains(name) {
        return name.to_owned();
    }
    let mut named = named.write().unwrap_or_else(PoisonError::into_inner);
    if named.len() >= MAX_APPLICATIONS && !named.contains(name) {
        return "other".to_owned();
    }
    named.insert(name.to_owned());
    name.to_owned()
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

/// Counts the end of a session that was refused to a token.
pub fn count_refused_end() {
    counter!("rollcall_ends_refused_total").increment(1);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_number_of_applications_has_series_of_its_own() {
        let named = RwLock::new(BTreeSet::new());
        for n in 0..MAX_APPLICATIONS {
            assert_eq!(bounded(&named, &format!("app-{n}")), format!("app-{n}"));
        }
        assert_eq!(bounded(&named, "one-more"), "other");
        assert_eq!(bounded(&named, "app-0"), "app-0");
        assert_eq!(named.read().unwrap().len(), MAX_APPLICATIONS);
    }

    #[test]
    fn a_check_is_counted_by_what_it_came_to() {
        for (status, outcome) in [
            (200, "allowed"),
            (302, "sign_in"),
            (303, "sign_in"),
            (401, "sign_in"),
            (403, "refused"),
            (503, "unavailable"),
            (404, "other"),
        ] {
            assert_eq!(check_outcome(status), outcome, "{status}");
        }
    }

    #[test]
    fn statements_are_named_by_what_they_do_and_to_which_table() {
        for (sql, verb, table) in [
            ("SELECT s.id FROM sessions s WHERE s.uuid = $1", "select", "sessions"),
            ("INSERT INTO events (at) VALUES ($1)", "insert", "events"),
            ("UPDATE users SET name = $1", "update", "users"),
            ("UPDATE session_rows SET label = $1", "update", "sessions"),
            ("DELETE FROM tokens WHERE id = $1", "delete", "tokens"),
            ("SELECT count(*) FROM (SELECT 1)", "select", "other"),
            ("SELECT (SELECT max(n) FROM tokens), EXISTS (SELECT 1 FROM memberships m) FROM users u", "select", "users"),
            ("INSERT INTO counts(n) SELECT n FROM events", "insert", "counts"),
            ("SELECT sqlite_version()", "select", "other"),
            ("PRAGMA cache_size = 1", "other", "other"),
        ] {
            assert_eq!(named(sql), (verb, table), "{sql}");
        }
    }
}

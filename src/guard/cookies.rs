//! The cookies of guarded hosts: their names, and how they are set and removed. Browsers keep the cookies of all
//! ports of a host together, so the names of a host with a port end in it.

use std::time::Duration;

use axum::http::{HeaderMap, header};
use cookie::SameSite;

use crate::auth::cookies;
use crate::config::Config;
use crate::domain::application::host::Host;
use crate::domain::guard::cookies::{all_with, only};
use crate::domain::guard::headers::Headers;

/// The most sign-ins that a browser has under way on one host.
const MOST_STARTS: usize = 5;
/// How long a sign-in may take, and so the cookie of its start.
pub const START_LIVES: Duration = Duration::from_secs(600);

/// A cookie of the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name<'a> {
    /// The app key.
    App,
    /// The nonce of a sign-in that this browser started.
    Start(&'a str),
    /// Which user signed in here last, as a keyed hash.
    Last,
    /// How often a sign-in led here within a minute.
    Tries,
}

/// The name of a cookie on a host: `__Host-` where people come over https, so that no other host can set it.
#[must_use]
pub fn name(config: &Config, host: &Host, which: Name<'_>) -> String {
    let prefix = if config.is_https() { "__Host-" } else { "" };
    let port = host.as_str().split_once(':').map(|(_, port)| format!("_{port}")).unwrap_or_default();
    match which {
        Name::App => format!("{prefix}rollcall_app{port}"),
        Name::Start(flow) => format!("{prefix}rollcall_start{port}_{flow}"),
        Name::Last => format!("{prefix}rollcall_last{port}"),
        Name::Tries => format!("{prefix}rollcall_tries{port}"),
    }
}

/// The value of a cookie, if the request has it once.
#[must_use]
pub fn find<'a>(config: &Config, headers: &'a HeaderMap, host: &Host, which: Name<'_>) -> Option<&'a str> {
    only(headers.lines(header::COOKIE.as_str()), &name(config, host, which))
}

/// Sets a cookie. With `is_embedded` browsers send it from other sites, too.
pub fn set(answer: &mut HeaderMap, config: &Config, (host, which): (&Host, Name<'_>), value: String, keep: Keep) {
    let mut cookie = cookies::build(config, name(config, host, which), value, keep.max_age);
    if keep.is_embedded && config.is_https() {
        cookie.set_same_site(SameSite::None);
    }
    cookies::set(answer, &cookie);
}

/// For how long a cookie is kept, and when it is sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keep {
    /// For how long; `None`: until the browser closes.
    pub max_age: Option<Duration>,
    /// Whether other sites embed or call the app.
    pub is_embedded: bool,
}

impl Keep {
    /// For this time.
    #[must_use]
    pub fn for_time(max_age: Duration) -> Self {
        Self { max_age: Some(max_age), is_embedded: false }
    }
}

/// Removes a cookie.
pub fn remove(answer: &mut HeaderMap, config: &Config, host: &Host, which: Name<'_>) {
    cookies::remove(answer, config, name(config, host, which));
}

/// Removes the oldest cookies of starts, so that with one more there are no more than 5. Their values
/// begin with the time at which they were made.
pub fn make_room_for_start(answer: &mut HeaderMap, config: &Config, headers: &HeaderMap, host: &Host) {
    let start = name(config, host, Name::Start(""));
    let mut starts = all_with(headers.lines(header::COOKIE.as_str()), &start);
    starts.sort_by_key(|(_, value)| std::cmp::Reverse(made_at(value)));
    for (name, _) in starts.into_iter().skip(MOST_STARTS - 1).take(20) {
        cookies::remove(answer, config, name.to_owned());
    }
}

fn made_at(value: &str) -> u64 {
    value.split_once('.').and_then(|(time, _)| time.parse().ok()).unwrap_or(0)
}

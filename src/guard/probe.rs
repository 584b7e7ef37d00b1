//! Reports of probes: what arrived of a request of `rollcall check proxy`. It is written down after the answer is made, and
//! changes no answer.

use axum::http::StatusCode;
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::actions::app::App;
use crate::actions::guard::probes::{self, PARAMETER, START, Seen};
use crate::domain::guard::forwarded::{self, Check};
use crate::domain::guard::headers::Headers;
use crate::domain::guard::kind::Kind;
use crate::guard::hosts::trusted_peer;
use crate::guard::target::behind_prefix;
use crate::http::client::ClientInfo;

/// The header that carries the proof. All printed configurations pass it to the check, and none to the app.
const HEADER: &str = "x-rollcall-key";
/// Where a proxy may have put the address that was asked for, and with it the query that carries the proof, too.
const TARGETS: [&str; 2] = ["x-original-url", "x-forwarded-uri"];

/// Keeps what arrived of a request, if it is a probe. `kind` is that of a check; `None`: it is a page of a guarded host.
pub async fn note(app: &App, kind: Option<Kind>, parts: &Parts, status: StatusCode) {
    let Some(id) = proofs(parts).into_iter().find_map(|proof| probes::open(app, &proof)) else { return };
    let seen = seen(app, kind, parts, status);
    // The answer does not wait for a database that is slow.
    let kept = tokio::time::timeout(app.config.guard.time_limit, Box::pin(probes::keep(app, id, &seen))).await;
    if !matches!(kept, Ok(Ok(()))) {
        tracing::warn!("what was seen of a probe of a proxy could not be written");
    }
}

/// What may be a proof: the header's value, and the parameter of the query in each address.
fn proofs(parts: &Parts) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let texts = |name: &str| parts.headers.lines(name).into_iter().filter_map(|line| std::str::from_utf8(line).ok());
    found.extend(texts(HEADER).filter(|value| value.starts_with(START)).map(str::to_owned));
    let own = parts.uri.path_and_query().map_or("", |target| target.as_str());
    for target in std::iter::once(own).chain(TARGETS.into_iter().flat_map(texts)) {
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let value = query.split(['&', '?']).find_map(|pair| pair.strip_prefix(PARAMETER)?.strip_prefix('='));
        found.extend(value.and_then(|value| percent_decode_str(value).decode_utf8().ok()).map(String::from));
    }
    found
}

fn seen(app: &App, kind: Option<Kind>, parts: &Parts, status: StatusCode) -> Seen {
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let check = Check { method: parts.method.as_str(), path_and_query: behind_prefix(target) };
    let asked = kind.and_then(|kind| forwarded::read(kind, check, &parts.headers).ok());
    let told_method = asked.as_ref().and_then(|asked| asked.methods.first()).cloned();
    let (host, target) = asked.map(|asked| (asked.authority.clone(), asked.path_and_query())).unwrap_or_default();
    Seen {
        address: parts.uri.path().to_owned(),
        kind: kind.map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
        is_trusted: trusted_peer(app, &parts.extensions).is_some(),
        host,
        target,
        method: told_method.unwrap_or_default(),
        client: parts.extensions.get::<ClientInfo>().map(|client| client.ip.to_string()).unwrap_or_default(),
        is_forwarded: parts.headers.has("x-forwarded-for"),
        status: status.as_u16(),
    }
}

//! `rollcall echo`: a server that a reverse proxy reaches in place of an app, for `rollcall check proxy --echo`. It tells
//! which request arrived.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use hyper::body::Body as _;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use crate::actions::guard::probes::PARAMETER;
use crate::cli::{Outcome, output};

/// Where a probe asks what arrived.
pub(super) const REPORTS: &str = "/-/rollcall-echo/";
/// The parameter of the query that says how the app is to answer.
pub(super) const MODE: &str = "rollcall-echo";
/// The body of the answer about a proof that did not arrive.
pub(super) const NOTHING: &str = "rollcall echo: nothing arrived";
/// The body of an answer of the mode `401`.
pub(super) const REFUSAL: &str = "rollcall echo: the app's own 401";
/// What the page of the mode `ssi` has, unless a proxy put something in its place.
pub(super) const INCLUDE: &str = "<!--# include virtual=\"/rollcall-echo-part";
/// The most requests that are remembered, and the most bytes of a body that are read.
const MOST: usize = 2000;
const LONGEST: usize = 64 * 1024;

/// Where to listen.
#[derive(Args)]
pub(super) struct EchoArgs {
    /// Address and port: those of the app; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: String,
}

/// Requests with a probe's proof, by that proof.
type Reports = Arc<Mutex<VecDeque<(String, Value)>>>;

/// Runs until it is stopped. It needs no instance.
pub(super) fn start(args: EchoArgs) -> Outcome {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(args))
}

async fn run(args: EchoArgs) -> Outcome {
    let listener = tokio::net::TcpListener::bind(&args.listen).await.map_err(|error| format!("{}: {error}", args.listen))?;
    output::say(&format!("listening on http://{}", listener.local_addr()?));
    let router = Router::new().fallback(answer).with_state(Reports::default());
    let stop = async {
        drop(tokio::signal::ctrl_c().await);
    };
    Ok(axum::serve(listener, router).with_graceful_shutdown(stop).await?)
}

/// The first value of a parameter in a query; no value that is asked for here needs to be encoded.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

async fn answer(State(reports): State<Reports>, mut request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let probe = parameter(&query, PARAMETER).map(str::to_owned);
    if request.uri().path() == REPORTS {
        let reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
        let found = reports.iter().find(|(known, _)| Some(known) == probe.as_ref());
        return found.map_or((StatusCode::NOT_FOUND, NOTHING).into_response(), |(_, report)| json_of(report));
    }
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, body) = request.into_parts();
    let (length, trailers) = read(body).await;
    let report = json!({
        "method": parts.method.as_str(),
        "target": parts.uri.path_and_query().map(ToString::to_string),
        "headers": lines(&parts.headers),
        "trailers": lines(&trailers),
        "body": length,
    });
    if let Some(probe) = probe {
        let mut reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.push_back((probe, report.clone()));
        if reports.len() > MOST {
            reports.pop_front();
        }
    }
    let is_upgrade = parts.headers.get("upgrade").is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if let Some(key) = parts.headers.get("sec-websocket-key").filter(|_| is_upgrade) {
        // What a client sends is dropped.
        tokio::spawn(async move { drop(upgrade.await) });
        let accept = STANDARD.encode(Sha1::digest([key.as_bytes(), b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat()));
        let headers = [("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-accept", accept.as_str())];
        return (StatusCode::SWITCHING_PROTOCOLS, headers).into_response();
    }
    let mut response = match parameter(&query, MODE) {
        Some("401") => (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Echo")], REFUSAL).into_response(),
        Some("events") => events(),
        Some("ssi") => {
            let page = format!("<!doctype html><p>{INCLUDE}?{query}\" --></p>");
            ([(header::CONTENT_TYPE, "text/html")], page).into_response()
        }
        _ => json_of(&report),
    };
    if let Ok(cookie) = "rollcall-echo-own=1; Path=/".parse() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

fn json_of(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

fn lines(headers: &HeaderMap) -> Vec<Value> {
    headers.iter().map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())])).collect()
}

/// Reads a body: how long it is, and what follows it.
async fn read(mut body: Body) -> (usize, HeaderMap) {
    let (mut length, mut trailers) = (0, HeaderMap::new());
    while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        match frame.into_data() {
            Ok(data) => length += data.len(),
            Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
        }
        if length > LONGEST {
            break;
        }
    }
    (length, trailers)
}

/// An event now, and one each half second, for three seconds.
fn events() -> Response {
    let events = futures_util::stream::unfold(0_u8, |count| async move {
        if count > 0 {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        (count < 6).then(|| (Ok::<_, Infallible>(format!("data: {count}\n\n")), count + 1))
    });
    ([(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")], Body::from_stream(events)).into_response()
}

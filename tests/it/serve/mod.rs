//! `rollcall serve` and `rollcall demo`: starting, stopping, crashing, and living through trouble.

mod connections;
mod expiry;
mod geoip;
#[cfg(target_os = "linux")]
mod listeners;
mod neighbours;
mod postgres;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod proxied;
mod sqlite;
mod start;
mod stop;
#[cfg(target_os = "linux")]
pub mod tls;

use std::future::ready;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process::{
    Home, PASSWORD, Person, PostgresProxy, ROLLCALL, SESSIONS, Server, TOKEN, TestSchema, TransactionPooler, eventually, finish,
    skip, within,
};

/// A session for an import; `nth` makes it its own.
fn session(nth: u32, user: i64, expires: &str) -> Value {
    json!({
        "kind": "session", "uuid": uuid(nth), "session_key": format!("imported-session-key-number-{nth}"), "user": user,
        "last_ip": "192.0.2.7", "last_user_agent": "curl/8.5.0", "last_used": "2020-01-02T03:04:05Z", "expires": expires,
    })
}

fn uuid(nth: u32) -> String {
    format!("00000000-0000-4000-8000-{nth:012}")
}

fn user(id: i64, username: &str) -> Value {
    json!({"kind": "user", "id": id, "username": username})
}

fn uuids(sessions: &[Value]) -> Vec<&str> {
    let mut uuids: Vec<_> = sessions.iter().map(|session| session["uuid"].as_str().unwrap()).collect();
    uuids.sort_unstable();
    uuids
}

fn path_of(link: &str, server: &Server) -> String {
    link.strip_prefix(&server.origin).unwrap_or_else(|| panic!("{link} is not on {}", server.origin)).to_owned()
}

/// Sends a request on a connection, and gives the whole answer; empty when it was closed without one.
async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), path: &str, headers: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
    drop(stream.write_all(request.as_bytes()).await);
    let mut answer = Vec::new();
    let reading = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    assert!(reading.is_ok(), "the answer to {path} does not end");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Waits until the log has this text.
async fn logs(server: &Server, text: &str) {
    eventually(text, || ready(server.log().contains(text).then_some(()))).await;
}

/// The API's answer while its database is away.
async fn assert_unavailable(response: reqwest::Response) {
    assert_eq!(response.status(), 503);
    assert!(response.headers()["retry-after"].to_str().unwrap().parse::<u32>().is_ok());
    assert_eq!(response.headers()["content-type"], "application/json");
    let body: Value = response.json().await.unwrap();
    assert!(body["detail"].is_string() && body.as_object().unwrap().len() == 1, "{body}");
}

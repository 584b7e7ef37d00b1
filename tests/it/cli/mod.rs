//! The command line: what goes where, with which exit code, and what it does to a server that runs.

mod check;
mod events;
mod export;
mod groups;
mod imports;
mod keys;
mod manual;
mod migrate;
mod people;
mod sessions;
mod settings;
mod tokens;
mod usage;
mod users;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::Method;
use rollcall::domain::clock::Clock;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::process::{Home, PASSWORD, Person, ROLLCALL, SESSIONS, Server, TOKEN, finish, within};
use crate::support::authenticator::Authenticator;

/// Within this a running server keeps out what the command line ended.
const SOON: Duration = Duration::from_secs(1);

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0";
const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
    Version/18.6 Mobile/15E148 Safari/604.1";

fn uuid(nth: u32) -> String {
    format!("00000000-0000-4000-8000-{nth:012}")
}

fn user(id: i64, username: &str) -> Value {
    json!({"kind": "user", "id": id, "username": username})
}

fn session(nth: u32, user: i64, ip: &str, agent: &str) -> Value {
    json!({
        "kind": "session", "uuid": uuid(nth), "session_key": format!("imported-session-key-number-{nth}"), "user": user,
        "last_ip": ip, "last_user_agent": agent, "last_used": format!("2026-01-02T03:04:{nth:02}Z"),
        "expires": format!("2099-01-{nth:02}T00:00:00Z"),
    })
}

/// Two people and four sessions.
fn people() -> Vec<Value> {
    vec![
        user(50, "alice"),
        user(60, "bob"),
        session(1, 50, "192.0.2.7", FIREFOX),
        session(2, 50, "2001:db8::7", IPHONE),
        session(3, 60, "192.0.2.200", IPHONE),
        session(4, 60, "198.51.100.1", "curl/8.5.0"),
    ]
}

/// The last parts of the uuids of sessions that a command lists.
fn listed(home: &Home, args: &[&str]) -> Vec<u32> {
    let all = [&["session", "list", "--ordering", "uuid", "--json"], args].concat();
    home.rows(&all).iter().map(|row| row["uuid"].as_str().unwrap()[24..].parse().unwrap()).collect()
}

async fn is_out_soon(person: &Person) {
    within(SOON, "that a session is out", || async { (!person.is_signed_in().await).then_some(()) }).await;
}

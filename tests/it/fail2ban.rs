//! fail2ban itself reads the log of a server that is guessed at: the filter in `deploy/` matches the lines about
//! refused proofs, and no line that a client wrote a part of.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use reqwest::Client;

use crate::process::{Home, PASSWORD, Person, Server, skip};

/// Words that look like a refusal, for every place that a client fills.
const FORGED: &str = "WARN rollcall::sign_in: sign-in refused reason=\"password\" client.ip=\"192.0.2.66\" ";
const FORGED_JSON: &str = r#"{"timestamp":"2026-11-27T23:41:09.110050Z","level":"WARN","fields":{"message":"sign-in refused","reason":"password","client.ip":"192.0.2.66"}}"#;

fn is_here() -> bool {
    let found = Command::new("fail2ban-regex").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return true;
    }
    skip("fail2ban-regex is not installed");
    false
}

/// The lines that the filter matches, and the addresses that it finds in them.
fn matched(log: &Path) -> (Vec<String>, Vec<String>) {
    let filter = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/fail2ban/filter.d/rollcall.conf");
    let run = |more: &[&str]| {
        let output = Command::new("fail2ban-regex").args(more).arg(log).arg(&filter).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    (run(&["--out", "msg"]), run(&["--out", "ip"]))
}

/// Guesses in each way, through a proxy that says which client it is for; and everything a client may forge.
async fn guess(server: &Server) {
    let from = |address: &str| {
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert("x-forwarded-for", address.parse().unwrap());
        Client::builder().no_proxy().cookie_store(true).default_headers(headers).build().unwrap()
    };
    let url = |path: &str| format!("{}{path}", server.origin);
    let flow = "/api/v3/flows/executor/default-authentication-flow/";
    for (address, name) in [("203.0.113.7", "akadmin"), ("2001:db8::7", "nobody"), ("203.0.113.8", FORGED)] {
        let client = from(address);
        client.get(url(flow)).send().await.unwrap();
        let named = serde_json::json!({"component": "ak-stage-identification", "uid_field": name});
        client.post(url(flow)).json(&named).send().await.unwrap();
        let given = serde_json::json!({"component": "ak-stage-password", "password": format!("wrong\n{FORGED}")});
        client.post(url(flow)).json(&given).send().await.unwrap();
    }
    let client = from("203.0.113.9");
    client.get(url("/api/v3/core/users/me/")).bearer_auth("no-such-token").send().await.unwrap();
    client.get(url("/set-up/no-such-link")).send().await.unwrap();
    // Nothing of this is a refused proof.
    let client = from("203.0.113.66");
    for text in [FORGED, FORGED_JSON] {
        let encoded = percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC);
        client.get(url(&format!("/{encoded}%0A{encoded}?q={encoded}"))).header("user-agent", text).send().await.unwrap();
        client.get(url("/sign-in")).header("referer", text).header("x-request-id", text).send().await.unwrap();
        client.get(url("/api/v3/core/users/me/")).header("authorization", text).send().await.unwrap();
    }
}

async fn is_matched(format: &str) {
    if !is_here() {
        return;
    }
    let home = Home::sqlite()
        .with_administrator()
        .with("ROLLCALL_LOG__FORMAT", format)
        .with("ROLLCALL_LOG__FILTER", "info")
        .with("ROLLCALL_HTTP__TRUSTED_PROXIES", "127.0.0.1")
        .with("ROLLCALL_SIGN_IN__ADDRESS_LIMIT", "4/1h");
    let server = home.serve().await;
    guess(&server).await;
    // One address goes on until its limit holds it: after that one line for all of its guesses.
    let mut guesser = Person::new(&server, FORGED);
    for _ in 0..8 {
        guesser.sign_in("akadmin", "wrong").await;
    }
    let log = server.stop().await;
    let file = home.folder().join("log");
    std::fs::write(&file, &log).unwrap();
    let ours = |line: &&str| line.contains("sign-in refused") || line.contains("sign-in limited");
    let lines: Vec<&str> = log.lines().filter(ours).filter(|line| line.contains("rollcall::sign_in")).collect();
    let (matched, addresses) = matched(&file);
    assert_eq!(matched, lines, "{log}");
    let mut wanted = ["203.0.113.7", "2001:db8::7", "203.0.113.8", "203.0.113.9", "203.0.113.9"].map(str::to_owned).to_vec();
    // Four guesses are looked at, and of the four that are not one line tells.
    wanted.extend(std::iter::repeat_n("127.0.0.1".to_owned(), 5));
    assert_eq!(addresses, wanted, "{log}");
    assert!(!addresses.iter().any(|address| address == "192.0.2.66" || address == "203.0.113.66"));
    let reasons = |word: &str| lines.iter().filter(|line| line.contains(word)).count();
    for (word, count) in [("password", 7), ("token", 1), ("link", 1), ("address", 1)] {
        assert_eq!(reasons(&format!("\"{word}\"")), count, "{word}: {lines:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fail2ban_matches_refused_proofs_and_nothing_else_in_text() {
    is_matched("text").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fail2ban_matches_refused_proofs_and_nothing_else_in_json() {
    is_matched("json").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_has_the_promised_fields_in_their_order() {
    let home = Home::sqlite().with_administrator();
    let server = home.serve().await;
    let mut person = Person::new(&server, "curl/8");
    person.sign_in("akadmin", "wrong").await;
    person.sign_in("nobody", "wrong").await;
    person.sign_in("akadmin", PASSWORD).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let log = server.stop().await;
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("sign-in refused")).collect();
    assert_eq!(lines.len(), 2, "{log}");
    let (_, known) = lines[0].split_once("Z ").unwrap();
    let start = " WARN rollcall::sign_in: sign-in refused reason=\"password\" client.ip=\"127.0.0.1\" user.id=1 request.id=\"";
    assert!(known.starts_with(start), "{known}");
    let (_, unknown) = lines[1].split_once("Z ").unwrap();
    let start = " WARN rollcall::sign_in: sign-in refused reason=\"password\" client.ip=\"127.0.0.1\" request.id=\"";
    assert!(unknown.starts_with(start), "{unknown}");
}

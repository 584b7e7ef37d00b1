//! Metrics: counted by the real program, and read as Prometheus reads them.

use std::collections::BTreeSet;
use std::future::ready;

use reqwest::Method;

use crate::process::{Home, PASSWORD, Person, SESSIONS, Server, TOKEN, eventually};

/// The address that the server says it serves metrics at.
async fn address(server: &Server) -> String {
    eventually("the metrics' address", || {
        ready(server.log().lines().find_map(|line| line.strip_prefix("metrics at ")).map(str::to_owned))
    })
    .await
}

async fn read(address: &str) -> String {
    let answer = reqwest::get(address).await.unwrap();
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    answer.text().await.unwrap()
}

/// The value of a series, written as Prometheus writes it.
fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {text}")).parse().unwrap()
}

on_both!(what_happens_is_counted_and_no_label_is_without_a_bound, |home| async move {
    let home = home.with_administrator().with("ROLLCALL_METRICS__LISTEN", "127.0.0.1:0");
    let server = home.serve().await;
    let address = address(&server).await;
    home.add_user("ada");
    let person = Person::signed_in(&server, "ada").await;
    Person::new(&server, "curl/8.5.0").sign_in("ada", "not the password").await;
    let uuid = person.uuid().await;
    assert_eq!(server.revoke(&uuid).await.status(), 204);
    let odd = Method::from_bytes(b"MADE-UP-BY-A-STRANGER").unwrap();
    server.call(odd, "/no/such/address?with=words", TOKEN).await;

    let text = read(&address).await;
    assert_eq!(value(&text, "rollcall_sessions_created_total"), 1.0);
    assert_eq!(value(&text, r#"rollcall_sessions_ended_total{reason="revoked"}"#), 1.0);
    assert_eq!(value(&text, "rollcall_sessions"), 0.0);
    assert_eq!(value(&text, r#"rollcall_sign_ins_total{outcome="done"}"#), 1.0);
    assert_eq!(value(&text, r#"rollcall_sign_ins_total{outcome="wrong"}"#), 1.0);
    let request =
        r#"rollcall_http_request_seconds_count{route="/api/v3/core/authenticated_sessions/{uuid}/",method="DELETE",status="204"}"#;
    assert_eq!(value(&text, request), 1.0);
    assert!(text.contains(
        r#"rollcall_http_request_seconds_bucket{route="/api/v3/core/authenticated_sessions/",method="GET",status="200",le="0.1"}"#
    ));
    assert!(text.contains(r#"rollcall_http_request_seconds_count{route="none",method="other",status="404"} 1"#), "{text}");
    assert!(value(&text, r#"rollcall_store_seconds_count{statement="insert",table="sessions"}"#) >= 1.0);
    assert!(text.contains("rollcall_pool{pool=\"long_reads\",state=\"running\"}"));
    assert!(text.contains("rollcall_pool{pool=\"sign_ins\",state=\"waiting\"} 0"));
    assert!(value(&text, "process_resident_memory_bytes") > 1e6);
    for secret in [TOKEN, PASSWORD, &uuid, "STRANGER", "no/such", "127.0.0.1"] {
        assert!(!text.contains(secret), "{secret} is in the metrics");
    }
    // Names of series come from lists of ours: asking for other things adds none.
    let series = |text: &str| -> BTreeSet<String> {
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(name, _)| name.to_owned())
            .collect()
    };
    let before = series(&read(&address).await);
    for n in 0..20 {
        server.call(Method::GET, &format!("/made/up/{n}"), TOKEN).await;
        server.call(Method::GET, &format!("{SESSIONS}?search=word{n}"), TOKEN).await;
        server.call(Method::from_bytes(format!("X{n}").as_bytes()).unwrap(), SESSIONS, TOKEN).await;
    }
    let new: Vec<String> = series(&read(&address).await).difference(&before).cloned().collect();
    assert!(new.iter().all(|name| !name.contains("made/up") && !name.contains("word") && !name.contains("\"X")), "{new:?}");
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_listens_for_metrics_unless_it_is_set() {
    let server = Home::sqlite().with_administrator().serve().await;
    let answer = server.call(Method::GET, "/metrics", TOKEN).await;
    assert_eq!(answer.status(), 404);
    assert!(!server.log().contains("metrics"));
}

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

on_both!(checks_of_reverse_proxies_are_counted_by_application, |home| async move {
    let home = home
        .with_administrator()
        .with("ROLLCALL_METRICS__LISTEN", "127.0.0.1:0")
        .with("ROLLCALL_HTTP__PUBLIC_URL", "http://id.example")
        .with("ROLLCALL_HTTP__TRUSTED_PROXIES", "127.0.0.1");
    let server = home.serve().await;
    home.ok(&["app", "add", "wiki", "--host", "wiki.example"]);
    home.ok(&["app", "rule", "wiki", "add", "/health", "--allow", "anyone"]);
    home.ok(&["app", "rule", "wiki", "add", "/mine", "--allow", "signed_in"]);
    let address = address(&server).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for (host, path, status) in
        [("wiki.example", "/health", 200), ("wiki.example", "/mine", 401), ("wiki.example", "/", 403), ("a.b.c", "/", 403)]
    {
        let url = format!("{}/guard/nginx/-", server.origin);
        let request = client.get(url).header("host", host).header("x-original-method", "GET");
        let answer = request.header("x-original-url", format!("http://{host}{path}")).send().await.unwrap();
        assert_eq!(answer.status(), status, "{host}{path}");
    }
    let text = read(&address).await;
    for (outcome, application) in [("allowed", "wiki"), ("sign_in", "wiki"), ("refused", "wiki"), ("refused", "none")] {
        let series = format!(r#"rollcall_guard_checks_total{{kind="nginx",outcome="{outcome}",application="{application}"}}"#);
        assert_eq!(value(&text, &series), 1.0);
    }
    assert_eq!(value(&text, r#"rollcall_guard_seconds_count{kind="nginx"}"#), 4.0);
    assert_eq!(value(&text, "rollcall_app_sessions"), 0.0);
    assert!(!text.contains("a.b.c") && !text.contains("wiki.example"), "{text}");
});

//! TLS and HTTP/2 from the caller to nginx and Caddy, with certificates of the test; Traefik and Envoy speak HTTP/2 in
//! `traffic`. And the challenge to programs, which each proxy must pass on.

use std::path::Path;
use std::process::{Command, Stdio};

use rollcall::domain::guard::kind::Kind;
use rollcall::guard::configuration::{self, Addresses};
use serde_json::json;

use super::echo::Echo;
use super::guarded::{HOME, Person, WIKI, got, the_app};
use super::process::Proxy;
use crate::applications::app_password;
use crate::guard::world::{Browser, PAGE, add_app};
use crate::process::{free_port, skip};
use crate::support::{Answer, TestApp, TestDb};

/// A key and a certificate for the app's host.
fn certificate(folder: &Path) -> Option<[String; 2]> {
    let [key, certificate] = ["wiki.key", "wiki.crt"].map(|name| folder.join(name).display().to_string());
    let line = format!("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={WIKI} -addext subjectAltName=DNS:{WIKI}");
    let mut command = Command::new("openssl");
    command.args(line.split(' ')).args(["-keyout", &key, "-out", &certificate]).stderr(Stdio::null());
    let Ok(done) = command.status() else {
        skip("openssl is not installed");
        return None;
    };
    assert!(done.success());
    Some([key, certificate])
}

/// A proxy with TLS, and its port: what docs/guard.md leaves to be added is added.
fn with_tls(kind: Kind, printed: &str, port: u16, folder: &Path) -> Option<(Proxy, u16)> {
    let [key, certificate] = certificate(folder)?;
    match kind {
        Kind::Nginx => {
            let (tls, name) = (free_port(), format!("    server_name {WIKI};"));
            let more = format!(
                "    listen 127.0.0.1:{tls} ssl http2;\n    ssl_certificate {certificate};\n    ssl_certificate_key {key};"
            );
            assert!(printed.contains(&name), "{printed}");
            let printed = printed.replace(&name, &format!("{more}\n{name}"));
            Some((Proxy::start_with(kind, port, WIKI, &printed, &|text| text)?, tls))
        }
        _ => {
            let site = format!("http://{WIKI}:{port} {{");
            assert!(printed.contains(&site), "{printed}");
            let printed = printed.replace(&site, &format!("https://{WIKI}:{port} {{\n\ttls {certificate} {key}"));
            Some((Proxy::start_with(kind, port, WIKI, &printed, &|text| text)?, port))
        }
    }
}

/// Status line, head and body of an answer over HTTP/2 and TLS.
async fn curl(port: u16, path: &str, more: &[&str]) -> Option<String> {
    let url = format!("https://{WIKI}{path}");
    let args = [&["-k", "--http2", &url], more].concat();
    let text = super::curl::curl((WIKI, 443), port, &args).await?;
    assert!(text.starts_with("HTTP/2 "), "{args:?}: {text}");
    Some(text)
}

async fn over_http2(kind: Kind, db: TestDb) {
    let home = format!("https://{HOME}");
    let app = TestApp::with(db, &[("HTTP__PUBLIC_URL", &home), ("HTTP__TRUSTED_PROXIES", "127.0.0.1")]).await;
    let rules = json!([
        {"paths": ["/public/**"], "allow": "anyone"},
        {"paths": ["/closed/**"], "allow": "nobody"},
        {"paths": ["/api/**"], "app_passwords": true},
    ]);
    add_app(&app, "wiki", json!({"allow": "signed_in"}), json!({"hosts": [WIKI], "rules": rules})).await;
    app.user("alice").await;
    app.superuser("root").await;
    let echo = Echo::start().await;
    let port = free_port();
    let (listen, address) = (format!("127.0.0.1:{port}"), echo.address.to_string());
    let addresses = Addresses { listen: &listen, app: &address, rollcall: &app.address.to_string() };
    let printed = configuration::of(kind, &the_app(&app, "wiki").await, addresses).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let Some((_proxy, port)) = with_tls(kind, &printed, port, folder.path()) else { return };

    // Without a session nothing passes: pages are led to the sign-in, programs and gRPC are told no.
    let page: Vec<String> = PAGE.iter().flat_map(|(name, value)| ["-H".to_owned(), format!("{name}: {value}")]).collect();
    let page: Vec<&str> = page.iter().map(String::as_str).collect();
    let Some(led) = curl(port, "/a?b=1&c=2", &page).await else { return };
    let start = "location: https://wiki.example/.rollcall/start?rd=https%3A%2F%2Fwiki%2Eexample%2Fa%3Fb%3D1%26c%3D2\r\n";
    assert!(led.starts_with("HTTP/2 302") && led.contains(start), "{kind} {led}");
    let begun = curl(port, "/.rollcall/start?rd=%2Fa", &page).await.unwrap();
    assert!(
        begun.contains("set-cookie: __Host-rollcall_start_") && begun.contains("location: https://id.example/guard/go?"),
        "{begun}"
    );
    assert!(!begun.contains("strict-transport-security"), "{begun}");
    let grpc = ["-X", "POST", "-H", "content-type: application/grpc", "-H", "te: trailers", "--data-binary", "xxxxx"];
    for (path, more) in [("/a", &[][..]), ("/service/Method", &grpc[..]), ("/a", &["-X", "OPTIONS"][..])] {
        let refused = curl(port, path, more).await.unwrap();
        assert!(refused.starts_with("HTTP/2 401") && !refused.contains("location:"), "{kind} {path} {refused}");
    }
    assert_eq!(echo.count(), 0, "{kind}");

    // With one, in cookies that HTTP/2 sends one by one.
    let browser = Browser::new(&app);
    let session = browser.sign_in("alice").await;
    assert_eq!(browser.open("caddy", "wiki", &format!("https://{WIKI}/")).await.status, 200);
    let key = format!("cookie: __Host-rollcall_app={}", browser.cookie(WIKI, "__Host-rollcall_app").unwrap());
    let known = ["-H", "cookie: first=1", "-H", &key, "-H", "cookie: last=\"2\""];
    let opened =
        curl(port, "/a?b=1", &[&known[..], &["-H", "remote-user: admin", "-H", "remote_user: admin"]].concat()).await.unwrap();
    assert!(opened.starts_with("HTTP/2 200") && opened.contains("[\"remote-user\",\"alice\"]"), "{kind} {opened}");
    assert!(opened.contains("first=1") && opened.contains("last=\\\"2\\\"") && opened.contains("\"path\":\"/a?b=1\""), "{opened}");
    assert!(!opened.contains("rollcall_app") && !opened.contains("admin"), "{kind} {opened}");
    let open = curl(port, "/public/a", &[&known[..], &["-H", "remote-user: admin"]].concat()).await.unwrap();
    assert!(open.starts_with("HTTP/2 200") && !open.contains("admin") && !open.contains("alice"), "{kind} {open}");
    let called = curl(port, "/service/Method", &[&known[..], &grpc[..]].concat()).await.unwrap();
    assert!(called.contains("\"body\":5") && called.contains("[\"remote-user\",\"alice\"]"), "{kind} {called}");
    let file = folder.path().join("large");
    std::fs::write(&file, vec![b'x'; 10 * 1024 * 1024]).unwrap();
    let body = format!("@{}", file.display());
    let sent = curl(port, "/up", &[&known[..], &["-H", "expect:", "--data-binary", &body]].concat()).await.unwrap();
    assert!(sent.contains(&format!("\"body\":{}", 10 * 1024 * 1024)), "{kind} {}", &sent[..sent.len().min(2000)]);
    let before = echo.count();
    for path in ["/closed/x", "/x/../closed/a", "/x/..%2fclosed/a", "/%63losed/x", "//closed/x", "/CLOSED/x", "/closed;x/a"] {
        let refused = curl(port, path, &known).await.unwrap();
        assert!(!refused.starts_with("HTTP/2 200"), "{kind} {path}: {refused}");
    }
    assert_eq!(echo.count(), before, "{kind}");

    // A program with an app password, which is accepted over https.
    let bearer = format!("authorization: Bearer {}", app_password(&app, "alice", "wiki").await);
    let program = curl(port, "/api/x", &["-H", &bearer]).await.unwrap();
    assert!(program.starts_with("HTTP/2 200") && program.contains("[\"remote-user\",\"alice\"]"), "{kind} {program}");
    assert!(!program.contains("rcp_"), "{kind} {program}");

    let admin = app.known("root").await.token().await;
    admin.delete(&format!("{}{session}/", crate::support::SESSIONS)).await.assert_status(204);
    assert!(curl(port, "/a", &known).await.unwrap().starts_with("HTTP/2 401"), "{kind}");
}

db_test!(nginx_over_tls_and_http2, |db| async move { over_http2(Kind::Nginx, db).await });
db_test!(caddy_over_tls_and_http2, |db| async move { over_http2(Kind::Caddy, db).await });

/// What programs are asked for arrives: git sends a name and an app password only after `Basic`.
async fn challenges(kind: Kind) {
    let home = format!("http://{HOME}");
    let settings = [("HTTP__PUBLIC_URL", home.as_str()), ("HTTP__TRUSTED_PROXIES", "127.0.0.1")];
    let app = TestApp::with(TestDb::sqlite(), &settings).await;
    let guard = json!({"hosts": [WIKI], "basic": true});
    add_app(&app, "wiki", json!({"allow": "signed_in", "app_passwords": true}), guard).await;
    app.user("alice").await;
    let echo = Echo::start().await;
    let application = the_app(&app, "wiki").await;
    let Some(proxy) = Proxy::start(kind, &application, &echo.address.to_string(), &app.address.to_string()) else { return };
    let program = Person::new(&app, &proxy);
    let asked = program.send("GET", WIKI, "/info/refs?service=git-upload-pack", &[]).await.assert_status(401);
    let has = |answer: &Answer, scheme: &str| {
        let mut values = answer.headers.get_all("www-authenticate").iter();
        values.any(|value| value.to_str().unwrap().starts_with(scheme))
    };
    assert!(has(&asked, "Basic realm=\"rollcall\""), "{kind} {:?}", asked.headers);
    let basic = {
        use base64::Engine;
        let pair = format!("alice:{}", app_password(&app, "alice", "wiki").await);
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    };
    let answer = program.send("GET", WIKI, "/info/refs", &[("authorization", &basic)]).await.assert_status(200);
    assert_eq!((got(&answer, "remote-user"), got(&answer, "authorization")), (vec!["alice".to_owned()], Vec::new()), "{kind}");
    // A session whose proof is too old: RFC 9470.
    add_app(&app, "wiki", json!({"allow": "signed_in", "max_age": 60}), json!({"hosts": [WIKI]})).await;
    let person = Person::new(&app, &proxy);
    person.sign_in(&app, "alice").await;
    person.open("/a").await.assert_status(200);
    app.advance(std::time::Duration::from_secs(61));
    let old = person.send("GET", WIKI, "/a", &[]).await.assert_status(401);
    assert!(has(&old, "Bearer realm=\"rollcall\", error=\"insufficient_user_authentication\""), "{kind} {:?}", old.headers);
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_passes_challenges_on() {
    challenges(Kind::Nginx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy_passes_challenges_on() {
    challenges(Kind::Caddy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn traefik_passes_challenges_on() {
    challenges(Kind::Traefik).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_passes_challenges_on() {
    challenges(Kind::Envoy).await;
}

//! What is more than a request and an answer, through guarded proxies: WebSockets, event streams, HTTP/2, gRPC, large
//! heads.

use std::sync::Arc;
use std::time::Duration;

use rollcall::domain::guard::kind::Kind;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::curl::curl;
use super::guarded::{HOME, Person, WIKI, got, set_up, the_app};
use super::process::Proxy;
use crate::guard::world::add_app;
use crate::process::free_port;
use crate::support::{SESSIONS, TestApp, TestDb};

const PATIENCE: Duration = Duration::from_secs(10);

/// An app that opens WebSockets and gives back what it gets, and that sends an event, waits for the signal, and sends one
/// more.
async fn open_ended_app(signal: Arc<Notify>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&signal)));
        }
    });
    address
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match timeout(PATIENCE, stream.read(&mut byte)).await {
            Ok(Ok(1)) => head.push(byte[0]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

async fn serve(mut stream: TcpStream, signal: Arc<Notify>) {
    let asked = head(&mut stream).await.to_lowercase();
    if asked.contains("upgrade: websocket") {
        let user = asked.lines().find_map(|line| line.strip_prefix("remote-user: ")).unwrap_or_default().to_owned();
        let accept = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        drop(stream.write_all(accept.as_bytes()).await);
        drop(stream.write_all(user.as_bytes()).await);
        let mut part = [0; 1024];
        while let Ok(length @ 1..) = stream.read(&mut part).await {
            if stream.write_all(&part[..length]).await.is_err() {
                return;
            }
        }
        return;
    }
    let begin =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nCache-Control: no-store\r\n\r\n";
    drop(stream.write_all(format!("{begin}9\r\ndata: 1\n\n\r\n").as_bytes()).await);
    signal.notified().await;
    drop(stream.write_all(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n").await);
}

/// Reads until a text was seen.
async fn until(stream: &mut TcpStream, text: &str) -> String {
    let mut read = Vec::new();
    let mut part = [0; 1024];
    while !String::from_utf8_lossy(&read).contains(text) {
        match timeout(PATIENCE, stream.read(&mut part)).await {
            Ok(Ok(length @ 1..)) => read.extend(&part[..length]),
            _ => panic!("{text} is not in {}", String::from_utf8_lossy(&read)),
        }
    }
    String::from_utf8_lossy(&read).into_owned()
}

async fn open(proxy: &Proxy, path: &str, cookie: &str, more: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
    let cookie = if cookie.is_empty() { String::new() } else { format!("Cookie: {cookie}\r\n") };
    let text = format!("GET {path} HTTP/1.1\r\nHost: {WIKI}\r\n{cookie}{more}\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

const SOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

async fn streams(kind: Kind, db: TestDb) {
    let home = format!("http://{HOME}");
    let app = TestApp::with(db, &[("HTTP__PUBLIC_URL", &home), ("HTTP__TRUSTED_PROXIES", "127.0.0.1")]).await;
    add_app(&app, "wiki", json!({"allow": "signed_in"}), json!({"hosts": [WIKI]})).await;
    app.user("alice").await;
    app.superuser("root").await;
    let signal = Arc::new(Notify::new());
    let address = open_ended_app(Arc::clone(&signal)).await;
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let addresses =
        rollcall::guard::configuration::Addresses { listen: &listen, app: &address, rollcall: &app.address.to_string() };
    let printed = rollcall::guard::configuration::of(kind, &the_app(&app, "wiki").await, addresses).unwrap();
    // What the document says for event streams.
    let printed = printed.replace("    location / {\n", "    location / {\n        proxy_buffering off;\n");
    let Some(proxy) = Proxy::start_with(kind, port, WIKI, &printed, &|text| text) else { return };
    let person = Person::new(&app, &proxy);
    let session = person.sign_in(&app, "alice").await;
    person.step_in().await;
    let cookie = person.cookie();
    assert!(cookie.contains("rollcall_app="), "{kind} {cookie}");

    // Without a session neither opens, and neither is led anywhere.
    for (path, more) in [("/socket", SOCKET), ("/events", "Accept: text/event-stream\r\n")] {
        let mut stream = open(&proxy, path, "", more).await;
        let answer = head(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 401") && !answer.to_lowercase().contains("location:"), "{kind} {path}: {answer}");
    }
    // With one, bytes go both ways.
    let mut socket = open(&proxy, "/socket", &cookie, SOCKET).await;
    let opened = until(&mut socket, "alice").await;
    assert!(opened.starts_with("HTTP/1.1 101"), "{kind} {opened}");
    socket.write_all(b"\x81\x04ping").await.unwrap();
    until(&mut socket, "ping").await;
    // An event arrives before the next one is sent.
    let mut events = open(&proxy, "/events", &cookie, "Accept: text/event-stream\r\n").await;
    until(&mut events, "data: 1").await;
    signal.notify_one();
    until(&mut events, "data: 2").await;

    // What is open goes on after the end of the session; what begins is refused.
    let admin = app.known("root").await.token().await;
    admin.delete(&format!("{SESSIONS}{session}/")).await.assert_status(204);
    socket.write_all(b"\x81\x04pong").await.unwrap();
    until(&mut socket, "pong").await;
    let mut late = open(&proxy, "/socket", &cookie, SOCKET).await;
    assert!(head(&mut late).await.starts_with("HTTP/1.1 401"), "{kind}");
}

db_test!(nginx_streams, |db| async move { streams(Kind::Nginx, db).await });
db_test!(caddy_streams, |db| async move { streams(Kind::Caddy, db).await });
db_test!(traefik_streams, |db| async move { streams(Kind::Traefik, db).await });
db_test!(envoy_streams, |db| async move { streams(Kind::Envoy, db).await });

async fn large_and_newer(kind: Kind, db: TestDb) {
    let Some((app, echo, proxy)) = set_up(kind, db).await else { return };
    let person = Person::new(&app, &proxy);
    person.sign_in(&app, "alice").await;
    person.open("/a").await.assert_status(200);
    let cookie = person.cookie();

    // An app's own cookies of 6 KiB pass, byte for byte.
    let own = format!("own={}", "x".repeat(6 * 1024));
    let answer = person.send_with_cookie("/a", &format!("{own}; {cookie}")).await.assert_status(200);
    assert!(got(&answer, "cookie").concat().contains(&own), "{kind}");
    assert_eq!(got(&answer, "remote-user"), ["alice"], "{kind}");

    // Heads that no check can hold are refused, and nothing arrives.
    let before = echo.count();
    let lines: String = (0..129).map(|number| format!("X-Line-{number}: x\r\n")).collect();
    let long = format!("X-Long: {}\r\n", "x".repeat(160 * 1024));
    for more in [lines, long] {
        let mut stream = open(&proxy, "/a", "", &more).await;
        let answer = head(&mut stream).await;
        assert!(!answer.starts_with("HTTP/1.1 2"), "{kind}: {answer}");
    }
    for bytes in ["GET /a\r\n", "GET /a HTTP/0.9\r\n\r\n", "GET  /a HTTP/1.1\r\nHost: wiki.example\r\n\r\n"] {
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        drop(timeout(PATIENCE, stream.read_to_end(&mut answer)).await);
        assert!(!String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 2"), "{kind} {bytes}");
    }
    assert_eq!(echo.count(), before, "{kind}");

    // gRPC: a program is told no, in a way that it understands. nginx and Caddy need a listener of their own for HTTP/2
    // without TLS, so there it is HTTP/1.1.
    let newer = matches!(kind, Kind::Traefik | Kind::Envoy);
    let version = if newer { "--http2-prior-knowledge" } else { "--http1.1" };
    let url = format!("http://{WIKI}/service/Method?x=1");
    let grpc = ["-X", "POST", "-H", "content-type: application/grpc+proto", "-H", "te: trailers", "--data-binary", "xxxxx"];
    let Some(refused) = curl((WIKI, 80), proxy.port, &[&[version], grpc.as_slice(), &[&url]].concat()).await else { return };
    // Envoy answers in gRPC's own words: 16 is UNAUTHENTICATED.
    let is_refused = match kind {
        Kind::Envoy => refused.starts_with("HTTP/2 200") && refused.contains("grpc-status: 16"),
        Kind::Traefik => refused.starts_with("HTTP/2 401"),
        Kind::Nginx | Kind::Caddy => refused.starts_with("HTTP/1.1 401"),
    };
    assert!(is_refused && !refused.to_lowercase().contains("location:"), "{kind} {refused}");
    let known = format!("cookie: {cookie}");
    let passed = curl((WIKI, 80), proxy.port, &[&[version, "-H", &known], grpc.as_slice(), &[&url]].concat()).await.unwrap();
    assert!(passed.contains(" 200") && passed.contains("[\"remote-user\",\"alice\"]"), "{kind} {passed}");
    assert!(passed.contains("\"path\":\"/service/Method?x=1\"") && passed.contains("\"method\":\"POST\""), "{kind} {passed}");
    if newer {
        // Over HTTP/2 rules and stripping are the same.
        let closed = format!("http://{WIKI}/x/../closed/a");
        let closed = curl((WIKI, 80), proxy.port, &[version, "-H", &known, &closed]).await.unwrap();
        assert!(!closed.contains(" 200"), "{kind} {closed}");
        let forged =
            curl((WIKI, 80), proxy.port, &[version, "-H", "remote-user: admin", &format!("http://{WIKI}/public/a")]).await.unwrap();
        assert!(forged.contains(" 200") && !forged.contains("admin"), "{kind} {forged}");
    }
}

db_test!(nginx_large_heads_and_grpc, |db| async move { large_and_newer(Kind::Nginx, db).await });
db_test!(caddy_large_heads_and_grpc, |db| async move { large_and_newer(Kind::Caddy, db).await });
db_test!(traefik_large_heads_http2_and_grpc, |db| async move { large_and_newer(Kind::Traefik, db).await });
db_test!(envoy_large_heads_http2_and_grpc, |db| async move { large_and_newer(Kind::Envoy, db).await });

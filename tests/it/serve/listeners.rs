//! Several listeners, Unix sockets, and sockets of a service manager.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;

use tokio::net::UnixStream;

use super::*;
use crate::serve::tls::{Authority, connect};

const LIVE: &str = "/-/health/live/";

/// What the running server wrote down.
fn server_file(home: &Home) -> Value {
    serde_json::from_str(&std::fs::read_to_string(home.data("server.json")).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_places_are_served_and_named() {
    let home = Home::sqlite();
    let ca = Authority::new(&home);
    let (certificate, key) = ca.issue("one", "localhost", 30);
    let socket = home.folder().join("rollcall.sock").display().to_string();
    let notify = home.folder().join("notify").display().to_string();
    let manager = UnixDatagram::bind(&notify).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let listen = format!("127.0.0.1:0, localhost:0, unix:{socket}, tls:127.0.0.1:0, proxy:127.0.0.1:0");
    let home = home
        .with("ROLLCALL_LISTEN", &listen)
        .with("ROLLCALL_TLS__CERTIFICATE", &certificate)
        .with("ROLLCALL_TLS__KEY", &key)
        .with("ROLLCALL_HTTP__TRUSTED_PROXIES", "loopback")
        .with("NOTIFY_SOCKET", &notify);
    let server = home.serve().await;
    let written = server_file(&home);
    let places: Vec<&str> = written["listeners"].as_array().unwrap().iter().map(|place| place.as_str().unwrap()).collect();
    assert!(places.len() >= 5, "{places:?}");
    assert_eq!(
        (written["origin"].as_str().unwrap(), written["certificate"].as_str()),
        (server.origin.as_str(), Some(certificate.as_str()))
    );
    let mut kinds = Vec::new();
    for place in &places {
        assert!(!place.ends_with(":0"), "the port that was taken: {place}");
        let answer = if let Some(path) = place.strip_prefix("unix:") {
            kinds.push("unix");
            exchange(&mut UnixStream::connect(path).await.unwrap(), LIVE, "").await
        } else if let Some(address) = place.strip_prefix("tls:") {
            kinds.push("tls");
            exchange(&mut connect(&ca, address, &[]).await.unwrap(), LIVE, "").await
        } else if let Some(address) = place.strip_prefix("proxy:") {
            kinds.push("proxy");
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 9000\r\n").await.unwrap();
            exchange(&mut stream, LIVE, "").await
        } else {
            kinds.push("plain");
            exchange(&mut TcpStream::connect(place).await.unwrap(), LIVE, "").await
        };
        assert!(answer.starts_with("HTTP/1.1 204 "), "{place}: {answer}");
    }
    kinds.dedup();
    assert_eq!(kinds, ["plain", "unix", "tls", "proxy"]);
    let shown: Vec<String> =
        server.log().lines().filter_map(|line| line.strip_prefix("listening on ")).map(str::to_owned).collect();
    assert_eq!(shown.len(), places.len());
    assert!(shown[0].starts_with("http://127.0.0.1:") && shown.contains(&format!("unix:{socket}")), "{shown:?}");
    assert!(shown.iter().any(|place| place.starts_with("https://127.0.0.1:")), "{shown:?}");
    let mut bytes = [0; 4096];
    let length = manager.recv(&mut bytes).unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes[..length]), format!("READY=1\nSTATUS=listening on {}", shown.join(", ")));
    server.stop().await;
    assert!(!Path::new(&socket).exists(), "the socket's file is removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_one_place_cannot_be_bound_nothing_is_served() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let home = Home::sqlite().with("ROLLCALL_LISTEN", &format!("{free},proxy:{taken}"));
    let error = home.fails(1, &["serve"]);
    assert!(error.contains(&format!("rollcall: cannot listen on proxy:{taken}: Address already in use")), "{error}");
    assert!(!error.contains("listening on"), "{error}");
    for (listen, why) in [
        ("systemd", "cannot listen on systemd: the service manager passed no sockets (LISTEN_FDS)"),
        ("unix:/no/such/folder/x", "cannot listen on unix:/no/such/folder/x: No such file or directory"),
        ("no-such-host.invalid:80", "cannot listen on no-such-host.invalid:80: "),
    ] {
        let error = Home::sqlite().fails(1, &["serve", "--listen", listen]);
        assert!(error.contains(why), "{error}");
    }
    // Sockets of another process are not this one's.
    let home = Home::sqlite();
    let mut command = home.command(ROLLCALL);
    command.args(["serve", "--listen", "systemd"]).env("LISTEN_PID", "1").env("LISTEN_FDS", "1");
    let done = finish(&mut command, "");
    assert!(done.code == 1 && done.err.contains("passed no sockets"), "{done:?}");
    let error = Home::sqlite().fails(2, &["serve", "--listen", "tls:127.0.0.1:0"]);
    assert!(error.contains("--listen listen: tls:127.0.0.1:0 needs tls.certificate and tls.key"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_has_its_mode_and_its_peers_are_trusted_by_name() {
    let home = Home::sqlite().with_administrator();
    let path = home.folder().join("x.sock");
    let listen = format!("unix:{}", path.display());
    let home = home.with("ROLLCALL_LISTEN", &listen);
    let settings = |rest: &str| home.write("rollcall.toml", format!("[http]\nsocket_mode = '0600'\n{rest}"));
    settings("trusted_proxies = 'loopback'\n");
    let server = home.serve().await;
    assert_eq!(server.origin, listen);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    home.ok(&["healthcheck"]);
    let refused = async |address: &str| {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        let headers = format!("authorization: Bearer wrong\r\nx-forwarded-for: {address}\r\n");
        let answer = exchange(&mut stream, SESSIONS, &headers).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    };
    // 127.0.0.1 is trusted, and a peer on a Unix socket is not 127.0.0.1.
    refused("203.0.113.1").await;
    logs(&server, "reason=\"token\" client.ip=\"127.0.0.1\"").await;
    settings("trusted_proxies = 'unix'\n");
    server.signal("HUP");
    logs(&server, "applied=\"http.trusted_proxies\"").await;
    refused("203.0.113.2").await;
    logs(&server, "reason=\"token\" client.ip=\"203.0.113.2\"").await;
    // Another server does not take the socket away. Its data is its own.
    let other = Home::sqlite().with("ROLLCALL_LISTEN", &listen);
    assert!(other.fails(1, &["serve"]).contains(&format!("cannot listen on {listen}: another server answers there")));
    server.kill().await;
    assert!(path.exists(), "a killed server leaves its file");
    let next = home.serve().await;
    next.stop().await;
    assert!(!path.exists());
}

/// Starts the server as a service manager does: with this socket as its first one. The program that runs becomes the
/// server, so that `LISTEN_PID` is right.
async fn activated(home: &Home, socket: &TcpListener) -> Server {
    let mut command = home.command("sh");
    let script = format!("exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec {ROLLCALL} serve");
    command.args(["-c", &script]).stdin(Stdio::from(OwnedFd::from(socket.try_clone().unwrap())));
    Server::start(command).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_wait_in_an_inherited_socket_while_the_server_restarts() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let home = Home::sqlite().with("ROLLCALL_LISTEN", "systemd");
    let server = activated(&home, &socket).await;
    assert_eq!(server.address(), address.to_string());
    assert_eq!(server_file(&home)["listeners"], json!([address.to_string()]));
    home.ok(&["healthcheck"]);
    // 200 requests, one every 15 ms, from before the stop until after the next start.
    let asked = tokio::spawn(async move {
        let mut asking = tokio::task::JoinSet::new();
        for nth in 0..200_u32 {
            asking.spawn(async move {
                let connected = TcpStream::connect(address).await;
                let mut stream = connected.unwrap_or_else(|error| panic!("request {nth} is refused: {error}"));
                let answer = exchange(&mut stream, LIVE, "").await;
                assert!(answer.starts_with("HTTP/1.1 204 "), "request {nth}: {answer:?}");
            });
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
        while let Some(asked) = asking.join_next().await {
            asked.unwrap();
        }
    });
    let first = server.id();
    tokio::time::sleep(Duration::from_millis(500)).await;
    server.stop().await;
    assert!(!asked.is_finished(), "the server stops under way");
    let server = activated(&home, &socket).await;
    assert_ne!(server.id(), first);
    asked.await.unwrap();
    server.stop().await;
    assert!(TcpStream::connect(address).await.is_ok(), "the socket is the manager's");
}

//! Whose address a client has: the PROXY protocol, headers of proxies, and proxies by name.

use std::process::Child;

use super::*;
use crate::process::free_port;
use crate::serve::tls::{Authority, connect};
use crate::tls_database::is_root;

/// A request with a wrong token: the log names the client.
async fn refused(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), headers: &str) -> String {
    exchange(stream, SESSIONS, &format!("authorization: Bearer wrong\r\n{headers}")).await
}

/// The addresses of the clients that were refused, in the order of the log.
fn refused_clients(server: &Server) -> Vec<String> {
    let start = "sign-in refused reason=\"token\" client.ip=\"";
    server.log().split(start).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

/// The client that the next refusal is of.
async fn client_of(server: &Server, stream: &mut (impl AsyncRead + AsyncWrite + Unpin), headers: &str) -> String {
    let before = refused_clients(server).len();
    let answer = refused(stream, headers).await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer:?}");
    eventually("the line of the refusal", || ready(refused_clients(server).get(before).cloned())).await
}

/// Where the listener for proxies is.
fn proxied_address(server: &Server) -> String {
    let log = server.log();
    let line = log.lines().find_map(|line| line.strip_prefix("listening on proxy"));
    line.unwrap().trim_start_matches("+tls").trim_start_matches(':').to_owned()
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n".as_slice(), &[command, family], &length, rest].concat()
}

const V4: [u8; 12] = [203, 0, 113, 9, 10, 0, 0, 1, 0xdc, 4, 1, 0xbb];

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_protocol_tells_the_client() {
    let home = Home::sqlite()
        .with_administrator()
        .with("ROLLCALL_LISTEN", "127.0.0.1:0,proxy:127.0.0.1:0")
        .with("ROLLCALL_HTTP__TRUSTED_PROXIES", "127.0.0.1, 203.0.113.50");
    let server = home.serve().await;
    let address = proxied_address(&server);
    let v6 = [[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7], [0; 16]].concat();
    let forged = "x-forwarded-for: 6.6.6.6\r\nforwarded: for=6.6.6.6\r\n";
    for (header, headers, client) in [
        (b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n".to_vec(), forged, "203.0.113.7"),
        (b"PROXY TCP6 2001:db8::8 2001:db8::1 4711 443\r\n".to_vec(), forged, "2001:db8::8"),
        (v2(0x21, 0x11, &V4), forged, "203.0.113.9"),
        (v2(0x21, 0x11, &[V4.as_slice(), b"\x04\x00\x03abc"].concat()), forged, "203.0.113.9"),
        (v2(0x21, 0x21, &[v6.as_slice(), &[0; 4]].concat()), forged, "2001:db8::7"),
        // A proxy in front of this one, which is trusted: its header counts.
        (b"PROXY TCP4 203.0.113.50 10.0.0.1 4711 443\r\n".to_vec(), "x-forwarded-for: 192.0.2.1\r\n", "192.0.2.1"),
        // The proxy itself.
        (v2(0x20, 0x00, &[]), "", "127.0.0.1"),
        (v2(0x20, 0x11, &V4), "x-forwarded-for: 192.0.2.2\r\n", "192.0.2.2"),
        // Somebody that it does not name: its address, and not its word.
        (b"PROXY UNKNOWN\r\n".to_vec(), forged, "127.0.0.1"),
        (v2(0x21, 0x00, &[]), forged, "127.0.0.1"),
    ] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(&header).await.unwrap();
        assert_eq!(client_of(&server, &mut stream, headers).await, client, "{}", header.escape_ascii());
    }
    // In pieces, with the request right behind it.
    let mut stream = TcpStream::connect(&address).await.unwrap();
    for part in [&b"PRO"[..], b"XY TCP4 203.0.113.", b"8 10.0.0.1 1 1\r", b"\nGET "] {
        stream.write_all(part).await.unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    stream
        .write_all(format!("{SESSIONS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer wrong\r\nconnection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    logs(&server, "client.ip=\"203.0.113.8\"").await;
    // No header, or a wrong one: closed without an answer.
    let count = refused_clients(&server).len();
    for header in [
        &b""[..],
        b"PROXY TCP4 203.0.113.7\r\n",
        b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 70000\r\n",
        v2(0x21, 0x11, &V4[..8]).as_slice(),
        v2(0x31, 0x11, &V4).as_slice(),
    ] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(header).await.unwrap();
        assert_eq!(refused(&mut stream, "").await, "", "{}", header.escape_ascii());
    }
    assert_eq!(refused_clients(&server).len(), count);
    // A header on the listener that takes none is no HTTP.
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n").await.unwrap();
    assert!(refused(&mut stream, "").await.starts_with("HTTP/1.1 400 "));
    // 5 seconds, and no more.
    let started = std::time::Instant::now();
    let mut slow = TcpStream::connect(&address).await.unwrap();
    slow.write_all(b"PROXY TCP4 ").await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), slow.read_to_end(&mut rest)).await.expect("it is closed").unwrap_or(0);
    assert!(started.elapsed() >= Duration::from_secs(4), "{:?}", started.elapsed());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_of_a_stranger_is_not_read() {
    let home = Home::sqlite().with_administrator().with("ROLLCALL_LISTEN", "127.0.0.1:0,proxy:127.0.0.1:0");
    home.write("rollcall.toml", "[http]\ntrusted_proxies = '203.0.113.7'\n");
    let server = home.serve().await;
    let mut stream = TcpStream::connect(proxied_address(&server)).await.unwrap();
    // Also one that names a trusted address.
    drop(stream.write_all(b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n").await);
    assert_eq!(refused(&mut stream, "").await, "");
    logs(&server, "a connection on a listener for proxies was closed: its peer is not in http.trusted_proxies peer=127.0.0.1")
        .await;
    assert!(refused_clients(&server).is_empty());
    // The check of health is such a peer, too, where it asks this listener.
    let first = Home::sqlite().with("ROLLCALL_LISTEN", "proxy:127.0.0.1:0");
    let other = first.serve().await;
    assert!(first.fails(1, &["healthcheck"]).contains("http.trusted_proxies must name the address of this machine, too"));
    other.stop().await;
    let first = first.with("ROLLCALL_HTTP__TRUSTED_PROXIES", "loopback");
    let other = first.serve().await;
    first.ok(&["healthcheck"]);
    other.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_by_address_is_that_of_the_client_behind_the_proxy() {
    let home = Home::sqlite()
        .with("ROLLCALL_LISTEN", "proxy:127.0.0.1:0")
        .with("ROLLCALL_HTTP__TRUSTED_PROXIES", "127.0.0.1")
        .with("ROLLCALL_HTTP__MAX_CONNECTIONS_PER_ADDRESS", "2");
    let server = home.serve().await;
    let address = proxied_address(&server);
    let open = async |client: &str| {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(format!("PROXY {client}\r\nGET /-/health/live/ HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut first = [0; 12];
        let is_answered = stream.read_exact(&mut first).await.is_ok();
        assert!(!is_answered || &first == b"HTTP/1.1 204");
        is_answered.then_some(stream)
    };
    let tcp = |ip: &str| format!("TCP4 {ip} 10.0.0.1 1 1");
    let held = [open(&tcp("203.0.113.1")).await.unwrap(), open(&tcp("203.0.113.1")).await.unwrap()];
    assert!(open(&tcp("203.0.113.1")).await.is_none(), "two are the most");
    let others = [open(&tcp("203.0.113.2")).await.unwrap(), open(&tcp("203.0.113.3")).await.unwrap()];
    // Those without a name share the limit of one address.
    let unnamed = [open("UNKNOWN").await.unwrap(), open("UNKNOWN").await.unwrap()];
    assert!(open("UNKNOWN").await.is_none());
    drop(held);
    eventually("that the place is free", || async { open(&tcp("203.0.113.1")).await }).await;
    drop((others, unnamed));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_changes_the_header_that_is_read() {
    let home = Home::sqlite().with_administrator();
    let settings = |rest: &str| home.write("rollcall.toml", format!("[http]\ntrusted_proxies = 'loopback'\n{rest}"));
    settings("");
    let server = home.serve().await;
    let headers = "x-forwarded-for: 203.0.113.1\r\nforwarded: for=203.0.113.2\r\nx-real-ip: 203.0.113.3\r\n";
    let client = async |more: &str| {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        client_of(&server, &mut stream, &format!("{headers}{more}")).await
    };
    assert_eq!(client("").await, "203.0.113.1");
    for (value, address) in [("forwarded", "203.0.113.2"), ("x-real-ip", "203.0.113.3"), ("none", "127.0.0.1")] {
        let before = server.log().matches("applied=\"http.client_address\"").count();
        settings(&format!("client_address = '{value}'\n"));
        server.signal("HUP");
        eventually("the settings", || {
            ready((server.log().matches("applied=\"http.client_address\"").count() > before).then_some(()))
        })
        .await;
        assert_eq!(client("").await, address, "{value}");
        if value == "x-real-ip" {
            assert_eq!(client("x-real-ip: 203.0.113.4\r\n").await, "127.0.0.1", "there are two");
            logs(&server, "a trusted proxy sent a header that is not one address; its own is used header=x-real-ip").await;
        }
    }
    server.stop().await;
}

/// HAProxy with this configuration. It ends when dropped.
struct HaProxy(Child);

impl HaProxy {
    /// `None`, said aloud, without HAProxy.
    async fn start(home: &Home, port: u16, lines: &str) -> Option<Self> {
        let program = ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy"].into_iter().find(|path| Path::new(path).exists());
        let Some(program) = program else {
            skip("HAProxy is not installed");
            return None;
        };
        let text = format!(
            "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 20s\n  timeout server 20s\n\
             frontend f\n  bind 127.0.0.1:{port}\n  default_backend b\nbackend b\n{lines}\n"
        );
        let file = home.write("haproxy.cfg", text);
        let child = home.command(program).args(["-db", "-f", &file]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let this = Self(child);
        eventually("HAProxy", || async { TcpStream::connect(("127.0.0.1", port)).await.ok() }).await;
        Some(this)
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A connection from one of this machine's addresses.
async fn from(ip: &str, port: u16) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(format!("{ip}:0").parse().unwrap()).unwrap();
    socket.connect(format!("127.0.0.1:{port}").parse().unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_tells_the_client_in_both_versions() {
    for version in ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options unique-id,crc32c"] {
        let home = Home::sqlite()
            .with_administrator()
            .with("ROLLCALL_LISTEN", "proxy:127.0.0.1:0")
            .with("ROLLCALL_HTTP__TRUSTED_PROXIES", "127.0.0.1");
        let server = home.serve().await;
        let port = free_port();
        let lines = format!("  server r {} {version}", proxied_address(&server));
        let Some(_proxy) = HaProxy::start(&home, port, &lines).await else { return };
        for ip in ["127.0.0.5", "127.0.0.6"] {
            assert_eq!(client_of(&server, &mut from(ip, port).await, "x-forwarded-for: 6.6.6.6\r\n").await, ip, "{version}");
        }
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_passes_tls_on_behind_its_header() {
    let home = Home::sqlite();
    let ca = Authority::new(&home);
    let (certificate, key) = ca.issue("one", "localhost", 30);
    let home = home
        .with_administrator()
        .with("ROLLCALL_LISTEN", "proxy+tls:127.0.0.1:0")
        .with("ROLLCALL_TLS__CERTIFICATE", &certificate)
        .with("ROLLCALL_TLS__KEY", &key)
        .with("ROLLCALL_HTTP__TRUSTED_PROXIES", "127.0.0.1");
    let server = home.serve().await;
    home.ok(&["healthcheck"]);
    let port = free_port();
    let lines = format!("  server r {} send-proxy-v2 check inter 200ms", proxied_address(&server));
    let Some(_proxy) = HaProxy::start(&home, port, &lines).await else { return };
    let mut stream = ca
        .client(&[&rustls::version::TLS13], &[])
        .connect(rustls::pki_types::ServerName::try_from("localhost").unwrap(), from("127.0.0.5", port).await)
        .await
        .unwrap();
    assert_eq!(client_of(&server, &mut stream, "").await, "127.0.0.5");
    // Without TLS it is told so, behind the header, too.
    let answer = exchange(&mut from("127.0.0.5", port).await, "/", "").await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("this port speaks https\n"), "{answer}");
    assert!(connect(&ca, &proxied_address(&server), &[]).await.is_err(), "and without the header it is closed");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_by_name_follows_its_address() {
    let home = Home::sqlite().with_administrator();
    let hosts = home.write("hosts", "127.0.0.1 localhost\n127.0.0.5 rollcall-test-proxy\n");
    // A file of this test's own in the place of /etc/hosts, which the server alone sees.
    let script = format!("mount --bind {hosts} /etc/hosts && exec \"$@\"");
    let wrapped = |program: &str, args: &[&str]| {
        let mut command = home.command("unshare");
        command.args(["--mount", "sh", "-c", &script, "sh", program]).args(args);
        command
    };
    if !is_root() || !wrapped("true", &[]).status().is_ok_and(|status| status.success()) {
        return skip("no file can be mounted over /etc/hosts here");
    }
    home.write("rollcall.toml", "[http]\ntrusted_proxies = 'rollcall-test-proxy'\n");
    let server = Server::start(wrapped(ROLLCALL, &["serve"])).await;
    let port: u16 = server.address().rsplit(':').next().unwrap().parse().unwrap();
    let believed =
        async |ip: &str| client_of(&server, &mut from(ip, port).await, "x-forwarded-for: 203.0.113.7\r\n").await == "203.0.113.7";
    assert!(believed("127.0.0.5").await && !believed("127.0.0.6").await);
    // It moves: within 30 s, without a signal. The file is written in its place, where it is mounted.
    std::fs::write(&hosts, "127.0.0.1 localhost\n127.0.0.6 rollcall-test-proxy\n").unwrap();
    within(Duration::from_secs(45), "the new address", || async { believed("127.0.0.6").await.then_some(()) }).await;
    assert!(!believed("127.0.0.5").await);
    // It goes: the last answer holds for 5 minutes, a hang-up included.
    std::fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
    server.signal("HUP");
    logs(&server, "settings were read again").await;
    logs(&server, "the name of a trusted proxy cannot be looked up name=\"rollcall-test-proxy\"").await;
    assert!(believed("127.0.0.6").await);
    let done = finish(wrapped(ROLLCALL, &["check"]).stdout(Stdio::piped()), "");
    assert!(done.out.contains("warning  trusted proxies: rollcall-test-proxy cannot be looked up"), "{done:?}");
    server.stop().await;
}

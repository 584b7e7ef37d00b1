//! TLS from files: handshakes, certificates that change, and what `rollcall check` says of them.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

const LIVE: &str = "/-/health/live/";

/// An authority for certificates, in a folder of its own.
pub struct Authority {
    folder: PathBuf,
}

impl Authority {
    /// Makes one for an installation.
    pub fn new(home: &Home) -> Self {
        let folder = home.folder().join("tls");
        std::fs::create_dir(&folder).unwrap();
        let this = Self { folder };
        this.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=ca -keyout ca.key -out ca.crt",
        );
        this
    }

    /// A certificate for a host that ends in this number of days, and its key: the paths of both files.
    pub fn issue(&self, name: &str, host: &str, days: i32) -> (String, String) {
        let made =
            format!("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={host} -keyout {name}.key -out {name}.csr");
        self.openssl(&made);
        std::fs::write(self.folder.join("names"), format!("subjectAltName=DNS:{host},IP:127.0.0.1\n")).unwrap();
        let issued = format!(
            "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days {days} -extfile names -out {name}.crt"
        );
        self.openssl(&issued);
        (self.path(&format!("{name}.crt")), self.path(&format!("{name}.key")))
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Puts a file in the place of another one, as programs that renew certificates do.
    fn replace(&self, from: &str, to: &str) {
        std::fs::copy(from, self.folder.join("new")).unwrap();
        std::fs::rename(self.folder.join("new"), to).unwrap();
    }

    fn openssl(&self, line: &str) {
        let done = Command::new("openssl").args(line.split(' ')).current_dir(&self.folder).output().unwrap();
        assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// A client that trusts it.
    pub fn client(&self, versions: &[&'static SupportedProtocolVersion], protocols: &[&str]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.folder.join("ca.crt")).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let mut config = builder.with_protocol_versions(versions).unwrap().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

/// A connection whose certificate is checked.
pub async fn connect(ca: &Authority, address: &str, protocols: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    ca.client(&[&TLS12, &TLS13], protocols).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// The certificate that the server shows.
async fn shown(ca: &Authority, server: &Server) -> CertificateDer<'static> {
    let stream = connect(ca, address(server), &[]).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

fn of_file(path: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).unwrap()
}

fn address(server: &Server) -> &str {
    server.origin.strip_prefix("https://").unwrap()
}

/// An installation that speaks TLS alone, with the files `one.crt` and `one.key`.
fn with_tls(home: Home, (certificate, key): &(String, String)) -> Home {
    home.with("ROLLCALL_LISTEN", "tls:127.0.0.1:0").with("ROLLCALL_TLS__CERTIFICATE", certificate).with("ROLLCALL_TLS__KEY", key)
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_1_2_and_1_3_carry_http_1_1_alone() {
    let home = Home::sqlite();
    let ca = Authority::new(&home);
    let home = with_tls(home, &ca.issue("one", "localhost", 30));
    let server = home.serve().await;
    for (version, known) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let stream = TcpStream::connect(address(&server)).await.unwrap();
        let client = ca.client(&[version], &["h2", "http/1.1"]);
        let mut stream = client.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
        let session = stream.get_ref().1;
        assert_eq!((session.protocol_version(), session.alpn_protocol()), (Some(known), Some(b"http/1.1".as_slice())));
        let answer = exchange(&mut stream, LIVE, "").await;
        assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    }
    assert!(connect(&ca, address(&server), &["h2"]).await.is_err(), "a client that speaks HTTP/2 alone is refused");
    // The client uses https: its cookies are bound to the host, and it is told to go on so.
    let answer = exchange(&mut connect(&ca, address(&server), &[]).await.unwrap(), "/sign-in", "").await.to_ascii_lowercase();
    assert!(answer.contains("\r\nstrict-transport-security: max-age=31536000\r\n"), "{answer}");
    assert!(answer.contains("set-cookie: __host-rollcall_") && answer.contains("secure"), "{answer}");
    // HTTP without TLS is told.
    let answer = exchange(&mut TcpStream::connect(address(&server)).await.unwrap(), "/", "").await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n") && answer.ends_with("\r\n\r\nthis port speaks https\n"), "{answer}");
    let mut other = TcpStream::connect(address(&server)).await.unwrap();
    other.write_all(b"\0\x01\x02").await.unwrap();
    assert_eq!(other.read(&mut [0; 10]).await.unwrap_or(0), 0, "anything else is closed");
    home.ok(&["healthcheck"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_counts_as_a_connection_and_has_ten_seconds() {
    let home = Home::sqlite().with("ROLLCALL_HTTP__MAX_CONNECTIONS_PER_ADDRESS", "2");
    let ca = Authority::new(&home);
    let home = with_tls(home, &ca.issue("one", "localhost", 30));
    let server = home.serve().await;
    let started = std::time::Instant::now();
    let mut silent = TcpStream::connect(address(&server)).await.unwrap();
    let mut half = TcpStream::connect(address(&server)).await.unwrap();
    half.write_all(b"\x16\x03\x01\x02\x00").await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(connect(&ca, address(&server), &[]).await.is_err(), "the address has two connections");
    logs(&server, "too many connections from one address").await;
    for stream in [&mut silent, &mut half] {
        let mut rest = Vec::new();
        tokio::time::timeout(Duration::from_secs(15), stream.read_to_end(&mut rest)).await.expect("it is closed").unwrap_or(0);
    }
    assert!(started.elapsed() >= Duration::from_secs(9), "{:?}", started.elapsed());
    assert!(connect(&ca, address(&server), &[]).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_used_and_a_bad_one_is_not() {
    // An empty variable is not set: the file says where to listen.
    let home = Home::sqlite().with("ROLLCALL_LISTEN", "");
    let ca = Authority::new(&home);
    let one = ca.issue("one", "localhost", 30);
    let (two, three, four) =
        (ca.issue("two", "localhost", 30), ca.issue("three", "localhost", 30), ca.issue("four", "localhost", 30));
    let settings = |(certificate, key): &(String, String)| {
        home.write("rollcall.toml", format!("listen = 'tls:127.0.0.1:0'\n[tls]\ncertificate = '{certificate}'\nkey = '{key}'\n"));
    };
    settings(&one);
    let server = home.serve().await;
    let first = of_file(&one.0);
    assert_eq!(shown(&ca, &server).await, first);
    // Under the same names, at once with SIGHUP. A connection that is open goes on.
    let mut open = connect(&ca, address(&server), &[]).await.unwrap();
    ca.replace(&two.1, &one.1);
    ca.replace(&two.0, &one.0);
    server.signal("HUP");
    logs(&server, "settings were read again").await;
    assert_eq!(shown(&ca, &server).await, of_file(&two.0));
    assert!(exchange(&mut open, LIVE, "").await.starts_with("HTTP/1.1 204 "));
    // A key of another certificate: nothing of the settings is applied.
    settings(&(three.0.clone(), four.1.clone()));
    server.signal("HUP");
    let why = format!("tls.key: {} is not the key of the certificate in {}", four.1, three.0);
    logs(&server, &format!("error=\"{why}\"")).await;
    assert_eq!(shown(&ca, &server).await, of_file(&two.0));
    // Other names.
    settings(&three);
    server.signal("HUP");
    logs(&server, "applied=\"tls.certificate, tls.key\"").await;
    assert_eq!(shown(&ca, &server).await, of_file(&three.0));
    // Without SIGHUP, within a minute. First a pair that cannot be used: it is logged once, and the last one stays.
    ca.replace(&four.0, &three.0);
    within(Duration::from_secs(60), "the bad pair", || {
        ready(server.log().contains("the new certificate cannot be used; the last one stays").then_some(()))
    })
    .await;
    home.fails(1, &["healthcheck"]);
    tokio::time::sleep(Duration::from_secs(22)).await;
    assert_eq!(server.log().matches("the new certificate cannot be used").count(), 1, "{}", server.log());
    assert_ne!(shown(&ca, &server).await, of_file(&four.0));
    ca.replace(&four.1, &three.1);
    within(Duration::from_secs(60), "the new certificate", || {
        ready(server.log().contains("the certificate was read again").then_some(()))
    })
    .await;
    assert_eq!(shown(&ca, &server).await, of_file(&four.0));
    home.ok(&["healthcheck"]);
    server.stop().await;
}

#[test]
fn check_finds_what_is_wrong_with_a_certificate() {
    let home = Home::sqlite();
    let ca = Authority::new(&home);
    let (good, soon, other) =
        (ca.issue("good", "s.example", 30), ca.issue("soon", "s.example", 10), ca.issue("other", "s.example", 30));
    let over = ca.issue("over", "s.example", -1);
    let says = |certificate: &str, key: &str, url: &str, line: &str| {
        let done = home.run(&[
            "check",
            "--set",
            &format!("tls.certificate={certificate}"),
            "--set",
            &format!("tls.key={key}"),
            "--set",
            &format!("http.public_url={url}"),
        ]);
        assert!(done.out.contains(line), "{line}: {done:?}");
        assert_eq!(done.code, i32::from(line.starts_with("wrong")), "{done:?}");
    };
    says(&good.0, &good.1, "https://s.example", &format!("ok       certificate: {} ends in ", good.0));
    says(&soon.0, &soon.1, "https://s.example", &format!("warning  certificate: {} ends in ", soon.0));
    says(&over.0, &over.1, "https://s.example", &format!("wrong    certificate: {} has ended", over.0));
    let wrong = format!("wrong    certificate: {} is not for t.example, the host of http.public_url", good.0);
    says(&good.0, &good.1, "https://t.example:8443", &wrong);
    says(&good.0, &good.1, "https://127.0.0.1", "ok       certificate");
    let wrong = format!("wrong    certificate: tls.key: {} is not the key of the certificate in {}", other.1, good.0);
    says(&good.0, &other.1, "https://s.example", &wrong);
    let wrong = format!("wrong    certificate: tls.certificate: {}: it holds no certificate in PEM", good.1);
    says(&good.1, &good.1, "https://s.example", &wrong);
    says(&good.0, &good.0, "https://s.example", &format!("wrong    certificate: tls.key: {}: it holds no private key", good.0));
    says(
        "/no/such.crt",
        &good.1,
        "https://s.example",
        "wrong    certificate: tls.certificate: /no/such.crt: No such file or directory",
    );
    // A server does not start with it.
    let home = with_tls(home, &(good.0.clone(), other.1.clone()));
    assert!(home.fails(1, &["serve"]).contains("is not the key of the certificate"));
}

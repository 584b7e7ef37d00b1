//! Where nothing is sent, and what an app's server can do to Rollcall.

use std::sync::Arc;
use std::time::Duration;

use rollcall::actions::applications::{self, ApplicationChange, clients::ClientWish};
use rollcall::actions::by::By;
use rollcall::config::{Networks, OutboundConfig};
use rollcall::domain::Network;
use rollcall::domain::oidc::target::{Own, Target};
use rollcall::outbound::{Failure, Sender};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::told::Told;
use super::{end, opened, register, rows, run, told_app, world};
use crate::guard::world::server;
use crate::process::Home;
use crate::serve::tls::Authority;
use crate::support::TestApp;

/// Why an address is refused when it is given to a client.
async fn refused(app: &TestApp, address: &str) -> String {
    let client = json!({"redirect_uris": ["https://app.example/cb"], "back_channel_uri": address});
    let client = serde_json::from_value(client).unwrap();
    let wanted = ApplicationChange {
        slug: Some("shop".to_owned()),
        client: Some(Some(ClientWish { client_id: None, client })),
        ..ApplicationChange::default()
    };
    applications::add(&app.app, By::Cli, wanted).await.unwrap_err().to_string()
}

db_test!(nothing_is_sent_to_what_must_not_be_reached, |db| async move {
    let (app, told) = (server(db).await, Told::start().await);
    app.seed_keys().await;
    app.superuser("root").await;
    app.user("alice").await;
    // A name can lead anywhere, and is looked at when it is reached.
    let port = told.address.rsplit(':').next().unwrap().split('/').next().unwrap();
    let wiki = register(&app, "wiki", json!({"back_channel_uri": format!("https://localhost:{port}/logout")})).await;
    end(&app, &opened(&wiki, "alice").await).await;
    assert_eq!(run(&app).await, 1);
    let row = rows(&app, "wiki").await.remove(0);
    assert!(row.said.contains("is not a public address") && row.said.contains("outbound.allow"), "{row:?}");
    assert_eq!((row.state(app.app.clock.now()).as_str(), told.count()), ("waiting", 0));
    // An address is looked at when it is given.
    assert!(refused(&app, &told.address).await.contains("plain http"));
    for (address, why) in [
        ("https://169.254.169.254/latest/meta-data", "outbound.allow"),
        ("https://10.0.0.1/x", "outbound.allow"),
        ("https://[::ffff:10.0.0.1]/x", "outbound.allow"),
        ("https://2130706433/x", "usual spelling"),
        ("https://id.example/application/o/token/", "own address"),
    ] {
        let said = refused(&app, address).await;
        assert!(said.contains(why), "{address}: {said}");
    }
    // One that came into the database in another way is looked at before it is reached.
    let address = told.address.replace("http:", "https:");
    app.db.run(&format!("UPDATE logout_notices SET uri = '{address}', next_at = 0")).await;
    assert_eq!((run(&app).await, told.count()), (1, 0));
    assert!(rows(&app, "wiki").await[0].said.contains("is not a public address"));
});

fn sender(own: Own) -> Sender {
    let allow = Networks(vec![Network::parse("127.0.0.0/8").unwrap()]);
    Sender::new(&OutboundConfig { allow, ca: None }, own).unwrap()
}

async fn post(sender: &Sender, address: &str) -> Result<u16, Failure> {
    let target = Target::stored(address.to_owned());
    sender.post_form(&target, "logout_token=x".to_owned()).await.map(|answer| answer.status)
}

/// A server that answers one connection with these bytes, and then goes on as `and_then` says.
async fn raw(head: Vec<u8>, drips: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/x", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let head = head.clone();
            tokio::spawn(async move {
                let mut read = [0; 4096];
                drop(stream.read(&mut read).await);
                drop(stream.write_all(&head).await);
                while !drips.is_empty() && stream.write_all(drips).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_cannot_keep_or_fill_rollcall() {
    let sender = sender(Own::default());
    let endless = raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(), b"5\r\nabcde\r\n").await;
    assert_eq!(post(&sender, &endless).await, Ok(200), "its status says it all");
    let mut large = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
    large.extend(vec![b'a'; 1 << 20]);
    let large = raw(large, b"a").await;
    assert!(matches!(post(&sender, &large).await, Err(Failure::Lost(_))));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(1000));
    let many = raw(many.into_bytes(), b"").await;
    assert!(matches!(post(&sender, &many).await, Err(Failure::Lost(_))));
    let nonsense = raw(b"SSH-2.0-OpenSSH\r\n".to_vec(), b"").await;
    assert!(matches!(post(&sender, &nonsense).await, Err(Failure::Lost(_))));
    let redirect = raw(b"HTTP/1.1 307 X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_vec(), b"").await;
    assert_eq!(post(&sender, &redirect).await, Ok(307));
    let slow = raw(Vec::new(), b"").await;
    assert!(matches!(post(&sender, &slow).await, Err(Failure::Lost(_))), "it closes without an answer");
    let drip = raw(b"HTTP/1.1 200 OK\r\nx: ".to_vec(), b"a").await;
    assert!(matches!(post(&sender, &drip).await, Err(Failure::Late | Failure::Lost(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn rollcall_does_not_send_to_itself() {
    let told = Told::start().await;
    let address = told.address.split('/').nth(2).unwrap().to_owned();
    let own = Own::new(None, &[], vec![address.parse().unwrap()]);
    assert!(matches!(post(&sender(own), &told.address).await, Err(Failure::Refused(_))));
    let port = address.rsplit(':').next().unwrap();
    let by_name = format!("http://localhost:{port}/x");
    let own = Own::new(Some(&by_name), &[], Vec::new());
    assert!(matches!(post(&sender(own), &by_name).await, Err(Failure::Refused(_))));
    assert_eq!((post(&sender(Own::default()), &told.address).await, told.count()), (Ok(204), 1));
}

/// A server with TLS that answers 200; its port.
async fn secured(certificate: &str, key: &str) -> u16 {
    let chain = CertificateDer::pem_file_iter(certificate).unwrap().map(Result::unwrap).collect();
    let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = builder.with_single_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap();
    let (acceptor, listener) = (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("0.0.0.0:0").await.unwrap());
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut read = [0; 4096];
            drop(stream.read(&mut read).await);
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await);
            drop(stream.shutdown().await);
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_checked_and_an_own_authority_can_be_named() {
    let home = Home::sqlite();
    let authority = Authority::new(&home);
    let (certificate, key) = authority.issue("app", "localhost", 30);
    let port = secured(&certificate, &key).await;
    let ca = home.folder().join("tls/ca.crt");
    let allow = || Networks(vec![Network::parse("127.0.0.0/8").unwrap(), Network::parse("::1/128").unwrap()]);
    let strangers = Sender::new(&OutboundConfig { allow: allow(), ca: None }, Own::default()).unwrap();
    let (here, elsewhere) = (format!("https://localhost:{port}/x"), format!("https://127.0.0.2:{port}/x"));
    assert!(matches!(post(&strangers, &here).await, Err(Failure::Unreachable(_))), "nobody vouches for it");
    let own = Sender::new(&OutboundConfig { allow: allow(), ca: Some(ca.clone()) }, Own::default()).unwrap();
    assert_eq!(post(&own, &here).await, Ok(200));
    assert!(matches!(post(&own, &elsewhere).await, Err(Failure::Unreachable(_))), "another name than the certificate's");
    let missing = OutboundConfig { allow: allow(), ca: Some(home.folder().join("none.pem")) };
    assert!(Sender::new(&missing, Own::default()).err().unwrap().contains("outbound.ca"));
    let empty = home.write("empty.pem", "nothing");
    let empty = OutboundConfig { allow: allow(), ca: Some(empty.into()) };
    assert!(Sender::new(&empty, Own::default()).err().unwrap().contains("no certificate"));
}

db_test!(an_address_of_a_network_that_is_named_is_reached, |db| async move {
    let (app, told) = (world(db).await, Told::start().await);
    app.user("alice").await;
    let wiki = told_app(&app, "wiki", &told, json!({})).await;
    end(&app, &opened(&wiki, "alice").await).await;
    assert_eq!((run(&app).await, told.count()), (1, 1));
});

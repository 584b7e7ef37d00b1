//! A pooler in front of PostgreSQL that lends its one connection for a transaction at a time, as PgBouncer
//! does with `pool_mode = transaction`.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use super::TestSchema;

/// The pooler. It needs a database that asks for no password.
pub struct TransactionPooler {
    target: Config,
    address: std::net::SocketAddr,
    running: JoinHandle<()>,
}

impl TransactionPooler {
    /// Connects to the schema's database and listens.
    pub async fn open(schema: &TestSchema) -> Self {
        let target: Config = schema.url().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Arc::new(Mutex::new(connect(&target).await));
        let running = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = Arc::clone(&server);
                tokio::spawn(async move { drop(serve(client, &server).await) });
            }
        });
        Self { target, address, running }
    }

    /// The URL that leads through here.
    pub fn url(&self) -> String {
        let (user, name) = (self.target.get_user().unwrap_or_default(), self.target.get_dbname().unwrap_or_default());
        format!("postgres://{user}@{}/{name}", self.address)
    }
}

impl Drop for TransactionPooler {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// A connection to PostgreSQL that is ready for queries.
async fn connect(target: &Config) -> TcpStream {
    let port = target.get_ports().first().copied().unwrap_or(5432);
    let host = match target.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        _ => "127.0.0.1".to_owned(),
    };
    let mut stream = TcpStream::connect((host, port)).await.unwrap();
    let mut body = 196_608_u32.to_be_bytes().to_vec();
    for (name, value) in [
        ("user", target.get_user()),
        ("database", target.get_dbname()),
        ("options", target.get_options()),
        ("client_encoding", Some("UTF8")),
    ] {
        if let Some(value) = value {
            body.extend([name.as_bytes(), &[0], value.as_bytes(), &[0]].concat());
        }
    }
    body.push(0);
    stream.write_all(&u32::try_from(body.len() + 4).unwrap().to_be_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    while message(&mut stream).await.unwrap()[0] != b'Z' {}
    stream
}

/// One message: its kind, its length, its body.
async fn message(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut message = vec![0; 5];
    stream.read_exact(&mut message).await?;
    let length = usize::try_from(u32::from_be_bytes(message[1..5].try_into().unwrap())).unwrap();
    message.resize(length + 1, 0);
    stream.read_exact(&mut message[5..]).await?;
    Ok(message)
}

async fn serve(mut client: TcpStream, server: &Mutex<TcpStream>) -> std::io::Result<()> {
    // The start of a connection is a message without a kind; one may ask for TLS first.
    loop {
        let length = usize::try_from(client.read_u32().await?).unwrap();
        let mut body = vec![0; length - 4];
        client.read_exact(&mut body).await?;
        if body[..4] != 80_877_103_u32.to_be_bytes() {
            break;
        }
        client.write_all(b"N").await?;
    }
    // It is who it says it is, and may ask.
    client.write_all(b"R\0\0\0\x08\0\0\0\0").await?;
    client.write_all(b"S\0\0\0\x19client_encoding\0UTF8\0").await?;
    client.write_all(b"Z\0\0\0\x05I").await?;
    loop {
        let mut asked = message(&mut client).await?;
        let mut server = server.lock().await;
        // The connection is lent until it is outside of a transaction.
        loop {
            if asked[0] == b'X' {
                return Ok(());
            }
            server.write_all(&asked).await?;
            if matches!(asked[0], b'Q' | b'S') {
                let status = loop {
                    let answer = message(&mut server).await?;
                    client.write_all(&answer).await?;
                    if answer[0] == b'Z' {
                        break answer[5];
                    }
                };
                if status == b'I' {
                    break;
                }
            }
            asked = message(&mut client).await?;
        }
    }
}

//! PostgreSQL: a schema for each test, and a way to it that can be cut.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_postgres::config::Host;
use tokio_postgres::{Config, NoTls};

use super::skip;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A schema of its own in the database that `TEST_DATABASE_URL` names, dropped in the end.
pub struct TestSchema {
    base: String,
    name: String,
}

impl TestSchema {
    /// Makes one; `None` when there is no PostgreSQL.
    pub async fn create() -> Option<Self> {
        let Ok(base) = std::env::var("TEST_DATABASE_URL") else {
            skip("TEST_DATABASE_URL is not set");
            return None;
        };
        let name = format!("process_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let this = Self { base, name };
        let drop_old = format!("DROP SCHEMA IF EXISTS {} CASCADE", this.name);
        this.execute(&format!("{drop_old}; CREATE SCHEMA {}", this.name)).await;
        Some(this)
    }

    /// Runs statements in the schema.
    pub async fn execute(&self, sql: &str) {
        let (client, connection) = tokio_postgres::connect(&self.url(), NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        client.batch_execute(sql).await.unwrap();
        drop(client);
        connection.await.unwrap().unwrap();
    }

    /// The texts in the only column of what a query gives.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        let (client, connection) = tokio_postgres::connect(&self.url(), NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let rows = client.query(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let texts = rows.iter().map(|row| row.get(0)).collect();
        drop(client);
        connection.await.unwrap().unwrap();
        texts
    }

    /// The name of the schema.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The URL by which Rollcall reaches it.
    pub fn url(&self) -> String {
        self.in_schema(&self.base)
    }

    fn in_schema(&self, url: &str) -> String {
        let sign = if url.contains('?') { '&' } else { '?' };
        format!("{url}{sign}options=-csearch_path%3D{}", self.name)
    }
}

impl Drop for TestSchema {
    fn drop(&mut self) {
        let (url, sql) = (self.base.clone(), format!("DROP SCHEMA {} CASCADE", self.name));
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
                tokio::spawn(connection);
                client.batch_execute(&sql).await.unwrap();
            });
        });
        drop(dropping.join());
    }
}

/// A way to PostgreSQL that can be cut and mended.
pub struct PostgresProxy {
    target: Config,
    address: std::net::SocketAddr,
    running: Option<JoinHandle<()>>,
    ports: Ports,
}

/// From which ports the database was reached.
type Ports = Arc<Mutex<Vec<u16>>>;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl PostgresProxy {
    /// Opens a way to the schema's database.
    pub async fn open(schema: &TestSchema) -> Self {
        let target: Config = schema.base.parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ports = Ports::default();
        let running = tokio::spawn(forward(listener, target.clone(), Arc::clone(&ports)));
        Self { target, address, running: Some(running), ports }
    }

    /// The URL that leads through here.
    pub fn url(&self, schema: &TestSchema) -> String {
        let encode = |text: &[u8]| utf8_percent_encode(&String::from_utf8_lossy(text), NON_ALPHANUMERIC).to_string();
        let user = encode(self.target.get_user().unwrap_or_default().as_bytes());
        let password = self.target.get_password().map(|password| format!(":{}", encode(password))).unwrap_or_default();
        let name = encode(self.target.get_dbname().unwrap_or_default().as_bytes());
        schema.in_schema(&format!("postgres://{user}{password}@{}/{name}", self.address))
    }

    /// Cuts every connection and refuses new ones.
    pub async fn cut(&mut self) {
        let running = self.running.take().unwrap();
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
    }

    /// Lets connections through again.
    pub async fn mend(&mut self) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        let listener = socket.listen(64).unwrap();
        self.running = Some(tokio::spawn(forward(listener, self.target.clone(), Arc::clone(&self.ports))));
    }

    /// From which ports it reached the database so far; 0 is a socket without a port.
    pub fn ports(&self) -> Vec<u16> {
        self.ports.lock().unwrap().clone()
    }
}

/// Carries connections until it is aborted; they end with it.
async fn forward(listener: TcpListener, target: Config, ports: Ports) {
    let mut connections = JoinSet::new();
    loop {
        let (mut near, _) = listener.accept().await.unwrap();
        let (target, ports) = (target.clone(), Arc::clone(&ports));
        connections.spawn(async move {
            if let Ok((mut far, port)) = connect(&target).await {
                ports.lock().unwrap().push(port);
                drop(copy_bidirectional(&mut near, &mut far).await);
            }
        });
    }
}

async fn connect(target: &Config) -> std::io::Result<(Box<dyn Stream>, u16)> {
    let port = target.get_ports().first().copied().unwrap_or(5432);
    let host = match target.get_hosts().first() {
        Some(Host::Unix(folder)) => {
            return Ok((Box::new(UnixStream::connect(folder.join(format!(".s.PGSQL.{port}"))).await?), 0));
        }
        Some(Host::Tcp(name)) => name,
        None => "127.0.0.1",
    };
    let stream = TcpStream::connect((host, port)).await?;
    let port = stream.local_addr()?.port();
    Ok((Box::new(stream), port))
}

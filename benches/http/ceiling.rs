//! The ceiling: this server, with all that every request passes, answering a body that is always the
//! same. It runs in a process of its own, as the server does.

use std::collections::HashMap;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::response::IntoResponse;
use axum::routing::get;
use rollcall::actions::app::App;
use rollcall::config::{Config, Flags};
use rollcall::domain::Clock;

use crate::client::{Ask, Client};
use crate::measure::{self, Measured};
use crate::server::Server;

/// Serves until it is killed: `/fixed/N` answers N bytes of JSON.
pub fn serve() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let environment = std::env::vars().filter(|(name, _)| name.starts_with("ROLLCALL_"));
        let app = App::start(Config::load(&Flags::default(), environment).unwrap(), Clock::System).await.unwrap();
        let router = Router::new().route("/fixed/{size}", get(fixed)).route("/-/health/ready/", get(async || ()));
        let router = rollcall::server::layers(router, &app).with_state(app);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        eprintln_address(&listener);
        rollcall::server::serve(listener, router, std::future::pending()).await;
    });
}

#[expect(clippy::print_stderr, reason = "as the server itself says where it listens")]
fn eprintln_address(listener: &tokio::net::TcpListener) {
    eprintln!("listening on http://{}", listener.local_addr().unwrap());
}

async fn fixed(Path(size): Path<usize>) -> impl IntoResponse {
    static BODIES: Mutex<Option<HashMap<usize, axum::body::Bytes>>> = Mutex::new(None);
    let mut bodies = BODIES.lock().unwrap();
    let body = bodies.get_or_insert_default().entry(size).or_insert_with(|| vec![b' '; size].into()).clone();
    ([("content-type", "application/json")], body)
}

pub struct Ceilings {
    server: Server,
    _folder: tempfile::TempDir,
    known: Mutex<HashMap<(usize, usize), Measured>>,
}

impl Ceilings {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("--ceiling").env("ROLLCALL_DATA_DIR", folder.path());
        Self { server: Server::start(command), _folder: folder, known: Mutex::default() }
    }

    /// What a fixed body as large as the answer to this question takes, to the next power of 1.25.
    pub fn measure(&self, of: &Server, ask: &Ask, connections: usize, time: Duration) -> Measured {
        let mut client = Client::connect(&of.address);
        client.ask(ask);
        let mut size = 64;
        while size < client.body.len() {
            size = size * 5 / 4;
        }
        let mut known = self.known.lock().unwrap();
        *known.entry((size, connections)).or_insert_with(|| {
            let asks = [Ask::get(format!("/fixed/{size}"), &ask.head)];
            measure::reads(&self.server, None, &asks, connections, time.min(Duration::from_secs(1)), false)
        })
    }
}

//! A server that runs.

use std::future::ready;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::Value;

use super::{SESSIONS, TOKEN, eventually, signal, within};

/// What a stop promises to take at most, and a moment for a busy machine to notice it.
const STOP: Duration = Duration::from_secs(11);

/// A running server. It is killed when dropped.
pub struct Server {
    child: Child,
    /// Where it listens: `http://127.0.0.1:12345`.
    pub origin: String,
    out: Text,
    log: Text,
}

/// What a process wrote so far.
#[derive(Clone, Default)]
struct Text(Arc<Mutex<String>>);

impl Text {
    fn of(source: impl Read + Send + 'static) -> Self {
        let this = Self::default();
        let text = this.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(source).split(b'\n').map_while(Result::ok) {
                let mut text = text.0.lock().unwrap();
                text.push_str(&String::from_utf8_lossy(&line));
                text.push('\n');
            }
        });
        this
    }

    fn get(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

impl Server {
    /// Starts a command that serves, and waits until it says where.
    pub async fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (out, log) = (Text::of(child.stdout.take().unwrap()), Text::of(child.stderr.take().unwrap()));
        let mut this = Self { child, origin: String::new(), out, log };
        this.origin = eventually("the server's address", || {
            let ended = this.child.try_wait().unwrap();
            assert!(ended.is_none(), "the server ended with {ended:?}: {}", this.log());
            ready(this.log().lines().find_map(|line| line.strip_prefix("listening on ")).map(str::to_owned))
        })
        .await;
        this
    }

    /// What it wrote to standard error.
    pub fn log(&self) -> String {
        self.log.get()
    }

    /// What it wrote to standard output.
    pub fn out(&self) -> String {
        self.out.get()
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        self.origin.trim_start_matches("http://")
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The set-up link it printed.
    pub fn set_up_link(&self) -> Option<String> {
        self.log().lines().map(str::trim).find(|line| line.contains("/set-up/")).map(str::to_owned)
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// Waits for its end, for as long as a stop may take.
    pub async fn ended(&mut self) -> ExitStatus {
        within(STOP, "the server's end", || ready(self.child.try_wait().unwrap())).await
    }

    /// Stops it gracefully and gives what it logged.
    pub async fn stop(mut self) -> String {
        self.signal("TERM");
        let status = self.ended().await;
        assert_eq!(status.code(), Some(0), "{}", self.log());
        self.log()
    }

    /// Ends it as a crash would.
    pub async fn kill(mut self) {
        self.signal("KILL");
        self.ended().await;
    }

    /// A request with a bearer token.
    pub async fn call(&self, method: Method, path: &str, token: &str) -> Response {
        client().request(method, format!("{}{path}", self.origin)).bearer_auth(token).send().await.unwrap()
    }

    /// The status of a GET.
    pub async fn status(&self, path: &str) -> u16 {
        client().get(format!("{}{path}", self.origin)).send().await.unwrap().status().as_u16()
    }

    /// All sessions, as the administrator's token shows them.
    pub async fn sessions(&self) -> Vec<Value> {
        let response = self.call(Method::GET, &format!("{SESSIONS}?page_size=100"), TOKEN).await;
        assert_eq!(response.status(), 200);
        let body: Value = response.json().await.unwrap();
        body["results"].as_array().unwrap().clone()
    }

    /// Ends a session with the administrator's token.
    pub async fn revoke(&self, uuid: &str) -> Response {
        self.call(Method::DELETE, &format!("{SESSIONS}{uuid}/"), TOKEN).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("the server's standard error:\n{}", self.log());
        }
    }
}

/// A client without cookies that follows nothing.
fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

//! A server with TLS that apps and a browser speak to, each at an address of its own.

use serde_json::Value;

use crate::process::{Home, Server, free_port};
use crate::serve::tls::Authority;

/// A running server, with a certificate that the apps trust.
pub struct World {
    pub home: Home,
    pub server: Option<Server>,
    /// What the apps trust.
    pub ca: String,
    origin: String,
}

/// What an app is told of its client.
pub struct Registered {
    pub slug: &'static str,
    pub secret: String,
    /// The port of the app on loopback.
    pub port: u16,
    pub issuer: String,
}

impl Registered {
    pub fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl World {
    /// Starts a server whose addresses begin with `https://localhost`, with a user alice.
    pub async fn start(home: Home) -> Self {
        let ca = Authority::new(&home);
        let (certificate, key) = ca.issue("one", "localhost", 30);
        let home = home.with("ROLLCALL_TLS__CERTIFICATE", &certificate).with("ROLLCALL_TLS__KEY", &key);
        Self::at(home, "tls:", "https").await
    }

    /// The same without TLS, for an app that takes no certificate of a test.
    pub async fn start_plain(home: Home) -> Self {
        Self::at(home, "", "http").await
    }

    async fn at(home: Home, listener: &str, scheme: &str) -> Self {
        let port = free_port();
        let origin = format!("{scheme}://localhost:{port}");
        let home = home.with("ROLLCALL_LISTEN", &format!("{listener}127.0.0.1:{port}")).with("ROLLCALL_HTTP__PUBLIC_URL", &origin);
        // The apps of the tests are on this machine.
        let home = home.with("ROLLCALL_OUTBOUND__ALLOW", "127.0.0.0/8").with_administrator();
        let server = Some(home.serve().await);
        home.add_user("alice");
        Self { ca: home.folder().join("tls/ca.crt").display().to_string(), home, server, origin }
    }

    /// Adds an application whose client is an app on loopback, which everybody may open, and which is told of ends.
    pub fn register(&self, slug: &'static str, after: &str, told: &str) -> Registered {
        let port = free_port();
        let base = format!("http://127.0.0.1:{port}");
        let (redirect, after, told) = (format!("{base}/cb"), format!("{base}{after}"), format!("{base}{told}"));
        let client = ["--client-id", slug, "--redirect-uri", &redirect, "--post-logout-uri", &after, "--back-channel-uri", &told];
        let secret = self.home.ok(&[&["app", "add", slug, "--allow", "signed_in"][..], &client].concat());
        let issuer = format!("{}/application/o/{slug}/", self.origin);
        Registered { slug, secret: secret.trim().to_owned(), port, issuer }
    }

    /// Where browsers reach it.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The live sessions.
    pub fn sessions(&self) -> Vec<Value> {
        let all = self.home.run(&["session", "list", "--json"]).out;
        all.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Ends all sessions, as an administrator does.
    pub fn end_all(&self) {
        self.home.ok(&["session", "end", "--everyone", "--yes"]);
    }

    /// Ends one session, as an administrator does.
    pub fn end(&self, uuid: &str) {
        self.home.ok(&["session", "end", uuid, "--yes"]);
    }

    /// What an app is told of ends, the newest first.
    pub fn notices(&self, app: &Registered) -> Vec<Value> {
        self.home.rows(&["app", "notices", "list", app.slug, "--json"])
    }

    /// Kills the server and starts it again, at the same address.
    pub async fn crash(&mut self) {
        if let Some(server) = self.server.take() {
            server.kill().await;
        }
        self.server = Some(self.home.serve().await);
    }
}

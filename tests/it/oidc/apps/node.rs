//! The libraries openid-client and express-openid-connect, each in a small app of `tests/apps`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::journey::{RealApp, journey, read};
use super::world::{Registered, World};
use crate::process::{Chromium, Home, eventually, skip};

/// An app in Node.js. It is stopped in the end.
struct Node {
    process: Child,
    script: &'static str,
    /// What it is told of its client and of its place.
    environment: Vec<(&'static str, String)>,
    folder: PathBuf,
    port: u16,
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Node {
    /// Starts a script of `tests/apps`; `None`: its packages are not installed.
    async fn start(world: &World, app: &Registered, script: &'static str) -> Option<Self> {
        let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/apps");
        if !modules.join("installed").is_file() {
            skip("the apps of npm are not installed: see tests/apps/install");
            return None;
        }
        let folder = world.home.folder().to_owned();
        let environment = vec![
            ("PATH", std::env::var("PATH").ok()?),
            ("MODULES", modules.display().to_string()),
            ("NODE_EXTRA_CA_CERTS", world.ca.clone()),
            ("PORT", app.port.to_string()),
            ("ISSUER", app.issuer.clone()),
            ("CLIENT_ID", app.slug.to_owned()),
            ("CLIENT_SECRET", app.secret.clone()),
            ("STATE", folder.join("users.json").display().to_string()),
        ];
        let process = Self::spawn(script, &environment, &folder, app.port).await;
        Some(Self { process, script, environment, folder, port: app.port })
    }

    async fn spawn(script: &str, environment: &[(&'static str, String)], folder: &Path, port: u16) -> Child {
        let mut command = Command::new("node");
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apps").join(script)).env_clear();
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let log = folder.join("app.log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
        let mut process = command.spawn().unwrap();
        eventually("the app listens", || {
            let ended = process.try_wait().unwrap();
            assert!(ended.is_none(), "the app ended: {}", std::fs::read_to_string(&log).unwrap());
            std::future::ready(std::net::TcpStream::connect(("127.0.0.1", port)).ok())
        })
        .await;
        process
    }
}

impl RealApp for Node {
    const LOGIN: &'static str = "/login";
    const AFTER: &'static str = "/";
    const TOLD: &'static str = "/told";

    async fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    async fn start_again(&mut self) {
        self.process = Self::spawn(self.script, &self.environment, &self.folder, self.port).await;
    }

    async fn sign_out(&self, browser: &Chromium, app: &Registered) {
        assert_eq!(read(browser, &format!("{}/me", app.base())).await, "userinfo: alice");
        browser.client.goto(&format!("{}/logout", app.base())).await.unwrap();
    }

    async fn refreshes(&self, browser: &Chromium, app: &Registered) -> bool {
        match read(browser, &format!("{}/refresh", app.base())).await.as_str() {
            "refreshed" => true,
            "refused: invalid_grant" | "nobody is signed in" => false,
            other => panic!("{other}"),
        }
    }
}

async fn with(slug: &'static str, script: &'static str) {
    let world = World::start(Home::sqlite()).await;
    let registered = world.register(slug, Node::AFTER, Node::TOLD);
    let Some(app) = Node::start(&world, &registered, script).await else { return };
    journey(world, registered, app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openid_client() {
    with("openid-client", "openid_client.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn express_openid_connect() {
    with("express", "express.mjs").await;
}

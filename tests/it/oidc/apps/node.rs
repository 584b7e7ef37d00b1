//! The libraries openid-client and express-openid-connect, each in a small app of `tests/apps`.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::journey::{RealApp, journey, read};
use super::world::{Registered, World};
use crate::process::{Chromium, Home, eventually, skip};

/// An app in Node.js. It is stopped in the end.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Node {
    /// Starts a script of `tests/apps`; `None`: its packages are not installed.
    async fn start(world: &World, app: &Registered, script: &str) -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let modules = root.join("target/apps");
        if !modules.join("installed").is_file() {
            skip("the apps of npm are not installed: see tests/apps/install");
            return None;
        }
        let mut command = Command::new("node");
        command.arg(root.join("tests/apps").join(script)).env_clear().env("PATH", std::env::var_os("PATH")?);
        command.env("MODULES", modules).env("NODE_EXTRA_CA_CERTS", &world.ca).env("PORT", app.port.to_string());
        command.env("ISSUER", &app.issuer).env("CLIENT_ID", app.slug).env("CLIENT_SECRET", &app.secret);
        let log = world.home.folder().join("app.log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
        let mut node = Self(command.spawn().unwrap());
        eventually("the app listens", || {
            let ended = node.0.try_wait().unwrap();
            assert!(ended.is_none(), "the app ended: {}", std::fs::read_to_string(&log).unwrap());
            std::future::ready(std::net::TcpStream::connect(("127.0.0.1", app.port)).ok())
        })
        .await;
        Some(node)
    }
}

impl RealApp for Node {
    const LOGIN: &'static str = "/login";
    const AFTER: &'static str = "/";

    async fn sign_out(&self, browser: &Chromium, app: &Registered) {
        assert_eq!(read(browser, &format!("{}/me", app.base())).await, "userinfo: alice");
        browser.client.goto(&format!("{}/logout", app.base())).await.unwrap();
    }

    async fn refreshes(&self, browser: &Chromium, app: &Registered) -> bool {
        match read(browser, &format!("{}/refresh", app.base())).await.as_str() {
            "refreshed" => true,
            "refused: invalid_grant" => false,
            other => panic!("{other}"),
        }
    }
}

async fn with(slug: &'static str, script: &str) {
    let world = World::start(Home::sqlite()).await;
    let registered = world.register(slug, Node::AFTER);
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

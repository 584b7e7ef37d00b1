//! `rollcall check proxy` against real proxies: it passes for the configurations that are printed.

use rollcall::domain::guard::kind::Kind;

use super::process::Proxy;
use crate::process::{Done, Home, ROLLCALL, Server, free_port};

const HOST: &str = "wiki.example";

/// An installation with one guarded app, which is `rollcall echo`.
pub struct World {
    home: Home,
    server: Option<Server>,
    /// Where Rollcall listens; or listened.
    pub rollcall: String,
    pub echo: Server,
}

impl World {
    pub async fn new() -> Self {
        let home = Home::sqlite()
            .with("ROLLCALL_HTTP__PUBLIC_URL", "http://id.example")
            .with("ROLLCALL_HTTP__TRUSTED_PROXIES", "127.0.0.1");
        let server = home.serve().await;
        for name in ["alice", "bob"] {
            home.ok(&["group", "add", &format!("friends of {name}")]);
            home.add_user(name);
        }
        home.ok(&["group", "member", "add", "friends of alice", "alice"]);
        home.ok(&["user", "set", "alice", "--name", "Alice Ünal", "--email", "alice@example.com"]);
        home.ok(&["app", "add", "wiki", "--host", HOST, "--allow", "group:friends of alice"]);
        home.ok(&["app", "rule", "wiki", "add", "/public/**", "--allow", "anyone"]);
        let mut command = home.command(ROLLCALL);
        command.args(["echo", "--listen", "127.0.0.1:0"]);
        let echo = Server::start(command).await;
        Self { home, rollcall: server.address().to_owned(), server: Some(server), echo }
    }

    /// The configuration that is printed, for this port.
    pub fn printed(&self, kind: Kind, port: u16) -> String {
        let listen = format!("127.0.0.1:{port}");
        let addresses = ["--listen", &listen, "--app", self.echo.address(), "--rollcall", &self.rollcall];
        self.home.ok(&[&["app", "config", kind.as_str(), "wiki"], addresses.as_slice()].concat())
    }

    /// Starts a proxy with the printed configuration after `edit`, and `surround` on what is around it.
    pub fn proxy(&self, kind: Kind, edit: &dyn Fn(&World, String) -> String, surround: &dyn Fn(String) -> String) -> Option<Proxy> {
        let port = free_port();
        let edited = edit(self, self.printed(kind, port));
        Proxy::start_with(kind, port, HOST, &edited, surround)
    }

    /// Runs `rollcall check proxy`, with `rollcall echo` unless `more` says `--stopped`.
    pub fn check(&self, proxy: &Proxy, path: &str, more: &[&str]) -> Done {
        let (url, connect) = (format!("http://{HOST}{path}"), format!("127.0.0.1:{}", proxy.port));
        let mut args = vec!["check", "proxy", &url, "--connect", &connect];
        if !more.contains(&"--stopped") {
            args.extend(["--echo", &self.echo.origin]);
        }
        args.extend(more);
        self.home.run(&args)
    }

    pub async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
    }

    pub async fn texts(&self, sql: &str) -> Vec<String> {
        self.home.texts(sql).await
    }
}

async fn passes(kind: Kind) {
    let mut world = World::new().await;
    let Some(proxy) = world.proxy(kind, &|_, text| text, &|text| text) else { return };
    for path in ["/", "/a/b"] {
        let done = world.check(&proxy, path, &[]);
        assert_eq!((done.code, done.err.as_str()), (0, ""), "{kind}: {}", done.out);
        for part in ["common paths", "host, path, method and address", "identity: arrives", "the app's answers", "event streams"] {
            assert!(done.out.contains(part), "{kind} {part}: {}", done.out);
        }
        assert!(!done.out.contains("wrong"), "{kind}: {}", done.out);
        if kind == Kind::Nginx {
            assert!(done.out.contains("warning  names that this application does not send: X-authentik-username"), "{}", done.out);
        }
    }
    // Without a session nothing is left open by the check, and nothing of it is among the live sessions.
    let live = world.texts("SELECT CAST(count(*) AS TEXT) FROM sessions").await;
    let ended = world.texts("SELECT CAST(count(*) AS TEXT) FROM ended_sessions").await;
    assert_eq!((live, ended), (vec!["0".to_owned()], vec!["2".to_owned()]), "{kind}");
    // Nobody who may: the rest is looked at all the same.
    let done = world.check(&proxy, "/", &["--user", "bob"]);
    assert!(done.code == 0 && done.out.contains("identity: not looked at"), "{kind}: {done:?}");
    // While a server answers, nothing is shown by --stopped; without one, all is closed.
    let done = world.check(&proxy, "/", &["--stopped"]);
    assert!(done.code == 1 && done.err.contains("stop it first"), "{kind}: {done:?}");
    world.stop().await;
    let done = world.check(&proxy, "/", &["--stopped"]);
    assert!(done.code == 0 && done.out.contains("none reaches the app"), "{kind}: {done:?}");
    let done = world.check(&proxy, "/", &[]);
    assert!(done.code == 1 && done.out.contains("the proxy does not ask Rollcall"), "{kind}: {done:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_as_printed_passes_the_check() {
    passes(Kind::Nginx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy_as_printed_passes_the_check() {
    passes(Kind::Caddy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn traefik_as_printed_passes_the_check() {
    passes(Kind::Traefik).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_as_printed_passes_the_check() {
    passes(Kind::Envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_not_trusted_is_named_as_the_reason() {
    let world = World::new().await;
    let Some(proxy) = world.proxy(Kind::Caddy, &|_, text| text, &|text| text) else { return };
    drop(world.server);
    let World { home, echo, rollcall, .. } = world;
    let home = home.with("ROLLCALL_HTTP__TRUSTED_PROXIES", "192.0.2.1").with("ROLLCALL_LISTEN", &rollcall);
    let server = home.serve().await;
    let world = World { home, server: Some(server), rollcall, echo };
    let done = world.check(&proxy, "/", &[]);
    assert!(done.code == 1 && done.out.contains("http.trusted_proxies does not name"), "{done:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_address_is_a_clear_error() {
    let world = World::new().await;
    let check = |args: &[&str]| world.home.run(&[&["check", "proxy"], args].concat());
    for (args, code, told) in [
        (vec!["wiki.example"], 2, "write http://HOST/PATH"),
        (vec!["http://other.example/", "--connect", "127.0.0.1:9"], 1, "no application has the host other.example"),
        (vec!["http://wiki.example/", "--connect", "127.0.0.1:9"], 1, "127.0.0.1:9: Connection refused"),
        (vec!["http://wiki.example/", "--connect", "nowhere"], 1, "nowhere leads nowhere"),
        (vec!["http://wiki.example/", "--stopped", "--echo", "http://127.0.0.1:9"], 2, "cannot be used with"),
    ] {
        let done = check(&args);
        assert!(done.code == code && done.err.contains(told), "{args:?}: {done:?}");
    }
    let done = check(&["http://wiki.example/", "--connect", world.echo.address(), "--echo", &format!("http://{}", world.rollcall)]);
    assert!(done.code == 1 && done.err.contains("is not that of `rollcall echo`"), "{done:?}");
}

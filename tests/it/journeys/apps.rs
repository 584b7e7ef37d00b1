//! Applications in a real browser: their pages, and the demo with a reverse proxy.

use std::future::ready;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use fantoccini::Locator;
use serde_json::json;

use crate::process::{Chromium, Home, ROLLCALL, Server, eventually, finish, skip, within};

/// The pages of the application that [`fill`] adds: name and path.
pub const PAGES: [(&str, &str); 11] = [
    ("application", "/applications/wiki"),
    ("application-edit", "/applications/wiki/edit"),
    ("application-remove", "/applications/wiki/remove"),
    ("application-guard", "/applications/wiki/guard"),
    ("application-client", "/applications/wiki/client"),
    ("client-remove", "/applications/wiki/client/remove"),
    ("application-config", "/applications/wiki/config?kind=envoy"),
    ("application-notices", "/applications/wiki/client/notices"),
    ("rule-new", "/applications/wiki/rules/new"),
    ("rule", "/applications/wiki/rules/2"),
    ("rule-remove", "/applications/wiki/rules/2/remove"),
];

/// Adds an application with rules, which all sessions have open.
pub async fn fill(home: &Home) {
    let run = |args: &[&str]| {
        // A guard and a client need an address of Rollcall's own; the server of the test has none, and its pages are the same.
        let mut command = home.command(ROLLCALL);
        let done = finish(command.env("ROLLCALL_HTTP__PUBLIC_URL", "https://id.example").args(args), "");
        assert_eq!(done.code, 0, "{args:?}: {done:?}");
    };
    let hosts = ["--host", "xn--mnchen-3ya.example", "--host", "*.a-long-name.example.com:8443"];
    run(&[&["app", "add", "wiki", "--name", "The wiki アリス", "--allow", "user:akadmin", "--app-passwords", "true"][..], &hosts]
        .concat());
    run(&["app", "rule", "wiki", "add", "/health", "--allow", "anyone", "--if-network", "2001:db8:ffff::/48"]);
    let paths = ["/admin/**", "/a/long/path/*/with/many/segments/that/does/not/end/**"];
    run(&[&["app", "rule", "wiki", "add"][..], &paths, &["--factor", "mfa", "--max-age", "1h"]].concat());
    let address = "https://a-long-name.example.com:8443/oauth2/callback/of/the/wiki";
    run(&["app", "set", "wiki", "--redirect-uri", address, "--back-channel-uri", "https://app.example/told"]);
    home.execute(
        "INSERT INTO logout_notices (uuid, application_id, slug, client_id, uri, algorithm, names, user_id, sub, session_uuid, is_bulk, \
         state, owed_at, tries, settled_at, said) SELECT r.uuid, a.id, a.slug, 'wiki', 'https://app.example/told', 'RS256', 'auto', \
         r.user_id, '', r.uuid, FALSE, 'given_up', r.created_at, 7, r.created_at, 'no connection: Connection refused, and a long text' \
         FROM session_rows r, applications a LIMIT 3",
    )
    .await;
    home.execute(
        "INSERT INTO app_sessions (uuid, session_id, application_id, slug, name, hosts, sub, created_at, last_used_at) \
         SELECT r.uuid, r.id, a.id, a.slug, a.name, '[\"xn--mnchen-3ya.example\"]', 'sub', r.created_at, r.created_at \
         FROM session_rows r, applications a",
    )
    .await;
}

/// The `PATH` with the proxies that `scripts/fetch-proxies` put into `target/`.
fn path_with_proxies() -> std::ffi::OsString {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/proxies/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(fetched).chain(std::env::split_paths(&path))).unwrap()
}

fn is_installed(proxy: &str) -> bool {
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path_with_proxies()).collect();
    folders.push("/usr/sbin".into());
    let is_there = folders.iter().any(|folder| folder.join(proxy).is_file());
    if !is_there {
        skip(&format!("{proxy} is not installed: see scripts/fetch-proxies"));
    }
    is_there
}

/// What follows a word at the beginning of a line, up to a blank.
fn word(said: &str, name: &str) -> String {
    let line = said.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(' '));
    let rest = line.unwrap_or_else(|| panic!("no {name} in {said}")).trim();
    rest.split(' ').next().unwrap().to_owned()
}

/// Waits until the browser is at an address that starts so, and shows what it has instead where it does not come there.
async fn is_at(browser: &Chromium, start: &str) {
    let look = || async { browser.client.current_url().await.ok()?.as_str().starts_with(start).then_some(()) };
    if tokio::time::timeout(Duration::from_secs(20), within(Duration::MAX, start, look)).await.is_err() {
        panic!("not at {start} but at {:?}: {}", browser.client.current_url().await, browser.text().await);
    }
}

/// The processes whose command line names this folder.
fn processes_in(folder: &Path) -> Vec<String> {
    let (mut found, folder) = (Vec::new(), folder.display().to_string());
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&folder) {
            found.push(line);
        }
    }
    found
}

/// A newcomer starts the demo, signs in once, opens both apps, ends the session on the page of sessions, and both are
/// closed. With `UPDATE_IMAGES=1` the picture of README.md is made on the way.
async fn demo(proxy: &str, has_picture: bool) {
    if !is_installed(proxy) {
        return;
    }
    let Some(browser) = Chromium::open().await else { return };
    let home = Home::sqlite();
    let folder = home.folder().join("tmp");
    std::fs::create_dir(&folder).unwrap();
    let mut command = home.command(ROLLCALL);
    command.args(["demo", "--proxy", proxy]).env("TMPDIR", &folder).env("PATH", path_with_proxies());
    let server = Server::start(command).await;
    let said = eventually("what the demo prints", || ready(Some(server.out()).filter(|out| out.contains("closed")))).await;
    let [wiki, staff, user, password] = ["wiki", "staff", "user", "password"].map(|name| word(&said, name));
    assert!(wiki.starts_with("http://wiki.localhost:") && staff.starts_with("http://staff.localhost:"), "{said}");

    browser.client.goto(&wiki).await.unwrap();
    is_at(&browser, &server.origin).await;
    browser.sign_in(&user, &password).await;
    is_at(&browser, &wiki).await;
    assert_eq!(browser.heading().await, "The wiki");
    let text = browser.text().await;
    assert!(text.contains(&format!("You are {user}")) && text.contains("staff"), "{text}");
    assert!(!text.contains("rollcall_"), "the app sees no cookie of Rollcall's: {text}");
    // The second one asks for nothing.
    browser.client.find(Locator::LinkText("The staff room")).await.unwrap().click().await.unwrap();
    is_at(&browser, &staff).await;
    assert!(browser.text().await.contains(&format!("You are {user}")));

    browser.client.find(Locator::LinkText("My devices")).await.unwrap().click().await.unwrap();
    is_at(&browser, &format!("{}/sessions", server.origin)).await;
    assert!(browser.text().await.contains("Open in it: The wiki, The staff room"), "{}", browser.text().await);
    browser.client.find(Locator::Css(".card.current h2 a")).await.unwrap().click().await.unwrap();
    eventually("the page of the session", || async { browser.client.find(Locator::Css("#apps")).await.ok() }).await;
    if has_picture && std::env::var_os("UPDATE_IMAGES").is_some() {
        super::show_as(&browser, "light", 1280, 1010).await;
        let clip = json!({"x": 0, "y": 0, "width": 1265, "height": 1212, "scale": 1});
        let shot =
            browser.devtools("Page.captureScreenshot", json!({"format": "png", "captureBeyondViewport": true, "clip": clip})).await;
        let png = base64::engine::general_purpose::STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images/apps.png"), png).unwrap();
    }
    browser.button("Sign out here").await.click().await.unwrap();
    is_at(&browser, &format!("{}/sign-in", server.origin)).await;
    for app in [&wiki, &staff] {
        browser.client.goto(app).await.unwrap();
        is_at(&browser, &format!("{}/sign-in", server.origin)).await;
    }

    // Somebody who is not of the staff opens the first one only.
    browser.client.goto(&wiki).await.unwrap();
    is_at(&browser, &server.origin).await;
    browser.sign_in("bruno.lindqvist", &password).await;
    is_at(&browser, &wiki).await;
    browser.client.goto(&staff).await.unwrap();
    eventually("the refusal", || async { (browser.heading().await == "The staff room: no access").then_some(()) }).await;
    browser.close().await;

    assert!(!processes_in(&folder).is_empty(), "the proxy runs");
    server.stop().await;
    eventually("no process", || ready(processes_in(&folder).is_empty().then_some(()))).await;
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "its folder is gone");
    assert!(!home.data("").exists(), "and the data directory was never touched");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_two_apps_behind_nginx() {
    demo("nginx", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_two_apps_behind_caddy() {
    demo("caddy", false).await;
}

/// A newcomer signs in to the demo's app of OpenID Connect, ends the session at Rollcall, and the app was told.
#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_an_app_that_is_told() {
    let Some(browser) = Chromium::open().await else { return };
    let home = Home::sqlite();
    let mut command = home.command(ROLLCALL);
    command.args(["demo", "--app"]).env("TMPDIR", home.folder());
    let server = Server::start(command).await;
    let said = eventually("what the demo prints", || ready(Some(server.out()).filter(|out| out.contains("it was told")))).await;
    let [shop, user, password] = ["shop", "user", "password"].map(|name| word(&said, name));
    browser.client.goto(&shop).await.unwrap();
    assert!(browser.text().await.contains("Nobody is signed in"));
    browser.client.goto(&format!("{shop}login")).await.unwrap();
    is_at(&browser, &format!("{}/sign-in", server.origin)).await;
    browser.sign_in(&user, &password).await;
    is_at(&browser, &shop).await;
    assert!(browser.text().await.contains(&format!("You are {user}")), "{}", browser.text().await);
    browser.client.goto(&format!("{}/sessions", server.origin)).await.unwrap();
    browser.client.find(Locator::Css(".card.current h2 a")).await.unwrap().click().await.unwrap();
    eventually("the page of the session", || async { browser.client.find(Locator::Css("#apps")).await.ok() }).await;
    browser.button("Sign out here").await.click().await.unwrap();
    is_at(&browser, &format!("{}/sign-in", server.origin)).await;
    browser.client.goto(&shop).await.unwrap();
    let told = format!("ended: {user} was signed out here");
    eventually("that it was told", || async { browser.text().await.contains(&told).then_some(()) }).await;
    assert!(browser.text().await.contains("Nobody is signed in"));
    browser.close().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn demos_that_start_at_once_take_different_ports() {
    if !is_installed("caddy") {
        return;
    }
    let homes = [Home::sqlite(), Home::sqlite(), Home::sqlite()];
    let start = async |home: &Home| {
        let mut command = home.command(ROLLCALL);
        command.args(["demo", "--proxy", "caddy"]).env("TMPDIR", home.folder()).env("PATH", path_with_proxies());
        Server::start(command).await
    };
    let servers = <[Server; 3]>::from(tokio::join!(start(&homes[0]), start(&homes[1]), start(&homes[2])));
    let mut ports = Vec::new();
    for server in servers {
        let said = eventually("what the demo prints", || ready(Some(server.out()).filter(|out| out.contains("closed")))).await;
        for app in ["wiki", "staff"] {
            ports.push(word(&said, app).replace(app, ""));
        }
        server.stop().await;
    }
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 6, "{ports:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_stops_its_proxy_when_it_is_killed() {
    if !is_installed("nginx") {
        return;
    }
    let home = Home::sqlite();
    let mut command = home.command(ROLLCALL);
    command.args(["demo", "--proxy", "nginx"]).env("TMPDIR", home.folder()).env("PATH", path_with_proxies());
    let server = Server::start(command).await;
    eventually("the proxy", || ready((!processes_in(home.folder()).is_empty()).then_some(()))).await;
    server.kill().await;
    eventually("no process", || ready(processes_in(home.folder()).is_empty().then_some(()))).await;
}

#[test]
fn a_demo_without_its_proxy_says_what_to_install() {
    let home = Home::sqlite();
    let mut command = home.command(ROLLCALL);
    command.args(["demo", "--proxy", "caddy"]).env("TMPDIR", home.folder()).env("PATH", home.folder());
    let done = finish(&mut command, "");
    assert_eq!((done.code, done.out.as_str()), (1, ""), "{done:?}");
    assert!(done.err.contains("caddy is not on the PATH: install Caddy 2.11.2 or later"), "{done:?}");
    assert_eq!(std::fs::read_dir(home.folder()).unwrap().count(), 0, "nothing was made");
}

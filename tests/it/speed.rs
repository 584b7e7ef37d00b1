//! Not a test of what is right: how soon the page of all sessions is there, in a real browser, with a
//! million sessions.

use std::io::Write;
use std::time::Duration;

use crate::process::{Chromium, Home, PASSWORD, Person, Server, eventually, within};

/// How often each view is opened.
const TIMES: usize = 15;
/// How long sessions may take to be read into memory.
const FILLING: Duration = Duration::from_secs(120);
const VIEWS: [(&str, &str); 6] = [
    ("all", "/sessions/all"),
    ("of a country", "/sessions/all?q=country:DE"),
    ("a search", "/sessions/all?q=firefox+windows"),
    ("but this one", "/sessions/all?q=-current"),
    ("by sign-in", "/sessions/all?order=-created"),
    ("far from the first", "/sessions/all?page=20000"),
];

/// What one visit took, in milliseconds and bytes.
#[derive(Clone, Copy, Debug)]
struct Visit {
    /// From the request to the first byte of the answer.
    server: f64,
    /// Until everything had run.
    usable: f64,
    /// What came over the wire, headers included.
    bytes: f64,
}

async fn visit(browser: &Chromium, server: &Server, path: &str) -> Visit {
    browser.open_page(server, path).await;
    let script = "const page = performance.getEntriesByType('navigation')[0];
        const parts = performance.getEntriesByType('resource').map((part) => part.transferSize);
        return [page.responseStart - page.requestStart, page.loadEventEnd, parts.reduce((a, b) => a + b, page.transferSize)]";
    eventually("the end of the visit", || async {
        let took = browser.script(script).await;
        let at = |place: usize| took[place].as_f64().unwrap();
        let visit = Visit { server: at(0), usable: at(1), bytes: at(2) };
        (visit.usable > 0.0).then_some(visit)
    })
    .await
}

fn median(visits: &[Visit], what: impl Fn(&Visit) -> f64) -> f64 {
    let mut values: Vec<f64> = visits.iter().map(what).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn say(line: &str) {
    // Past the test runner, which would swallow it.
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// `cargo build --release && cargo test --test it speed -- --ignored`. `RELEASE_BINARY` names another
/// program, `SPEED_SESSIONS` another number; `SPEED_POSTGRES=1` asks PostgreSQL (`TEST_DATABASE_URL`).
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes minutes: cargo build --release && cargo test --test it speed -- --ignored"]
async fn the_page_of_all_sessions_is_soon_there() {
    let program = std::env::var("RELEASE_BINARY");
    let program = program.unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/target/release/rollcall").into());
    assert!(std::path::Path::new(&program).exists(), "cargo build --release makes {program}");
    let count: u32 = std::env::var("SPEED_SESSIONS").map_or(1_000_000, |count| count.parse().unwrap());
    let home = if std::env::var_os("SPEED_POSTGRES").is_some() {
        Home::postgres().await.expect("TEST_DATABASE_URL names a PostgreSQL")
    } else {
        Home::sqlite()
    };
    let home = home.with_administrator();
    let Some(browser) = Chromium::open().await else { return };
    let mut generate = home.command(&program);
    generate.args(["generate", "--users", &(count / 5).to_string(), "--sessions", &count.to_string()]);
    let made = generate.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    say(String::from_utf8_lossy(&made.stderr).trim());
    let mut serve = home.command(&program);
    serve.arg("serve");
    let server = Server::start(serve).await;
    browser.open_page(&server, "/sign-in").await;
    browser.sign_in("akadmin", PASSWORD).await;
    browser.arrives_at("/sessions").await;
    within(FILLING, "answers from memory", || async {
        let took = visit(&browser, &server, "/sessions/all?q=firefox").await.server;
        (took < 200.0).then_some(())
    })
    .await;

    browser.devtools("Network.clearBrowserCache", serde_json::json!({})).await;
    let first = visit(&browser, &server, "/sessions/all").await;
    say(&format!(
        "the first visit: {:.1} KB, server {:.1} ms, usable after {:.0} ms",
        first.bytes / 1000.0,
        first.server,
        first.usable
    ));
    say("view | server, ms | usable, ms | KB | right after a sign-in: server, ms | usable, ms");
    let mut all = Vec::new();
    for (name, path) in VIEWS {
        let (mut quiet, mut changed) = (Vec::new(), Vec::new());
        for _ in 0..TIMES {
            quiet.push(visit(&browser, &server, path).await);
        }
        for _ in 0..TIMES {
            drop(Person::signed_in(&server, "akadmin").await);
            changed.push(visit(&browser, &server, path).await);
        }
        let of = |visits: &[Visit]| (median(visits, |it| it.server), median(visits, |it| it.usable));
        let ((server, usable), (server_after, usable_after)) = (of(&quiet), of(&changed));
        let kilobytes = median(&quiet, |it| it.bytes) / 1000.0;
        say(&format!("{name} | {server:.1} | {usable:.0} | {kilobytes:.1} | {server_after:.1} | {usable_after:.0}"));
        all.push((server.max(server_after), usable.max(usable_after)));
    }
    let (server, usable) = all[0];
    assert!(server < 20.0 && usable < 200.0 && first.bytes < 60_000.0, "{server} ms, {usable} ms, {} bytes", first.bytes);
    browser.close().await;
}

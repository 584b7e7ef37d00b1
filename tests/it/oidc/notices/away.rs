//! An end of very many reaches an app that is killed on the way and comes back.

use std::collections::BTreeSet;

use reqwest::Method;
use rollcall::domain::Clock;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use super::person::{FIRST_USER, LEASE_AND_MORE, USERS, installed, sids};
use super::told::Told;
use crate::process::{Home, SESSIONS, TOKEN, free_port, within};
use crate::support::seed;

/// How many sessions end: more than a call ends one by one.
const MANY: u32 = 1100;
/// How many of them the app is told of before it is killed.
const BEFORE_A_KILL: usize = 150;

/// An app's server in a runtime of its own. Dropped, it is gone with all its connections, like a process that is killed.
struct Receiver {
    told: Told,
    runtime: Option<Runtime>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

impl Receiver {
    fn on(port: u16) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let told = {
            let _entered = runtime.enter();
            let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
            listener.set_nonblocking(true).unwrap();
            Told::on(TcpListener::from_std(listener).unwrap())
        };
        Self { told, runtime: Some(runtime) }
    }
}

/// Gives the users of [`installed`] many sessions, each with the app open.
async fn fill(home: &Home) {
    let now = Clock::System.now();
    let user = |n: u32| FIRST_USER + i64::from(n) % USERS;
    home.import(&(0..MANY).map(|n| seed::session(n, user(n), json!({"last_used": now}))).collect::<Vec<Value>>());
    home.execute(
        "INSERT INTO app_sessions (uuid, session_id, application_id, slug, name, hosts, client_id, sub, created_at, last_used_at) \
         SELECT r.uuid, r.id, a.id, a.slug, a.name, '[]', 'wiki', 'sub', r.created_at, r.created_at FROM session_rows r, applications a",
    )
    .await;
}

async fn number(home: &Home, sql: &str) -> u32 {
    home.texts(&format!("SELECT CAST(({sql}) AS TEXT)")).await[0].parse().unwrap()
}

on_both!(an_end_of_very_many_reaches_an_app_that_is_killed_and_comes_back, |home| async move {
    let port = free_port();
    let mut receiver = Receiver::on(port);
    let mut all = vec![receiver.told.clone()];
    let (home, _) = installed(home, &receiver.told);
    fill(&home).await;
    let server = home.serve().await;
    let users: Vec<String> = (FIRST_USER..FIRST_USER + USERS).map(|user| format!("user_pks={user}")).collect();
    let ended = server.call(Method::DELETE, &format!("{SESSIONS}bulk_delete/?{}", users.join("&")), TOKEN).await;
    assert_eq!(ended.status(), 200);
    assert_eq!(number(&home, "SELECT count(*) FROM sessions").await, 0, "all have ended");
    for _ in 0..2 {
        within(LEASE_AND_MORE, "some of it", async || (receiver.told.count() >= BEFORE_A_KILL).then_some(())).await;
        drop(receiver);
        let failures = "SELECT COALESCE(MAX(failures), 0) FROM notice_lines";
        within(LEASE_AND_MORE, "that it is away", async || (number(&home, failures).await >= 5).then_some(())).await;
        receiver = Receiver::on(port);
        all.push(receiver.told.clone());
    }
    let delivered = "SELECT count(*) FROM logout_notices WHERE state = 'delivered'";
    within(LEASE_AND_MORE, "that all is delivered", async || (number(&home, delivered).await == MANY).then_some(())).await;
    let told: Vec<String> = all.iter().flat_map(sids).collect();
    let (named, wanted): (BTreeSet<String>, BTreeSet<String>) =
        (told.iter().cloned().collect(), (0..MANY).map(seed::uuid).collect());
    assert_eq!(named.symmetric_difference(&wanted).collect::<Vec<_>>(), Vec::<&String>::new(), "each end is told, and no other");
    let kind = if home.schema().is_some() { "PostgreSQL" } else { "SQLite" };
    eprintln!("{kind}: the app was killed twice, and told of {} ends by {} messages", named.len(), told.len());
    assert_eq!(number(&home, "SELECT count(*) FROM logout_notices").await, MANY, "none is owed twice");
    assert_eq!(number(&home, "SELECT count(*) FROM logout_notices WHERE is_bulk").await, MANY, "all are of the large end");
    server.stop().await;
});

//! A change of what a user may open is in force at the next check, on every node, while requests run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::world::{Browser, KINDS, WIKI, add_app, second_node, server};
use crate::support::SESSIONS;

/// How many ask at once, on each node.
const CLIENTS: usize = 4;
/// How many checks begin after a change was acknowledged.
const AFTER: usize = 400;

/// What the clients of both nodes saw.
#[derive(Default)]
struct Seen {
    is_changed: AtomicBool,
    is_done: AtomicBool,
    /// Let in before the change.
    before: AtomicUsize,
    /// Begun after the change was acknowledged, and how many of these were let in.
    after: AtomicUsize,
    let_in: AtomicUsize,
}

/// Runs checks on all nodes, makes the change, and runs more of them.
async fn none_after(what: &str, nodes: [SocketAddr; 2], path: &'static str, cookie: &str, change: impl Future<Output = ()>) {
    let seen = Arc::new(Seen::default());
    let mut clients = JoinSet::new();
    for nth in 0..CLIENTS * nodes.len() {
        let (seen, cookie, node) = (Arc::clone(&seen), cookie.to_owned(), nodes[nth % nodes.len()]);
        let kind = KINDS[nth % KINDS.len()];
        clients.spawn(async move {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            while !seen.is_done.load(Ordering::SeqCst) {
                let is_after = seen.is_changed.load(Ordering::SeqCst);
                let tail = if kind == "envoy" { path } else { "" };
                let mut request = client.get(format!("http://{node}/guard/{kind}/wiki{tail}"));
                let url = format!("https://{WIKI}{path}");
                for (name, value) in [
                    ("host", if matches!(kind, "nginx" | "envoy") { WIKI } else { "proxy" }),
                    ("x-original-url", url.as_str()),
                    ("x-original-method", "GET"),
                    ("x-forwarded-host", WIKI),
                    ("x-forwarded-uri", path),
                    ("x-forwarded-method", "GET"),
                    ("x-forwarded-proto", "https"),
                    ("cookie", cookie.as_str()),
                ] {
                    request = request.header(name, value);
                }
                let is_let_in = request.send().await.unwrap().status() == 200;
                match (is_after, is_let_in) {
                    (true, _) => {
                        seen.let_in.fetch_add(usize::from(is_let_in), Ordering::SeqCst);
                        if seen.after.fetch_add(1, Ordering::SeqCst) + 1 >= AFTER {
                            seen.is_done.store(true, Ordering::SeqCst);
                        }
                    }
                    (false, true) => drop(seen.before.fetch_add(1, Ordering::SeqCst)),
                    (false, false) => {}
                }
            }
        });
    }
    while seen.before.load(Ordering::SeqCst) < 50 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    change.await;
    seen.is_changed.store(true, Ordering::SeqCst);
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
    let (after, let_in) = (seen.after.load(Ordering::SeqCst), seen.let_in.load(Ordering::SeqCst));
    assert_eq!(let_in, 0, "{what}: {let_in} of {after} checks on two nodes were let in");
}

db_test!(whatever_closes_an_app_closes_it_at_the_next_check_on_every_node, |db| async move {
    let app = server(db).await;
    let (_node, second) = second_node(&app, &[]).await;
    let nodes = [app.address, second];
    let admin = app.superuser("root").await.token().await;
    let alice = app.user("alice").await.id;
    let made = admin.post_json("/api/v3/core/groups/", &json!({"name": "friends"})).await.assert_status(201).json();
    let friends = made["pk"].as_str().unwrap().to_owned();
    let group = format!("/api/v3/core/groups/{friends}/");
    let member = json!({"pk": alice.0});
    admin.post_json(&format!("{group}add_user/"), &member).await.assert_status(204);
    let allow = json!({"allow": [{"group": friends}]});
    let public = json!([{"paths": ["/public/**"], "allow": "anyone"}]);
    let with_rules = |rules: Value| json!({"hosts": [WIKI], "rules": rules});
    add_app(&app, "wiki", allow.clone(), with_rules(json!([]))).await;
    let opened = async || {
        let browser = Browser::new(&app);
        let session = browser.sign_in("alice").await;
        assert_eq!(browser.open("caddy", "wiki", "https://wiki.example/").await.status, 200);
        (browser.cookie_header(WIKI), session)
    };

    let (cookie, _) = opened().await;
    none_after("leaving the group", nodes, "/", &cookie, async {
        admin.post_json(&format!("{group}remove_user/"), &member).await.assert_status(204);
    })
    .await;
    admin.post_json(&format!("{group}add_user/"), &member).await.assert_status(204);

    let (cookie, _) = opened().await;
    none_after("a rule for nobody", nodes, "/", &cookie, async {
        add_app(&app, "wiki", allow.clone(), with_rules(json!([{"paths": ["/**"], "allow": "nobody"}]))).await;
    })
    .await;
    add_app(&app, "wiki", allow.clone(), with_rules(public)).await;

    none_after("an exception that is withdrawn", nodes, "/public/x", "", async {
        add_app(&app, "wiki", allow.clone(), with_rules(json!([]))).await;
    })
    .await;

    let (cookie, session) = opened().await;
    none_after("the end of the session", nodes, "/", &cookie, async {
        admin.delete(&format!("{SESSIONS}{session}/")).await.assert_status(204);
    })
    .await;

    let (cookie, _) = opened().await;
    none_after("a deactivated user", nodes, "/", &cookie, async {
        admin
            .send_json("PATCH", &format!("/api/v3/core/users/{}/", alice.0), &json!({"is_active": false}))
            .await
            .assert_status(200);
    })
    .await;
    admin.send_json("PATCH", &format!("/api/v3/core/users/{}/", alice.0), &json!({"is_active": true})).await.assert_status(200);

    let (cookie, _) = opened().await;
    none_after("another host", nodes, "/", &cookie, async {
        add_app(&app, "wiki", allow.clone(), json!({"hosts": ["other.example"]})).await;
    })
    .await;
    add_app(&app, "wiki", allow.clone(), with_rules(json!([]))).await;

    let (cookie, _) = opened().await;
    none_after("the application is removed", nodes, "/", &cookie, async {
        admin.delete("/api/v3/core/applications/wiki/").await.assert_status(204);
    })
    .await;
});

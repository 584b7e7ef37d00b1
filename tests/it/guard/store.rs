//! A database that fails, is slow, or is away: no check lets anybody in, and all are answered in time.

use std::time::{Duration, Instant};

use rollcall::store::StoreError;
use serde_json::json;

use super::world::{Browser, KINDS, PAGE, WIKI, add_app, server, server_with, split};
use crate::applications::app_password;
use crate::process::{Home, PostgresProxy, eventually};
use crate::support::{Answer, TestApp, TestDb};

const APP_COOKIE: &str = "__Host-rollcall_app";
/// The view of live sessions, which goes as a table does.
const VIEW: &str = "sessions";
/// Tables without which a check with a session is 503, and one with an app password.
const OF_SESSIONS: [&str; 10] = [
    VIEW,
    "app_keys",
    "app_sessions",
    "users",
    "memberships",
    "group_ancestors",
    "groups",
    "settings",
    "user_policies",
    "group_policies",
];
const OF_PASSWORDS: [&str; 7] = ["tokens", "token_applications", "users", "memberships", "group_ancestors", "groups", "settings"];

/// All tables, and the view.
async fn tables(app: &TestApp) -> Vec<String> {
    let sql = match app.db.is_sqlite() {
        true => "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name",
        false => "SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename",
    };
    let mut tables: Vec<String> = app.app.store.read().all(sql, &[]).await.unwrap();
    assert!(tables.len() > 20, "{tables:?}");
    tables.push(VIEW.to_owned());
    tables
}

/// Takes a table away, or brings it back.
async fn set_gone(app: &TestApp, table: &str, is_gone: bool) {
    let migration = match app.db.is_sqlite() {
        true => include_str!("../../../migrations/sqlite/0001_init.sql"),
        false => include_str!("../../../migrations/postgres/0001_init.sql"),
    };
    let view = || migration.split_once("CREATE VIEW").unwrap().1.split_inclusive(';').next().unwrap();
    app.db
        .run(&match (table, is_gone) {
            (VIEW, true) => "DROP VIEW sessions".to_owned(),
            (VIEW, false) => format!("CREATE VIEW{}", view()),
            (_, true) => format!("ALTER TABLE {table} RENAME TO gone"),
            (_, false) => format!("ALTER TABLE gone RENAME TO {table}"),
        })
        .await;
}

fn assert_nobody_is_named(answer: &Answer, what: &str) {
    for name in ["remote-user", "remote-groups", "cookie", "authorization", "set-cookie"] {
        assert_eq!(answer.header(name), None, "{what}");
    }
}

// Each table goes, and comes back.
db_test!(a_store_that_fails_at_any_statement_of_a_check_lets_nobody_in, |db| async move {
    let app = server(db).await;
    let rules = json!([
        {"paths": ["/public/**"], "allow": "anyone"},
        {"paths": ["/closed/**"], "allow": [{"group": "11111111-1111-1111-1111-111111111111"}]},
        {"paths": ["/api/**"], "app_passwords": true},
    ]);
    add_app(&app, "wiki", json!({"allow": "signed_in"}), json!({"hosts": [WIKI], "rules": rules})).await;
    let alice = app.user("alice").await;
    let admin = app.admin_token().await;
    let group = admin.post_json("/api/v3/core/groups/", &json!({"name": "friends", "users": [alice.id.0]})).await;
    group.assert_status(201);
    let right = format!("Bearer {}", app_password(&app, "alice", "wiki").await);
    let right = [("authorization", right.as_str())];
    let wrong = [("authorization", "Bearer rcp_0123456789012345678901234567890123456789012")];
    let alice = Browser::of(&app, "alice").await;
    assert_eq!(alice.open("caddy", "wiki", "https://wiki.example/").await.status, 200);
    let stranger = Browser::new(&app);
    let nothing: &[(&str, &str)] = &[];
    for table in tables(&app).await {
        // Rules that are cached are compared with the database all the same.
        add_app(&app, "other", json!({"allow": "nobody"}), json!({"hosts": ["other.example"]})).await;
        set_gone(&app, &table, true).await;
        for kind in KINDS {
            for (who, browser, path, headers, usual) in [
                ("a session", &alice, "/", nothing, 200),
                ("a session that may not", &alice, "/closed/x", nothing, 403),
                ("anyone", &stranger, "/public/x", nothing, 200),
                ("an app password", &stranger, "/api/x", right.as_slice(), 200),
                ("a wrong app password", &stranger, "/api/x", wrong.as_slice(), 401),
                ("nobody", &stranger, "/", nothing, 401),
            ] {
                let what = format!("{kind}, {who}, without {table}");
                let began = Instant::now();
                let answer = browser.ask(kind, "wiki", ("GET", WIKI, path), headers).await;
                assert!(began.elapsed() < Duration::from_secs(4), "{what}");
                assert!([usual, 503].contains(&answer.status), "{what}: {}", answer.status);
                if answer.status == 200 && who != "anyone" {
                    // All of the identity or none.
                    assert_eq!(
                        (answer.header("remote-user"), answer.header("remote-groups")),
                        (Some("alice"), Some("friends")),
                        "{what}"
                    );
                } else {
                    assert_nobody_is_named(&answer, &what);
                }
                let needs = match who {
                    "a session" | "a session that may not" => OF_SESSIONS.contains(&table.as_str()),
                    "anyone" => table == "settings",
                    "an app password" => OF_PASSWORDS.contains(&table.as_str()),
                    _ => false,
                };
                if needs {
                    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{what}");
                }
            }
        }
        set_gone(&app, &table, false).await;
        assert_eq!(alice.ask("caddy", "wiki", ("GET", WIKI, "/"), &[]).await.status, 200, "{table} is back");
    }
});

// A table goes between two steps of a sign-in: no cookie is set, or the sign-in is done.
db_test!(a_store_that_fails_at_a_step_of_a_sign_in_gives_no_cookie, |db| async move {
    let app = server(db).await;
    add_app(&app, "wiki", json!({"allow": "signed_in"}), json!({"hosts": [WIKI]})).await;
    app.user("alice").await;
    let mut failed = 0;
    for table in tables(&app).await {
        let browser = Browser::of(&app, "alice").await;
        let start = browser.send("GET", WIKI, "/.rollcall/start?rd=%2F", &PAGE).await.assert_status(302);
        let go = split(start.header("location").unwrap());
        set_gone(&app, &table, true).await;
        let stopped = browser.send("GET", &go.0, &go.1, &PAGE).await;
        set_gone(&app, &table, false).await;
        let callback = match stopped.status {
            302 => stopped.header("location").unwrap().to_owned(),
            503 => {
                failed += 1;
                assert_eq!(stopped.header("location"), None, "{table}");
                let again = browser.send("GET", &go.0, &go.1, &PAGE).await.assert_status(302);
                again.header("location").unwrap().to_owned()
            }
            other => panic!("{other} without {table}"),
        };
        let callback = split(&callback);
        set_gone(&app, &table, true).await;
        let stopped = browser.send("GET", &callback.0, &callback.1, &PAGE).await;
        set_gone(&app, &table, false).await;
        if stopped.status == 503 {
            failed += 1;
            assert_eq!((stopped.set_cookie(APP_COOKIE), stopped.header("location")), (None, None), "{table}");
            // Nothing of it was done: the ticket is good.
            browser.send("GET", &callback.0, &callback.1, &PAGE).await.assert_status(302);
        }
        assert_eq!(browser.ask("caddy", "wiki", ("GET", WIKI, "/"), &[]).await.status, 200, "{table} is back");
    }
    assert!(failed >= 10, "{failed}");
});

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_slow_is_not_waited_for() {
    crate::support::db::on_postgres(|db: TestDb| async move {
        let app = server_with(db, &[("GUARD__TIME_LIMIT", "500ms")]).await;
        let rules = json!([{"paths": ["/public/**"], "allow": "anyone"}, {"paths": ["/api/**"], "app_passwords": true}]);
        add_app(&app, "wiki", json!({"allow": "signed_in"}), json!({"hosts": [WIKI], "rules": rules})).await;
        app.user("alice").await;
        let alice = Browser::of(&app, "alice").await;
        assert_eq!(alice.open("caddy", "wiki", "https://wiki.example/").await.status, 200);
        let stranger = Browser::new(&app);
        let wrong = [("authorization", "Bearer rcp_0123456789012345678901234567890123456789012")];
        for (table, browser, path, headers) in [
            ("app_keys", &alice, "/", &[][..]),
            ("settings", &stranger, "/public/x", &[][..]),
            ("tokens", &stranger, "/api/x", &wrong[..]),
        ] {
            let store = app.app.store.clone();
            let held = tokio::spawn(async move {
                let done: Result<(), StoreError> = store
                    .write(move |db| {
                        Box::pin(async move {
                            db.execute(&format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"), &[]).await?;
                            tokio::time::sleep(Duration::from_secs(4)).await;
                            Ok(())
                        })
                    })
                    .await;
                done.unwrap();
            });
            tokio::time::sleep(Duration::from_millis(300)).await;
            for kind in KINDS {
                let began = Instant::now();
                let answer = browser.ask(kind, "wiki", ("GET", WIKI, path), headers).await;
                assert_eq!(answer.status, 503, "{kind} {table}");
                assert_nobody_is_named(&answer, kind);
                assert!(began.elapsed() < Duration::from_millis(1500), "{kind} {table}: {:?}", began.elapsed());
            }
            held.await.unwrap();
            assert_eq!(alice.ask("caddy", "wiki", ("GET", WIKI, "/"), &[]).await.status, 200, "{table} is free");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_lets_nobody_in() {
    let Some(home) = Home::postgres().await else { return };
    let mut proxy = PostgresProxy::open(home.schema().unwrap()).await;
    let url = proxy.url(home.schema().unwrap());
    let home = home
        .with("ROLLCALL_DATABASE__URL", &url)
        .with("ROLLCALL_HTTP__PUBLIC_URL", "http://id.example")
        .with("ROLLCALL_HTTP__TRUSTED_PROXIES", "127.0.0.1");
    let server = home.serve().await;
    home.ok(&["app", "add", "wiki", "--host", WIKI, "--allow", "signed_in"]);
    home.ok(&["app", "rule", "wiki", "add", "/public/**", "--allow", "anyone"]);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async |path: &str, header: (&str, &str)| {
        let request = client.get(format!("{}/guard/nginx/wiki", server.origin)).header("host", WIKI);
        let request = request.header("x-original-url", format!("http://{WIKI}{path}")).header("x-original-method", "GET");
        let began = Instant::now();
        let answer = request.header(header.0, header.1).send().await.unwrap();
        assert!(began.elapsed() < Duration::from_millis(3500), "{path} {header:?}: {:?}", began.elapsed());
        answer.status().as_u16()
    };
    let key = ("cookie", "rollcall_app=0123456789012345678901234567890123456789012");
    let password = ("authorization", "Bearer rcp_0123456789012345678901234567890123456789012");
    assert_eq!([ask("/", key).await, ask("/public/x", ("accept", "*/*")).await, ask("/", password).await], [401, 200, 401]);
    proxy.cut().await;
    for _ in 0..2 {
        assert_eq!([ask("/", key).await, ask("/public/x", ("accept", "*/*")).await, ask("/", password).await], [503, 503, 503]);
    }
    proxy.mend().await;
    eventually("that it works again", || async { (ask("/public/x", ("accept", "*/*")).await == 200).then_some(()) }).await;
    assert_eq!([ask("/", key).await, ask("/", password).await], [401, 401]);
    assert!(!server.log().contains("panicked"), "{}", server.log());
    server.stop().await;
}

// Strangers who ask fill no log: one line a minute names one of them and the setting.
on_both!(checks_of_strangers_are_one_line_a_minute, |home| async move {
    let home = home.with("ROLLCALL_HTTP__PUBLIC_URL", "http://id.example").with("ROLLCALL_HTTP__TRUSTED_PROXIES", "192.0.2.1");
    let server = home.serve().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for nth in 0..40 {
        let path = if nth % 2 == 0 { "/guard/caddy/wiki" } else { "/outpost.goauthentik.io/auth/nginx" };
        let answer = client.get(format!("{}{path}", server.origin)).header("host", WIKI).send().await.unwrap();
        assert_eq!(answer.status(), 403);
    }
    let lines = || server.log().lines().filter(|line| line.contains("http.trusted_proxies")).count();
    eventually("the line", || async { (lines() > 0).then_some(()) }).await;
    assert_eq!(lines(), 1, "{}", server.log());
    assert!(server.log().contains("peer=127.0.0.1") || server.log().contains("\"peer\":\"127.0.0.1\""), "{}", server.log());
    server.stop().await;
});

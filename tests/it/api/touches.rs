//! `last_used` and company follow the use of a cookie, at most once per `sessions.touch_interval`
//! (`docs/compat.md` 14.1).

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::at;
use crate::support::{Caller, SESSIONS, TestApp, seed};

const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0";

async fn shown(admin: &Caller) -> Value {
    admin.get(&format!("{SESSIONS}{}/", seed::uuid(1))).await.assert_status(200).json()
}

/// One imported session, last used at noon, and its browser.
async fn browser(app: &TestApp) -> Caller {
    let line = json!({"last_used": "2026-11-01T12:00:00Z", "last_ip": "192.0.2.1"});
    app.import(&[seed::user(7, "alice"), seed::session(1, 7, line)]).await;
    let caller = app.anonymous().with_header("user-agent", AGENT);
    caller.set_cookie("rollcall_session", "key-1");
    caller
}

db_test!(a_use_is_written_once_per_interval, |db| async move {
    let app = TestApp::with(db, &[("SESSIONS__TOUCH_INTERVAL", "60s")]).await;
    let (browser, admin) = (browser(&app).await, app.admin_token().await);
    app.advance(Duration::from_secs(59));
    browser.get(SESSIONS).await.assert_status(200);
    app.app.touches.flush(&app.app).await.unwrap();
    let row = shown(&admin).await;
    assert_eq!(
        (&row["last_used"], &row["last_ip"], &row["last_user_agent"]),
        (&json!("2026-11-01T12:00:00Z"), &json!("192.0.2.1"), &json!(""))
    );

    app.advance(Duration::from_secs(1));
    browser.get("/sessions").await.assert_status(200);
    assert_eq!(shown(&admin).await["last_used"], "2026-11-01T12:00:00Z", "nothing is written while a request waits");
    app.app.touches.flush(&app.app).await.unwrap();
    let row = shown(&admin).await;
    assert_eq!(row["last_used"], "2026-11-01T12:01:00Z");
    assert_eq!((&row["last_ip"], &row["last_user_agent"]), (&json!("127.0.0.1"), &json!(AGENT)));
    assert_eq!(row["user_agent"]["user_agent"]["family"], "Firefox");
    assert_eq!(row["expires"], "2099-01-01T00:00:00Z", "an imported session keeps its end");

    app.advance(Duration::from_secs(59));
    browser.get(SESSIONS).await.assert_status(200);
    app.app.touches.flush(&app.app).await.unwrap();
    assert_eq!(shown(&admin).await["last_used"], "2026-11-01T12:01:00Z");
    app.assert_counts().await;
});

db_test!(zero_never_writes, |db| async move {
    let app = TestApp::with(db, &[("SESSIONS__TOUCH_INTERVAL", "0")]).await;
    let (browser, admin) = (browser(&app).await, app.admin_token().await);
    app.advance(Duration::from_secs(86400));
    browser.get(SESSIONS).await.assert_status(200);
    app.app.touches.flush(&app.app).await.unwrap();
    assert_eq!(shown(&admin).await["last_used"], "2026-11-01T12:00:00Z");
});

db_test!(a_request_with_token_and_cookie_is_a_use_of_the_session_unless_it_has_ended, |db| async move {
    let app = TestApp::new(db).await;
    let (browser, admin) = (browser(&app).await, app.admin_token().await);
    let key = app.user("bob").await.token_key(rollcall::domain::user::TokenIntent::Api, None).await;
    app.advance(Duration::from_secs(100));
    browser.with_bearer(&key).get(SESSIONS).await.assert_status(200);
    // Ended before the use was written: it stays ended.
    admin.delete(&format!("{SESSIONS}{}/", seed::uuid(1))).await.assert_status(204);
    app.app.touches.flush(&app.app).await.unwrap();
    admin.get(&format!("{SESSIONS}{}/", seed::uuid(1))).await.assert_status(404);
    app.assert_counts().await;
});

db_test!(use_moves_the_idle_end_but_never_past_the_absolute_one, |db| async move {
    let settings = [("SESSIONS__IDLE_TIMEOUT", "1h"), ("SESSIONS__ABSOLUTE_TIMEOUT", "3h")];
    let app = TestApp::with(db, &settings).await;
    let browser = app.user("alice").await.session().await;
    let admin = app.admin_token().await;
    let expires = async || admin.get(&browser.url()).await.json()["expires"].as_str().unwrap().to_owned();
    assert_eq!(expires().await, "2026-11-01T13:00:00Z");
    for (now, end) in [("12:50", "13:50"), ("13:49", "14:49"), ("14:40", "15:00")] {
        app.app.clock.set(at(&format!("2026-11-01T{now}:00Z")));
        browser.get(SESSIONS).await.assert_status(200);
        app.app.touches.flush(&app.app).await.unwrap();
        assert_eq!(expires().await, format!("2026-11-01T{end}:00Z"));
    }
    app.app.clock.set(at("2026-11-01T15:00:00Z"));
    browser.get(SESSIONS).await.assert_status(403);

    let idle = app.user("bob").await.session().await;
    app.advance(Duration::from_secs(3600));
    idle.get(SESSIONS).await.assert_status(403);
});

db_test!(an_older_use_never_overwrites_a_newer_one, |db| async move {
    let app = TestApp::new(db).await;
    let (browser, admin) = (browser(&app).await, app.admin_token().await);
    let row = app.number("SELECT id FROM sessions").await;
    let agent = app.number("SELECT id FROM user_agents").await;
    app.advance(Duration::from_secs(100));
    browser.get(SESSIONS).await.assert_status(200);
    app.app.touches.flush(&app.app).await.unwrap();
    // Another node's note of an older use comes late.
    let origin = rollcall::store::sessions::rows::Origin {
        ip: rollcall::domain::Address::parse("203.0.113.1").unwrap(),
        user_agent_id: agent,
        country: "DE".into(),
        asn: Some(1),
    };
    let late = rollcall::store::sessions::rows::Touch { id: row, at: at("2026-11-01T12:01:00Z"), origin };
    let written = app.app.store.write(move |db| Box::pin(async move { db.update_touched(&[late]).await })).await;
    written.unwrap();
    assert_eq!(shown(&admin).await["last_ip"], "127.0.0.1");
    app.assert_counts().await;
});

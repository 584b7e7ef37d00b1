//! The panel "Begin here" on the start page of a new instance.

use serde_json::json;

use crate::support::{Caller, TestApp};

/// How many steps of the panel are done, and how many are to do; `None`: there is no panel.
async fn done(browser: &Caller) -> Option<(usize, usize)> {
    let text = browser.get("/sessions").await.assert_status(200).text();
    let panel = text.split("id=\"begin\"").nth(1)?.split("</section>").next()?.to_owned();
    Some((panel.matches(": done<").count(), panel.matches(": to do<").count()))
}

db_test!(the_panel_of_a_new_instance_ticks_itself_off, |db| async move {
    let app = TestApp::new(db).await;
    let root = app.superuser_with_password("root").await;
    let browser = root.session().await;
    assert_eq!(done(&browser).await, Some((1, 5)), "no proxy is there to be named");
    let proxied = browser.with_header("x-forwarded-for", "203.0.113.9");
    assert_eq!(done(&proxied).await, Some((0, 6)), "one is, and is not trusted");
    root.session().await;
    assert_eq!(done(&browser).await, Some((2, 4)));
    let alice = app.user("alice").await;
    assert_eq!(done(&browser).await, Some((3, 3)));
    assert_eq!(done(&alice.session().await.caller).await, None, "it is for administrators");
    app.import(&[json!({"kind": "user", "username": "bob"}), json!({"kind": "user", "username": "carol"})]).await;
    assert_eq!(done(&browser).await, None, "the instance is not new any more");
});

db_test!(the_panel_goes_when_all_is_done, |db| async move {
    let settings = [
        ("HTTP__PUBLIC_URL", "https://sessions.example"),
        ("HTTP__TRUSTED_PROXIES", "127.0.0.1"),
        ("GEOIP__CITY", "/nowhere.mmdb"),
    ];
    let app = TestApp::with(db, &settings).await;
    app.user("alice").await.session().await;
    let root = app.superuser("root").await;
    let browser = root.session().await;
    let https = app.anonymous().with_header("x-forwarded-proto", "https");
    https.set_cookie("__Host-rollcall_session", &browser.key);
    let text = https.get("/sessions").await.assert_status(200).text();
    assert_eq!((text.matches(": to do<").count(), text.matches(": done<").count()), (1, 5), "{text}");
    let at = app.app.clock.now().0;
    let sql = format!(
        "INSERT INTO authenticators (uuid, user_id, kind, name, secret, counter, is_confirmed, created_at) \
         SELECT uuid, id, 'totp', 'phone', {}, {at} FROM users WHERE username = 'root'",
        if app.db.is_sqlite() { "X'00', 0, 1" } else { "'\\x00'::bytea, 0, TRUE" }
    );
    let done: Result<u64, rollcall::store::StoreError> =
        app.app.store.write(move |db| Box::pin(async move { db.execute(&sql, &[]).await })).await;
    done.unwrap();
    assert!(!https.get("/sessions").await.assert_status(200).text().contains("Begin here"));
});

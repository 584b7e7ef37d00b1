//! Every end owes a notice, and no other thing does.

use std::time::Duration;

use rollcall::actions::applications::{self, ApplicationChange};
use rollcall::actions::by::By;
use rollcall::actions::oidc::notices;
use rollcall::actions::people::{privacy, users};
use rollcall::actions::upkeep::sweep;
use rollcall::store::applications::app_sessions::AppSessionFilter;
use serde_json::json;
use uuid::Uuid;

use super::told::Told;
use super::{claims, end, opened, rows, run, states, told_app, world};
use crate::guard::world::{Browser, HOME, PAGE, server_with};
use crate::oidc::app::{App, register};
use crate::oidc::consent::{answer, asked, sent};
use crate::support::app::PASSWORD;
use crate::support::{SESSIONS, TestApp, seed};

db_test!(an_app_is_told_which_session_ended, |db| async move {
    let (app, told) = (world(db).await, Told::start().await);
    app.user("alice").await;
    let wiki = told_app(&app, "wiki", &told, json!({})).await;
    let (first, second) = (opened(&wiki, "alice").await, opened(&wiki, "alice").await);
    assert_eq!(run(&app).await, 0, "nothing is owed");
    end(&app, &first).await;
    assert_eq!(run(&app).await, 1);
    let [request] = <[_; 1]>::try_from(told.requests()).unwrap();
    let header = |name: &str| request.headers.get(name).map(String::as_str);
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/told?by=rollcall"));
    assert_eq!(header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(header("user-agent"), Some(concat!("Rollcall/", env!("CARGO_PKG_VERSION"))));
    assert_eq!((header("cookie"), header("authorization"), header("accept-encoding")), (None, None, Some("identity")));
    let one = claims(&wiki, &request.form).await;
    let now = app.app.clock.now().seconds();
    assert_eq!((&one["sid"], &one["iat"], &one["exp"]), (&json!(first), &json!(now), &json!(now + 120)));
    assert_eq!(one.get("sub"), None, "the other session goes on");
    end(&app, &second).await;
    run(&app).await;
    let last = claims(&wiki, &told.sent()[0]).await;
    assert!(last["sub"].is_string() && last["jti"] != one["jti"], "{last}");
    assert_eq!(run(&app).await, 0, "once");
    let rows = rows(&app, "wiki").await;
    let is_told = |row: &rollcall::store::oidc::notices::NoticeRow| row.sub.is_empty() && row.tries == 1 && row.owed_at.0 > 0;
    assert!(rows.iter().all(is_told), "{rows:?}");
    assert_eq!(states(&app).await, ["delivered", "delivered"]);
    app.advance(Duration::from_secs(7 * 86400 - 60));
    assert_eq!(notices::sweep(&app.app, By::System).await.unwrap(), 0);
    app.advance(Duration::from_secs(120));
    assert_eq!(notices::sweep(&app.app, By::System).await.unwrap(), 2);
});

db_test!(an_app_is_told_the_names_that_it_wants, |db| async move {
    let (app, told) = (world(db).await, Told::start().await);
    app.user("alice").await;
    for (slug, names, algorithm, has_sub) in
        [("one", "sid", "RS256", [false, false]), ("two", "both", "ES256", [true, true]), ("three", "auto", "ES256", [false, true])]
    {
        let client =
            told_app(&app, slug, &told, json!({"notice_names": names, "algorithm": algorithm, "sub": "user_username"})).await;
        let sessions = [opened(&client, "alice").await, opened(&client, "alice").await];
        for (session, has_sub) in sessions.iter().zip(has_sub) {
            end(&app, session).await;
            assert_eq!(run(&app).await, 1);
            let form = told.sent().remove(0);
            let said = claims(&client, &form).await;
            assert_eq!((said["sid"].as_str(), said.get("sub").is_some()), (Some(session.as_str()), has_sub), "{names}");
            assert!(said.get("sub").is_none_or(|sub| sub == "alice"), "{said}");
            let token = form.trim_start_matches("logout_token=");
            assert_eq!(format!("{:?}", jsonwebtoken::decode_header(token).unwrap().alg), algorithm);
        }
    }
});

db_test!(a_session_that_is_over_is_no_other_session, |db| async move {
    let (app, told) = (world(db).await, Told::start().await);
    let alice = app.user("alice").await;
    let wiki = told_app(&app, "wiki", &told, json!({})).await;
    let (one, two) = (opened(&wiki, "alice").await, opened(&wiki, "alice").await);
    assert_eq!(app.record_ends_of(alice.id.0, 100).await, 2);
    app.move_pending().await;
    assert_eq!(run(&app).await, 2);
    for form in told.sent() {
        let said = claims(&wiki, &form).await;
        assert!(said["sub"].is_string() && [json!(one), json!(two)].contains(&said["sid"]), "{said}");
    }
    // One whose time is over, and that was not swept yet.
    let (over, other) = (opened(&wiki, "alice").await, opened(&wiki, "alice").await);
    let (uuid, now) = (over.replace('-', ""), app.app.clock.now().0);
    let uuid = if app.db.is_sqlite() { format!("x'{uuid}'") } else { format!("'{uuid}'") };
    app.db.run(&format!("UPDATE session_rows SET expires_at = {now} WHERE uuid = {uuid}")).await;
    end(&app, &other).await;
    run(&app).await;
    assert!(claims(&wiki, &told.sent()[0]).await["sub"].is_string());
});

/// A browser whose session has the app open.
struct Open<'a> {
    browser: Browser<'a>,
    session: String,
    code: String,
    refresh: String,
}

async fn open<'a>(wiki: &App<'a>, name: &str) -> Open<'a> {
    let browser = Browser::new(wiki.app);
    let session = browser.sign_in(name).await;
    let code = wiki.code(&browser, &[]).await;
    let tokens = wiki.redeem(&code).await.assert_status(200).json();
    Open { browser, session, code, refresh: tokens["refresh_token"].as_str().unwrap().to_owned() }
}

async fn change(app: &TestApp, wanted: ApplicationChange) {
    applications::change(&app.app, By::Cli, "wiki", wanted).await.unwrap();
}

async fn allow(app: &TestApp, who: &str, apply_now: bool) {
    let access = Some(serde_json::from_value(json!({"allow": who})).unwrap());
    change(app, ApplicationChange { access, apply_now, ..ApplicationChange::default() }).await;
}

/// The uuid of the only app session.
async fn only_app_session(app: &TestApp) -> Uuid {
    app.app.store.read().list_app_sessions(&AppSessionFilter::default(), 0, 9).await.unwrap()[0].uuid
}

/// Does what ends the one session of a user, or the app in it.
async fn end_by(app: &TestApp, wiki: &App<'_>, open: &Open<'_>, way: &str, name: &str) {
    let row = users::find(&app.app, By::Cli, name).await.unwrap();
    let admin = app.known("root").await.token().await;
    match way {
        "sign-out" => {
            let page = open.browser.send("GET", HOME, "/sign-out", &PAGE).await;
            open.browser.post(HOME, "/sign-out", &format!("proof={}", page.proof())).await;
        }
        "the app in it" => applications::app_sessions::end(&app.app, By::Cli, only_app_session(app).await).await.unwrap(),
        "the app in it, by the API" => {
            let path = format!("/api/v3/core/app_sessions/{}/", only_app_session(app).await);
            admin.delete(&path).await.assert_status(204);
        }
        "API" => end(app, &open.session).await,
        "bulk delete" => {
            admin.delete(&format!("{SESSIONS}bulk_delete/?user_pks={}", row.id.0)).await.assert_status(200);
        }
        "filter" => {
            let body = json!({"user__username": name, "expected_count": 1});
            admin.post_json(&format!("{SESSIONS}revoke/"), &body).await.assert_status(200);
        }
        "expired" => {
            let (now, id) = (app.app.clock.now().0, row.id.0);
            let sql = format!("UPDATE session_rows SET expires_at = {now}, absolute_expires_at = {now} WHERE user_id = {id}");
            app.db.run(&sql).await;
            // Another node may write a use of it for some seconds.
            app.advance(Duration::from_secs(6));
            sweep::run(&app.app, By::System).await.unwrap();
        }
        "very many" => {
            assert_eq!(app.record_ends_of(row.id.0, 100).await, 1);
            assert_eq!(run(app).await, 0, "until it is moved, the pending end is the debt");
            app.move_pending().await;
        }
        "password" => users::set_password(&app.app, By::Cli, &row, PASSWORD.into()).await.unwrap(),
        "deactivated" => users::set_active(&app.app, By::Cli, &row, false).await.unwrap(),
        "removed" => users::remove(&app.app, By::Cli, &row).await.unwrap(),
        "erased" => drop(privacy::erase(&app.app, By::Cli, name).await.unwrap()),
        "apply now" => {
            allow(app, "nobody", true).await;
            allow(app, "signed_in", false).await;
        }
        "refused refresh" => {
            allow(app, "nobody", false).await;
            wiki.refresh(&open.refresh).await.assert_status(400);
            allow(app, "signed_in", false).await;
        }
        "refresh token in two hands" => {
            wiki.refresh(&open.refresh).await.assert_status(200);
            app.advance(Duration::from_secs(31));
            wiki.refresh(&open.refresh).await.assert_status(400);
        }
        "code in two hands" => drop(wiki.redeem(&open.code).await.assert_status(400)),
        "client" => change(app, ApplicationChange { client: Some(None), ..ApplicationChange::default() }).await,
        "import" => drop(app.import_bytes(format!("{}\n", seed::user(1, "carol")), true).await.unwrap()),
        other => panic!("{other}"),
    }
}

db_test!(each_way_of_ending_a_session_owes_a_notice, |db| async move {
    let (app, told) = (world(db).await, Told::start().await);
    let wiki = told_app(&app, "wiki", &told, json!({"notice_names": "sid"})).await;
    for (nth, way) in [
        "sign-out",
        "the app in it",
        "the app in it, by the API",
        "API",
        "bulk delete",
        "filter",
        "expired",
        "very many",
        "password",
        "deactivated",
        "removed",
        "erased",
        "apply now",
        "refused refresh",
        "refresh token in two hands",
        "code in two hands",
        "client",
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("user-{nth}");
        app.user(&name).await;
        let open = open(&wiki, &name).await;
        assert_eq!(run(&app).await, 0, "{way}: nothing is owed before it");
        end_by(&app, &wiki, &open, way, &name).await;
        assert_eq!(run(&app).await, 1, "{way}");
        let form = told.sent().remove(0);
        // The keys of an application stay, whatever becomes of its client.
        assert_eq!(claims(&wiki, &form).await["sid"], open.session, "{way}");
        assert_eq!(app.number("SELECT count(*) FROM logout_notices WHERE owed_at = 0").await, 0, "{way}");
    }
    assert_eq!(app.number("SELECT count(*) FROM logout_notices WHERE state <> 'delivered'").await, 0);
    assert_eq!(app.number("SELECT count(*) FROM logout_notices WHERE sub <> ''").await, 0);
});

db_test!(an_import_that_replaces_everything_owes_notices, |db| async move {
    let (app, told) = (world(db).await, Told::start().await);
    app.user("alice").await;
    let wiki = told_app(&app, "wiki", &told, json!({})).await;
    let open = open(&wiki, "alice").await;
    let shop = json!({"kind": "application", "slug": "shop", "name": "Shop", "access": {"allow": "signed_in"}});
    let lines = format!("{}\n{shop}\n", seed::user(1, "carol"));
    app.import_bytes(lines, true).await.unwrap();
    assert_eq!(app.number("SELECT count(*) FROM applications WHERE slug = 'wiki'").await, 0);
    assert_eq!(run(&app).await, 1, "the client is gone, and is told");
    assert!(told.sent()[0].starts_with("logout_token="));
    let rows = rows(&app, "wiki").await;
    assert_eq!((rows.len(), rows[0].session.to_string()), (1, open.session), "it is found by the slug that it had");
});

db_test!(an_app_that_is_removed_is_told, |db| async move {
    let (app, told) = (world(db).await, Told::start().await);
    app.user("alice").await;
    let wiki = told_app(&app, "wiki", &told, json!({})).await;
    open(&wiki, "alice").await;
    applications::remove(&app.app, By::Cli, "wiki").await.unwrap();
    assert_eq!((run(&app).await, told.count()), (1, 1));
});

db_test!(taking_back_consent_and_signing_out_from_the_app_owe_a_notice, |db| async move {
    let (app, told) = (world(db).await, Told::start().await);
    app.user("alice").await;
    let wiki = told_app(&app, "wiki", &told, json!({"consent": "once"})).await;
    let browser = Browser::new(&app);
    browser.sign_in("alice").await;
    let (page, question) = asked(&wiki, &browser, &[]).await;
    let code = sent(&browser, &answer(&browser, &page, &question, "allow").await).await["code"].clone();
    wiki.redeem(&code).await.assert_status(200);
    let apps = browser.send("GET", HOME, "/apps", &PAGE).await;
    browser.post(HOME, "/apps/withdraw", &format!("proof={}&app=wiki", apps.proof())).await.assert_status(303);
    assert_eq!((run(&app).await, told.count()), (1, 1));

    let shop = told_app(&app, "shop", &told, json!({})).await;
    let hint = shop.tokens(&browser).await["id_token"].as_str().unwrap().to_owned();
    browser.send("GET", HOME, &format!("/application/o/shop/end-session/?id_token_hint={hint}"), &PAGE).await;
    assert_eq!((run(&app).await, told.count()), (1, 2), "the app that asked is told, too");
});

db_test!(a_session_that_makes_room_owes_a_notice, |db| async move {
    let limit = [("SESSIONS__MAX_PER_USER", "1"), ("SESSIONS__AT_LIMIT", "end_oldest")];
    let settings = [&[("OUTBOUND__ALLOW", "127.0.0.0/8")], &limit[..]].concat();
    let (app, told) = (server_with(db, &settings).await, Told::start().await);
    app.seed_keys().await;
    app.user("alice").await;
    let wiki = told_app(&app, "wiki", &told, json!({})).await;
    let first = opened(&wiki, "alice").await;
    app.advance(Duration::from_secs(60));
    opened(&wiki, "alice").await;
    assert_eq!(app.ending(&first).await.unwrap().0, "limit_reached");
    assert_eq!((run(&app).await, told.count()), (1, 1));
});

db_test!(an_app_that_is_told_nothing_is_owed_nothing, |db| async move {
    let (app, told) = (world(db).await, Told::start().await);
    app.user("alice").await;
    let wiki = register(&app, "wiki", json!({})).await;
    let shop = told_app(&app, "shop", &told, json!({})).await;
    let guarded = app.app.store.applications().await.unwrap().by_slug("shop").unwrap().clone();
    let one = opened(&wiki, "alice").await;
    // An app session that the client never opened: a guard did.
    crate::applications::open(&app, &one, &guarded, "shop.example").await.unwrap();
    end(&app, &one).await;
    assert_eq!((run(&app).await, told.count()), (0, 0));
    // A code that nobody redeemed, and tokens that an app takes back by itself.
    let browser = Browser::of(&app, "alice").await;
    shop.code(&browser, &[]).await;
    let tokens = shop.tokens(&browser).await;
    let refresh = tokens["refresh_token"].as_str().unwrap();
    shop.call("/application/o/revoke/", &[("token", refresh)]).await.assert_status(200);
    assert_eq!((run(&app).await, app.number("SELECT count(*) FROM app_sessions").await), (0, 1), "its app session goes on");
});

//! The pages of a user's own account, without a browser.

use std::time::Duration;

use rollcall::actions::by::By;
use rollcall::actions::people::{account, privacy, users};
use rollcall::domain::PlainSecret;
use rollcall::domain::caller::Actor;
use rollcall::domain::user::TokenIntent;
use rollcall::store::sessions::rows::LiveSession;
use serde_json::json;

use crate::support::app::{Browser, PASSWORD, sign_in_as};
use crate::support::{TestApp, seed};
use crate::ui::form::{form, send, with};

const ELEVEN_MINUTES: Duration = Duration::from_secs(660);

/// The form of the account page: it is not the last one on the page.
async fn account_form(browser: &Browser) -> Vec<(String, String)> {
    let text = browser.get("/account").await.assert_status(200).text();
    let part = text.split("action=\"/account\"").nth(1).expect("the form is there").split("</form>").next().unwrap();
    crate::ui::form::fields(&format!("<form {part}"))
}

/// The session of a browser, as actions take it.
async fn live(app: &TestApp, browser: &Browser) -> LiveSession {
    let key = PlainSecret::from_text(browser.cookie("rollcall_session").expect("a session"));
    app.app.store.read().find_live_session(key.hash(), app.app.clock.now()).await.unwrap().expect("it is live")
}

db_test!(users_change_their_own_name_and_address, |db| async move {
    let app = TestApp::new(db).await;
    let (alice, bob) = (app.user_with_password("alice").await, app.user("bob").await);
    app.db.run("UPDATE users SET email = 'bob@example.com', email_key = 'bob@example.com' WHERE username = 'bob'").await;
    let (browser, bobs) = (alice.session().await, bob.session().await);
    let as_it_is = account_form(&browser).await;
    assert_eq!(send(&browser, "/account", &as_it_is).await.redirects_to(), "/account?done=saved");
    assert_eq!(app.count_events("user_changed").await, 0, "sent as it is, it changes nothing");

    let name = "Zoë \"Z\" <Müller> アリス 🦀";
    let named = with(account_form(&browser).await, "name", name);
    send(&browser, "/account", &with(named, "email", "alice@example.com")).await.assert_status(303);
    let text = browser.get("/account?done=saved").await.assert_status(200).text();
    for shown in [
        "Zoë &#34;Z&#34; &#60;Müller&#62; アリス 🦀",
        "alice@example.com",
        "It is not verified",
        "Your account is saved.",
        "alice changed their own account: email, name",
    ] {
        assert!(text.contains(shown), "{shown} in {text}");
    }
    let event = &app.latest("user_changed").await[0];
    assert_eq!(event.content.to_json()["changes"]["email"], json!({"before": "", "after": "alice@example.com"}));

    for (field, value, status, says) in [
        ("email", "nonsense", 422, "not an e-mail address"),
        ("email", "BOB@example.com", 409, "there is a user with this e-mail address already"),
        ("name", "a\u{0}b", 422, "Sorry"),
        ("version", "x", 403, "A part of this form did not arrive"),
        ("proof", "x", 403, "could not be accepted"),
    ] {
        let wrong = with(account_form(&browser).await, field, value);
        let answer = send(&browser, "/account", &wrong).await.assert_status(status).text();
        assert!(answer.contains(says), "{field}={value}: {answer}");
    }
    // Two windows: the second one is told, and keeps what was typed.
    let (one, two) = (account_form(&browser).await, account_form(&browser).await);
    send(&browser, "/account", &with(one, "name", "One")).await.assert_status(303);
    let told = send(&browser, "/account", &with(two, "name", "Two")).await.assert_status(409).text();
    assert!(told.contains("Your account changed since you opened the form") && told.contains("value=\"Two\""), "{told}");
    assert!(told.contains("is now “One”. You wrote “Two”, which is below."), "{told}");
    let profile = app.app.store.read().find_profile(alice.id).await.unwrap().unwrap();
    assert_eq!((profile.user.name.as_str(), profile.is_email_verified), ("One", false));
    assert_eq!(app.count_events("user_changed").await, 2);
    // What the form does not have stays, whatever is sent.
    let mut more = account_form(&bobs).await;
    more.extend([("superuser".into(), "yes".into()), ("username".into(), "root".into()), ("type".into(), "external".into())]);
    send(&bobs, "/account", &more).await.assert_status(303);
    let bob = app.app.store.read().find_profile(bob.id).await.unwrap().unwrap();
    assert!(!bob.user.is_superuser && bob.user.username == "bob" && bob.kind.as_str() == "internal");
});

db_test!(another_address_needs_a_fresh_proof_and_is_saved_after_it, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user_with_password("alice").await;
    let browser = alice.session().await;
    app.advance(ELEVEN_MINUTES);
    let named = with(account_form(&browser).await, "name", "Alice");
    send(&browser, "/account", &named).await.assert_status(303);
    let moved = with(account_form(&browser).await, "email", "alice@example.com");
    let asked = send(&browser, "/account", &moved).await;
    let text = asked.text();
    assert!(asked.status == 403 && text.contains("Password of"), "{} {text}", asked.status);
    let stored = || async { app.app.store.read().find_user(alice.id).await.unwrap().unwrap().email };
    assert_eq!(stored().await, "", "nothing is stored before the proof");
    let mut answer = crate::ui::form::fields(&text);
    answer = with(answer, "password", PASSWORD);
    assert_eq!(send(&browser, "/confirm", &answer).await.redirects_to(), "/account?done=saved");
    assert_eq!(stored().await, "alice@example.com");
    // The action asks for it, too: another page cannot forget it.
    app.advance(ELEVEN_MINUTES);
    let change = account::OwnChange {
        name: String::new(),
        email: "x@example.com".into(),
        expected: app.app.store.read().find_profile(alice.id).await.unwrap().unwrap().updated_at,
    };
    let session = live(&app, &browser).await;
    let refused = account::change(&app.app, &session, change, &Actor::default()).await;
    assert!(matches!(refused, Err(rollcall::actions::ActionError::Forbidden)), "{refused:?}");
    // Where the setting is off, the page has no field, and the address stays.
    let fixed = app.restarted(&[("ACCOUNT__CHANGE_EMAIL", "false")]).await;
    assert!(!fixed.config.account.change_email);
});

db_test!(where_addresses_are_the_administrators_users_cannot_change_them, |db| async move {
    let app = TestApp::with(db, &[("ACCOUNT__CHANGE_EMAIL", "false")]).await;
    let alice = app.user("alice").await;
    app.db.run("UPDATE users SET email = 'a@example.com', email_key = 'a@example.com'").await;
    let browser = alice.session().await;
    let text = browser.get("/account").await.assert_status(200).text();
    assert!(!text.contains("name=\"email\"") && text.contains("<bdi>a@example.com</bdi>. An administrator changes it."), "{text}");
    let sent = with(with(account_form(&browser).await, "email", "b@example.com"), "name", "Alice");
    send(&browser, "/account", &sent).await.assert_status(303);
    let user = app.app.store.read().find_user(alice.id).await.unwrap().unwrap();
    assert_eq!((user.name.as_str(), user.email.as_str()), ("Alice", "a@example.com"));
});

db_test!(activity_shows_ones_own_events_and_who_tried_to_get_in, |db| async move {
    let app = TestApp::with(db, &[("HTTP__TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    let (alice, root) = (app.user_with_password("alice").await, app.superuser("root").await);
    let browser = alice.session().await;
    let empty = browser.get("/account/activity?only=failed").await.assert_status(200).text();
    assert!(empty.contains("No failed attempts"), "{empty}");
    assert!(!browser.get("/account").await.text().contains("failed attempt"));
    for name in ["alice", "root"] {
        let stranger = app.anonymous().with_header("x-forwarded-for", "198.51.100.7");
        sign_in_as(&stranger, name, "wrong password", false).await;
    }
    let row = users::find(&app.app, By::Cli, "alice").await.unwrap();
    let admin = root.session_on("203.0.113.77", "").await;
    let page = admin.get(&format!("/users/{}", alice.id.0)).await;
    let fields = [("proof", page.proof()), ("password", "another fine long password".to_owned())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let from = admin.caller.with_header("x-forwarded-for", "203.0.113.77");
    from.post_form(&format!("/users/{}/password", alice.id.0), &fields).await.assert_status(303);
    let browser = alice.session().await;
    let text = browser.get("/account/activity").await.assert_status(200).text();
    for shown in ["Somebody tried to sign in as alice, and failed", "198.51.100.7", "root set alice’s password", "alice signed in"]
    {
        assert!(text.contains(shown), "{shown} in {text}");
    }
    assert!(!text.contains("as root") && !text.contains("203.0.113.77"), "nothing about others, not where an administrator was");
    let failed = browser.get("/account/activity?only=failed").await.assert_status(200).text();
    assert!(failed.contains("198.51.100.7") && !failed.contains("root set"), "{failed}");
    let text = browser.get("/account").await.text();
    assert!(text.contains("1 failed attempt in 30 days"), "{text}");
    app.advance(Duration::from_secs(31 * 86_400));
    assert!(!alice.session().await.get("/account").await.text().contains("failed attempt"), "it is long ago");
    // More than one page: each event once.
    let at = app.app.clock.now().0;
    let rows: Vec<String> = (1..=120)
        .map(|n| {
            let uuid = format!("{n:032x}");
            let (user, uuid) = if app.db.is_sqlite() {
                (format!("x'{}'", row.uuid.simple()), format!("x'{uuid}'"))
            } else {
                (format!("'{}'", row.uuid), format!("'{uuid}'"))
            };
            format!("({uuid}, {}, 'confirmed', 'alice', 'alice', '', '', '{{}}', {user})", at + n)
        })
        .collect();
    let columns = "uuid, at, kind, actor, username, ip, request_id, content, user_uuid";
    app.db.run(&format!("INSERT INTO events ({columns}) VALUES {}", rows.join(", "))).await;
    let browser = alice.session().await;
    let count = async |path: &str| browser.get(path).await.assert_status(200).text().matches("authenticated again").count();
    let counts =
        [count("/account/activity").await, count("/account/activity?page=2").await, count("/account/activity?page=3").await];
    assert_eq!(counts.iter().sum::<usize>(), 120, "{counts:?}");
    assert_eq!(browser.get("/account/activity?page=99").await.assert_status(200).status, 200);
});

db_test!(what_is_known_is_on_the_page_as_in_the_file, |db| async move {
    let app = crate::applications::server(db).await;
    let line = json!({"kind": "user", "username": "alice", "name": "Alice Äöü", "email": "alice@example.com", "path": "users/guests",
        "attributes": {"team": "red \u{1f980}"}, "groups": ["staff"]});
    app.import(&[json!({"kind": "group", "name": "staff"}), line]).await;
    let alice = app.known("alice").await;
    let bob = app.user("bob.other").await;
    let wiki = crate::applications::add(&app, "wiki", json!({"allow": "signed_in"}), "wiki.example.com").await;
    let gone = alice.session_on("198.51.100.9", "curl/8.14.1").await;
    crate::applications::open(&app, &gone.uuid, &wiki, "wiki.example.com").await.unwrap();
    gone.with_csrf().delete(&gone.url()).await.assert_status(204);
    let browser = alice.session_on("198.51.100.10", "curl/8.14.1").await;
    crate::applications::open(&app, &browser.uuid, &wiki, "wiki.example.com").await.unwrap();
    let token = alice.token_key(TokenIntent::Api, None).await;
    alice.named_token("the backup").await;
    bob.session_on("203.0.113.5", "").await;
    let text = browser.get("/account/data").await.assert_status(200).text();
    for shown in [
        "Alice Äöü",
        "alice@example.com",
        "users/guests",
        "staff",
        "red 🦀",
        "198.51.100.9",
        "198.51.100.10",
        "wiki.example.com",
        "The wiki",
        "the backup",
        "Signed in: 1",
        "Ended sessions: 1",
        "Apps that are open: 1",
        "Second factors: 0",
        "Tokens and app passwords: 2",
    ] {
        assert!(text.contains(shown), "{shown} in {text}");
    }
    for other in ["bob.other", "203.0.113.5", &token, &browser.key] {
        assert!(!text.contains(other), "{other}");
    }
    // Whatever the file has, the page has a part for.
    let export = browser.get("/my-data").await.assert_status(200).json();
    for key in export.as_object().unwrap().keys().filter(|key| *key != "exported") {
        assert!(text.contains(&format!("id=\"known-{key}\"")), "{key} is in the file and not on the page");
    }
    let user = &export["user"];
    assert_eq!((&user["attributes"]["team"], &user["path"]), (&json!("red \u{1f980}"), &json!("users/guests")));
    assert_eq!(
        (&export["apps"][0]["hosts"], &export["ended_sessions"][0]["applications"][0]["slug"]),
        (&json!(["wiki.example.com"]), &json!("wiki"))
    );
    app.advance(ELEVEN_MINUTES);
    assert_eq!(browser.get("/account/data").await.redirects_to(), "/confirm?next=/account/data");
    // Much of it stays a page.
    app.import(&(0..60).map(|n| seed::session(n, alice.id.0, json!({}))).collect::<Vec<_>>()).await;
    let text = alice.session().await.get("/account/data").await.assert_status(200).text();
    assert!(text.contains("Signed in: 62") && text.matches("title=\"Unknown device\"").count() <= 25 + 25, "{text}");
});

db_test!(a_user_asks_to_be_removed_and_administrators_decide, |db| async move {
    let app = TestApp::new(db).await;
    let (alice, root) = (app.user_with_password("alice").await, app.superuser_with_password("root").await);
    let (browser, admin) = (alice.session().await, root.session().await);
    let asked = async || browser.get("/account").await.assert_status(200).text().contains("An administrator decides");
    let question = browser.get("/account/remove").await.assert_status(200);
    assert!(question.text().contains("Ask <bdi>to be removed</bdi>?"), "{}", question.text());
    assert!(!asked().await, "the question changes nothing");
    let proof = question.proof();
    let proof = [("proof", proof.as_str())];
    for _ in 0..2 {
        assert_eq!(browser.post_form("/account/remove", &proof).await.redirects_to(), "/account?done=asked");
    }
    assert!(asked().await && app.count_events("removal_asked").await == 1, "asked twice, it is one request");
    let list = admin.get("/users?removal=asked").await.assert_status(200).text();
    assert!(list.contains("1 user<") && list.contains(">alice<") && list.contains("Asked to be removed</span>"), "{list}");
    let page = format!("/users/{}", alice.id.0);
    assert!(admin.get(&page).await.text().contains("This user asked"));
    let api = app.admin_token().await;
    let users = "/api/v3/core/users/";
    assert_eq!(api.get(&format!("{users}?rollcall_removal_asked=true")).await.json()["results"][0]["username"], "alice");
    let row = api.get(&format!("{users}{}/", alice.id.0)).await.json();
    assert_eq!(row["rollcall_removal_asked"], "2026-11-01T12:00:00Z");
    // The user takes it back, and asks again; an administrator declines.
    assert_eq!(browser.post_form("/account/keep", &proof).await.redirects_to(), "/account?done=kept");
    assert!(!asked().await);
    browser.post_form("/account/keep", &proof).await.assert_status(303);
    assert_eq!(app.count_events("removal_withdrawn").await, 1);
    browser.post_form("/account/remove", &proof).await.assert_status(303);
    let of_admin = admin.get(&page).await.proof();
    browser.post_form(&format!("{page}/keep"), &proof).await.assert_status(403);
    admin.post_form(&format!("{page}/keep"), &[("proof", &of_admin)]).await.assert_status(303);
    assert!(!asked().await && app.count_events("removal_declined").await == 1);
    assert!(browser.get("/account").await.text().contains("root declined to remove alice, who had asked for it"));
    // Erased by an administrator, nobody of that name is left, and the record goes on.
    browser.post_form("/account/remove", &proof).await.assert_status(303);
    let question = admin.get(&format!("{page}/erase")).await.assert_status(200).text();
    assert!(question.contains("Erase <bdi>alice</bdi>?") && question.contains("1 session of alice ends."), "{question}");
    browser.post_form(&format!("{page}/erase"), &proof).await.assert_status(403);
    let oneself = format!("/users/{}/erase", root.id.0);
    admin.post_form(&oneself, &[("proof", &of_admin)]).await.assert_status(403);
    assert_eq!(admin.post_form(&format!("{page}/erase"), &[("proof", &of_admin)]).await.redirects_to(), "/users");
    assert_eq!(app.number("SELECT count(*) FROM users WHERE username = 'alice'").await, 0);
    assert_eq!(app.number("SELECT count(*) FROM events WHERE username = 'alice' OR actor = 'alice'").await, 0);
    assert_eq!(browser.get("/account").await.redirects_to(), "/sign-in?next=/account");
    let by = app.latest("user_erased").await;
    assert_eq!((by.len(), by[0].actor.as_str()), (1, "root"));
    app.assert_counts().await;
});

db_test!(the_last_administrator_cannot_ask_to_be_removed, |db| async move {
    let app = TestApp::new(db).await;
    let last = app.superuser_with_password("last").await.session().await;
    let proof = last.get("/account/remove").await.proof();
    let refused = last.post_form("/account/remove", &[("proof", &proof)]).await.assert_status(409).text();
    assert!(refused.contains("An administrator must be left"), "{refused}");
    assert_eq!(app.number("SELECT count(*) FROM users WHERE removal_asked_at IS NOT NULL").await, 0);
    assert_eq!(app.count_events("removal_asked").await, 0);
    app.superuser_with_password("another").await;
    last.post_form("/account/remove", &[("proof", &proof)]).await.assert_status(303);
    assert_eq!(app.count_events("removal_asked").await, 1);
});

db_test!(an_account_is_erased_at_once_where_the_setting_says_so, |db| async move {
    let app = TestApp::with(db, &[("ACCOUNT__REMOVAL", "at_once"), ("HTTP__TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    // Somebody had the name before.
    let before = app.user("alice.zebra").await;
    before.session().await;
    let row = users::find(&app.app, By::Cli, "alice.zebra").await.unwrap();
    users::remove(&app.app, By::Cli, &row).await.unwrap();
    let of_before = app.number("SELECT count(*) FROM events WHERE username = 'alice.zebra'").await;
    let by_before = app.number("SELECT count(*) FROM events WHERE actor = 'alice.zebra'").await;
    assert!(of_before > 0 && by_before > 0);
    let (alice, root) = (app.user_with_password("alice.zebra").await, app.superuser_with_password("root").await);
    let token = alice.token().await;
    let (browser, other) = (alice.session_on("198.51.100.9", "curl/8.14.1").await, alice.session().await);
    let page = browser.get("/account").await.text();
    assert!(page.contains("Erase my account…") && !page.contains("Ask to be removed"), "{page}");
    let question = browser.get("/account/remove").await.assert_status(200);
    let text = question.text();
    for shown in ["Erase <bdi>my account</bdi>?", "1 token stops working.", "This cannot be undone."] {
        assert!(text.contains(shown), "{shown} in {text}");
    }
    let proof = question.proof();
    let proof = [("proof", proof.as_str())];
    // Without a fresh proof it is done after one.
    app.advance(ELEVEN_MINUTES);
    let asked = browser.post_form("/account/remove", &proof).await.assert_status(403).text();
    assert!(asked.contains("Password of"), "{asked}");
    assert_eq!(app.number("SELECT count(*) FROM users WHERE username = 'alice.zebra'").await, 1);
    let answer = with(crate::ui::form::fields(&asked), "password", PASSWORD);
    let gone = send(&browser, "/confirm", &answer).await.assert_status(200);
    assert!(gone.text().contains("Your account is gone"), "{}", gone.text());
    assert!(gone.set_cookie("rollcall_session").is_some_and(|cookie| cookie.contains("Max-Age=0")), "{:?}", gone.headers);
    for caller in [&browser.caller, &other.caller] {
        assert_eq!(caller.get("/sessions").await.redirects_to(), "/sign-in?next=/sessions");
    }
    token.get(crate::support::SESSIONS).await.assert_status(403);
    let own = "username = 'alice.zebra' AND user_uuid IS NOT NULL";
    assert_eq!(app.number("SELECT count(*) FROM users WHERE username = 'alice.zebra'").await, 0);
    assert_eq!(app.number(&format!("SELECT count(*) FROM events WHERE {own}")).await, of_before, "another's history stays");
    assert_eq!(app.number("SELECT count(*) FROM ended_sessions WHERE username = 'alice.zebra'").await, 1);
    assert_eq!(app.number("SELECT count(*) FROM events WHERE actor = 'alice.zebra'").await, by_before);
    assert_eq!(app.number("SELECT count(*) FROM events WHERE ip = '198.51.100.9'").await, 0);
    let erased = app.latest("user_erased").await;
    assert_eq!((erased.len(), erased[0].text()), (1, "A user erased their own account, and what was kept of them".to_owned()));
    assert_eq!((erased[0].actor_uuid, erased[0].user_uuid, erased[0].ip.as_str()), (None, None, ""));
    app.assert_counts().await;
    // The last administrator does not go this way either.
    let root = root.session().await;
    let proof = root.get("/account/remove").await.proof();
    let refused = root.post_form("/account/remove", &[("proof", &proof)]).await.assert_status(409).text();
    assert!(refused.contains("An administrator must be left"), "{refused}");
    assert_eq!(app.number("SELECT count(*) FROM users WHERE username = 'root'").await, 1);
    root.get("/account").await.assert_status(200);
});

db_test!(where_it_is_off_nobody_asks, |db| async move {
    let app = TestApp::with(db, &[("ACCOUNT__REMOVAL", "off")]).await;
    let browser = app.user("alice").await.session().await;
    let page = browser.get("/account").await.assert_status(200);
    assert!(!page.text().contains("/account/remove"), "{}", page.text());
    browser.get("/account/remove").await.assert_status(404);
    browser.post_form("/account/remove", &[("proof", &page.proof())]).await.assert_status(404);
    assert_eq!(app.number("SELECT count(*) FROM users WHERE removal_asked_at IS NOT NULL").await, 0);
    let session = live(&app, &browser).await;
    let erased = privacy::erase_own(&app.app, &session).await;
    assert!(matches!(erased, Err(rollcall::actions::ActionError::Forbidden)), "{erased:?}");
});

db_test!(everybody_has_the_page_and_nobody_without_a_session, |db| async move {
    let app = TestApp::new(db).await;
    for path in ["/account", "/account/activity", "/account/data", "/account/remove", "/apps/passwords"] {
        assert_eq!(app.anonymous().get(path).await.redirects_to(), format!("/sign-in?next={path}"));
        for user in [app.user(&format!("plain {path}")).await, app.auditor(&format!("auditor {path}")).await] {
            user.session().await.get(path).await.assert_status(200);
        }
    }
    let browser = app.user("דוד \u{5d0}").await.session().await;
    let text = browser.get("/sessions").await.text();
    assert!(text.contains("<a href=\"/account\""), "the name in the bar leads to it: {text}");
    let text = browser.get("/account").await.text();
    assert!(text.contains("aria-current=\"page\"><strong><bdi>דוד"), "{text}");
    assert_eq!(form(&browser, "/account/remove").await.len(), 1, "the proof");
});

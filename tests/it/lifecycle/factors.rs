//! Second factors: adding them, signing in with them, codes that work once, and what a change ends.

use std::time::Duration;

use futures_util::future::join_all;
use rollcall::actions::by::By;
use rollcall::actions::policies;
use rollcall::actions::sign_in;
use rollcall::actions::sign_in::Proved;
use rollcall::actions::sign_in::factors;
use rollcall::actions::sign_in::factors::Checked;
use rollcall::actions::sign_in::proof;
use rollcall::domain::caller::Actor;
use rollcall::domain::policy::Policy;
use rollcall::domain::user::TokenIntent;
use rollcall::domain::{Address, Methods, PlainSecret, totp};
use rollcall::store::people::policies::PolicyOwner;
use serde_json::{Value, json};

use crate::support::app::{PASSWORD, TestUser, sign_in_as};
use crate::support::authenticator::Authenticator;
use crate::support::{Answer, Caller, SESSIONS, SIGN_IN_FLOW, TestApp};

pub(super) const STEP: Duration = Duration::from_secs(30);
const WRONG: &str = "wrong code wrong code";

/// An authenticator app, and the recovery codes that came with it.
pub(super) struct Phone {
    app: Authenticator,
    pub(super) codes: Vec<String>,
}

impl Phone {
    /// What it shows now.
    pub(super) fn code(&self, app: &TestApp) -> String {
        self.code_at(app, 0)
    }

    /// The code that it shows `drift` steps later.
    fn code_at(&self, app: &TestApp, drift: i64) -> String {
        self.app.code(app.app.clock.now(), drift)
    }
}

/// The text between two others.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    text.split_once(before).and_then(|(_, rest)| rest.split_once(after)).unwrap_or_else(|| panic!("{before}: {text}")).0
}

/// Sends a form of the page at `path`.
async fn submit(caller: &Caller, page: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    let proof = caller.get(page).await.assert_status(200).proof();
    caller.post_form(path, &[&[("proof", proof.as_str())], fields].concat()).await
}

/// Adds an authenticator app in the pages, to somebody who is signed in and proved it lately.
async fn add_app(app: &TestApp, caller: &Caller, name: &str) -> Phone {
    let begun = submit(caller, "/security", "/security/totp", &[("name", name)]).await;
    let path = begun.redirects_to().to_owned();
    let page = caller.get(&path).await.assert_status(200).text();
    // The address has a port here, and the colon before it would be taken for the label's own.
    let link = between(&page, "href=\"otpauth://totp/", "\"");
    assert!(page.contains("<svg") && link.starts_with("Rollcall") && !link.contains("%3A"), "{link}");
    assert_eq!(link.matches(':').count(), 1, "{link}");
    let key = between(&page, "<code id=\"key\">", "</code>");
    let mut authenticator = Phone { app: Authenticator::from_key(key), codes: Vec::new() };
    let code = authenticator.code(app);
    let added = submit(caller, &path, &path, &[("code", &code)]).await;
    if added.status == 200 {
        let text = added.text();
        authenticator.codes = text.split("<li><code>").skip(1).map(|part| part.split('<').next().unwrap().to_owned()).collect();
    } else {
        assert_eq!(added.redirects_to(), "/security");
    }
    caller.get(&path).await.assert_status(404);
    app.advance(STEP);
    authenticator
}

/// Somebody with an authenticator app, and the browser that they added it in.
pub(super) async fn with_app<'a>(app: &'a TestApp, name: &str) -> (TestUser<'a>, Caller, Phone) {
    let user = app.user_with_password(name).await;
    let caller = user.sign_in().await;
    let authenticator = add_app(app, &caller, "My phone").await;
    (user, caller, authenticator)
}

/// Gives the password by the page.
pub(super) async fn give_password(caller: &Caller, name: &str) -> Answer {
    submit(caller, "/sign-in", "/sign-in", &[("uid", name), ("password", PASSWORD), ("next", "/sessions")]).await
}

/// Answers the second step that is shown.
pub(super) async fn give_code(caller: &Caller, shown: &Answer, code: &str) -> Answer {
    let text = shown.text();
    let ticket = between(&text, "name=\"ticket\" value=\"", "\"");
    let fields = [("proof", &*shown.proof()), ("ticket", ticket), ("code", code), ("next", "/sessions")];
    caller.post_form("/sign-in/factor", &fields).await
}

fn is_signed_in(answer: &Answer) -> bool {
    answer.set_cookie("rollcall_session").is_some()
}

/// How the latest session was proved.
async fn methods(app: &TestApp) -> String {
    let sql = "SELECT methods FROM sessions ORDER BY created_at DESC, id DESC LIMIT 1";
    app.app.store.read().one::<String>(sql, &[]).await.unwrap().unwrap()
}

db_test!(an_app_is_added_and_signs_in, |db| async move {
    let app = TestApp::new(db).await;
    let user = app.user_with_password("alice").await;
    let (alice, elsewhere) = (user.sign_in().await, user.session().await);
    let old = alice.cookie("rollcall_session").unwrap();
    assert!(alice.get("/security").await.text().contains("None yet"));
    let phone = add_app(&app, &alice, "  Zoë’s 📱 ").await;
    assert_eq!(phone.codes.len(), 10);
    assert_ne!(alice.cookie("rollcall_session").unwrap(), old, "the session has a new key");
    assert_eq!(methods(&app).await, "pwd otp mfa");
    assert_eq!(app.ending(&elsewhere.uuid).await, Some(("factors_changed".into(), "alice".into())));
    let page = alice.get("/security").await.assert_status(200).text();
    assert!(page.contains("Zoë’s 📱") && page.contains("10 are left"), "{page}");
    assert!(!page.contains(&totp::base32(&phone.app.seed)), "it is shown until it is confirmed");

    let laptop = app.anonymous();
    let shown = give_password(&laptop, "alice").await.assert_status(200);
    assert!(!is_signed_in(&shown) && shown.text().contains("One more step"));
    let wrong = give_code(&laptop, &shown, "000000").await.assert_status(422);
    assert!(!is_signed_in(&wrong) && wrong.text().contains("role=\"alert\""));
    let right = give_code(&laptop, &wrong, &phone.code(&app)).await;
    assert_eq!(right.redirects_to(), "/sessions");
    assert_eq!(methods(&app).await, "pwd otp mfa");
    let uuid = laptop.get(SESSIONS).await.uuids()[0].clone();
    assert!(laptop.get(&format!("/sessions/{uuid}")).await.text().contains("with password and one-time code"));
    // A recovery code does, too, however it is typed. Each answer uses its step up.
    let tablet = app.anonymous();
    let shown = give_password(&tablet, "alice").await;
    let typed = phone.codes[3].to_uppercase().replace('-', " ");
    let wrong = give_code(&tablet, &shown, "000000").await;
    let stale = give_code(&tablet, &shown, &typed).await.assert_status(403);
    assert!(!is_signed_in(&stale) && stale.text().contains("took too long"));
    assert_eq!(give_code(&tablet, &wrong, &typed).await.redirects_to(), "/sessions");
    let other = app.anonymous();
    let shown = give_password(&other, "alice").await;
    assert!(!is_signed_in(&give_code(&other, &shown, &phone.codes[3]).await), "once each");
    assert!(laptop.get("/security").await.text().contains("9 are left"));
    let kinds = ["factor_added", "recovery_code_used", "factor_failed"];
    for (kind, count) in kinds.iter().zip([1, 1, 3]) {
        assert_eq!(app.count_events(kind).await, count, "{kind}");
    }
});

db_test!(a_password_alone_starts_no_session_anywhere, |db| async move {
    let app = TestApp::new(db).await;
    let (alice, _browser, phone) = with_app(&app, "alice").await;
    let count = app.number("SELECT count(*) FROM sessions").await;
    assert!(!is_signed_in(&give_password(&app.anonymous(), "alice").await));
    let caller = app.anonymous();
    let answer = sign_in_as(&caller, "alice", PASSWORD, true).await;
    assert_eq!(answer.json()["component"], "ak-stage-authenticator-validate");
    // Nor by what comes later in the conversation.
    let later = caller.post_json(SIGN_IN_FLOW, &json!({"component": "ak-stage-user-login", "remember_me": true})).await;
    assert!(!is_signed_in(&later) && later.json()["component"] == "ak-stage-authenticator-validate");
    // A link that sets the password replaces the password, not the second factor.
    let link = format!("/set-up/{}", alice.token_key(TokenIntent::Recovery, Some(Duration::from_secs(60))).await);
    let visitor = app.anonymous();
    let set = submit(&visitor, &link, &link, &[("password", "another long password"), ("again", "another long password")]).await;
    assert!(!is_signed_in(&set.clone().assert_status(200)));
    assert_eq!(give_code(&visitor, &set, &phone.code(&app)).await.redirects_to(), "/sessions");
    assert!(count > 0 && app.count_events("sign_in").await == 2, "alice’s first one, and this one");
    // The action itself starts no session, whichever page or flow calls it.
    let row = app.app.store.read().find_user(alice.id).await.unwrap().unwrap();
    let client =
        rollcall::domain::caller::Client { ip: rollcall::domain::Address::parse("192.0.2.1").unwrap(), user_agent: String::new() };
    let refused = sign_in::start_session(&app.app, row, &client, false, Vec::new(), &Actor::default()).await;
    assert!(matches!(refused, Err(rollcall::actions::ActionError::FactorNeeded)), "{refused:?}");
});

/// A hundred second steps at once, each after a password of its own, with one code. Returns how
/// many signed in.
async fn race(app: &TestApp, user: &TestUser<'_>, code: &str) -> usize {
    let row = app.app.store.read().find_user(user.id).await.unwrap().unwrap();
    let callers: Vec<Caller> = (0..100).map(|_| app.anonymous()).collect();
    let tries = callers.iter().map(|caller| (caller, Proved::by_password(row.clone()))).map(async |(caller, proved)| {
        let ticket = proof::remember(&app.app, &proved).await.unwrap();
        let proof = caller.get("/sign-in").await.proof();
        let fields = [("proof", proof.as_str()), ("ticket", ticket.expose()), ("code", code), ("next", "/sessions")];
        caller.post_form("/sign-in/factor", &fields).await
    });
    let answers = join_all(tries).await;
    assert!(answers.iter().all(|answer| matches!(answer.status, 303 | 422)), "nothing else happens");
    answers.iter().filter(|answer| is_signed_in(answer)).count()
}

db_test!(of_a_hundred_uses_of_one_code_one_succeeds, |db| async move {
    let app = TestApp::new(db).await;
    let (alice, _browser, phone) = with_app(&app, "alice").await;
    let before = app.number("SELECT count(*) FROM sessions").await;
    assert_eq!(race(&app, &alice, &phone.code(&app)).await, 1, "of an app");
    app.advance(Duration::from_secs(3600));
    assert_eq!(race(&app, &alice, &phone.codes[0]).await, 1, "for recovery");
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, before + 2);
    assert_eq!(app.number("SELECT count(*) FROM recovery_codes").await, 9);
});

db_test!(codes_of_now_count_and_never_twice, |db| async move {
    let app = TestApp::new(db).await;
    let (alice, _browser, phone) = with_app(&app, "alice").await;
    let row = app.app.store.read().find_user(alice.id).await.unwrap().unwrap();
    let check = async |code: &str| factors::check_code(&app.app, &row, code, None, &Actor::default()).await.unwrap();
    for (drift, is_taken) in [(-3, false), (-2, false), (2, false), (3, false), (-1, true), (0, true), (1, true)] {
        // Each time far from what was used before.
        app.advance(Duration::from_secs(7200));
        let taken = matches!(check(&phone.code_at(&app, drift)).await, Checked::Right(_));
        assert_eq!(taken, is_taken, "{drift}");
    }
    // One that comes before a used one is as good as used.
    app.advance(Duration::from_secs(7200));
    let earlier = phone.code_at(&app, 0);
    assert!(matches!(check(&phone.code_at(&app, 1)).await, Checked::Right(_)));
    assert_eq!(check(&earlier).await, Checked::Wrong);
    for nonsense in ["", "12345", "1234567", WRONG, "\0", "12345½", &"9".repeat(5000)] {
        app.advance(Duration::from_secs(7200));
        assert_eq!(check(nonsense).await, Checked::Wrong, "{nonsense:.20}");
    }
});

db_test!(wrong_codes_are_counted_and_cost_time, |db| async move {
    let app = TestApp::new(db).await;
    let (alice, browser, phone) = with_app(&app, "alice").await;
    let row = app.app.store.read().find_user(alice.id).await.unwrap().unwrap();
    let check = async |code: &str| factors::check_code(&app.app, &row, code, None, &Actor::default()).await.unwrap();
    let answers = join_all((0..200).map(|_| check(WRONG))).await;
    assert_eq!(answers.iter().filter(|answer| **answer == Checked::Wrong).count(), 5, "of 200 at once");
    assert_eq!(app.count_events("factor_failed").await, 5);
    assert!(matches!(check(&phone.code(&app)).await, Checked::Blocked(_)), "a right one is not looked at, either");
    // A signed-in browser stays signed in, and other users are not affected.
    browser.get("/sessions").await.assert_status(200);
    app.advance(Duration::from_secs(30));
    assert_eq!(check(WRONG).await, Checked::Wrong);
    app.advance(Duration::from_secs(59));
    assert!(matches!(check(&phone.code(&app)).await, Checked::Blocked(_)), "the next one costs more");
    app.advance(Duration::from_secs(1));
    assert!(matches!(check(&phone.code(&app)).await, Checked::Right(_)));
    assert_eq!(check(WRONG).await, Checked::Wrong, "a right one starts the count anew");
});

db_test!(wrong_codes_lock_nobody_out_of_a_known_browser, |db| async move {
    let app = TestApp::new(db).await;
    let (alice, browser, phone) = with_app(&app, "alice").await;
    let row = app.app.store.read().find_user(alice.id).await.unwrap().unwrap();
    let device = |browser: &Caller| Some(PlainSecret::from_text(browser.cookie("rollcall_device").unwrap()).hash());
    let before = device(&browser);
    let check = async |code: &str, device| factors::check_code(&app.app, &row, code, device, &Actor::default()).await.unwrap();
    // A browser that both are proved in.
    submit(&browser, "/sign-out", "/sign-out", &[]).await.assert_status(303);
    let shown = give_password(&browser, "alice").await;
    assert!(is_signed_in(&give_code(&browser, &shown, &phone.code(&app)).await));
    let device = device(&browser);
    app.advance(STEP);
    // Who has the password, made a secret up, or was in before there was a second factor.
    let made_up = Some(PlainSecret::from_text("made up").hash());
    assert!(before.is_some() && before != device);
    for device in [None, made_up, before] {
        join_all((0..20).map(|_| check(WRONG, device))).await;
        assert!(matches!(check(&phone.code(&app), device).await, Checked::Blocked(_)));
    }
    app.advance(STEP);
    submit(&browser, "/sign-out", "/sign-out", &[]).await.assert_status(303);
    let shown = give_password(&browser, "alice").await;
    assert!(is_signed_in(&give_code(&browser, &shown, &phone.code(&app)).await));
    // That gave strangers nothing back: theirs was the sixth wrong one.
    assert_eq!(check(WRONG, None).await, Checked::Wrong);
    app.advance(Duration::from_secs(59));
    assert!(matches!(check(&phone.code(&app), None).await, Checked::Blocked(_)));
    // The browser's own limit.
    let answers = join_all((0..200).map(|_| check(WRONG, device))).await;
    assert_eq!(answers.iter().filter(|answer| **answer == Checked::Wrong).count(), 10, "of 200 at once");
    assert!(matches!(check(&phone.code(&app), device).await, Checked::Blocked(_)));
    app.advance(Duration::from_secs(90));
    assert!(matches!(check(&phone.code(&app), device).await, Checked::Right(_)));
});

db_test!(codes_take_from_the_address_and_in_all, |db| async move {
    let settings = [("SIGN_IN__ADDRESS_LIMIT", "3/1h"), ("SIGN_IN__INSTANCE_LIMIT", "4/1h")];
    let app = TestApp::with(db, &settings).await;
    let (alice, _browser, phone) = with_app(&app, "alice").await;
    let row = app.app.store.read().find_user(alice.id).await.unwrap().unwrap();
    let check = async |code: String, ip: &str| {
        let actor = Actor { ip: Address::parse(ip), ..Actor::default() };
        factors::check_code(&app.app, &row, &code, None, &actor).await.unwrap()
    };
    // Right ones take nothing.
    for _ in 0..5 {
        app.advance(STEP);
        assert!(matches!(check(phone.code(&app), "192.0.2.1").await, Checked::Right(_)));
    }
    for _ in 0..3 {
        assert_eq!(check(WRONG.into(), "192.0.2.1").await, Checked::Wrong);
    }
    app.advance(STEP);
    assert!(matches!(check(phone.code(&app), "192.0.2.1").await, Checked::Blocked(_)), "from that address");
    assert_eq!(check(WRONG.into(), "192.0.2.2").await, Checked::Wrong);
    assert!(matches!(check(phone.code(&app), "192.0.2.3").await, Checked::Blocked(_)), "from anywhere");
});

db_test!(a_session_guesses_at_codes_as_at_passwords, |db| async move {
    let app = TestApp::new(db).await;
    let (_alice, browser, phone) = with_app(&app, "alice").await;
    app.advance(Duration::from_secs(11 * 60));
    let guess = async |code: &str| submit(&browser, "/confirm", "/confirm", &[("password", PASSWORD), ("code", code)]).await.status;
    for _ in 0..10 {
        assert_eq!(guess("000000").await, 200);
    }
    assert_eq!(guess(&phone.code(&app)).await, 429);
    app.advance(Duration::from_secs(90));
    assert_eq!(guess(&phone.code(&app)).await, 303);
});

db_test!(the_flow_asks_for_the_second_factor, |db| async move {
    let app = TestApp::new(db).await;
    let (_alice, _browser, phone) = with_app(&app, "alice").await;
    let answer = async |caller: &Caller, fields: Value| caller.post_json(SIGN_IN_FLOW, &fields).await.assert_status(200);
    let stage = "ak-stage-authenticator-validate";
    let caller = app.anonymous();
    let challenge = sign_in_as(&caller, "alice", PASSWORD, false).await.json();
    assert_eq!((&challenge["component"], &challenge["pending_user"]), (&json!(stage), &json!("alice")));
    let devices = challenge["device_challenges"].as_array().unwrap();
    let classes: Vec<&Value> = devices.iter().map(|device| &device["device_class"]).collect();
    assert_eq!(classes, ["totp", "static"]);
    assert!(devices.iter().all(|device| device["device_uid"].is_string() && device["challenge"] == json!({})));
    assert_eq!(caller.get(SIGN_IN_FLOW).await.json(), challenge, "GET gives the challenge that waits");
    for wrong in [json!({"component": stage}), json!({"component": stage, "code": 123}), json!({"component": stage, "code": " "})] {
        let said = answer(&caller, wrong).await.json();
        assert_eq!(said["response_errors"]["code"][0]["string"], "This field is required.");
    }
    let wrong = answer(&caller, json!({"component": stage, "code": "000000"})).await.json();
    assert_eq!(wrong["response_errors"], json!({"code": [{"string": "Invalid code", "code": "invalid"}]}));
    let next = answer(&caller, json!({"component": stage, "code": phone.code(&app)})).await;
    assert!(!is_signed_in(&next) && next.json()["component"] == "ak-stage-user-login");
    let last = answer(&caller, json!({"component": "ak-stage-user-login", "remember_me": true})).await;
    assert!(is_signed_in(&last) && last.json()["component"] == "xak-flow-redirect");
    assert_eq!(methods(&app).await, "pwd otp mfa");
    // A recovery code; and too many wrong ones.
    let other = app.anonymous();
    sign_in_as(&other, "alice", PASSWORD, false).await;
    let next = answer(&other, json!({"component": stage, "code": phone.codes[9]})).await.json();
    assert_eq!(next["component"], "ak-stage-user-login");
    let third = app.anonymous();
    sign_in_as(&third, "alice", PASSWORD, false).await;
    for _ in 0..4 {
        assert_eq!(answer(&third, json!({"component": stage, "code": "000000"})).await.json()["component"], stage);
    }
    let denied = answer(&third, json!({"component": stage, "code": "000000"})).await.json();
    assert_eq!(denied["component"], "ak-stage-access-denied");
});

db_test!(a_fresh_proof_takes_the_second_factor_too, |db| async move {
    let app = TestApp::new(db).await;
    let (_alice, browser, phone) = with_app(&app, "alice").await;
    app.advance(Duration::from_secs(11 * 60));
    let refused = browser.get("/security/totp/00000000-0000-4000-8000-000000000000").await;
    assert_eq!(refused.redirects_to(), "/confirm?next=/security");
    let old = browser.cookie("rollcall_session").unwrap();
    for (password, code) in [(PASSWORD, ""), (PASSWORD, "000000"), ("wrong", &*phone.code(&app))] {
        let answer = submit(&browser, "/confirm", "/confirm", &[("password", password), ("code", code)]).await;
        assert!(!is_signed_in(&answer.assert_status(200)), "{password} {code}");
    }
    assert_eq!(browser.get("/password").await.redirects_to(), "/confirm?next=/password");
    let right = submit(&browser, "/confirm", "/confirm", &[("password", PASSWORD), ("code", &phone.code(&app))]).await;
    assert!(right.status == 303 && browser.cookie("rollcall_session").unwrap() != old);
    browser.get("/password").await.assert_status(200);
});

db_test!(a_change_ends_what_was_proved_before, |db| async move {
    let app = TestApp::new(db).await;
    let (alice, browser, phone) = with_app(&app, "alice").await;
    let elsewhere = app.anonymous();
    let shown = give_password(&elsewhere, "alice").await;
    assert!(is_signed_in(&give_code(&elsewhere, &shown, &phone.code(&app)).await));
    // A second one ends nothing, and the codes stay.
    let second = add_app(&app, &browser, "").await;
    assert!(second.codes.is_empty());
    elsewhere.get("/sessions").await.assert_status(200);
    // New codes: the old ones are no more.
    let renewed = submit(&browser, "/security", "/security/codes", &[]).await.assert_status(200);
    assert_eq!(renewed.text().matches("<li><code>").count(), 10);
    assert_eq!(elsewhere.get("/sessions").await.redirects_to(), "/sign-in?next=/sessions");
    let check = async |code: &str| {
        let row = app.app.store.read().find_user(alice.id).await.unwrap().unwrap();
        factors::check_code(&app.app, &row, code, None, &Actor::default()).await.unwrap()
    };
    assert_eq!(check(&phone.codes[0]).await, Checked::Wrong);
    // Names, and what is somebody else's.
    let ids: Vec<String> = {
        let rows = app.app.store.read().list_factors(alice.id).await.unwrap();
        rows.iter().map(|row| row.uuid.to_string()).collect()
    };
    let bob = app.user_with_password("bob").await.sign_in().await;
    for (path, fields) in [("name", vec![("name", "mine now")]), ("remove", vec![])] {
        submit(&bob, "/security", &format!("/security/factors/{}/{path}", ids[0]), &fields).await.assert_status(404);
    }
    let named = submit(&browser, "/security", &format!("/security/factors/{}/name", ids[0]), &[("name", "Old phone")]).await;
    assert_eq!(named.redirects_to(), "/security");
    for bad in ["", "a\nb", &"é".repeat(61)] {
        submit(&browser, "/security", &format!("/security/factors/{}/name", ids[0]), &[("name", bad)]).await.assert_status(422);
    }
    // Removing one, then the last one: what went with it.
    let other = app.anonymous();
    let shown = give_password(&other, "alice").await;
    app.advance(STEP);
    assert!(is_signed_in(&give_code(&other, &shown, &second.code(&app)).await));
    let removed = submit(&browser, "/security", &format!("/security/factors/{}/remove", ids[0]), &[]).await;
    assert_eq!(removed.redirects_to(), "/security");
    assert_eq!(other.get("/sessions").await.redirects_to(), "/sign-in?next=/sessions");
    app.advance(STEP);
    assert_eq!(check(&phone.code(&app)).await, Checked::Wrong);
    submit(&browser, "/security", &format!("/security/factors/{}/remove", ids[1]), &[]).await.redirects_to();
    assert_eq!(app.number("SELECT (SELECT count(*) FROM recovery_codes) + (SELECT count(*) FROM authenticators)").await, 0);
    assert!(is_signed_in(&give_password(&app.anonymous(), "alice").await), "the password alone again");
    assert_eq!((app.count_events("factor_added").await, app.count_events("factor_removed").await), (2, 2));
});

db_test!(an_administrator_removes_what_somebody_lost, |db| async move {
    let app = TestApp::new(db).await;
    let (alice, browser, _phone) = with_app(&app, "alice").await;
    let (root, plain) = (app.superuser("root").await.session().await, app.user("plain").await.session().await);
    let page = format!("/users/{}", alice.id.0);
    assert!(root.get(&page).await.text().contains("My phone"));
    let path = format!("{page}/remove-factors");
    submit(&plain, "/sessions", &path, &[]).await.assert_status(403);
    browser.get("/sessions").await.assert_status(200);
    assert_eq!(submit(&root, &page, &path, &[]).await.redirects_to(), page);
    assert_eq!(browser.get("/sessions").await.redirects_to(), "/sign-in?next=/sessions");
    assert!(is_signed_in(&give_password(&app.anonymous(), "alice").await));
    assert_eq!(app.count_events("factors_reset").await, 1);
    assert!(root.get(&page).await.text().contains("root removed all second factors of alice"));
});

db_test!(who_must_have_one_adds_it_before_anything_else, |db| async move {
    let app = TestApp::new(db).await;
    let user = app.user_with_password("alice").await;
    let (alice, bob) = (user.sign_in().await, app.user_with_password("bob").await.sign_in().await);
    let token = user.token().await;
    let policy = Policy { is_factor_required: true, ..Policy::default() };
    policies::set(&app.app, By::Cli, PolicyOwner::User(user.id), "alice", policy).await.unwrap();
    // At once, in the session that lives.
    for path in ["/sessions", "/password", "/sessions/not-me"] {
        assert_eq!(alice.get(path).await.redirects_to(), "/security", "{path}");
    }
    alice.get(SESSIONS).await.assert_detail(403, "Add a second factor first: your account must have one.");
    token.get(SESSIONS).await.assert_status(200);
    bob.get("/sessions").await.assert_status(200);
    alice.get("/sign-out").await.assert_status(200);
    assert!(alice.get("/security").await.assert_status(200).text().contains("must have a second factor"));
    let phone = add_app(&app, &alice, "").await;
    alice.get("/sessions").await.assert_status(200);
    alice.get(SESSIONS).await.assert_status(200);
    // The last one stays.
    let id = app.app.store.read().list_factors(user.id).await.unwrap()[0].uuid;
    let kept = submit(&alice, "/security", &format!("/security/factors/{id}/remove"), &[]).await.assert_status(422);
    assert!(kept.text().contains("add another one before you remove this one"));
    // A session without it, of somebody who has it, proves it first.
    let id = app.number("SELECT s.id FROM sessions s JOIN users u ON u.id = s.user_id WHERE u.username = 'alice'").await;
    app.app.store.write(move |db| Box::pin(async move { db.update_methods(id, Methods::password()).await })).await.unwrap();
    assert_eq!(alice.get("/sessions").await.redirects_to(), "/security");
    assert_eq!(alice.get("/security").await.redirects_to(), "/confirm?next=/security");
    let fields = [("password", PASSWORD), ("code", &*phone.code(&app)), ("next", "/sessions")];
    assert_eq!(submit(&alice, "/confirm", "/confirm", &fields).await.redirects_to(), "/sessions");
    alice.get("/sessions").await.assert_status(200);
});

db_test!(the_instance_asks_for_one_of_everybody, |db| async move {
    let app = TestApp::with(db, &[("SESSIONS__REQUIRE_FACTOR", "true")]).await;
    let user = app.user_with_password("alice").await;
    let caller = app.anonymous();
    assert!(is_signed_in(&give_password(&caller, "alice").await));
    assert_eq!(caller.get("/sessions").await.redirects_to(), "/security");
    add_app(&app, &caller, "").await;
    caller.get("/sessions").await.assert_status(200);
    user.token().await.get(SESSIONS).await.assert_status(200);
});

db_test!(as_many_as_may_be_and_no_more, |db| async move {
    let app = TestApp::with(db, &[("SESSIONS__CONFIRM_TIMEOUT", "1h")]).await;
    let (alice, browser, _phone) = with_app(&app, "alice").await;
    for _ in 0..3 {
        // Begun and not finished: each makes room for the next.
        submit(&browser, "/security", "/security/totp", &[]).await.redirects_to();
    }
    assert_eq!(app.number("SELECT count(*) FROM authenticators").await, 2);
    let others = app.app.store.read().list_factors(alice.id).await.unwrap().len();
    for _ in others..=20 {
        add_app(&app, &browser, "").await;
    }
    let full = submit(&browser, "/security", "/security/totp", &[]).await.assert_status(422);
    assert!(full.text().contains("the limit of second factors is reached"));
    assert_eq!(app.number("SELECT count(*) FROM authenticators").await, 20);
});

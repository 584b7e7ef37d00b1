//! Passkeys, with an authenticator made of software: alone, and to prove anew.

use std::time::Duration;

use futures_util::future::join_all;
use rollcall::actions::by::By;
use rollcall::actions::policies;
use rollcall::actions::sign_in::passkeys;
use rollcall::actions::sign_in::passkeys::challenge::Purpose;
use rollcall::domain::policy::Policy;
use rollcall::domain::webauthn::RelyingParty;
use rollcall::store::people::policies::PolicyOwner;
use serde_json::Value;

use crate::support::app::{PASSWORD, TestUser};
use crate::support::passkey::{PRESENT, Passkey, SYNCED, VERIFIED, question};
use crate::support::{Answer, Caller, SESSIONS, TestApp, TestDb};
use rollcall::domain::event::{EventContent, FailedStage};

/// Where the pages are, as browsers see them.
const ORIGIN: &str = "http://localhost:9000";
const MINUTE: Duration = Duration::from_secs(60);

async fn start(db: TestDb) -> TestApp {
    TestApp::with(db, &[("HTTP__PUBLIC_URL", ORIGIN)]).await
}

/// Adds a passkey to the signed-in user, as the page does, and returns the answer.
async fn add(caller: &Caller, key: &mut Passkey, name: &str) -> Answer {
    let page = caller.get("/security").await.assert_status(200);
    let passkey = key.create(&question(&page.text(), "/security/passkeys"));
    caller.post_form("/security/passkeys", &[("proof", &page.proof()), ("passkey", &passkey), ("name", name)]).await
}

/// Gives a user their first passkey.
async fn give(user: &TestUser<'_>, key: &mut Passkey) {
    let browser = user.session().await;
    add(&browser, key, "A key").await.assert_status(200);
}

/// The sign-in page's question, and the proof of its form.
async fn asked(caller: &Caller) -> (Value, String) {
    let page = caller.get("/sign-in").await.assert_status(200);
    (question(&page.text(), "/sign-in/passkey"), page.proof())
}

async fn answer(caller: &Caller, proof: &str, passkey: &str) -> Answer {
    caller.post_form("/sign-in/passkey", &[("proof", proof), ("passkey", passkey), ("next", "/sessions")]).await
}

async fn sign_in(caller: &Caller, key: &mut Passkey) -> Answer {
    let (question, proof) = asked(caller).await;
    answer(caller, &proof, &key.get(&question).to_string()).await
}

/// Signs in with the password as alice, as far as it leads.
async fn password(caller: &Caller) -> Answer {
    let proof = caller.get("/sign-in").await.proof();
    let fields = [("proof", proof.as_str()), ("uid", "alice"), ("password", PASSWORD), ("next", "/sessions")];
    caller.post_form("/sign-in", &fields).await.assert_status(200)
}

/// Answers the second step, of which this is the page.
async fn second(caller: &Caller, page: &Answer, passkey: String) -> Answer {
    let text = page.text();
    let (_, rest) = text.split_once("name=\"ticket\" value=\"").expect("a ticket");
    let (ticket, _) = rest.split_once('"').expect("the attribute ends");
    let fields = [("proof", page.proof()), ("ticket", ticket.to_owned()), ("passkey", passkey), ("next", "/sessions".into())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    caller.post_form("/sign-in/factor", &fields).await
}

#[track_caller]
fn assert_refused(answer: &Answer, words: &str) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains(words), "{words}: {}", answer.text());
    assert!(answer.set_cookie("rollcall_session").is_none());
}

db_test!(what_fails_is_written_down_so_often_and_no_more, |db| async move {
    let app = TestApp::with(db, &[("HTTP__PUBLIC_URL", ORIGIN), ("SIGN_IN__ACCOUNT_LIMIT", "3/1h")]).await;
    let alice = app.user_with_password("alice").await;
    let mut key = Passkey::new(1, ORIGIN);
    give(&alice, &mut key).await;
    let browser = app.anonymous();
    let mut elsewhere = Passkey { origin: "http://localhost.evil.example".into(), ..key.clone() };
    for _ in 0..6 {
        assert_refused(&sign_in(&browser, &mut elsewhere).await, "That did not work.");
    }
    assert_eq!(app.count_events("sign_in_failed").await, 3);
    // What is right is not a guess.
    assert_eq!(sign_in(&browser, &mut key).await.redirects_to(), "/sessions");
});

db_test!(a_passkey_alone_signs_in, |db| async move {
    let app = start(db).await;
    let alice = app.user_with_password("alice").await;
    let mut key = Passkey::new(1, ORIGIN);
    give(&alice, &mut key).await;
    let browser = app.anonymous();
    assert_eq!(sign_in(&browser, &mut key).await.redirects_to(), "/sessions");
    let page = browser.get("/sessions").await.assert_status(200).text();
    assert!(page.contains("passkey") && page.contains("alice"), "{page}");
    let methods = app.app.store.read().all::<String>("SELECT methods FROM sessions ORDER BY id DESC LIMIT 1", &[]).await.unwrap();
    assert_eq!(methods, ["hwk user mfa"]);
    let used = passkeys::list(&app.app, alice.id).await.unwrap();
    assert_eq!((used[0].counter, used[0].last_used_at), (2, Some(app.app.clock.now())));
    // One that is kept by software, of a user without a password.
    let bob = app.user("bob").await;
    let mut synced = Passkey::new(2, ORIGIN);
    (synced.flags, synced.counter) = (VERIFIED | SYNCED, 0);
    give(&bob, &mut synced).await;
    for _ in 0..2 {
        assert_eq!(sign_in(&app.anonymous(), &mut synced).await.redirects_to(), "/sessions");
    }
    assert_eq!(app.number("SELECT count(*) FROM sessions WHERE methods = 'swk user mfa'").await, 2);
    app.assert_counts().await;
});

db_test!(an_account_with_a_passkey_can_be_made_to_require_it, |db| async move {
    let app = start(db).await;
    let alice = app.user_with_password("alice").await;
    let policy = Policy { is_factor_required: true, ..Policy::default() };
    policies::set(&app.app, By::Cli, PolicyOwner::User(alice.id), "alice", policy).await.unwrap();
    // Until there is one, the password leads to where it is added.
    let browser = alice.sign_in().await;
    assert_eq!(browser.get("/sessions").await.redirects_to(), "/security");
    let mut key = Passkey::new(1, ORIGIN);
    add(&browser, &mut key, "A key").await.assert_status(200);
    browser.get("/sessions").await.assert_status(200);
    // From then on it is asked for, and the password alone opens nothing.
    let other = app.anonymous();
    let page = password(&other).await;
    assert!(page.set_cookie("rollcall_session").is_none());
    let passkey = key.get(&question(&page.text(), "/sign-in/factor")).to_string();
    assert_eq!(second(&other, &page, passkey).await.redirects_to(), "/sessions");
    other.get("/sessions").await.assert_status(200);
    assert_eq!(sign_in(&app.anonymous(), &mut key).await.redirects_to(), "/sessions");
    // It stays.
    let id = passkeys::list(&app.app, alice.id).await.unwrap()[0].uuid;
    let proof = browser.get("/security").await.proof();
    let kept = browser.post_form(&format!("/security/factors/{id}/remove"), &[("proof", &proof)]).await.assert_status(422);
    assert!(kept.text().contains("add another one before you remove this one"));
});

db_test!(what_is_wrong_signs_nobody_in, |db| async move {
    let app = start(db).await;
    let alice = app.user("alice").await;
    let mut key = Passkey::new(1, ORIGIN);
    give(&alice, &mut key).await;
    let browser = app.anonymous();

    let mut elsewhere = Passkey { origin: "http://localhost.evil.example".into(), ..key.clone() };
    assert_refused(&sign_in(&browser, &mut elsewhere).await, "That did not work.");
    let mut untouched = Passkey { flags: VERIFIED & !PRESENT, ..key.clone() };
    assert_refused(&sign_in(&browser, &mut untouched).await, "That did not work.");
    let mut unverified = Passkey { flags: PRESENT, ..key.clone() };
    assert_refused(&sign_in(&browser, &mut unverified).await, "did not check who you are");
    let mut of_somebody = Passkey { user_handle: Some(b"somebody".to_vec()), ..key.clone() };
    assert_refused(&sign_in(&browser, &mut of_somebody).await, "not known here");
    let mut of_nobody = Passkey { user_handle: None, ..key.clone() };
    assert_refused(&sign_in(&browser, &mut of_nobody).await, "not known here");
    assert_eq!(app.count_events("sign_in_failed").await, 4, "of what is known whose it is");
    let mut unknown = Passkey::new(9, ORIGIN);
    unknown.user_handle = key.user_handle.clone();
    assert_refused(&sign_in(&browser, &mut unknown).await, "not known here");
    let (_, proof) = asked(&browser).await;
    for junk in ["", "{}", "null", "[1]", "\u{0}", "é"] {
        assert_refused(&answer(&browser, &proof, junk).await, "That did not work.");
    }
    // A challenge is worth nothing in another browser, after five minutes, made up, or for something else.
    let (question, _) = asked(&app.anonymous()).await;
    assert_refused(&answer(&browser, &proof, &key.get(&question).to_string()).await, "took too long");
    let (question, proof) = asked(&browser).await;
    let signed = key.get(&question).to_string();
    app.advance(5 * MINUTE);
    assert_refused(&answer(&browser, &proof, &signed).await, "took too long");
    let made_up = serde_json::json!({ "challenge": "AAAA", "rpId": "localhost" });
    assert_refused(&answer(&browser, &proof, &key.get(&made_up).to_string()).await, "took too long");
    let party = RelyingParty::of_origin(ORIGIN).unwrap();
    let confirms = passkeys::options_alone(&app.app, &party, Purpose::Confirm(&browser.cookie("rollcall_form").unwrap())).unwrap();
    assert_refused(&answer(&browser, &proof, &key.get(&confirms).to_string()).await, "took too long");
    // And nothing without the form's own proof.
    let (question, _) = asked(&browser).await;
    answer(&browser, "", &key.get(&question).to_string()).await.assert_status(403);
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 1, "but for the one in which it was added");
    // Inactive people are as unknown as strangers.
    app.db.run("UPDATE users SET is_active = false").await;
    assert_refused(&sign_in(&browser, &mut key).await, "not known here");
    app.db.run("UPDATE users SET is_active = true").await;
    assert_eq!(sign_in(&browser, &mut key).await.redirects_to(), "/sessions", "the right one does, after all that");
});

db_test!(of_100_uses_of_one_challenge_one_succeeds, |db| async move {
    let app = start(db).await;
    let alice = app.user("alice").await;
    let mut key = Passkey::new(1, ORIGIN);
    // Without a counter, so that only the challenge prevents a second use.
    key.counter = 0;
    give(&alice, &mut key).await;
    let browser = app.anonymous();
    let (question, proof) = asked(&browser).await;
    let signed = key.get(&question).to_string();
    let form = browser.cookie("rollcall_form").unwrap();
    let answers = join_all((0..100).map(|_| {
        let caller = app.anonymous();
        caller.set_cookie("rollcall_form", &form);
        let (proof, signed) = (proof.clone(), signed.clone());
        async move { answer(&caller, &proof, &signed).await }
    }))
    .await;
    let let_in = answers.iter().filter(|answer| answer.status == 303).count();
    assert_eq!(let_in, 1);
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 2, "with the one in which it was added");
    assert_eq!(app.number("SELECT count(*) FROM used_challenges").await, 2);
    // What was used is remembered for as long as it could be used again.
    rollcall::actions::upkeep::sweep::run(&app.app, rollcall::actions::by::By::System).await.unwrap();
    assert_eq!(app.number("SELECT count(*) FROM used_challenges").await, 2);
    app.advance(5 * MINUTE);
    rollcall::actions::upkeep::sweep::run(&app.app, rollcall::actions::by::By::System).await.unwrap();
    assert_eq!(app.number("SELECT count(*) FROM used_challenges").await, 0);
    assert_refused(&answer(&browser, &proof, &signed).await, "took too long");
});

db_test!(a_counter_that_goes_back_is_refused_and_noted, |db| async move {
    let app = start(db).await;
    let alice = app.user("alice").await;
    let mut key = Passkey::new(1, ORIGIN);
    give(&alice, &mut key).await;
    let mut copy = key.clone();
    assert_eq!(sign_in(&app.anonymous(), &mut key).await.redirects_to(), "/sessions");
    assert_refused(&sign_in(&app.anonymous(), &mut copy).await, "There may be a copy of this passkey");
    let failed: Vec<_> = app.latest("sign_in_failed").await.into_iter().map(|event| event.content).collect();
    let why = "the signature counter went back".to_owned();
    assert_eq!(failed, [EventContent::SignInFailed { stage: FailedStage::Passkey, why }]);
    assert_eq!(sign_in(&app.anonymous(), &mut key).await.redirects_to(), "/sessions", "the one that is ahead goes on");
    // Two at once with the same count: one of them is a copy, whichever.
    let (one, two) = (app.anonymous(), app.anonymous());
    let mut copy = key.clone();
    let (first, second) = tokio::join!(sign_in(&one, &mut key), sign_in(&two, &mut copy));
    assert_eq!([first.status, second.status].iter().filter(|status| **status == 303).count(), 1);
});

db_test!(passkeys_are_added_named_and_removed, |db| async move {
    let app = start(db).await;
    let alice = app.user_with_password("alice").await;
    let (here, elsewhere) = (alice.session().await, alice.session().await);
    let key_before = here.cookie("rollcall_session").unwrap();
    let page = here.get("/security").await.assert_status(200);
    let options = question(&page.text(), "/security/passkeys");
    assert_eq!((&options["attestation"], &options["rp"]["id"]), (&"none".into(), &"localhost".into()));
    assert_eq!(options["user"]["id"].as_str().unwrap().len(), 43, "32 random bytes");
    assert_eq!(options["excludeCredentials"], serde_json::json!([]));

    // The first one brings recovery codes, ends other sessions, and gives this one a new key.
    let mut key = Passkey::new(1, ORIGIN);
    key.counter = 7;
    let added = add(&here, &mut key, " Blue <key> ").await.assert_status(200);
    assert!(added.text().contains("ecovery codes"), "{}", added.text());
    assert_ne!(here.cookie("rollcall_session").unwrap(), key_before);
    elsewhere.get(SESSIONS).await.assert_status(403);
    let page = here.get("/security").await.assert_status(200).text();
    assert!(page.contains("Blue &#60;key&#62;") && page.contains("Passkey or security key"), "{page}");
    let again = question(&page, "/security/passkeys");
    assert_eq!(again["excludeCredentials"][0]["id"], key.id());
    assert_eq!(again["user"]["id"], options["user"]["id"], "the same user, the same handle");
    assert_ne!(again["challenge"], options["challenge"]);

    // A known passkey is refused for another user too; an invalid answer adds nothing.
    let known = add(&here, &mut key.clone(), "again").await.assert_status(422);
    assert!(known.text().contains("This passkey is known already."));
    let bob = app.user("bob").await.session().await;
    add(&bob, &mut key.clone(), "mine").await.assert_status(422);
    let mut elsewhere = Passkey::new(2, "https://evil.example");
    let refused = add(&here, &mut elsewhere, "").await.assert_status(422);
    assert!(refused.text().contains("That did not work."), "{}", refused.text());
    add(&here, &mut Passkey::new(2, ORIGIN), &"n".repeat(61)).await.assert_status(422);
    let proof = here.get("/security").await.proof();
    here.post_form("/security/passkeys", &[("proof", &proof), ("passkey", "junk")]).await.assert_status(422);
    here.post_form("/security/passkeys", &[("passkey", "junk")]).await.assert_status(403);
    assert_eq!(passkeys::list(&app.app, alice.id).await.unwrap().len(), 1);

    // A challenge adds one passkey; a second user's session is another's.
    let question_here = question(&here.get("/security").await.text(), "/security/passkeys");
    let passkey = Passkey::new(2, ORIGIN).create(&question_here);
    let (proof, bobs) = (here.get("/security").await.proof(), bob.get("/security").await.proof());
    let stale = bob.post_form("/security/passkeys", &[("proof", &bobs), ("passkey", &passkey)]).await.assert_status(422);
    assert!(stale.text().contains("That took too long."));
    let fields = [("proof", proof.as_str()), ("passkey", &passkey)];
    assert_eq!(here.post_form("/security/passkeys", &fields).await.redirects_to(), "/security");
    let used = here.post_form("/security/passkeys", &fields).await.assert_status(422);
    assert!(used.text().contains("That took too long."), "{}", used.text());

    // The administrator sees them.
    let root = app.superuser("root").await.session().await;
    let page = root.get(&format!("/users/{}", alice.id.0)).await.assert_status(200).text();
    assert!(page.contains("Blue &#60;key&#62;") && page.contains("Passkey or security key"), "{page}");

    // Removed is removed.
    let known = passkeys::list(&app.app, alice.id).await.unwrap();
    let other = app.anonymous();
    assert_eq!(sign_in(&other, &mut key).await.redirects_to(), "/sessions");
    let path = format!("/security/factors/{}/remove", known[0].uuid);
    assert_eq!(here.post_form(&path, &[("proof", &proof)]).await.redirects_to(), "/security");
    other.get(SESSIONS).await.assert_status(403);
    assert_refused(&sign_in(&other, &mut key).await, "not known here");
    assert_eq!(app.count_events("factor_added").await, 2);
    assert_eq!(app.count_events("factor_removed").await, 1);
});

db_test!(a_password_and_a_passkey_sign_in, |db| async move {
    let app = start(db).await;
    let alice = app.user_with_password("alice").await;
    let mut key = Passkey::new(1, ORIGIN);
    // A security key that checks nobody: alone it is not enough.
    key.flags = PRESENT;
    give(&alice, &mut key).await;
    let browser = app.anonymous();
    assert_refused(&sign_in(&browser, &mut key).await, "did not check who you are");
    let first = password(&browser).await;
    let question_first = question(&first.text(), "/sign-in/factor");
    assert_eq!(question_first["allowCredentials"][0]["id"], key.id());
    // One that is not theirs is none; the next page asks anew.
    let mut other = Passkey::new(2, ORIGIN);
    give(&app.user("bob").await, &mut other).await;
    let wrong = second(&browser, &first, other.get(&question_first).to_string()).await.assert_status(422);
    assert!(wrong.text().contains("not known here"), "{}", wrong.text());
    // What answers the first question answers no other.
    let late = second(&browser, &wrong, key.get(&question_first).to_string()).await.assert_status(422);
    assert!(late.text().contains("took too long"), "{}", late.text());
    let question_now = question(&late.text(), "/sign-in/factor");
    assert_eq!(second(&browser, &late, key.get(&question_now).to_string()).await.redirects_to(), "/sessions");
    let both = app.number("SELECT count(*) FROM sessions WHERE methods = 'pwd hwk user mfa'").await;
    assert_eq!(both, 3, "with those in which the two passkeys were added");
    let page = browser.get("/sessions").await.assert_status(200).text();
    assert!(page.contains("with password and passkey"), "{page}");
    // To prove anew it takes both, too.
    app.advance(11 * MINUTE);
    let page = browser.get("/confirm?next=/security").await.assert_status(200);
    let send = async |passkey: String, password: &str| {
        let fields =
            [("proof", page.proof()), ("passkey", passkey), ("password", password.to_owned()), ("next", "/security".into())];
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        browser.post_form("/confirm/passkey", &fields).await
    };
    let asked = question(&page.text(), "/confirm/passkey");
    assert_refused(&send(key.get(&asked).to_string(), "").await, "Enter your password first.");
    let asked = question(&browser.get("/confirm").await.text(), "/confirm/passkey");
    assert_refused(&send(key.get(&asked).to_string(), "wrong password").await, "Enter your password first.");
    let asked = question(&browser.get("/confirm").await.text(), "/confirm/passkey");
    assert_eq!(send(key.get(&asked).to_string(), PASSWORD).await.redirects_to(), "/security");
});

db_test!(of_100_second_steps_with_one_passkey_one_succeeds, |db| async move {
    let app = start(db).await;
    let alice = app.user_with_password("alice").await;
    let mut key = Passkey::new(1, ORIGIN);
    key.counter = 0;
    give(&alice, &mut key).await;
    let browser = app.anonymous();
    let page = password(&browser).await;
    let signed = key.get(&question(&page.text(), "/sign-in/factor")).to_string();
    let form = browser.cookie("rollcall_form").unwrap();
    let answers = join_all((0..100).map(|_| {
        let caller = app.anonymous();
        caller.set_cookie("rollcall_form", &form);
        let (page, signed) = (page.clone(), signed.clone());
        async move { second(&caller, &page, signed).await }
    }))
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 303).count(), 1);
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 2);
});

db_test!(a_passkey_proves_anew, |db| async move {
    let app = start(db).await;
    let alice = app.user("alice").await;
    let mut key = Passkey::new(1, ORIGIN);
    give(&alice, &mut key).await;
    let browser = app.anonymous();
    sign_in(&browser, &mut key).await;
    let old = browser.cookie("rollcall_session").unwrap();
    app.advance(11 * MINUTE);
    assert_eq!(browser.get("/password").await.redirects_to(), "/confirm?next=/password");
    let page = browser.get("/confirm?next=/password").await.assert_status(200);
    let question = question(&page.text(), "/confirm/passkey");
    assert_eq!(question["allowCredentials"][0]["id"], key.id());
    let proof = page.proof();
    let send = async |passkey: String| {
        browser.post_form("/confirm/passkey", &[("proof", &proof), ("passkey", &passkey), ("next", "/password")]).await
    };
    assert_refused(&send("{}".into()).await, "That did not work.");
    // Somebody else's is none.
    let mut other = Passkey::new(2, ORIGIN);
    give(&app.user("bob").await, &mut other).await;
    assert_refused(&send(other.get(&question).to_string()).await, "not known here");
    assert_eq!(send(key.get(&question).to_string()).await.redirects_to(), "/password");
    browser.get("/password").await.assert_status(200);
    let holder = app.anonymous();
    holder.set_cookie("rollcall_session", &old);
    holder.get(SESSIONS).await.assert_status(403);
    assert_eq!(app.count_events("confirmed").await, 1);
});

db_test!(no_passkeys_where_browsers_make_none, |db| async move {
    // An address is no name; and a `Host` is what its sender likes.
    let app = TestApp::new(db).await;
    let page = app.anonymous().get("/sign-in").await.assert_status(200).text();
    assert!(!page.contains("passkey"), "{page}");
    let page = app.anonymous().with_header("host", "evil.example").get("/sign-in").await.assert_status(200).text();
    assert!(!page.contains("passkey"), "{page}");
    let page = app.anonymous().with_header("host", "localhost:9000").get("/sign-in").await.assert_status(200).text();
    assert_eq!(question(&page, "/sign-in/passkey")["rpId"], "localhost");
});

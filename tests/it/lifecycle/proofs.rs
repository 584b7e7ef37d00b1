//! A proof that waits for a further step ends when what it was proved with changes: pending sign-ins, passkeys,
//! fresh proofs of sessions, set-up and recovery links.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rollcall::actions::ActionError;
use rollcall::actions::by::By;
use rollcall::actions::people::users;
use rollcall::actions::sign_in;
use rollcall::actions::sign_in::proof;
use rollcall::actions::sign_in::{Proved, Wish, factors};
use rollcall::domain::caller::{Actor, Client};
use rollcall::domain::user::TokenIntent;
use rollcall::domain::{Address, HashedSecret, Method, Methods, PlainSecret, Timestamp, UserId};
use rollcall::store::people::users::UserRow;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::app::{PASSWORD, sign_in_as};
use crate::support::{Answer, Caller, SESSIONS, SIGN_IN_FLOW, TestApp};

const NEW: &str = "a password after the old one";

async fn row(app: &TestApp, id: UserId) -> UserRow {
    app.app.store.read().find_user(id).await.unwrap().unwrap()
}

/// Adds an authenticator that proves something, as its row.
async fn add_factor(app: &TestApp, user: UserId) {
    let uuid = rollcall::domain::FactorId(rollcall::domain::secret::random_uuid().unwrap());
    let factor = rollcall::store::sign_in::factors::NewFactor {
        uuid,
        user,
        kind: rollcall::domain::factor::FactorKind::Totp,
        name: "phone".into(),
        secret: vec![0],
        credential_id: None,
        counter: 0,
        is_confirmed: true,
    };
    let work = app.app.store.write(move |db| Box::pin(async move { db.insert_factor(&factor, Timestamp(0)).await }));
    work.await.unwrap();
}

async fn set_password(app: &TestApp, id: UserId, password: &str) {
    let user = row(app, id).await;
    users::set_password(&app.app, By::Cli, &user, password.into()).await.unwrap();
}

/// Each change after which no proof holds that was made before it.
const CHANGES: [&str; 4] = ["password", "factors removed", "codes renewed", "deactivated for a while"];

async fn change(app: &TestApp, id: UserId, what: &str) {
    let user = row(app, id).await;
    match what {
        "password" => set_password(app, id, NEW).await,
        "factors removed" => drop(factors::remove_all(&app.app, By::Cli, id).await.unwrap()),
        "codes renewed" => {
            let codes = [HashedSecret([7; 32])];
            let work =
                app.app.store.write(move |db| Box::pin(async move { db.replace_recovery_codes(id, &codes, Timestamp(0)).await }));
            work.await.unwrap();
        }
        _ => {
            for is_active in [false, true] {
                users::set_active(&app.app, By::Cli, &user, is_active).await.unwrap();
            }
        }
    }
}

async fn begin(app: &TestApp, proved: Proved) -> Result<sign_in::Started, ActionError> {
    let client = Client { ip: Address::parse("192.0.2.1").unwrap(), user_agent: String::new() };
    sign_in::begin(&app.app, proved, &client, Wish::default(), &Actor::default()).await
}

async fn sessions(app: &TestApp) -> i64 {
    app.number("SELECT count(*) FROM sessions").await
}

/// Signs in by the flow executor up to its last question. `None` where the password was refused.
async fn up_to_last_question(caller: Caller) -> Option<Caller> {
    caller.post_json(SIGN_IN_FLOW, &json!({"component": "ak-stage-identification", "uid_field": "alice"})).await;
    let next = caller.post_json(SIGN_IN_FLOW, &json!({"component": "ak-stage-password", "password": PASSWORD})).await;
    (next.json()["component"] == "ak-stage-user-login").then_some(caller)
}

async fn answer_last_question(caller: &Caller) -> Answer {
    caller.post_json(SIGN_IN_FLOW, &json!({"component": "ak-stage-user-login", "remember_me": false})).await
}

// Six clients prove the old password over and over while it is changed. A check that began before the change ends
// after it, and its conversation is refused all the same.
db_test!(an_old_password_that_is_checked_during_its_change_opens_nothing, |db| async move {
    let app =
        TestApp::with(db, &[("SIGN_IN__ADDRESS_LIMIT", "0"), ("SIGN_IN__ACCOUNT_LIMIT", "0"), ("SIGN_IN__INSTANCE_LIMIT", "0")])
            .await;
    let alice = app.user_with_password("alice").await;
    let address = app.address;
    for round in 0..3 {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for _ in 0..6 {
            let is_over = Arc::clone(&is_over);
            clients.spawn(async move {
                let mut kept = Vec::new();
                while !is_over.load(Ordering::SeqCst) {
                    kept.extend(up_to_last_question(Caller::new(address)).await);
                }
                kept
            });
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
        set_password(&app, alice.id, NEW).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
        is_over.store(true, Ordering::SeqCst);
        let kept: Vec<Caller> = clients.join_all().await.into_iter().flatten().collect();
        assert!(!kept.is_empty(), "round {round}: the old password was right before");
        for caller in kept {
            let answer = answer_last_question(&caller).await;
            assert!(answer.set_cookie("rollcall_session").is_none(), "round {round}: {}", answer.text());
        }
        assert_eq!(sessions(&app).await, 0, "round {round}");
        set_password(&app, alice.id, PASSWORD).await;
    }
    assert_eq!(sign_in_as(&app.anonymous(), "alice", PASSWORD, false).await.json()["component"], "xak-flow-redirect");
});

// The same without luck: the password was checked, then it changed, then the proof was stored.
db_test!(a_proof_is_refused_after_each_change_of_what_it_was_checked_against, |db| async move {
    let app = TestApp::new(db).await;
    for what in CHANGES {
        for methods in ["pwd", "pwd otp mfa", "hwk user mfa"] {
            let name = format!("{what} {methods}").replace(' ', "-");
            let user = app.user_with_password(&name).await;
            add_factor(&app, user.id).await;
            let proved = Proved { user: row(&app, user.id).await, methods: Methods::parse(methods) };
            let early = proof::remember(&app.app, &proved).await.unwrap();
            change(&app, user.id, what).await;
            let late = proof::remember(&app.app, &proved).await.unwrap();
            for (key, when) in [(&early, "stored before"), (&late, "stored after")] {
                assert!(proof::find(&app.app, key).await.unwrap().is_none(), "{name}: {when}");
                assert!(proof::take(&app.app, key).await.unwrap().is_none(), "{name}: {when}");
            }
            let begun = begin(&app, proved.clone()).await;
            assert!(matches!(begun, Err(ActionError::ProofOutdated)), "{name}: {begun:?}");
            let code = factors::check_code(&app.app, &proved.user, "123456", None, &Actor::default()).await;
            assert!(matches!(code, Err(ActionError::ProofOutdated)), "{name}: {code:?}");
        }
    }
    assert_eq!(sessions(&app).await, 0);
    assert_eq!(app.count_events("factor_failed").await, 0, "no code was looked at");
});

db_test!(an_unchanged_user_goes_on_and_once, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user_with_password("alice").await;
    let proved = Proved::by_password(row(&app, alice.id).await);
    let key = proof::remember(&app.app, &proved).await.unwrap();
    // A sign-in of theirs elsewhere, or another name for one of their sessions, changes no credential.
    alice.session().await;
    assert!(proof::find(&app.app, &key).await.unwrap().is_some());
    let taken = proof::take(&app.app, &key).await.unwrap().expect("the proof");
    assert_eq!(taken.methods, Methods::password());
    assert!(proof::take(&app.app, &key).await.unwrap().is_none(), "it was taken");
    begin(&app, taken).await.unwrap();
    // A recovery code that is used is part of a sign-in, and changes nothing either.
    add_factor(&app, alice.id).await;
    change(&app, alice.id, "codes renewed").await;
    let proved = Proved { user: row(&app, alice.id).await, methods: Methods::password().with(Method::OneTimeCode) };
    let id = alice.id;
    let work = app.app.store.write(move |db| Box::pin(async move { db.take_recovery_code(id, HashedSecret([7; 32])).await }));
    let is_taken: Result<bool, rollcall::store::StoreError> = work.await;
    assert!(is_taken.unwrap());
    begin(&app, proved).await.unwrap();
});

db_test!(pages_ask_to_sign_in_again_after_a_change, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user_with_password("alice").await;
    for path in ["/sign-in/choose", "/sign-in/factor"] {
        let proved = Proved::by_password(row(&app, alice.id).await);
        change(&app, alice.id, "codes renewed").await;
        let ticket = proof::remember(&app.app, &proved).await.unwrap();
        let caller = app.anonymous();
        let form = caller.get("/sign-in").await.proof();
        let fields = [("proof", form.as_str()), ("ticket", ticket.expose()), ("code", "123456"), ("next", "/sessions")];
        let answer = caller.post_form(path, &fields).await.assert_status(403);
        assert!(answer.text().contains("Please sign in again") && answer.set_cookie("rollcall_session").is_none(), "{path}");
    }
    assert_eq!(sessions(&app).await, 0);
});

// With `end_on_password_change` off sessions go on; what they proved was the old password.
db_test!(a_session_that_outlives_the_password_proves_itself_again, |db| async move {
    let app = TestApp::with(db, &[("SESSIONS__END_ON_PASSWORD_CHANGE", "false")]).await;
    let user = app.user_with_password("alice").await;
    let (thief, alice) = (user.sign_in().await, user.sign_in().await);
    let forms: Vec<String> = vec![thief.get("/password").await.assert_status(200).proof(), alice.get("/password").await.proof()];
    let fields = [("proof", forms[1].as_str()), ("password", NEW), ("again", NEW)];
    assert_eq!(alice.post_form("/password", &fields).await.redirects_to(), "/sessions");
    thief.get(SESSIONS).await.assert_status(200);
    let theirs = "the password of a thief";
    let fields = [("proof", forms[0].as_str()), ("password", theirs), ("again", theirs)];
    // The form waits for a proof.
    let asked = thief.post_form("/password", &fields).await.assert_status(403);
    assert!(asked.text().contains("Is it you?"), "{}", asked.text());
    alice.get("/password").await.assert_status(200);
    // Set by somebody else it takes the proof from all of them.
    set_password(&app, user.id, PASSWORD).await;
    assert_eq!(alice.get("/password").await.redirects_to(), "/confirm?next=/password");
    assert_eq!(app.count_events("password_set").await, 2);
});

async fn link(app: &TestApp, id: UserId) -> PlainSecret {
    users::make_recovery_link(&app.app, By::Cli, &row(app, id).await).await.unwrap()
}

async fn use_link(app: &TestApp, key: &PlainSecret) -> Answer {
    let (caller, path) = (app.anonymous(), format!("/set-up/{}", key.expose()));
    caller.get("/sign-in").await;
    let form = caller.get("/sign-in").await.proof();
    let fields = [("proof", form.as_str()), ("password", "the password of a thief"), ("again", "the password of a thief")];
    caller.post_form(&path, &fields).await
}

db_test!(a_link_is_dead_after_each_change_and_its_page_says_so, |db| async move {
    let app = TestApp::new(db).await;
    for what in CHANGES {
        let user = app.user_with_password(&what.replace(' ', "-")).await;
        add_factor(&app, user.id).await;
        let key = link(&app, user.id).await;
        let set_up = PlainSecret::from_text(user.token_key(TokenIntent::Recovery, Some(Duration::from_secs(3600))).await);
        change(&app, user.id, what).await;
        let before = row(&app, user.id).await;
        for key in [&key, &set_up] {
            let shown = app.anonymous().get(&format!("/set-up/{}", key.expose())).await.assert_status(404);
            assert!(shown.text().contains("This link does not work any more"), "{what}: {}", shown.text());
            let answer = use_link(&app, key).await.assert_status(404);
            assert!(answer.text().contains("does not work any more") && answer.set_cookie("rollcall_session").is_none(), "{what}");
        }
        let after = row(&app, user.id).await;
        assert_eq!(after.password_hash, before.password_hash, "{what}");
        let fresh = link(&app, user.id).await;
        app.anonymous().get(&format!("/set-up/{}", fresh.expose())).await.assert_status(200);
    }
});

db_test!(an_imported_link_dies_with_the_password_it_was_imported_with, |db| async move {
    let app = TestApp::new(db).await;
    let token = |n: i64| {
        json!({"kind": "token", "user": n, "key": format!("a-key-for-the-link-{n}"), "intent": "recovery",
        "expires": "2099-01-01T00:00:00Z", "expiring": true})
    };
    let user = |n: i64| json!({"kind": "user", "id": n, "username": format!("user-{n}")});
    app.import(&[user(71), user(72), token(71), token(72)]).await;
    set_password(&app, UserId(72), NEW).await;
    assert_eq!(use_link(&app, &PlainSecret::from_text("a-key-for-the-link-71".to_owned())).await.redirects_to(), "/sessions");
    use_link(&app, &PlainSecret::from_text("a-key-for-the-link-72".to_owned())).await.assert_status(404);
});

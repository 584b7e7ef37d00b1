//! A clock that was wrong for a while: what it left behind is bounded once the clock is right again.

use std::time::Duration;

use rollcall::actions::sign_in::proof;
use rollcall::actions::sign_in::proof::Proved;
use rollcall::actions::sign_in::{factors, factors::Checked};
use rollcall::domain::caller::Actor;
use rollcall::domain::{FactorId, Timestamp, secret, totp};
use rollcall::store::sign_in::factors::NewFactor;

use crate::support::app::{PASSWORD, sign_in_as};
use crate::support::{SESSIONS, SIGN_IN_FLOW, TestApp};

const HOUR: Duration = Duration::from_secs(3600);
const SEED: [u8; 20] = *b"12345678901234567890";

/// An authenticator app with [`SEED`], and the password proved.
async fn with_app(app: &TestApp) -> Proved {
    let id = app.user_with_password("alice").await.id;
    let uuid = FactorId(secret::random_uuid().unwrap());
    let factor = NewFactor {
        uuid,
        user: id,
        kind: rollcall::domain::factor::FactorKind::Totp,
        name: "phone".into(),
        secret: app.app.instance_key.seal("totp seed", uuid.0.as_bytes(), &SEED).unwrap(),
        credential_id: None,
        counter: 0,
        is_confirmed: true,
    };
    let work = app.app.store.write(move |db| {
        Box::pin(async move {
            db.insert_factor(&factor, Timestamp(0)).await?;
            db.find_user(id).await
        })
    });
    Proved::by_password(work.await.unwrap().unwrap())
}

async fn give(app: &TestApp, proved: &Proved, code: &str) -> Checked {
    factors::check_code(&app.app, &proved.user, code, None, &Actor::default()).await.unwrap()
}

fn code(app: &TestApp) -> String {
    totp::code(&SEED, totp::step_at(app.app.clock.now()))
}

db_test!(guess_limits_used_up_by_a_clock_that_was_ahead_let_right_passwords_in, |db| async move {
    let limits = ["ACCOUNT", "ADDRESS", "INSTANCE"].map(|name| format!("SIGN_IN__{name}_LIMIT"));
    let app = TestApp::with(db, &limits.each_ref().map(|name| (name.as_str(), "3/1m"))).await;
    app.user_with_password("alice").await;
    let start = app.app.clock.now();
    let give = async |password: &str| {
        let answer = sign_in_as(&app.anonymous(), "alice", password, false).await.json();
        answer["component"].as_str().unwrap().to_owned()
    };
    for ahead in [20 * HOUR, Duration::from_secs(20 * 60)] {
        app.db.run("DELETE FROM guess_limits").await;
        app.app.clock.set(start.plus(ahead));
        for _ in 0..5 {
            give("a wrong password").await;
        }
        app.app.clock.set(start);
        assert_eq!(give(PASSWORD).await, "xak-flow-redirect", "{ahead:?}");
        // Wrong ones are limited as ever from then on.
        let given = [give("a wrong password").await, give("a wrong password").await, give(PASSWORD).await];
        assert_eq!(given, ["ak-stage-password", "ak-stage-access-denied", "ak-stage-access-denied"], "{ahead:?}");
        app.advance(Duration::from_secs(60));
        assert_eq!(give(PASSWORD).await, "xak-flow-redirect", "{ahead:?}: after the limit's period");
    }
    // Two nodes that differ a little give no guess twice: the limit stays used up, and no longer than a step.
    app.db.run("DELETE FROM guess_limits").await;
    app.app.clock.set(start.plus(Duration::from_secs(10)));
    for _ in 0..3 {
        give("a wrong password").await;
    }
    app.app.clock.set(start);
    assert_eq!(give(PASSWORD).await, "ak-stage-access-denied");
    app.advance(Duration::from_secs(20));
    assert_eq!(give(PASSWORD).await, "xak-flow-redirect");
});

db_test!(a_code_used_by_a_clock_that_was_ahead_locks_nobody_out, |db| async move {
    let app = TestApp::new(db).await;
    let (proved, start) = (with_app(&app).await, app.app.clock.now());
    app.advance(20 * HOUR);
    assert!(matches!(give(&app, &proved, &code(&app)).await, Checked::Right(_)));
    app.app.clock.set(start);
    let now = code(&app);
    assert!(matches!(give(&app, &proved, &now).await, Checked::Right(_)), "the clock is right again");
    assert_eq!(give(&app, &proved, &now).await, Checked::Wrong, "it works once, as ever");
    // A step that two nodes may differ by counts.
    let near = app.app.clock.now().plus(Duration::from_secs(240));
    app.app.clock.set(near);
    assert!(matches!(give(&app, &proved, &code(&app)).await, Checked::Right(_)));
    app.app.clock.set(start.plus(Duration::from_secs(60)));
    assert_eq!(give(&app, &proved, &code(&app)).await, Checked::Wrong, "a later one was used");
});

db_test!(a_wait_for_wrong_codes_is_never_longer_than_what_they_cost, |db| async move {
    let app = TestApp::new(db).await;
    let (proved, start) = (with_app(&app).await, app.app.clock.now());
    app.advance(20 * HOUR);
    for _ in 0..6 {
        let given = give(&app, &proved, "000000").await;
        if let Checked::Blocked(until) = given {
            app.app.clock.set(until);
        }
    }
    app.app.clock.set(start);
    let Checked::Blocked(until) = give(&app, &proved, &code(&app)).await else { panic!("six were wrong") };
    let wait = until.since(start);
    assert!(wait <= Duration::from_secs(240), "{wait:?}");
    app.app.clock.set(start.plus(wait));
    assert!(matches!(give(&app, &proved, &code(&app)).await, Checked::Right(_)));
});

db_test!(what_a_clock_that_was_ahead_handed_out_is_no_good_later, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user_with_password("alice").await;
    let start = app.app.clock.now();
    app.advance(20 * HOUR);
    let proved = Proved::by_password(app.app.store.read().find_user(alice.id).await.unwrap().unwrap());
    let ticket = proof::remember(&app.app, &proved).await.unwrap();
    let flow = app.anonymous();
    flow.get(SIGN_IN_FLOW).await;
    let named = serde_json::json!({"component": "ak-stage-identification", "uid_field": "alice"});
    assert_eq!(flow.post_json(SIGN_IN_FLOW, &named).await.json()["component"], "ak-stage-password");
    let link = alice.token_key(rollcall::domain::user::TokenIntent::Recovery, Some(HOUR)).await;
    app.app.clock.set(start.plus(HOUR));
    assert!(proof::take(&app.app, &ticket).await.unwrap().is_none(), "a proof lives a quarter of an hour");
    assert_eq!(flow.get(SIGN_IN_FLOW).await.json()["component"], "ak-stage-identification", "so does a conversation");
    app.anonymous().get(&format!("/set-up/{link}")).await.assert_status(404);
});

db_test!(a_use_by_a_clock_that_was_ahead_is_replaced_by_the_next, |db| async move {
    let app = TestApp::with(db, &[("SESSIONS__IDLE_TIMEOUT", "10h")]).await;
    let browser = app.user("alice").await.session().await;
    let start = app.app.clock.now();
    app.advance(9 * HOUR);
    browser.get(SESSIONS).await.assert_status(200);
    app.app.touches.flush(&app.app).await.unwrap();
    app.app.clock.set(start);
    browser.get(SESSIONS).await.assert_status(200);
    app.app.touches.flush(&app.app).await.unwrap();
    let last = app.number("SELECT last_used_at FROM sessions").await;
    assert_eq!(Timestamp(last), start, "it was used now, and not in nine hours");
    assert_eq!(Timestamp(app.number("SELECT expires_at FROM sessions").await), start.plus(10 * HOUR));
    app.assert_counts().await;
});

//! Known devices: the browsers somebody signed in with before, and what a session remembers of that.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use rollcall::actions::by::By;
use rollcall::actions::people::users;
use rollcall::actions::sign_in::guesses;
use rollcall::auth::known_device;
use rollcall::domain::{PlainSecret, UserId};
use rollcall::store::sign_in::known_devices::NewDevice;

use crate::support::app::{PASSWORD, sign_in_as};
use crate::support::{Caller, TestApp};

const COOKIE: &str = "rollcall_device";

/// Signs in and gives whether the session says that the browser was known.
async fn sign_in(app: &TestApp, browser: &Caller, name: &str) -> bool {
    app.advance(Duration::from_secs(1));
    let answer = sign_in_as(browser, name, PASSWORD, false).await;
    assert_eq!(answer.json()["component"], "xak-flow-redirect", "{}", answer.text());
    app.number("SELECT CAST(CASE WHEN is_known_device THEN 1 ELSE 0 END AS BIGINT) FROM sessions ORDER BY created_at DESC LIMIT 1")
        .await
        == 1
}

/// What the door's own question says of a browser.
async fn is_known(app: &TestApp, browser: &Caller, user: UserId) -> bool {
    let mut headers = HeaderMap::new();
    let cookie = browser.cookie(COOKIE).map(|secret| format!("{COOKIE}={secret}"));
    headers.insert(header::COOKIE, HeaderValue::from_str(&cookie.unwrap_or_default()).unwrap());
    let device = known_device::secret(&app.app.config, &headers);
    guesses::known_device(&app.app, user, device).await.unwrap().is_some()
}

db_test!(a_browser_is_known_from_its_second_sign_in_on, |db| async move {
    let app = TestApp::new(db).await;
    let (alice, bob) = (app.user_with_password("alice").await, app.user_with_password("bob").await);
    let (laptop, phone) = (app.anonymous(), app.anonymous());
    assert!(!is_known(&app, &laptop, alice.id).await);
    assert!(!sign_in(&app, &laptop, "alice").await);
    let secret = laptop.cookie(COOKIE).unwrap();
    assert!(secret.len() == 43 && is_known(&app, &laptop, alice.id).await);
    assert!(sign_in(&app, &laptop, "alice").await);
    assert_eq!(laptop.cookie(COOKIE).unwrap(), secret, "a known browser keeps its secret");
    assert!(!sign_in(&app, &phone, "alice").await);
    // Another person in the same browser: a new secret, by which the first is still known.
    assert!(!is_known(&app, &laptop, bob.id).await && !sign_in(&app, &laptop, "bob").await);
    assert_ne!(laptop.cookie(COOKIE).unwrap(), secret);
    assert!(is_known(&app, &laptop, alice.id).await && is_known(&app, &laptop, bob.id).await);
    assert_eq!(app.number("SELECT count(*) FROM known_devices").await, 3);
    // What nobody handed out is nobody's.
    phone.set_cookie(COOKIE, &secret);
    assert!(!is_known(&app, &phone, alice.id).await);
    // A wrong password makes nothing known.
    let stranger = app.anonymous();
    sign_in_as(&stranger, "alice", "wrong", false).await;
    assert_eq!(stranger.cookie(COOKIE), None);
});

db_test!(known_browsers_are_forgotten, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user_with_password("alice").await;
    let laptop = app.anonymous();
    sign_in(&app, &laptop, "alice").await;
    app.advance(app.app.config.sign_in.known_device_lifetime + Duration::from_secs(1));
    rollcall::actions::upkeep::sweep::run(&app.app, rollcall::actions::by::By::System).await.unwrap();
    assert!(!is_known(&app, &laptop, alice.id).await, "nobody used it for long");
    sign_in(&app, &laptop, "alice").await;
    assert!(is_known(&app, &laptop, alice.id).await);
    // A browser may be known by a sign-in of somebody who knew the old password.
    let row = app.app.store.read().find_user(alice.id).await.unwrap().unwrap();
    users::set_password(&app.app, By::Cli, &row, "another long password".into()).await.unwrap();
    assert!(!is_known(&app, &laptop, alice.id).await);
    // They are not many, however often somebody signs in.
    let now = app.app.clock.now();
    app.app
        .store
        .write(move |db| {
            Box::pin(async move {
                let mut secret = PlainSecret::generate()?.hash();
                // Sixty, and on until one comes that puts the oldest away, as one of thirty-two does.
                for second in 0.. {
                    let is_last = second >= 60 && secret.0[0] % 32 == 0;
                    let device = NewDevice { user: alice.id, secret, old: None };
                    db.insert_known_devices_last(&[device], now.plus(Duration::from_secs(second)));
                    if is_last {
                        break;
                    }
                    secret = PlainSecret::generate()?.hash();
                }
                Ok::<_, rollcall::actions::ActionError>(())
            })
        })
        .await
        .unwrap();
    assert_eq!(app.number("SELECT count(*) FROM known_devices").await, 50);
});

db_test!(how_long_a_browser_is_known_is_a_setting, |db| async move {
    let app = TestApp::with(db, &[("SIGN_IN__KNOWN_DEVICE_LIFETIME", "30d")]).await;
    let alice = app.user_with_password("alice").await;
    let laptop = app.anonymous();
    let days = |days: u64| Duration::from_secs(days * 86400);
    assert!(!sign_in(&app, &laptop, "alice").await);
    app.advance(days(29));
    assert!(sign_in(&app, &laptop, "alice").await);
    app.advance(days(29));
    assert!(sign_in(&app, &laptop, "alice").await, "each sign-in begins the time anew");
    let secret = laptop.cookie(COOKIE).unwrap();
    // No sweep is needed for it to be over.
    app.advance(days(30));
    assert!(!is_known(&app, &laptop, alice.id).await && !sign_in(&app, &laptop, "alice").await);
    assert_ne!(laptop.cookie(COOKIE).unwrap(), secret, "it is known anew, by a new secret");
    assert!(sign_in(&app, &laptop, "alice").await);
    assert_eq!(app.number("SELECT count(*) FROM known_devices").await, 1);
});

db_test!(no_browser_is_known_when_the_time_is_zero, |db| async move {
    let app = TestApp::with(db, &[("SIGN_IN__KNOWN_DEVICE_LIFETIME", "0")]).await;
    let alice = app.user_with_password("alice").await;
    let laptop = app.anonymous();
    for _ in 0..2 {
        assert!(!sign_in(&app, &laptop, "alice").await && !is_known(&app, &laptop, alice.id).await);
        assert_eq!(laptop.cookie(COOKIE), None);
    }
    assert_eq!(app.number("SELECT count(*) FROM known_devices").await, 0);
});

//! Limits on wrong passwords: by name, by known device, by address, and in all; also when all come at once.

use std::time::Duration;

use rollcall::actions::by::By;
use rollcall::actions::sign_in::guesses;
use rollcall::actions::{ActionError, sign_in};
use rollcall::domain::Address;
use rollcall::domain::caller::Actor;
use serde_json::json;

use crate::support::app::{PASSWORD, sign_in_as};
use crate::support::{Answer, Caller, SIGN_IN_FLOW, TestApp};

const WRONG: &str = "Username or password is wrong.";

async fn submit(caller: &Caller, uid: &str, password: &str) -> Answer {
    let proof = caller.get("/sign-in").await.assert_status(200).proof();
    caller.post_form("/sign-in", &[("proof", &proof), ("uid", uid), ("password", password), ("next", "/")]).await
}

/// A browser that alice signed in with, and out again.
async fn known_browser(app: &TestApp) -> Caller {
    let known = app.anonymous();
    assert_eq!(submit(&known, "alice", PASSWORD).await.redirects_to(), "/");
    sign_out(&known).await;
    known
}

async fn sign_out(caller: &Caller) {
    let proof = caller.get("/sign-out").await.assert_status(200).proof();
    caller.post_form("/sign-out", &[("proof", &proof)]).await.assert_status(303);
}

fn actor(ip: &str) -> Actor {
    Actor { name: "anonymous".into(), ip: Address::parse(ip), ..Actor::default() }
}

db_test!(of_two_hundred_at_once_no_more_are_looked_at_than_may_be, |db| async move {
    let app = TestApp::new(db).await;
    app.user_with_password("alice").await;
    let known = known_browser(&app).await;
    let stranger = app.anonymous();
    let proof = stranger.get("/sign-in").await.proof();
    let tries: Vec<_> = (0..200)
        .map(|n| {
            let (stranger, proof, password) = (stranger.clone(), proof.clone(), format!("wrong password {n}"));
            tokio::spawn(async move {
                let fields = [("proof", proof.as_str()), ("uid", "alice"), ("password", &password), ("next", "/")];
                stranger.post_form("/sign-in", &fields).await
            })
        })
        .collect();
    let (mut wrong, mut limited) = (0, 0);
    for one in tries {
        let answer = one.await.unwrap();
        match answer.status {
            200 => {
                assert!(answer.text().contains(WRONG));
                wrong += 1;
            }
            429 => limited += 1,
            other => panic!("{other}: {}", answer.text()),
        }
    }
    assert_eq!((wrong, limited), (10, 190));
    assert_eq!(app.count_events("sign_in_failed").await, 10, "one for each password that was looked at");
    assert_eq!(app.count_events("sign_in_limited").await, 1, "one, not one a try");
    // A stranger does not get in with the right one either, or being refused would tell of it.
    let refused = submit(&app.anonymous(), "alice", PASSWORD).await.assert_status(429);
    assert_eq!(refused.header("retry-after"), Some("90"));
    assert!(refused.text().contains("Wait a little") && refused.text().contains("in 90 seconds"), "{}", refused.text());
    // Nor on another node.
    let other = app.restarted(&[]).await;
    let tried = sign_in::prove_password(&other, "Alice ", PASSWORD.into(), None, &actor("192.0.2.7")).await;
    assert!(matches!(tried, Err(ActionError::Limited(_))), "{tried:?}");
    // Their owner does, from a browser they are known to have.
    assert_eq!(submit(&known, "alice", PASSWORD).await.redirects_to(), "/");
});

db_test!(of_many_at_once_each_takes_from_limits_of_their_own, |db| async move {
    let app = TestApp::with(db, &[("SIGN_IN__ADDRESS_LIMIT", "5/1h")]).await;
    app.user_with_password("alice").await;
    let guess = |name: String, ip: &str| {
        let (app, actor) = (app.app.clone(), actor(ip));
        tokio::spawn(async move { sign_in::prove_password(&app, &name, "wrong".into(), None, &actor).await })
    };
    // Many names from one address, and one each from others.
    let mut crowd: Vec<_> = (0..40).map(|n| guess(format!("name {n}"), "192.0.2.7")).collect();
    let strangers = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1", "192.0.2.3"];
    let strangers: Vec<_> = strangers.into_iter().map(|ip| guess(format!("from {ip}"), ip)).collect();
    crowd.extend((40..60).map(|n| guess(format!("name {n}"), "192.0.2.7")));
    for one in strangers {
        assert!(matches!(one.await.unwrap(), Ok(None)), "the crowd is in nobody else's way");
    }
    let (mut looked_at, mut refused) = (0, None);
    let names = (0..60).map(|n| format!("name {n}"));
    for (one, name) in crowd.into_iter().zip(names) {
        match one.await.unwrap() {
            Ok(None) => looked_at += 1,
            Err(ActionError::Limited(_)) => refused = Some(name),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(looked_at, 5);
    // What was refused took nothing from the name's own limit of ten.
    let again = (0..20).map(|n| guess(refused.clone().unwrap(), &format!("198.51.100.{n}")));
    let again = futures_util::future::join_all(again).await;
    assert_eq!(again.into_iter().filter(|one| matches!(one, Ok(Ok(None)))).count(), 10);
});

db_test!(a_known_browser_has_a_limit_of_its_own, |db| async move {
    let app = TestApp::new(db).await;
    app.user_with_password("alice").await;
    app.user_with_password("bob").await;
    let (known, other) = (known_browser(&app).await, known_browser(&app).await);
    for _ in 0..10 {
        submit(&known, "alice", "wrong").await.assert_status(200);
    }
    submit(&known, "alice", PASSWORD).await.assert_status(429);
    // Of that browser alone, and of alice alone.
    assert_eq!(submit(&other, "alice", PASSWORD).await.redirects_to(), "/");
    assert_eq!(submit(&app.anonymous(), "alice", PASSWORD).await.redirects_to(), "/");
    assert_eq!(submit(&known, "bob", PASSWORD).await.redirects_to(), "/");
    // A made-up secret knows nobody.
    let liar = app.anonymous();
    liar.set_cookie("rollcall_device", "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6A1b2C3d4E5f");
    for _ in 0..10 {
        submit(&liar, "alice", "wrong").await.assert_status(200);
    }
    submit(&liar, "alice", "wrong").await.assert_status(429);
});

db_test!(names_that_nobody_has_are_limited_the_same, |db| async move {
    let app = TestApp::new(db).await;
    app.user_with_password("alice").await;
    let mut said = Vec::new();
    for name in ["alice", "a name that nobody has"] {
        let caller = app.anonymous();
        let mut answers = Vec::new();
        for _ in 0..12 {
            let answer = submit(&caller, name, "wrong").await;
            let proof = caller.get("/sign-in").await.proof();
            let text = answer.text().replace(name, "NAME").replace(&proof, "PROOF");
            answers.push((answer.status, answer.header("retry-after").map(str::to_owned), text));
        }
        assert_eq!((answers[9].0, answers[10].0), (200, 429), "{name}");
        said.push(answers);
    }
    assert_eq!(said[0], said[1]);
    // Upper case and blanks make no other name of it.
    submit(&app.anonymous(), " A NAME that nobody has ", "wrong").await.assert_status(429);
    submit(&app.anonymous(), "another name", "wrong").await.assert_status(200);
});

db_test!(time_and_right_passwords_give_guesses_back, |db| async move {
    let app = TestApp::new(db).await;
    app.user_with_password("alice").await;
    for _ in 0..9 {
        submit(&app.anonymous(), "alice", "wrong").await.assert_status(200);
    }
    // Right ones take nothing; and they do not give wrong ones back.
    for _ in 0..5 {
        assert_eq!(submit(&app.anonymous(), "alice", PASSWORD).await.redirects_to(), "/");
    }
    submit(&app.anonymous(), "alice", "wrong").await.assert_status(200);
    submit(&app.anonymous(), "alice", "wrong").await.assert_status(429);
    app.advance(Duration::from_secs(90));
    submit(&app.anonymous(), "alice", "wrong").await.assert_status(200);
    submit(&app.anonymous(), "alice", "wrong").await.assert_status(429);
    assert_eq!(app.count_events("sign_in_limited").await, 1, "the limit was never full in between");
    app.advance(Duration::from_secs(900 + 3600));
    guesses::sweep(&app.app, By::System).await.unwrap();
    assert_eq!(app.number("SELECT count(*) FROM guess_limits").await, 0, "a full limit is deleted within an hour");
    for _ in 0..10 {
        submit(&app.anonymous(), "alice", "wrong").await.assert_status(200);
    }
    submit(&app.anonymous(), "alice", "wrong").await.assert_status(429);
    assert_eq!(app.count_events("sign_in_limited").await, 2);
    guesses::sweep(&app.app, By::System).await.unwrap();
    submit(&app.anonymous(), "alice", "wrong").await.assert_status(429);
});

db_test!(an_address_is_limited_whatever_names_it_tries, |db| async move {
    let settings = [("HTTP__TRUSTED_PROXIES", "127.0.0.1"), ("SIGN_IN__ADDRESS_LIMIT", "3/1h")];
    let app = TestApp::with(db, &settings).await;
    app.user_with_password("alice").await;
    let known = known_browser(&app).await;
    let from = |ip: &str| app.anonymous().with_header("x-forwarded-for", ip);
    for (n, ip) in ["192.0.2.1", "192.0.2.1", "192.0.2.1"].into_iter().enumerate() {
        submit(&from(ip), &format!("name {n}"), "wrong").await.assert_status(200);
    }
    let rows = app.number("SELECT count(*) FROM guess_limits").await;
    for n in 0..5 {
        submit(&from("192.0.2.1"), &format!("new name {n}"), "wrong").await.assert_status(429);
    }
    assert_eq!(app.number("SELECT count(*) FROM guess_limits").await, rows, "what is refused leaves nothing behind");
    submit(&from("192.0.2.2"), "alice", "wrong").await.assert_status(200);
    for ip in ["2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:1:ffff::3"] {
        submit(&from(ip), "alice", "wrong").await.assert_status(200);
    }
    submit(&from("2001:db8:0:1:a:b:c:d"), "alice", "wrong").await.assert_status(429);
    submit(&from("2001:db8:0:2::1"), "alice", "wrong").await.assert_status(200);
    // Of an address that holds an IPv4 address, that one counts: neighbours do not share a limit, and
    // nobody has two.
    for ip in ["64:ff9b::198.51.100.7", "64:ff9b:1::198.51.100.7", "2002:c633:6407::1"] {
        submit(&from(ip), "alice", "wrong").await.assert_status(200);
    }
    for ip in ["198.51.100.7", "::ffff:198.51.100.7", "64:ff9b::c633:6407", "2001:0:1:2:3:4:39cc:9bf8"] {
        submit(&from(ip), "alice", "wrong").await.assert_status(429);
    }
    submit(&from("64:ff9b::198.51.100.8"), "alice", "wrong").await.assert_status(200);
    // A known browser gets in from there, too.
    assert_eq!(submit(&known.with_header("x-forwarded-for", "192.0.2.1"), "alice", PASSWORD).await.redirects_to(), "/");
});

db_test!(there_is_a_limit_in_all, |db| async move {
    let settings = [("HTTP__TRUSTED_PROXIES", "127.0.0.1"), ("SIGN_IN__INSTANCE_LIMIT", "4/1h")];
    let app = TestApp::with(db, &settings).await;
    app.user_with_password("alice").await;
    let known = known_browser(&app).await;
    for n in 0..6 {
        let caller = app.anonymous().with_header("x-forwarded-for", &format!("192.0.2.{n}"));
        let want = if n < 4 { 200 } else { 429 };
        submit(&caller, &format!("name {n}"), "wrong").await.assert_status(want);
    }
    assert_eq!(submit(&known, "alice", PASSWORD).await.redirects_to(), "/");
});

db_test!(without_limits_nothing_is_limited, |db| async move {
    let off = ["ACCOUNT", "KNOWN_DEVICE", "ADDRESS", "INSTANCE"].map(|name| format!("SIGN_IN__{name}_LIMIT"));
    let settings: Vec<_> = off.iter().map(|name| (name.as_str(), "0")).collect();
    let app = TestApp::with(db, &settings).await;
    for _ in 0..15 {
        submit(&app.anonymous(), "alice", "wrong").await.assert_status(200);
    }
    assert_eq!(app.number("SELECT count(*) FROM guess_limits").await, 0);
});

db_test!(the_flow_says_so_and_a_replayed_cookie_helps_nobody, |db| async move {
    let app = TestApp::new(db).await;
    app.user_with_password("alice").await;
    let caller = app.anonymous();
    caller.get(SIGN_IN_FLOW).await.assert_status(200);
    let named = caller.post_json(SIGN_IN_FLOW, &json!({"component": "ak-stage-identification", "uid_field": "alice"})).await;
    let cookie = named.set_cookie("rollcall_flow").unwrap().split(';').next().unwrap().to_owned();
    let guess = json!({"component": "ak-stage-password", "password": "wrong"});
    // Each time the state from before the first wrong password.
    for n in 0..12 {
        let answer = app.anonymous().with_header("cookie", &cookie).post_json(SIGN_IN_FLOW, &guess).await.assert_status(200);
        let want = if n < 10 { "ak-stage-password" } else { "ak-stage-access-denied" };
        assert_eq!(answer.json()["component"], want, "{n}");
        if n >= 10 {
            assert_eq!(answer.json()["error_message"], "Too many wrong passwords. Please try again later.");
        }
    }
    let denied = sign_in_as(&app.anonymous(), "alice", PASSWORD, false).await.assert_status(200).json();
    assert_eq!(denied["component"], "ak-stage-access-denied", "{denied}");
    app.advance(Duration::from_secs(90));
    assert_eq!(sign_in_as(&app.anonymous(), "alice", PASSWORD, false).await.json()["component"], "xak-flow-redirect");
});

db_test!(a_confirmation_is_limited_by_session, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user_with_password("alice").await;
    let (stolen, own) = (alice.session().await, alice.session().await);
    app.advance(Duration::from_secs(700));
    for n in 0..11 {
        let proof = stolen.get("/confirm").await.assert_status(200).proof();
        let answer = stolen.post_form("/confirm", &[("proof", &proof), ("password", "wrong"), ("next", "/")]).await;
        answer.assert_status(if n < 10 { 200 } else { 429 });
    }
    let proof = own.get("/confirm").await.assert_status(200).proof();
    let fields = [("proof", proof.as_str()), ("password", PASSWORD), ("next", "/password")];
    assert_eq!(own.post_form("/confirm", &fields).await.redirects_to(), "/password");
    assert_eq!(submit(&app.anonymous(), "alice", PASSWORD).await.redirects_to(), "/", "strangers are not held by it");
});

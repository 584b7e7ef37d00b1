//! What strangers can learn, leave behind, and write into the log: nothing.

use std::time::{Duration, Instant};

use rollcall::actions::by::By;
use rollcall::actions::people::users;
use rollcall::actions::sign_in;
use rollcall::actions::upkeep::dictionary::UnusedAgents;
use rollcall::domain::caller::Actor;
use serde_json::Value;

use crate::process::{Home, TOKEN, eventually};
use crate::support::app::sign_in_as;
use crate::support::{Answer, SESSIONS, TestApp, raw};

/// How often each kind of name is tried.
const SAMPLES: usize = 25;

/// How far apart two samples are by their ranks: the Mann-Whitney test's z. Of samples that differ in
/// nothing, one in 15,000 is beyond 4.
fn distance(one: &[Duration], other: &[Duration]) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a few samples")]
    let as_f64 = |count: usize| count as f64;
    let pairs = one.iter().flat_map(|a| other.iter().map(move |b| (a, b)));
    let wins: f64 = pairs
        .map(|(a, b)| {
            if a > b {
                1.0
            } else if a == b {
                0.5
            } else {
                0.0
            }
        })
        .sum();
    let (n, m) = (as_f64(one.len()), as_f64(other.len()));
    (wins - n * m / 2.0) / (n * m * (n + m + 1.0) / 12.0).sqrt()
}

#[test]
fn the_test_of_times_tells_a_skipped_hash() {
    let times = |from: u64| (0..25).map(|n| Duration::from_millis(from + n * 7 % 20)).collect::<Vec<_>>();
    assert!(distance(&times(30), &times(30)).abs() < 4.0 && distance(&times(30), &times(31)).abs() < 4.0);
    assert!(distance(&times(30), &times(1)) > 4.0 && distance(&times(1), &times(30)) < -4.0);
}

db_test!(known_and_unknown_names_take_as_long, |db| async move {
    let off = ["ACCOUNT", "ADDRESS", "INSTANCE"].map(|name| format!("SIGN_IN__{name}_LIMIT"));
    let settings: Vec<_> = off.iter().map(|name| (name.as_str(), "0")).collect();
    let app = TestApp::with(db, &settings).await;
    app.user_with_password("known").await;
    app.user("without").await;
    app.user_with_password("inactive").await;
    let inactive = users::find(&app.app, By::Cli, "inactive").await.unwrap();
    users::set_active(&app.app, By::Cli, &inactive, false).await.unwrap();
    let names = ["known", "unknown", "without", "inactive"];
    let mut times = [const { Vec::new() }; 4];
    // The first ones warm up. Interleaved: what else the machine does meets all alike.
    for round in 0..=SAMPLES {
        for (name, times) in names.iter().zip(&mut times) {
            let started = Instant::now();
            let proved = sign_in::prove_password(&app.app, name, "wrong".into(), None, &Actor::default()).await.unwrap();
            let took = started.elapsed();
            assert!(proved.is_none());
            if round > 0 {
                times.push(took);
            }
        }
    }
    for (name, other) in names.iter().zip(&times).skip(1) {
        let z = distance(&times[0], other);
        assert!(z.abs() < 4.0, "{name}: z = {z}; known {:?}, {name} {other:?}", times[0]);
        let least = |times: &[Duration]| *times.iter().min().unwrap();
        assert!(least(other) * 2 > least(&times[0]), "{name}: a hash was skipped: {:?} and {:?}", least(other), least(&times[0]));
    }
});

/// Status, headers but for what each answer has of its own, and body without the name.
fn comparable(answer: &Answer, own_name: &str) -> (u16, Vec<(String, String)>, String) {
    let own = ["x-request-id", "date"];
    let headers = answer.headers.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    let mut headers: Vec<_> =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().replace(own_name, "ID"))).collect();
    headers.sort();
    (answer.status, headers, answer.text().replace(own_name, "ID"))
}

db_test!(what_is_anothers_reads_as_what_is_not, |db| async move {
    let app = TestApp::new(db).await;
    let browser = app.user("alice").await.session().await;
    let (alice, token) = (browser.with_csrf(), app.known("alice").await.token().await);
    let (bob, gone) = (app.user("bob").await, "00000000-0000-4000-8000-00000000dead");
    let theirs = bob.session().await;
    let ended = bob.session().await;
    ended.with_csrf().delete(&ended.url()).await.assert_status(204);
    for (method, path) in [
        ("GET", "/api/v3/core/authenticated_sessions/ID/"),
        ("DELETE", "/api/v3/core/authenticated_sessions/ID/"),
        ("PUT", "/api/v3/core/authenticated_sessions/ID/"),
        ("GET", "/api/v3/core/authenticated_sessions/ID/used_by/"),
        ("GET", "/api/v3/core/authenticated_sessions/ID/details/"),
        ("GET", "/api/v3/core/ended_sessions/?uuid=ID"),
        ("GET", "/sessions/ID"),
        ("GET", "/sessions/all/ended/ID"),
    ] {
        for caller in [&alice, &token] {
            let ask = async |id: &str| comparable(&caller.request(method, &path.replace("ID", id)).await, id);
            let unknown = ask(gone).await;
            assert_eq!(ask(&theirs.uuid).await, unknown, "{method} {path}");
            assert_eq!(ask(&ended.uuid).await, unknown, "{method} {path}");
        }
    }
    for (path, other) in [(format!("/users/{}", bob.id.0), "/users/999999"), (format!("/users/{}", bob.id.0), "/users/x")] {
        let (known, unknown) = (alice.get(&path).await, alice.get(other).await);
        if other.ends_with('x') {
            assert!(matches!(unknown.status, 403 | 404));
            continue;
        }
        assert_eq!(comparable(&known, &path), comparable(&unknown, other));
    }
    theirs.get(SESSIONS).await.assert_status(200);
});

db_test!(made_up_user_agents_do_not_stay, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user_with_password("alice").await;
    for n in 0..5 {
        let caller = app.anonymous().with_header("user-agent", &format!("made up {n}"));
        sign_in_as(&caller, "alice", "wrong", false).await;
    }
    assert_eq!(app.number("SELECT count(*) FROM user_agents").await, 0, "a failed sign-in leaves none");
    let kept = alice.session_on("192.0.2.1", "kept").await;
    let ended = alice.session_on("192.0.2.1", "ended").await;
    let forgotten = alice.session_on("192.0.2.1", "forgotten").await;
    ended.with_csrf().delete(&ended.url()).await.assert_status(204);
    forgotten.with_csrf().delete(&forgotten.url()).await.assert_status(204);
    app.db.run("DELETE FROM ended_sessions WHERE user_agent_id IN (SELECT id FROM user_agents WHERE text = 'forgotten')").await;
    let unused = UnusedAgents::default();
    assert_eq!(
        unused.prune(&app.app, rollcall::actions::by::By::System).await.unwrap(),
        0,
        "somebody may have looked it up just now"
    );
    assert_eq!(unused.prune(&app.app, rollcall::actions::by::By::System).await.unwrap(), 1);
    assert_eq!(app.number("SELECT count(*) FROM user_agents WHERE text IN ('kept', 'ended')").await, 2);
    assert_eq!(app.number("SELECT count(*) FROM user_agents WHERE text = 'forgotten'").await, 0);
    alice.session_on("192.0.2.1", "forgotten").await.get(SESSIONS).await.assert_status(200);
    assert_eq!(unused.prune(&app.app, rollcall::actions::by::By::System).await.unwrap(), 0);
    kept.get(SESSIONS).await.assert_status(200);
});

/// What would begin a line of its own, or colour a terminal, if it were written as it came.
const FORGERIES: [&str; 8] = [
    "alice\n2026-11-01T12:00:00Z  INFO forged",
    "alice\r\nforged=1",
    "\u{1b}[2J\u{1b}[31mforged",
    "\u{9b}31mforged",
    "\u{0}forged",
    "\u{8}\u{8}\u{8}forged",
    "\u{85}forged\u{2028}forged",
    "\"}\n{\"level\":\"INFO\",\"forged\":1}",
];

#[tokio::test]
async fn nobody_writes_lines_of_their_own_into_the_log() {
    for format in ["text", "json"] {
        let home = Home::sqlite().with_administrator().with("ROLLCALL_LOG", "rollcall=debug").with("ROLLCALL_LOG__FORMAT", format);
        let server = home.serve().await;
        let address = server.address().parse().unwrap();
        for forgery in FORGERIES {
            let form = format!("uid={0}&password={0}&proof={0}&next={0}", crate::support::encode(forgery));
            let form_type: (&str, &[u8]) = ("content-type", b"application/x-www-form-urlencoded");
            // A header holds no line break; what it can hold comes as it is.
            let header: Vec<u8> =
                forgery.bytes().map(|byte| if matches!(byte, b'\r' | b'\n' | 0) { b'\t' } else { byte }).collect();
            let headers =
                [form_type, ("user-agent", &header), ("x-forwarded-for", &header), ("origin", &header), ("cookie", &header)];
            raw::request(address, "POST", "/sign-in", &headers, form.as_bytes()).await;
            raw::request(address, "POST", "/sign-in", &[form_type], form.as_bytes()).await;
            let path = format!("/{0}?{0}", crate::support::encode(forgery));
            raw::request(address, "GET", &path, &headers, b"").await;
            raw::request(
                address,
                "GET",
                &format!("{SESSIONS}?search={}", crate::support::encode(forgery)),
                &[("authorization", format!("Bearer {TOKEN}").as_bytes())],
                b"",
            )
            .await;
            let body = serde_json::json!({"component": "ak-stage-identification", "uid_field": forgery}).to_string();
            raw::request(
                address,
                "POST",
                crate::support::SIGN_IN_FLOW,
                &[("content-type", b"application/json"), ("origin", &header)],
                body.as_bytes(),
            )
            .await;
        }
        // Two requests of each hold nothing that is refused before there is a request.
        let answered = |log: &str| log.lines().filter(|line| line.contains("answered")).count();
        let log = eventually("lines for all requests", || {
            let log = server.log();
            std::future::ready((answered(&log) >= FORGERIES.len() * 2).then_some(log))
        })
        .await;
        let lines: Vec<&str> = log.lines().filter(|line| !line.starts_with("listening on ")).collect();
        for line in &lines {
            assert!(!line.contains(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')), "{line:?}");
            if format == "json" && !line.is_empty() {
                let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
                assert!(value["timestamp"].is_string() && value.get("forged").is_none(), "{line}");
            } else if !line.is_empty() {
                assert!(line.starts_with("20") && !line.contains("Z  INFO forged"), "{line:?}");
            }
        }
    }
}

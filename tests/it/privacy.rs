//! What is kept of people: for how long, handed over, and erased. What is said to be gone is looked
//! for on the disk.

use std::time::Duration;

use rollcall::actions::by::By;
use rollcall::actions::people::privacy;
use rollcall::actions::policies;
use rollcall::actions::sessions::retention;
use rollcall::domain::factor::{FactorId, FactorKind};
use rollcall::domain::policy::Policy;
use rollcall::domain::user::TokenIntent;
use rollcall::store::people::policies::PolicyOwner;
use rollcall::store::sign_in::factors::NewFactor;
use serde_json::json;

use crate::support::app::{PASSWORD, sign_in_as};
use crate::support::{SESSIONS, TestApp, TestDb, seed};

const DAY: Duration = Duration::from_secs(86400);
/// Imported sessions, each last used from an address of its own.
const OLD: u32 = 900;

/// The address of the `n`th of them.
fn address(n: u32) -> String {
    format!("198.{}.{}.{}", 100 + n / 10_000, 100 + n / 100, 100 + n % 100)
}

/// Which of these are in a file of the database: the texts, and IPv4 addresses as their keys, too.
fn found_on_disk(db: &TestDb, texts: &[String]) -> Vec<String> {
    let files: Vec<Vec<u8>> = std::fs::read_dir(db.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("rollcall.db")))
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    assert!(!files.is_empty());
    let is_in = |needle: &[u8]| files.iter().any(|file| memchr(file, needle));
    let key = |text: &str| {
        let ip: std::net::Ipv4Addr = text.parse().ok()?;
        Some([&[4][..], &ip.octets()].concat())
    };
    texts.iter().filter(|text| is_in(text.as_bytes()) || key(text).is_some_and(|key| is_in(&key))).cloned().collect()
}

/// Whether `file` holds `needle`.
fn memchr(file: &[u8], needle: &[u8]) -> bool {
    let mut rest = file;
    while let Some(at) = rest.iter().position(|byte| *byte == needle[0]) {
        rest = &rest[at..];
        if rest.starts_with(needle) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

async fn fade(app: &TestApp) -> u64 {
    let faded = retention::fade(&app.app, By::System).await.unwrap();
    assert!(retention::clear_leftovers(&app.app, By::System).await.unwrap(), "nobody reads");
    faded
}

/// Sessions of all kinds of age, sign-ins, and ends; their addresses.
async fn busy(app: &TestApp) -> Vec<String> {
    let mut lines = vec![seed::user(7, "alice")];
    for n in 0..OLD {
        let last_used = format!("2026-10-{:02}T{:02}:{:02}:00Z", 10 + n % 9, n % 24, n % 60);
        lines.push(seed::session(n, 7, json!({"last_ip": address(n), "last_used": last_used})));
    }
    app.import(&lines).await;
    let admin = app.admin_token().await;
    for n in (0..OLD).step_by(9) {
        admin.delete(&format!("{SESSIONS}{}/", seed::uuid(n))).await.assert_status(204);
    }
    app.user_with_password("bob").await;
    let bob = app.anonymous().with_header("x-forwarded-for", "198.99.7.123");
    sign_in_as(&bob, "bob", PASSWORD, false).await.assert_status(200);
    sign_in_as(&app.anonymous().with_header("x-forwarded-for", "198.99.8.124"), "bob", "wrong password", false).await;
    (0..OLD).map(address).chain(["198.99.7.123".into(), "198.99.8.124".into()]).collect()
}

db_test!(addresses_are_gone_from_the_disk_after_their_time, |db| async move {
    let app = TestApp::with(db, &[("HTTP__TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    let all = busy(&app).await;
    let is_sqlite = app.db.is_sqlite();
    if is_sqlite {
        assert_eq!(found_on_disk(&app.db, &all), all, "all are there at first");
    }
    assert_eq!(fade(&app).await, 0, "none is old enough");
    // 30 days after the last of the old sessions was used: the live ones are cut. What ended and what
    // happened is younger.
    app.advance(18 * DAY);
    let live = u64::from(OLD - OLD.div_ceil(9));
    assert_eq!(fade(&app).await, live);
    let shown = app.admin_address(1).await;
    assert_eq!(shown, "198.100.100.0");
    assert_eq!(fade(&app).await, 0, "what is cut is cut");
    if is_sqlite {
        let left = found_on_disk(&app.db, &all);
        let expected: Vec<String> = (0..OLD).step_by(9).map(address).chain(all[all.len() - 2..].to_vec()).collect();
        assert_eq!(left, expected, "those of ended sessions and of events are there still, and no other");
    }
    app.advance(13 * DAY);
    let young = app.anonymous().with_header("x-forwarded-for", "198.99.9.125");
    sign_in_as(&young, "bob", PASSWORD, false).await.assert_status(200);
    assert!(fade(&app).await >= u64::from(OLD.div_ceil(9)) + 2);
    if is_sqlite {
        assert_eq!(found_on_disk(&app.db, &all), [""; 0]);
        assert_eq!(found_on_disk(&app.db, &["198.99.9.125".into()]).len(), 1, "the young one is whole");
    }
    let whole = "SELECT count(*) FROM sessions WHERE last_ip LIKE '198.%' AND last_ip NOT LIKE '%.0' AND last_ip <> '198.99.9.125'";
    assert_eq!(app.number(whole).await, 0);
    assert_eq!(app.number("SELECT count(*) FROM sessions WHERE proved_ip_key <> last_ip_key").await, 0);
    let whole = "SELECT count(*) FROM ended_sessions WHERE last_ip LIKE '198.%' AND last_ip NOT LIKE '%.0'";
    assert_eq!(app.number(whole).await, 0);
    assert_eq!(app.number("SELECT count(*) FROM events WHERE ip = '198.99.7.0' AND kind = 'sign_in'").await, 1);
    assert_eq!(app.number("SELECT count(*) FROM events WHERE ip LIKE '198.99.%' AND ip NOT LIKE '%.0'").await, 1);
    // An import may bring older ones: they are found, too.
    app.import(&[seed::session(OLD, 7, json!({"last_ip": "198.77.1.101", "last_used": "2026-01-01T00:00:00Z"}))]).await;
    assert_eq!(fade(&app).await, 1);
    app.assert_counts().await;
});

impl TestApp {
    /// The address that an administrator is shown of the `n`th session.
    async fn admin_address(&self, n: u32) -> String {
        let admin = self.known("the admin").await.token().await;
        let row = admin.get(&format!("{SESSIONS}{}/", seed::uuid(n))).await.assert_status(200).json();
        row["last_ip"].as_str().unwrap().to_owned()
    }
}

db_test!(addresses_can_be_cleared_or_kept_instead, |db| async move {
    let settings =
        [("HTTP__TRUSTED_PROXIES", "127.0.0.0/8"), ("PRIVACY__ADDRESS_CUT", "false"), ("PRIVACY__ADDRESS_RETENTION", "1d")];
    let app = TestApp::with(db, &settings).await;
    let all = busy(&app).await;
    app.advance(2 * DAY);
    let keeping = app.restarted(&[("PRIVACY__ADDRESS_RETENTION", "0")]).await;
    assert_eq!(retention::fade(&keeping, By::System).await.unwrap(), 0);
    assert!(fade(&app).await > u64::from(OLD));
    assert_eq!(app.admin_address(1).await, "255.255.255.255", "authentik's word for an address that is not known");
    assert_eq!(app.number("SELECT count(*) FROM events WHERE ip LIKE '198.%'").await, 0);
    assert_eq!(app.number("SELECT count(*) FROM sessions WHERE proved_ip_key IS NOT NULL").await, 0);
    if app.db.is_sqlite() {
        assert_eq!(found_on_disk(&app.db, &all), [""; 0]);
    }
    app.assert_counts().await;
    let browser = app.anonymous().with_header("x-forwarded-for", "198.99.9.125");
    browser.set_cookie("rollcall_session", "key-1");
    browser.get(SESSIONS).await.assert_status(200);
});

/// Alice with everything that can be stored about a user, and Bob, who appears in her events.
async fn alice(app: &TestApp) -> (crate::support::app::Browser, String) {
    let line = json!({"kind": "user", "username": "alice.zebra", "name": "Alice Zebrafish", "email": "zebra@example.com",
        "permissions": ["authentik_core.delete_authenticatedsession", "authentik_core.view_authenticatedsession"]});
    app.import(&[line]).await;
    let (alice, bob) = (app.known("alice.zebra").await, app.user("bob").await);
    let user = app.app.store.read().find_user(alice.id).await.unwrap().unwrap();
    rollcall::actions::people::users::set_password(&app.app, By::Cli, &user, PASSWORD.into()).await.unwrap();
    let away = app.anonymous().with_header("x-forwarded-for", "198.99.7.123");
    sign_in_as(&away, "alice.zebra", PASSWORD, false).await.assert_status(200);
    sign_in_as(&app.anonymous().with_header("x-forwarded-for", "198.99.8.124"), "zebra@example.com", "wrong password", false).await;
    let gone = alice.session_on("198.99.6.122", "Zebra/1.0").await;
    gone.with_csrf().delete(&gone.url()).await.assert_status(204);
    let session = alice.session_on("198.99.5.121", "Zebra/1.0").await;
    let fields = [("proof", session.get("/sessions").await.proof()), ("label", "Striped laptop".to_owned())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    session.post_form(&format!("/sessions/{}/name", session.uuid), &fields).await.redirects_to();
    let token = alice.token_key(TokenIntent::Api, None).await;
    let factor = NewFactor {
        uuid: FactorId(rollcall::domain::secret::random_uuid().unwrap()),
        user: alice.id,
        kind: FactorKind::Totp,
        name: "Zebra phone".into(),
        secret: b"a sealed seed of stripes".to_vec(),
        credential_id: None,
        counter: 0,
        is_confirmed: false,
    };
    let now = app.app.clock.now();
    app.app.store.write(move |db| Box::pin(async move { db.insert_factor(&factor, now).await })).await.unwrap();
    let others = bob.session().await;
    session.with_csrf().delete(&others.url()).await.assert_status(204);
    let policy = Policy { max_sessions: Some(17), ..Policy::default() };
    policies::set(&app.app, By::Cli, PolicyOwner::User(alice.id), "alice.zebra", policy).await.unwrap();
    (session, token)
}

db_test!(an_export_has_everything_about_one_person_and_no_secret, |db| async move {
    let app = TestApp::with(db, &[("HTTP__TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    let (session, token) = alice(&app).await;
    let user = app.app.store.read().find_user_by_name("alice.zebra").await.unwrap().unwrap();
    let export = privacy::export(&app.app, By::Cli, &user).await.unwrap();
    let text = export.to_string();
    for part in [
        "alice.zebra",
        "Alice Zebrafish",
        "zebra@example.com",
        "authentik_core.delete_authenticatedsession",
        "198.99.7.123",
        "198.99.8.124",
        "198.99.5.121",
        "198.99.6.122",
        "Zebra/1.0",
        "Striped laptop",
        "Zebra phone",
        "sign_in_failed",
        "session_named",
        &session.uuid,
    ] {
        assert!(text.contains(part), "{part} is not in {export:#}");
    }
    assert_eq!((export["policy"]["max_sessions"].as_i64(), &export["user"]["has_password"]), (Some(17), &json!(true)));
    let lengths = ["sessions", "ended_sessions", "tokens"].map(|part| export[part].as_array().unwrap().len());
    assert_eq!(lengths, [2, 1, 1]);
    for secret in [session.key.as_str(), &token, user.password_hash.as_deref().unwrap(), "stripes", "bob"] {
        assert!(!text.contains(secret), "{secret} is in it");
    }
    // The same as a download, for herself alone, when she has just proved who she is.
    let answer = session.get("/my-data").await.assert_status(200);
    assert_eq!(answer.header("content-disposition"), Some("attachment; filename=\"my-data.json\""));
    assert_eq!(answer.json()["user"], export["user"]);
    app.advance(Duration::from_secs(601));
    assert_eq!(session.get("/my-data").await.redirects_to(), "/confirm?next=/my-data");
    assert_eq!(app.anonymous().get("/my-data").await.redirects_to(), "/sign-in?next=/my-data");
    assert!(session.get("/sessions").await.text().contains("href=\"/my-data\""));
});

db_test!(an_erased_person_is_gone_and_the_record_goes_on, |db| async move {
    let app = TestApp::with(db, &[("HTTP__TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    let (session, token) = alice(&app).await;
    let left = [
        "alice.zebra",
        "Zebrafish",
        "zebra@example.com",
        "Striped laptop",
        "Zebra phone",
        "sealed seed of stripes",
        "198.99.7.123",
        "198.99.8.124",
        "198.99.6.122",
    ];
    let left = left.map(str::to_owned);
    if app.db.is_sqlite() {
        assert_eq!(found_on_disk(&app.db, &left), left, "all are there at first");
    }
    let before = app.events().await.len();
    let erased = privacy::erase(&app.app, By::Cli, "alice.zebra").await.unwrap();
    assert!(erased.sessions == 3 && erased.events > 5 && erased.is_log_empty, "{erased:?}");
    session.get(SESSIONS).await.assert_status(403);
    app.anonymous().with_bearer(&token).get(SESSIONS).await.assert_status(403);
    sign_in_as(&app.anonymous(), "alice.zebra", PASSWORD, false).await;
    if app.db.is_sqlite() {
        assert_eq!(found_on_disk(&app.db, &left), [""; 0]);
    }
    for (table, columns) in [
        ("users", "username || name || email"),
        ("events", "actor || username || ip || content"),
        ("ended_sessions", "username || username_folded || ended_by_name || last_ip || label || comment"),
        ("tokens", "identifier || description"),
    ] {
        for text in &left {
            let sql = format!("SELECT count(*) FROM {table} WHERE {columns} LIKE '%{text}%'");
            assert_eq!(app.number(&sql).await, 0, "{text} in {table}");
        }
    }
    // What happened stays, without her: the two ends of her live sessions and that they ended together, the
    // erasure, and a failed sign-in by a name that nobody has came after it.
    let after = app.events().await;
    assert_eq!(after.len(), before + 5);
    assert!(after.iter().any(|(kind, _)| kind == "user_erased"));
    assert_eq!(
        app.number("SELECT count(*) FROM events WHERE kind = 'session_revoked' AND actor = 'erased' AND username = 'bob'").await,
        1
    );
    assert_eq!(app.number("SELECT count(*) FROM ended_sessions WHERE username = 'bob' AND ended_by_name = 'erased'").await, 1);
    app.assert_counts().await;
    let again = privacy::erase(&app.app, By::Cli, "alice.zebra").await;
    assert!(matches!(again, Err(rollcall::actions::ActionError::NotFound)), "{again:?}");

    // Somebody who was removed before: what is left under the name goes, and nobody else's does.
    app.user("carol.quagga").await.session().await;
    let carol = app.app.store.read().find_user_by_name("carol.quagga").await.unwrap().unwrap();
    rollcall::actions::people::users::remove(&app.app, By::Cli, &carol).await.unwrap();
    let ended = app.number("SELECT count(*) FROM ended_sessions").await;
    let erased = privacy::erase(&app.app, By::Cli, "carol.quagga").await.unwrap();
    assert!(erased.sessions == 1 && erased.events >= 3, "{erased:?}");
    assert_eq!(app.number("SELECT count(*) FROM ended_sessions").await, ended - 1);
    assert_eq!(app.number("SELECT count(*) FROM events WHERE username LIKE '%quagga%' OR actor LIKE '%quagga%'").await, 0);
    app.assert_counts().await;
});

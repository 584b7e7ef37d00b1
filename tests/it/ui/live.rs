//! Live views and downloads ask, with each part of their answer, whether the viewer may still look.

use std::time::Duration;

use rollcall::actions::policies;
use rollcall::domain::policy::Policy;
use rollcall::domain::{Address, Permission};
use rollcall::store::people::policies::PolicyOwner;

use crate::support::{Browser, TestApp, geoip};

/// A stream of server-sent events, read as it comes.
struct Stream(reqwest::Response);

impl Stream {
    async fn open(viewer: &Browser) -> Self {
        Self::open_from(viewer, "127.0.0.1").await
    }

    async fn open_from(viewer: &Browser, ip: &str) -> Self {
        let caller = viewer.caller.with_header("x-forwarded-for", ip);
        let mut this = Self(caller.build("GET", "/sessions/all/live").send().await.unwrap());
        assert_eq!(this.0.status(), 200);
        assert!(this.next().await.is_some_and(|text| text.contains("event: rows")), "all rows come first");
        this
    }

    /// What comes next; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        let next = tokio::time::timeout(Duration::from_secs(30), self.0.chunk()).await.expect("a part or the end");
        next.ok().flatten().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The stream ends, and shows nothing more.
    async fn ends(&mut self, why: &str) {
        let shown = self.next().await;
        assert_eq!(shown, None, "{why}");
    }
}

db_test!(a_live_view_ends_when_a_second_factor_is_required, |db| async move {
    let app = TestApp::new(db).await;
    let root = app.superuser("root").await;
    let viewer = root.session().await;
    let mut stream = Stream::open(&viewer).await;
    let policy = Policy { is_factor_required: true, ..Policy::default() };
    policies::set(&app.app, rollcall::actions::by::By::Cli, PolicyOwner::User(root.id), "root", policy).await.unwrap();
    stream.ends("the session must prove a second factor").await;
});

db_test!(a_live_view_ends_when_the_right_to_look_goes, |db| async move {
    let app = TestApp::new(db).await;
    let viewer = app.user_who_may("viewer", &[Permission::ViewSessions]).await.session().await;
    let mut stream = Stream::open(&viewer).await;
    app.db.run("DELETE FROM user_permissions").await;
    app.user("alice").await.session().await;
    stream.ends("the right is gone").await;
});

db_test!(a_live_view_ends_with_its_session, |db| async move {
    let app = TestApp::new(db).await;
    let root = app.superuser("root").await;
    let (viewer, other) = (root.session().await, root.session().await);
    let mut stream = Stream::open(&viewer).await;
    other.with_csrf().delete(&viewer.url()).await.assert_status(204);
    stream.ends("the session ended").await;
    // A user who is switched off, likewise.
    let mut stream = Stream::open(&other).await;
    app.db.run(&format!("UPDATE users SET is_active = {}", if app.db.is_sqlite() { "0" } else { "false" })).await;
    stream.ends("the user is inactive").await;
});

db_test!(a_live_view_ends_when_its_session_is_bound_elsewhere, |db| async move {
    let file = db.dir.path().join("asn.mmdb");
    geoip::write_asn(&file, &[("81.2.69.0/24", 64496, "Here"), ("5.5.0.0/16", 64497, "There")]);
    let file = file.display().to_string();
    let settings = [
        ("HTTP__TRUSTED_PROXIES", "127.0.0.0/8"),
        ("GEOIP__ASN", file.as_str()),
        ("SESSIONS__NETWORK_BINDING", "bind_asn"),
        ("SESSIONS__NETWORK_BINDING_ACTION", "confirm"),
    ];
    let app = TestApp::with(db, &settings).await;
    let viewer = app.superuser("root").await.session_on("81.2.69.7", "").await;
    let mut stream = Stream::open_from(&viewer, "81.2.69.7").await;
    // The session is proved elsewhere now: where the stream is, it is not.
    let key: String = Address::parse("5.5.0.1").unwrap().sort_key().iter().map(|byte| format!("{byte:02x}")).collect();
    let key = if app.db.is_sqlite() { format!("x'{key}'") } else { format!("'\\x{key}'::bytea") };
    app.db.run(&format!("UPDATE session_rows SET proved_ip_key = {key}")).await;
    stream.ends("the binding is broken").await;
});

db_test!(a_live_view_is_no_use_of_its_session, |db| async move {
    let app = TestApp::new(db).await;
    let root = app.superuser("root").await;
    let viewer = root.session().await;
    let mut stream = Stream::open(&viewer).await;
    app.app.touches.flush(&app.app).await.unwrap();
    let used = |app: &TestApp| app.app.clock.now();
    let last = app.number("SELECT max(last_used_at) FROM sessions").await;
    app.advance(Duration::from_secs(600));
    root.session().await;
    assert!(stream.next().await.is_some(), "it goes on");
    app.app.touches.flush(&app.app).await.unwrap();
    let viewers = app.number("SELECT min(last_used_at) FROM sessions").await;
    assert!(viewers <= last && viewers < used(&app).0, "the page lies open, and nobody uses it");
});

db_test!(a_seventh_page_has_a_connection_left, |db| async move {
    let app = TestApp::new(db).await;
    let viewer = app.superuser("root").await.session().await;
    // A browser has six connections to a host.
    let mut held = Vec::new();
    let mut refused = 0;
    for _ in 0..6 {
        let answer = viewer.caller.build("GET", "/sessions/all/live").send().await.unwrap();
        match answer.status().as_u16() {
            200 => held.push(answer),
            429 => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!((held.len(), refused), (4, 2), "two of six stay free for pages");
    viewer.get("/sessions/all").await.assert_status(200);
    held.pop();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    Stream::open(&viewer).await;
});

//! One session: shown, ended, and how it may be named (`docs/compat.md` 6 and 7).

use serde_json::{Value, json};

use crate::support::{SESSIONS, TestApp, geoip, raw, seed};

const UNSEEN: &str = "No AuthenticatedSession matches the given query.";

db_test!(the_object_has_authentiks_fields_in_its_order, |db| async move {
    let (city, asn) = (db.dir.path().join("city.mmdb"), db.dir.path().join("asn.mmdb"));
    geoip::write_city(&city, &[("198.51.100.0/24", "EU", "DE", "Berlin")]);
    geoip::write_asn(&asn, &[("198.51.100.0/25", 64500, "Example Net"), ("203.0.113.0/24", 64501, "")]);
    let (city, asn) = (city.display().to_string(), asn.display().to_string());
    let app = TestApp::with(db, &[("GEOIP__CITY", &city), ("GEOIP__ASN", &asn)]).await;
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0";
    let line = json!({"last_ip": "198.51.100.7", "last_user_agent": agent, "last_used": "2026-10-01T00:00:00.5Z"});
    app.import(&[seed::user(7, "alice"), seed::session(1, 7, line), seed::session(2, 7, json!({"last_ip": "203.0.113.9"}))]).await;
    let admin = app.admin_token().await;
    let answer = admin.get(&format!("{SESSIONS}{}/", seed::uuid(1))).await.assert_status(200);
    let want = json!({
        "uuid": seed::uuid(1), "current": false,
        "user_agent": {
            "string": agent,
            "user_agent": {"family": "Firefox", "major": "131", "minor": "0", "patch": ""},
            "os": {"family": "Linux", "major": "", "minor": "", "patch": "", "patch_minor": ""},
            "device": {"family": "Other", "brand": "", "model": ""},
        },
        "geo_ip": {"continent": "EU", "country": "DE", "lat": 52.5, "long": 0.0, "city": "Berlin"},
        "asn": {"asn": 64500, "as_org": "Example Net", "network": "198.51.100.0/25"},
        "user": 7, "last_ip": "198.51.100.7", "last_user_agent": agent,
        "last_used": "2026-10-01T00:00:00.500000Z", "expires": "2099-01-01T00:00:00Z",
    });
    assert_eq!(answer.json(), want);
    let text = answer.text();
    let places = ["uuid", "current", "user_agent", "geo_ip", "asn", "user", "last_ip", "last_user_agent", "last_used", "expires"]
        .map(|name| text.find(&format!("\"{name}\":")).unwrap());
    assert!(places.is_sorted(), "{text}");
    let second = admin.get(&format!("{SESSIONS}{}/", seed::uuid(2))).await.json();
    assert_eq!((&second["geo_ip"], &second["asn"]["as_org"]), (&Value::Null, &Value::Null));
    assert_eq!(second["user_agent"]["user_agent"]["family"], "Other");
});

db_test!(addresses_are_shown_as_postgresql_shows_inet, |db| async move {
    let app = TestApp::new(db).await;
    let forms = [
        ("2001:0DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("::FFFF:1.2.3.4", "::ffff:1.2.3.4"),
        ("::ffff:102:304", "::ffff:1.2.3.4"),
        ("1:0:0:2:0:0:0:3", "1:0:0:2::3"),
        ("::1", "::1"),
        ("255.255.255.255", "255.255.255.255"),
    ];
    let mut lines = vec![seed::user(7, "alice")];
    lines.extend((0..).zip(forms).map(|(n, (given, _))| seed::session(n, 7, json!({"last_ip": given}))));
    app.import(&lines).await;
    let admin = app.admin_token().await;
    for (n, (given, want)) in (0..).zip(forms) {
        assert_eq!(admin.get(&format!("{SESSIONS}{}/", seed::uuid(n))).await.json()["last_ip"], want, "{given}");
    }
});

db_test!(a_uuid_may_be_written_as_python_reads_it, |db| async move {
    let app = TestApp::new(db).await;
    let uuid = "50499c33-bd55-4ced-8916-e466275b4b73";
    app.import(&[seed::user(7, "alice"), seed::session(1, 7, json!({"uuid": uuid}))]).await;
    let admin = app.admin_token().await;
    for form in [
        uuid,
        "50499C33-BD55-4CED-8916-E466275B4B73",
        "50499c33bd554ced8916e466275b4b73",
        "%7B50499c33-bd55-4ced-8916-e466275b4b73%7D",
        "urn:uuid:50499c33-bd55-4ced-8916-e466275b4b73",
        "5-0499c33bd554ced8916e466275b4b73--",
        "50499c33%2Dbd55-4ced-8916-e466275b4b73",
    ] {
        assert_eq!(admin.get(&format!("{SESSIONS}{form}/")).await.json()["uuid"], uuid, "{form}");
        assert_eq!(admin.get(&format!("{SESSIONS}{form}/used_by/")).await.json(), json!([]), "{form}");
    }
    for malformed in
        ["x", "50499c33", "g0499c33bd554ced8916e466275b4b73", "50499c33bd554ced8916e466275b4b730", "%20", "%00", "%FF", "-", "{}"]
    {
        for path in [format!("{SESSIONS}{malformed}/"), format!("{SESSIONS}{malformed}/used_by/")] {
            admin.get(&path).await.assert_detail(404, "Not found.");
        }
        admin.delete(&format!("{SESSIONS}{malformed}/")).await.assert_detail(404, "Not found.");
    }
    let unknown = "00000000-0000-0000-0000-000000000000";
    admin.get(&format!("{SESSIONS}{unknown}/")).await.assert_detail(404, UNSEEN);
    admin.get(&format!("{SESSIONS}{unknown}/used_by/")).await.assert_detail(404, UNSEEN);
});

db_test!(an_ended_session_is_out_at_once_and_gone, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let (one, two) = (alice.session().await, alice.session().await);
    let token = alice.token().await;
    let answer = token.delete(&one.url()).await.assert_status(204);
    assert!(answer.bytes.is_empty() && answer.header("content-type").is_none());
    one.get(SESSIONS).await.assert_detail(403, "Authentication credentials were not provided.");
    assert_eq!(one.get("/sessions").await.redirects_to(), "/sign-in?next=/sessions");
    token.delete(&one.url()).await.assert_detail(404, UNSEEN);
    assert_eq!(token.get(SESSIONS).await.uuids(), [two.uuid.clone()]);
    assert_eq!(app.ending(&one.uuid).await, Some(("revoked".into(), "alice".into())));
    // Ending the session that asks.
    two.with_csrf().delete(&two.url()).await.assert_status(204);
    two.get(SESSIONS).await.assert_status(403);
    app.assert_counts().await;
});

db_test!(without_the_last_slash_nothing_is_done, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let session = alice.session().await;
    let token = alice.token().await;
    token.delete(session.url().trim_end_matches('/')).await.assert_status(404);
    session.get(&session.url()).await.assert_status(200);
});

db_test!(a_doubled_slash_is_read_as_one, |db| async move {
    let app = TestApp::new(db).await;
    let session = app.user("alice").await.session().await;
    let cookie = format!("rollcall_session={}", session.key);
    let ask = async |path: &str| raw::request(app.address, "GET", path, &[("Cookie", cookie.as_bytes())], b"").await.status;
    assert_eq!(ask("/api/v3//core/authenticated_sessions/").await, 200);
    assert_eq!(ask(&format!("/api/v3//core/authenticated_sessions/{}/?format=json", session.uuid)).await, 200);
    assert_eq!(ask("/api/v3/core/authenticated%5fsessions/").await, 200);
    assert_eq!(ask("/api/v3///core/authenticated_sessions/").await, 404);
    assert_eq!(ask("/api//v3/core/authenticated_sessions/").await, 404);
    assert_eq!(ask("/api/v3/core//authenticated_sessions/").await, 404);
});

//! Sessions in memory follow what happens in the database.

use std::time::Duration;

use serde_json::json;

use crate::support::{SESSIONS, TestApp, geoip, seed};

db_test!(many_ends_at_once_are_followed_and_not_read_anew, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let mut lines = vec![seed::user(7, "stays"), seed::user(8, "goes")];
    // Of the two users in turn, so that those who go stand everywhere.
    lines.extend((0..9600).map(|n| seed::session(n, 7 + i64::from(n % 2), json!({"last_used": "2026-01-01T00:00:00Z"}))));
    app.import(&lines).await;
    let stays = format!("{SESSIONS}?search=tay&ordering=-last_used&page=last&page_size=100");
    let goes = format!("{SESSIONS}?search=goes");
    let before = admin.get(&stays).await.assert_status(200).json();
    assert_eq!(before["pagination"]["count"], 4800);
    assert_eq!(admin.get(&goes).await.count(), 4800);
    assert!(app.app.store.is_index_filled());
    let ended = admin.delete(&format!("{SESSIONS}bulk_delete/?user_pks=8")).await.assert_status(200).json();
    assert_eq!(ended["deleted"], 4800);
    // The first are answered by the database, the later ones from memory.
    for _ in 0..20 {
        assert_eq!(admin.get(&goes).await.count(), 0);
        assert_eq!(admin.get(&stays).await.assert_status(200).json()["results"], before["results"]);
        assert!(app.app.store.is_index_filled(), "what is held is brought up to date");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
});

db_test!(networks_of_one_country_are_one_place_in_its_order, |db| async move {
    let (city, asn) = (db.dir.path().join("city.mmdb"), db.dir.path().join("asn.mmdb"));
    geoip::write_city(&city, &[("198.51.100.0/24", "EU", "DE", "Berlin"), ("203.0.113.0/24", "EU", "DE", "Bonn")]);
    geoip::write_asn(&asn, &[("198.51.100.0/24", 64500, "One"), ("203.0.113.0/24", 64501, "Two")]);
    let (city, asn) = (city.display().to_string(), asn.display().to_string());
    let app = TestApp::with(db, &[("GEOIP__CITY", &city), ("GEOIP__ASN", &asn)]).await;
    let admin = app.admin_token().await;
    let mut lines = vec![seed::user(7, "alice")];
    lines.extend((0..700).map(|n| {
        let network = if n % 2 == 0 { "198.51.100" } else { "203.0.113" };
        seed::session(n, 7, json!({ "last_ip": format!("{network}.{}", n % 250) }))
    }));
    app.import(&lines).await;
    let mut want: Vec<String> = (0..700).map(seed::uuid).collect();
    for round in 0..2 {
        let mut seen = Vec::new();
        for page in 1..=want.len().div_ceil(100) {
            let list = format!("{SESSIONS}?search=lic&ordering=country&page={page}&page_size=100");
            seen.extend(admin.get(&list).await.assert_status(200).uuids());
        }
        assert!(app.app.store.is_index_filled());
        assert!(seen == want, "{round}: by name, whatever their network is");
        // What ends leaves the order, wherever it stands.
        for gone in want.extract_if(.., |uuid| uuid[..8].ends_with('7')).take(20).collect::<Vec<_>>() {
            admin.delete(&format!("{SESSIONS}{gone}/")).await.assert_status(204);
        }
    }
});

db_test!(lists_that_come_often_are_answered_from_memory, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let mut lines = vec![seed::user(7, "alice")];
    lines.extend((0..50).map(|n| seed::session(n, 7, json!({ "last_ip": format!("198.51.100.{n}") }))));
    app.import(&lines).await;
    let list = format!("{SESSIONS}?ordering=-last_ip&page_size=20");
    let before = admin.get(&list).await.assert_status(200).json();
    assert!(!app.app.store.is_index_filled(), "now and then a list does not take so much memory");
    for _ in 0..600 {
        assert_eq!(admin.get(&list).await.assert_status(200).json(), before);
        if app.app.store.is_index_filled() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(app.app.store.is_index_filled());
    assert_eq!(admin.get(&list).await.assert_status(200).json(), before);
    admin.delete(&format!("{SESSIONS}{}/", seed::uuid(49))).await.assert_status(204);
    let after = admin.get(&list).await.assert_status(200).json();
    assert_eq!(after["pagination"]["count"], 49, "and what happens since then is in them");
    assert_eq!(after["results"][0], before["results"][1]);
});

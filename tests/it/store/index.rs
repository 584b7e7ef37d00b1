//! Sessions in memory follow what happens in the database.

use std::time::Duration;

use rollcall::actions::by::By;
use rollcall::actions::people::users;
use rollcall::domain::UserId;
use rollcall::domain::listing::{SessionFilter, Sort, SortKey};
use rollcall::domain::page::Wanted;
use rollcall::domain::people_lists::{UserFilter, UserSortKey};
use rollcall::store::StoreError;
use rollcall::store::events::list::EventFilter;
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
        // A session that ends leaves the order, at any position.
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

db_test!(searches_know_a_user_by_the_new_name_alone, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let mut lines = vec![seed::user(7, "marianne"), seed::user(8, "stays")];
    lines.extend((0..40).map(|n| seed::session(n, 7 + i64::from(n % 2), json!({}))));
    app.import(&lines).await;
    let count = async |query: &str| admin.get(&format!("{SESSIONS}?{query}")).await.count();
    assert_eq!((count("search=marianne").await, count("search=stays").await), (20, 20));
    assert!(app.app.store.is_index_filled());

    // Another user gets the key of one who was removed.
    let user = users::find(&app.app, By::Cli, "marianne").await.unwrap();
    users::remove(&app.app, By::Cli, &user).await.unwrap();
    assert_eq!((count("search=marianne").await, count("search=stays").await), (0, 20));
    let mut lines = vec![seed::user(7, "bertrand")];
    lines.extend((100..103).map(|n| seed::session(n, 7, json!({}))));
    app.import(&lines).await;
    assert_eq!((count("search=marianne").await, count("search=bertrand").await), (0, 3));
    assert_eq!((count("user__username=marianne").await, count("user__username=bertrand").await), (0, 3));

    // A rename, by another node.
    let second = app.restarted(&[]).await;
    let renamed = second.store.write(|db| Box::pin(async move { db.update_username(UserId(7), "zacharias").await }));
    renamed.await.unwrap();
    assert_eq!((count("search=bertrand").await, count("search=zacharias").await), (0, 3));
    let last = admin.get(&format!("{SESSIONS}?search=s&ordering=-username&page_size=3")).await.assert_status(200);
    assert_eq!(last.uuids(), [100, 101, 102].map(seed::uuid), "and lists by name are in its order");

    // An import in place of everything.
    let mut lines = vec![seed::user(7, "nadine"), seed::user(9, "the admin")];
    lines.extend((200..202).map(|n| seed::session(n, 7, json!({}))));
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    app.import_bytes(text, true).await.unwrap();
    let admin = app.known("the admin").await;
    let found = async |name: &str| {
        let filter = SessionFilter { search: vec![name.to_uppercase()], ..SessionFilter::default() };
        app.app.store.count_sessions(&filter).await.unwrap()
    };
    assert_eq!((found("zacharias").await, found("nadine").await, admin.id), (0, 2, UserId(9)));
    assert!(app.app.store.is_index_filled(), "from memory all the time");
});

db_test!(questions_wait_until_the_sessions_are_in_memory, |db| async move {
    const SESSIONS: u32 = 24_000;
    let app = TestApp::new(db).await;
    let mut lines = vec![seed::user(7, "alice"), seed::user(8, "bob")];
    lines.extend((0..SESSIONS).map(|n| seed::session(n, 7 + i64::from(n % 2), json!({}))));
    app.import(&lines).await;
    let store = &app.app.store;
    assert!(!store.is_index_filled());
    let search = SessionFilter { search: vec!["LIC".into()], ..SessionFilter::default() };
    let order = [Sort { key: SortKey::LastUsed, is_descending: true }];
    // All at once, and more than may wait.
    let questions = (0..100).map(|n| {
        let (search, order) = (&search, &order);
        async move {
            let found = store.page(search, order, Wanted::page(n % 9 + 1, 100)).await;
            found.map(|found| (found.count, found.rows.len(), store.is_index_filled()))
        }
    });
    let answers = futures_util::future::join_all(questions).await;
    let right = (i64::from(SESSIONS / 2), 100, true);
    let answered = answers.iter().filter(|answer| matches!(answer, Ok(answer) if *answer == right)).count();
    let refused = answers.iter().filter(|answer| matches!(answer, Err(StoreError::Busy))).count();
    assert_eq!((answered, refused), (64, 36), "none is answered before, and the database is asked by none: {answers:?}");
    // The beginning of a list needs no memory, and waits for nothing.
    let found = store.page(&SessionFilter::default(), &order, Wanted::first(20)).await.unwrap();
    assert_eq!((found.count, found.rows.len()), (i64::from(SESSIONS), 20));
});

db_test!(users_and_events_are_listed_by_the_same_function, |db| async move {
    let app = TestApp::new(db).await;
    let lines: Vec<_> = (1..=45).map(|id| seed::user(id, &format!("user-{id:02}"))).collect();
    app.import(&lines).await;
    let (store, part) = (&app.app.store, |part: &str| {
        let search = rollcall::domain::search::folded_terms([part]).unwrap();
        UserFilter { search, ..UserFilter::default() }
    });
    let by_name = [Sort { key: UserSortKey::Username, is_descending: true }];
    let found = store.page(&part(""), &by_name, Wanted::page(2, 20)).await.unwrap();
    assert_eq!((found.count, found.pages, found.rows.first().map(|user| user.profile.user.id)), (45, 3, Some(UserId(25))));
    let found = store.page(&part("R-4"), &[], Wanted::last(4)).await.unwrap();
    assert_eq!(found.rows.iter().map(|user| user.profile.user.id.0).collect::<Vec<_>>(), [44, 45]);
    assert!(!store.page(&part("nobody"), &by_name, Wanted::page(2, 20)).await.unwrap().is_there());
    let imports = EventFilter { kind: Some("import".into()), ..EventFilter::default() };
    assert_eq!(store.read().list_latest_events(&imports, 20).await.unwrap().len(), 1);
});

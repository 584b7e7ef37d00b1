//! Filters (`docs/compat.md` 8 and 11).

use rollcall::domain::Methods;
use serde_json::{Value, json};

use crate::support::{Caller, SESSIONS, TestApp, encode, geoip, seed};

async fn filtered(caller: &Caller, query: &str) -> Vec<String> {
    caller.get(&format!("{SESSIONS}?ordering=uuid&page_size=100&{query}")).await.uuids()
}

async fn populated(app: &TestApp) -> Caller {
    let row = |ip: &str, agent: &str| json!({"last_ip": ip, "last_user_agent": agent});
    app.import(&[
        seed::user(1, "alice"),
        seed::user(2, "ALICE"),
        seed::user(3, "100%_\\ \"q\" o'b"),
        seed::session(1, 1, row("10.1.2.3", "curl/8.5.0")),
        seed::session(2, 2, row("::ffff:10.1.2.3", "Curl/8.5.0")),
        seed::session(3, 3, row("2001:db8::5", "")),
        seed::session(4, 3, row("2001:db8:0:1::5", "50%_off\\ żółć")),
    ])
    .await;
    app.admin_token().await
}

db_test!(exact_filters_are_exact, |db| async move {
    let app = TestApp::new(db).await;
    let admin = populated(&app).await;
    for (name, value, want) in [
        ("user__username", "alice", &[1][..]),
        ("user__username", "ALICE", &[2]),
        ("user__username", "Alice", &[]),
        ("user__username", "ali", &[]),
        ("user__username", "  alice\t", &[1]),
        ("user__username", "100%_\\ \"q\" o'b", &[3, 4]),
        ("user__username", "%", &[]),
        ("session__last_user_agent", "curl/8.5.0", &[1]),
        ("session__last_user_agent", "Curl/8.5.0", &[2]),
        ("session__last_user_agent", "curl", &[]),
        ("session__last_user_agent", " 50%_off\\ żółć ", &[4]),
        ("session__last_ip", "10.1.2.3", &[1]),
        ("session__last_ip", " 10.1.2.3 ", &[1]),
        ("session__last_ip", "::ffff:10.1.2.3", &[2]),
        ("session__last_ip", "::FFFF:a01:203", &[2]),
        ("session__last_ip", "2001:0DB8:0000::0005", &[3]),
        ("session__last_ip", "2001:db8::6", &[]),
    ] {
        assert_eq!(filtered(&admin, &format!("{name}={}", encode(value))).await, seed::uuids(want), "{name}={value}");
    }
    // An empty value is no filter, so the empty user agent cannot be asked for.
    for empty in ["user__username=", "session__last_user_agent=%20%09", "session__last_ip=", "user=", "country=", "network=%20"] {
        assert_eq!(filtered(&admin, empty).await.len(), 4, "{empty}");
    }
    assert_eq!(filtered(&admin, "user__username=alice&session__last_ip=10.1.2.3&search=CURL").await, seed::uuids(&[1]));
    assert_eq!(filtered(&admin, "user__username=alice&session__last_ip=2001:db8::5").await, seed::uuids(&[]));
    assert_eq!(filtered(&admin, "user__username=ALICE&user__username=alice").await, seed::uuids(&[1]), "the last one wins");
    assert_eq!(filtered(&admin, "user__username=%ff%fe").await, seed::uuids(&[]), "what is not UTF-8 is no error");
    assert_eq!(filtered(&admin, "user__username=alice;user=2").await, seed::uuids(&[]), "; does not separate");
    assert_eq!(filtered(&admin, "username=alice&pk=1&last_agent=x&User=1").await.len(), 4, "unknown names are ignored");
});

db_test!(our_own_filters, |db| async move {
    let (city, asn) = (db.dir.path().join("city.mmdb"), db.dir.path().join("asn.mmdb"));
    geoip::write_city(&city, &[("10.0.0.0/8", "EU", "DE", ""), ("2001:db8::/48", "AS", "JP", "Tokyo")]);
    geoip::write_asn(&asn, &[("10.0.0.0/8", 64500, "Ten"), ("2001:db8::/32", 4_200_000_000, "")]);
    let (city, asn) = (city.display().to_string(), asn.display().to_string());
    let app = TestApp::with(db, &[("GEOIP__CITY", &city), ("GEOIP__ASN", &asn)]).await;
    let (firefox, iphone) = (
        "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
    );
    let row = |ip: &str, agent: &str, used: &str, expires: &str| json!({"last_ip": ip, "last_user_agent": agent, "last_used": used, "expires": expires});
    app.import(&[
        seed::user(1, "alice"),
        seed::user(2, "bob"),
        seed::session(1, 1, row("10.1.2.3", firefox, "2026-01-01T00:00:00Z", "2099-01-01T00:00:00Z")),
        seed::session(2, 1, row("10.200.0.1", iphone, "2026-01-01T00:00:00.000001Z", "2098-01-01T00:00:00Z")),
        seed::session(3, 2, row("2001:db8::5", "", "2026-01-02T00:00:00Z", "2097-01-01T00:00:00Z")),
        seed::session(4, 2, row("::ffff:192.0.2.9", firefox, "2026-01-03T00:00:00Z", "2020-01-01T00:00:00Z")),
    ])
    .await;
    let admin = app.admin_token().await;
    for (query, want) in [
        ("user=1", &[1, 2][..]),
        ("user=%20%2B0_2", &[3, 4]),
        ("user=99", &[]),
        ("user=99999999999999999999", &[]),
        ("user=-1", &[]),
        ("user=1&user__username=bob", &[]),
        ("country=DE", &[1, 2]),
        ("country=de", &[1, 2]),
        ("country=jp", &[3]),
        ("country=FR", &[]),
        ("asn=64500", &[1, 2]),
        ("asn=4200000000", &[3]),
        ("asn=1", &[]),
        ("network=10.1.0.0/16", &[1]),
        ("network=10.1.2.3/8", &[1, 2]),
        ("network=10.1.2.3", &[1]),
        ("network=0.0.0.0/0", &[1, 2]),
        ("network=::/0", &[3, 4]),
        ("network=2001:db8::/32", &[3]),
        ("network=::ffff:192.0.2.0/120", &[4]),
        ("network=192.0.2.0/24", &[]),
        ("browser=Firefox", &[1, 4]),
        ("browser=firefox", &[]),
        ("browser=Mobile%20Safari", &[2]),
        ("browser=Other", &[3]),
        ("os=Linux", &[1, 4]),
        ("os=iOS", &[2]),
        ("device=iPhone", &[2]),
        ("device=iPhone&os=Linux", &[]),
        ("last_used__gte=2026-01-01T00:00:00.000001Z", &[2, 3, 4]),
        ("last_used__lte=2026-01-01T00:00:00Z", &[1]),
        ("last_used__gte=2026-01-02&last_used__lte=2026-01-02", &[3]),
        ("last_used__gte=2026-01-02T02:00:00%2B02:00", &[3, 4]),
        ("expires__lte=2026-11-01T12:00:00Z", &[4]),
        ("expires__gte=2098-01-01", &[1, 2]),
        ("expires__lte=9999-12-31", &[1, 2, 3, 4]),
        ("expires__lte=9999-12-31T23:59:59.999999Z", &[1, 2, 3, 4]),
        ("last_used__lte=9999-12-31T23:59:59%2B14:00", &[1, 2, 3, 4]),
        ("expires__gte=9999-12-31", &[]),
        ("expires__gte=0001-01-01", &[1, 2, 3, 4]),
        ("country=DE&asn=64500&browser=Firefox&user=1&network=10.0.0.0/8&search=linux", &[1]),
        ("country=DE&asn=4200000000", &[]),
    ] {
        assert_eq!(filtered(&admin, query).await, seed::uuids(want), "{query}");
        assert_eq!(admin.get(&format!("{SESSIONS}?{query}")).await.count(), want.len() as i64, "{query}");
    }
    app.assert_counts().await;
});

db_test!(times_reach_to_the_end_of_the_year_9999, |db| async move {
    let app = TestApp::new(db).await;
    let (first, last) = ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z");
    let root = app.superuser("root").await;
    app.import(&[seed::user(9, "far"), seed::session(1, 9, json!({"expires": last, "last_used": first}))]).await;
    let admin = app.admin_token().await;
    let row = admin.get(&format!("{SESSIONS}{}/", seed::uuid(1))).await.assert_status(200).json();
    assert_eq!((&row["expires"], &row["last_used"]), (&json!(last), &json!(first)));
    assert_eq!(admin.get(&format!("{SESSIONS}?expires__gte={last}")).await.count(), 1);
    assert_eq!(admin.get(&format!("{SESSIONS}?expires__lte=9999-12-31T23:59:59.999998Z&expires__gte=9999-01-01")).await.count(), 0);
    let browser = root.session().await;
    for path in [format!("/sessions/{}", seed::uuid(1)), "/sessions/all?q=user:far+used:<9999-12-31".into(), "/sessions/all".into()]
    {
        assert!(browser.get(&path).await.assert_status(200).text().contains("datetime=\"9999-12-31T23:59:59.999999Z\""), "{path}");
    }
    assert_eq!(row["user"], 9);
});

db_test!(sessions_are_filtered_by_how_they_were_signed_in, |db| async move {
    let app = TestApp::new(db).await;
    let admin = populated(&app).await;
    let sign_in = async |nth: u32, methods: &'static str| {
        let id = app.number(&format!("SELECT id FROM session_rows ORDER BY uuid LIMIT 1 OFFSET {}", nth - 1)).await;
        let write = app.app.store.write(move |db| Box::pin(async move { db.update_methods(id, Methods::parse(methods)).await }));
        write.await.unwrap();
    };
    for (nth, methods) in [(1, "pwd"), (2, "pwd otp mfa"), (3, "hwk user mfa")] {
        sign_in(nth, methods).await;
    }
    for limit in [0, 1_000_000] {
        // By SQL, then from memory.
        app.app.store.use_index(limit);
        for (query, want) in [
            ("methods=pwd", &[1, 2][..]),
            ("methods=%20otp%20", &[2]),
            ("methods=hwk", &[3]),
            ("methods=user", &[3]),
            ("methods=mfa", &[2, 3]),
            ("methods=swk", &[]),
            ("methods=", &[1, 2, 3, 4]),
            ("methods=pwd&user=1", &[1]),
            ("methods=mfa&search=curl", &[2]),
            ("methods=mfa&network=2001:db8::/32&ordering=-user", &[3]),
        ] {
            assert_eq!(filtered(&admin, query).await, seed::uuids(want), "{limit}: {query}");
            assert_eq!(admin.get(&format!("{SESSIONS}?{query}")).await.count(), want.len() as i64, "{limit}: {query}");
        }
    }
    sign_in(1, "pwd otp mfa").await;
    assert_eq!(filtered(&admin, "methods=otp").await, seed::uuids(&[1, 2]), "memory follows the change");
    let root = app.superuser("root").await.session().await;
    let page = root.get("/sessions/all?q=method:hwk").await.assert_status(200).text();
    assert!(page.contains(&seed::uuid(3)) && !page.contains(&seed::uuid(2)), "the search box, too");
    assert!(page.contains("methods=hwk&#38;ordering") && page.contains("rollcall session list method:hwk --ordering"), "{page}");
    for wrong in ["sms", "PWD", "pwd,otp", "pwd otp"] {
        let answer = admin.get(&format!("{SESSIONS}?methods={}", encode(wrong))).await.assert_status(400);
        assert_eq!(answer.json(), json!({"methods": ["Enter a method: pwd, otp, hwk, swk, user or mfa."]}), "{wrong}");
    }
    let body = json!({"methods": "otp", "expected_count": 2});
    assert_eq!(admin.post_json(&format!("{SESSIONS}revoke/"), &body).await.assert_status(200).json(), json!({"ended": 2}));
    let ended = admin.get("/api/v3/core/ended_sessions/?methods=otp&ordering=uuid").await.assert_status(200);
    assert_eq!(ended.uuids(), seed::uuids(&[1, 2]));
    assert_eq!(admin.get("/api/v3/core/ended_sessions/?methods=hwk").await.count(), 0);
    app.assert_counts().await;
});

db_test!(bad_values_are_named_all_at_once, |db| async move {
    let app = TestApp::new(db).await;
    let admin = populated(&app).await;
    let whole = "Enter a whole number.";
    let address = "Enter a valid IPv4 or IPv6 address.";
    for (name, value, why) in [
        ("session__last_ip", "word", address),
        ("session__last_ip", "10.0.0.0/8", address),
        ("session__last_ip", "256.1.1.1", address),
        ("session__last_ip", "01.2.3.4", address),
        ("session__last_ip", "1.2.3", address),
        ("session__last_ip", "%", address),
        ("user", "alice", whole),
        ("user", "1.5", whole),
        ("asn", "AS64500", whole),
        ("country", "D", "Enter a country code of two letters."),
        ("country", "DEU", "Enter a country code of two letters."),
        ("country", "ß", "Enter a country code of two letters."),
        ("network", "10.0.0.0/33", "Enter a valid network, such as 10.0.0.0/8."),
        ("network", "ten", "Enter a valid network, such as 10.0.0.0/8."),
        ("last_used__gte", "yesterday", "Enter a valid date/time."),
        ("last_used__lte", "2026-13-01", "Enter a valid date/time."),
        ("expires__gte", "0", "Enter a valid date/time."),
        ("expires__lte", "2026-01-01T25:00:00Z", "Enter a valid date/time."),
    ] {
        let answer = admin.get(&format!("{SESSIONS}?{name}={}", encode(value))).await.assert_status(400);
        assert_eq!(answer.json(), json!({ name: [why] }), "{name}={value}");
    }
    let names = [
        "user__username",
        "session__last_user_agent",
        "session__last_ip",
        "user",
        "country",
        "asn",
        "network",
        "browser",
        "os",
        "device",
        "last_used__gte",
        "last_used__lte",
        "expires__gte",
        "expires__lte",
    ];
    let query: Vec<String> = names.iter().map(|name| format!("{name}=a%00b")).collect();
    let answer = admin.get(&format!("{SESSIONS}?{}", query.join("&"))).await.assert_status(400).json();
    for name in names {
        assert_eq!(answer[name], json!(["Null characters are not allowed."]), "{name}");
    }
    assert_eq!(answer.as_object().unwrap().len(), names.len());
});

db_test!(strict_query_refuses_what_it_does_not_know, |db| async move {
    let app = TestApp::with(db, &[("API__STRICT_QUERY", "true")]).await;
    let admin = populated(&app).await;
    let answer = admin.get(&format!("{SESSIONS}?username=alice&pk=1&user=1&session__last_ip=x")).await.assert_status(400);
    let unknown = json!(["Unknown parameter."]);
    let want: Value = json!({"username": unknown, "pk": unknown, "session__last_ip": ["Enter a valid IPv4 or IPv6 address."]});
    assert_eq!(answer.json(), want);
    let known = "ordering=uuid&page=1&page_size=9&search=a&format=json&user=1&user__username=alice&session__last_ip=10.1.2.3\
        &session__last_user_agent=curl%2F8.5.0&network=10.0.0.0%2F8&browser=&os=&device=&country=&asn=\
        &last_used__gte=2020-01-01&last_used__lte=&expires__gte=&expires__lte=";
    assert_eq!(admin.get(&format!("{SESSIONS}?{known}")).await.uuids(), seed::uuids(&[1]));
    let bulk = format!("{SESSIONS}bulk_delete/");
    let answer = admin.delete(&format!("{bulk}?user_pks=1&users=2")).await.assert_status(400);
    assert_eq!(answer.json(), json!({"users": ["Unknown parameter."]}));
    assert_eq!(admin.get(SESSIONS).await.count(), 4, "nothing ended");
    assert_eq!(admin.delete(&format!("{bulk}?user_pks[0]=1&format=json")).await.json(), json!({"deleted": 1}));
});

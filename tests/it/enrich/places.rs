//! Places and networks of addresses, from GeoIP files that come, change and break.

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::support::{SESSIONS, TestApp, TestDb, geoip, seed};

/// Changes a file's time, since two writes may come within one tick of the clock.
fn age(path: &Path, by: u64) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + by)).unwrap();
}

db_test!(geoip_files_come_change_and_break_while_running, |db| async move {
    let (city, asn) = (db.dir.path().join("city.mmdb"), db.dir.path().join("asn.mmdb"));
    let (city_path, asn_path) = (city.display().to_string(), asn.display().to_string());
    let app = TestApp::with(db, &[("GEOIP__CITY", &city_path), ("GEOIP__ASN", &asn_path)]).await;
    app.import(&[seed::user(1, "alice"), seed::session(1, 1, json!({"last_ip": "198.51.100.7"}))]).await;
    let admin = app.admin_token().await;
    let url = format!("{SESSIONS}{}/", seed::uuid(1));
    let shown = async || {
        let row = admin.get(&url).await.assert_status(200).json();
        (row["geo_ip"]["city"].clone(), row["asn"]["asn"].clone())
    };
    assert_eq!(shown().await, (Value::Null, Value::Null), "missing files are no trouble");
    assert!(!app.app.geoip.reload_changed());

    geoip::write_city(&city, &[("198.51.100.0/24", "EU", "DE", "Berlin")]);
    age(&city, 1);
    assert!(app.app.geoip.reload_changed());
    assert_eq!(shown().await, (json!("Berlin"), Value::Null));
    assert!(!app.app.geoip.reload_changed(), "unchanged files are not read again");

    geoip::write_asn(&asn, &[("198.51.100.0/24", 64500, "")]);
    geoip::write_city(&city, &[("198.51.100.0/24", "EU", "FR", "Paris")]);
    age(&city, 2);
    assert!(app.app.geoip.reload_changed());
    assert_eq!(shown().await, (json!("Paris"), json!(64500)));

    let whole = std::fs::read(&city).unwrap();
    for (n, broken) in [&b""[..], b"nonsense", &whole[..whole.len() / 2], &[0; 4096]].into_iter().enumerate() {
        std::fs::write(&city, broken).unwrap();
        age(&city, 10 + n as u64);
        assert!(!app.app.geoip.reload_changed());
        assert_eq!(shown().await, (json!("Paris"), json!(64500)), "a broken file keeps the old one");
    }
    std::fs::remove_file(&city).unwrap();
    assert!(!app.app.geoip.reload_changed());
    assert_eq!(shown().await.0, json!("Paris"), "a file that is gone keeps the old one too");
});

db_test!(a_broken_file_at_the_start_is_none, |db| async move {
    let city = db.dir.path().join("city.mmdb");
    std::fs::write(&city, "nonsense").unwrap();
    let path = city.display().to_string();
    let app = TestApp::with(db, &[("GEOIP__CITY", &path)]).await;
    app.import(&[seed::user(1, "alice"), seed::session(1, 1, json!({"last_ip": "198.51.100.7"}))]).await;
    let row = app.admin_token().await.get(SESSIONS).await.json()["results"][0].clone();
    assert_eq!((&row["geo_ip"], &row["asn"]), (&Value::Null, &Value::Null));
});

/// A server with City and ASN files.
async fn with_files(db: TestDb, city: &[(&str, &str, &str, &str)], asn: &[(&str, u32, &str)]) -> TestApp {
    let (city_file, asn_file) = (db.dir.path().join("city.mmdb"), db.dir.path().join("asn.mmdb"));
    geoip::write_city(&city_file, city);
    geoip::write_asn(&asn_file, asn);
    let (city, asn) = (city_file.display().to_string(), asn_file.display().to_string());
    TestApp::with(db, &[("GEOIP__CITY", &city), ("GEOIP__ASN", &asn)]).await
}

db_test!(an_ipv4_address_has_its_place_in_every_form, |db| async move {
    let app = with_files(db, &[("198.51.100.0/24", "EU", "DE", "Berlin")], &[("198.51.100.0/25", 64500, "Net")]).await;
    let forms = [
        "198.51.100.7",
        "::ffff:198.51.100.7",
        "::ffff:0:198.51.100.7",
        "::198.51.100.7",
        "64:ff9b::198.51.100.7",
        "64:ff9b:1::198.51.100.7",
        "64:ff9b:1:c633:64:700::",
        "2002:c633:6407::1",
        "2001:0:4136:e378:8000:63bf:39cc:9bf8",
        "fe80::5efe:198.51.100.7",
        "2001:db8::200:5efe:198.51.100.7",
    ];
    let mut lines = vec![seed::user(1, "alice")];
    lines.extend((0..).zip(forms).map(|(n, ip)| seed::session(n, 1, json!({ "last_ip": ip }))));
    app.import(&lines).await;
    let admin = app.admin_token().await;
    let rows = admin.get(&format!("{SESSIONS}?ordering=uuid")).await.json()["results"].clone();
    for (n, form) in forms.iter().enumerate() {
        assert_eq!((&rows[n]["geo_ip"]["city"], &rows[n]["asn"]["asn"]), (&json!("Berlin"), &json!(64500)), "{form}");
    }
    // What is stored for the filters agrees, and addresses are filtered as they are written.
    let count = async |query: &str| admin.get(&format!("{SESSIONS}?{query}")).await.json()["pagination"]["count"].clone();
    assert_eq!(count("country=DE&asn=64500").await, json!(forms.len()));
    assert_eq!(count("session__last_ip=198.51.100.7").await, json!(1));
    assert_eq!(count("session__last_ip=64:ff9b::c633:6407").await, json!(1));
});

db_test!(pages_say_as_much_of_a_place_as_is_known, |db| async move {
    let city = [("198.51.100.0/24", "EU", "", ""), ("203.0.113.0/24", "NA", "CA", ""), ("192.0.2.0/24", "OC", "", "Atlantis")];
    let app = with_files(db, &city, &[]).await;
    let root = app.superuser("root").await.session().await;
    let shown = [
        ("198.51.100.7", "Europe"),
        ("64:ff9b::198.51.100.7", "Europe"),
        ("203.0.113.1", "Canada"),
        ("192.0.2.1", "Atlantis, Oceania"),
        ("9.9.9.9", "Unknown place"),
        ("10.0.0.1", "Private network"),
        ("64:ff9b::10.0.0.1", "Private network"),
        ("255.255.255.255", "Unknown place"),
        ("0.0.0.0", "Unknown place"),
        ("::", "Unknown place"),
        ("::ffff:255.255.255.255", "Unknown place"),
    ];
    let mut lines: Vec<Value> = (0..shown.len()).map(|n| seed::user(10 + n as i64, &format!("user{n}"))).collect();
    lines.extend(shown.iter().enumerate().map(|(n, (ip, _))| seed::session(n as u32, 10 + n as i64, json!({ "last_ip": ip }))));
    app.import(&lines).await;
    for (n, (ip, place)) in (0..).zip(shown) {
        let page = root.get(&format!("/sessions/{}", seed::uuid(n))).await.assert_status(200).text();
        assert!(page.contains(place), "{ip}: {place}");
        for other in ["Europe", "Canada", "Unknown place", "Private network"] {
            assert!(other == place || !page.contains(other), "{ip}: {other}");
        }
    }
});

db_test!(places_have_the_form_that_authentik_gives_them, |db| async move {
    let (city, asn) = (db.dir.path().join("city.mmdb"), db.dir.path().join("asn.mmdb"));
    geoip::write_city(
        &city,
        &[("198.51.100.0/24", "EU", "DE", "Berlin"), ("203.0.113.0/24", "AS", "", ""), ("192.0.2.0/24", "", "", "")],
    );
    geoip::write_asn(&asn, &[("198.51.100.0/25", 64500, "Net"), ("203.0.113.0/24", 64501, "")]);
    let (city, asn) = (city.display().to_string(), asn.display().to_string());
    let app = TestApp::with(db, &[("GEOIP__CITY", &city), ("GEOIP__ASN", &asn)]).await;
    let addresses =
        ["198.51.100.7", "::ffff:198.51.100.7", "203.0.113.1", "192.0.2.1", "127.0.0.1", "255.255.255.255", "2001:db8::1"];
    let mut lines = vec![seed::user(1, "alice")];
    lines.extend((0..).zip(addresses).map(|(n, ip)| seed::session(n, 1, json!({ "last_ip": ip }))));
    app.import(&lines).await;
    let admin = app.admin_token().await;
    let rows = admin.get(&format!("{SESSIONS}?ordering=uuid")).await.json()["results"].clone();
    let berlin = json!({"continent": "EU", "country": "DE", "lat": 52.5, "long": 0.0, "city": "Berlin"});
    assert_eq!((&rows[0]["geo_ip"], &rows[1]["geo_ip"]), (&berlin, &berlin), "mapped addresses resolve");
    assert_eq!(rows[0]["asn"], json!({"asn": 64500, "as_org": "Net", "network": "198.51.100.0/25"}));
    let mapped = rows[1]["asn"]["network"].as_str().unwrap();
    assert!(mapped == "::ffff:c633:6400/121" || mapped == "::ffff:198.51.100.0/121", "{mapped}");
    assert_eq!(rows[2]["geo_ip"], json!({"continent": "AS", "country": "", "lat": null, "long": null, "city": ""}));
    assert_eq!(rows[2]["asn"]["as_org"], Value::Null);
    assert_eq!(rows[3]["geo_ip"], json!({"continent": "", "country": "", "lat": null, "long": null, "city": ""}));
    for n in 4..7 {
        assert_eq!((&rows[n]["geo_ip"], &rows[n]["asn"]), (&Value::Null, &Value::Null), "{}", addresses[n]);
    }
});

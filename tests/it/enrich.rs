//! User agents against uap-core's own tests, and GeoIP files that come, change and break.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rollcall::enrich::user_agents::UserAgents;
use serde_json::{Value, json};

use crate::support::{SESSIONS, TestApp, geoip, seed};

/// The cases of one of uap-core's test files.
fn cases(file: &str) -> Vec<serde_yaml_ng::Mapping> {
    let path = Path::new(env!("UAP_CORE_DIR")).join("tests").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file: serde_yaml_ng::Value = serde_yaml_ng::from_str(&text).unwrap();
    file["test_cases"].as_sequence().unwrap().iter().map(|case| case.as_mapping().unwrap().clone()).collect()
}

/// A part that uap-core gives, or `""` for one it does not.
fn part(case: &serde_yaml_ng::Mapping, name: &str) -> String {
    match case.get(name) {
        None | Some(serde_yaml_ng::Value::Null) => String::new(),
        Some(serde_yaml_ng::Value::String(text)) => text.clone(),
        Some(other) => serde_yaml_ng::to_string(other).unwrap().trim().to_owned(),
    }
}

/// How many cases there are, and those that differ.
fn differing(file: &str, names: &[&str], read: impl Fn(&UserAgents, &str) -> Vec<String>) -> (usize, Vec<String>) {
    let agents = UserAgents::load(None).unwrap();
    let cases = cases(file);
    let mut wrong = Vec::new();
    for case in &cases {
        let text = part(case, "user_agent_string");
        let want: Vec<String> = names.iter().map(|name| part(case, name)).collect();
        let got = read(&agents, &text);
        if got != want {
            wrong.push(format!("{text}\n    want {want:?}\n     got {got:?}"));
        }
    }
    // Past the test runner, which would swallow it.
    let share = format!("\n{file}: {} of {} agree\n", cases.len() - wrong.len(), cases.len());
    std::io::Write::write_all(&mut std::io::stderr(), share.as_bytes()).unwrap();
    (cases.len(), wrong)
}

#[test]
fn browsers_are_read_as_uap_core_reads_them() {
    let (count, wrong) = differing("test_ua.yaml", &["family", "major", "minor", "patch"], |agents, text| {
        let it = agents.parse(text).browser;
        vec![it.family, it.major, it.minor, it.patch]
    });
    assert!(count > 100 && wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn systems_are_read_as_uap_core_reads_them() {
    let (count, wrong) = differing("test_os.yaml", &["family", "major", "minor", "patch", "patch_minor"], |agents, text| {
        let it = agents.parse(text).system;
        vec![it.family, it.major, it.minor, it.patch, it.patch_minor]
    });
    assert!(count > 100 && wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn devices_are_read_as_uap_core_reads_them() {
    let (count, wrong) = differing("test_device.yaml", &["family", "brand", "model"], |agents, text| {
        let it = agents.parse(text).device;
        vec![it.family, it.brand, it.model]
    });
    assert!(count > 100 && wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Makes a file look changed to whoever compares its time: two writes may come within one tick.
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

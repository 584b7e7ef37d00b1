//! GeoIP files that change while the server runs.

use super::*;

/// A City file that knows one network.
fn city_file(name: &str, country: &str, more: u8) -> Vec<u8> {
    let mut writer = mmdb_writer::Writer::new("Test-City");
    let record = json!({"country": {"iso_code": country}, "city": {"names": {"en": name}}, "continent": {"code": "EU"}});
    let more = (0..more).map(|nth| format!("203.0.{nth}.0/24"));
    for network in ["127.0.0.0/8".to_owned()].into_iter().chain(more) {
        writer.insert(network.parse::<ipnet::IpNet>().unwrap(), &record).unwrap();
    }
    writer.to_bytes().unwrap()
}

/// Replaces a file as an updater does: at once.
fn replace(path: &Path, content: &[u8]) {
    let new = path.with_extension("new");
    std::fs::write(&new, content).unwrap();
    std::fs::rename(new, path).unwrap();
}

on_both!(a_new_geoip_file_shows_while_running, |home| async move {
    let path = home.folder().join("city.mmdb");
    let home = home.with_administrator().with("ROLLCALL_GEOIP__CITY", &path.display().to_string());
    let server = home.serve().await;
    let person = Person::signed_in(&server, "akadmin").await;
    let city = || async { person.session().await["geo_ip"]["city"].as_str().map(str::to_owned) };
    let is_in = |country: &'static str| {
        let server = &server;
        async move {
            let path = format!("{SESSIONS}?country={country}");
            let body: Value = server.call(Method::GET, &path, TOKEN).await.json().await.unwrap();
            body["pagination"]["count"] == 1
        }
    };
    assert_eq!(person.session().await["geo_ip"], Value::Null, "a file that is missing is no failure");
    for (name, country, more) in [("Berlin", "DE", 0), ("Porto", "PT", 3)] {
        replace(&path, &city_file(name, country, more));
        eventually(name, || async { city().await.filter(|seen| seen == name) }).await;
        eventually("that filters follow", || async { is_in(country).await.then_some(()) }).await;
    }
    assert!(!is_in("DE").await);
    for broken in [b"not a MaxMind file".as_slice(), &city_file("Lviv", "UA", 9)[..200], b""] {
        let complaints = || server.log().matches("a GeoIP file cannot be used").count();
        let before = complaints();
        replace(&path, broken);
        eventually("a complaint", || ready((complaints() > before).then_some(()))).await;
        assert_eq!(city().await.as_deref(), Some("Porto"), "the old file stays in use");
    }
    replace(&path, &city_file("Osaka", "JP", 5));
    eventually("Osaka", || async { city().await.filter(|seen| seen == "Osaka") }).await;
});

//! `rollcall check`.

use super::*;

on_both!(check_is_content_with_a_good_installation, |home| async move {
    home.serve().await.stop().await;
    let done = home.run(&["check"]);
    assert_eq!((done.code, done.err.as_str()), (0, ""), "{done:?}");
    assert!(!done.out.contains("wrong"), "{}", done.out);
    for what in ["configuration", "instance key", "database", "schema", "user agent rules"] {
        assert!(done.out.contains(&format!("ok       {what}: ")), "{}", done.out);
    }
});

on_both!(check_knows_of_a_binding_that_is_stored_and_binds_nothing, |home| async move {
    let home = home.with_administrator();
    let server = home.serve().await;
    let stages = format!("{}/api/v3/stages/user_login/", server.origin);
    let client = reqwest::Client::new();
    let listed: Value = client.get(&stages).bearer_auth(TOKEN).send().await.unwrap().json().await.unwrap();
    let stage = format!("{stages}{}/", listed["results"][0]["pk"].as_str().unwrap());
    let change = json!({"geoip_binding": "bind_continent"});
    assert_eq!(client.patch(stage).bearer_auth(TOKEN).json(&change).send().await.unwrap().status(), 200);
    server.stop().await;
    let done = home.run(&["check"]);
    assert!(done.out.contains("warning  sessions.geoip_binding: nothing breaks it without geoip.city"), "{}", done.out);
    assert!(!done.out.contains("sessions.network_binding"), "{}", done.out);
});

#[test]
fn check_changes_nothing() {
    let home = Home::sqlite();
    assert_eq!(home.run(&["check"]).code, 0, "an empty place is ready for a first start");
    assert_eq!(std::fs::read_dir(home.folder()).unwrap().count(), 0);
}

#[test]
fn check_says_what_is_wrong_and_how_to_mend_it() {
    let home = || {
        let home = Home::sqlite();
        home.import(&[]);
        home
    };
    let complains = |home: &Home, words: &[&str]| {
        let done = home.run(&["check"]);
        assert_eq!(done.code, 1, "{done:?}");
        assert!(words.iter().all(|word| done.out.contains(word)), "{words:?}: {}", done.out);
    };
    let mut writer = mmdb_writer::Writer::builder("Test-ASN").description(&[("en", "a test")]).build();
    let record = json!({"autonomous_system_number": 64496, "autonomous_system_organization": "Example"});
    for nth in 0..=255_u8 {
        writer.insert(format!("1.1.{nth}.0/24").parse::<ipnet::IpNet>().unwrap(), &record).unwrap();
    }
    let whole = writer.to_bytes().unwrap();
    for (name, content) in [("junk", b"not a MaxMind file".as_slice()), ("cut", &whole[..whole.len() / 2]), ("empty", b"")] {
        let home = home();
        let path = home.write(name, content);
        complains(&home.with("ROLLCALL_GEOIP__ASN", &path), &["wrong    GeoIP ASN file", &path, "geoipupdate"]);
    }
    complains(&home().with("ROLLCALL_GEOIP__CITY", "/no/such.mmdb"), &["wrong    GeoIP City file", "/no/such.mmdb"]);
    let good = home();
    let path = good.write("good", &whole);
    let done = good.with("ROLLCALL_GEOIP__ASN", &path).run(&["check"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("ok       GeoIP ASN file"), "{}", done.out);

    let outbound = home();
    let path = outbound.write("ca.pem", "no certificate");
    let outbound = outbound.with("ROLLCALL_OUTBOUND__CA", &path);
    complains(&outbound, &["wrong    requests to apps", "outbound.ca", "there is no certificate in it"]);
    let wide = home().with("ROLLCALL_OUTBOUND__ALLOW", "10.0.0.0/8, 0.0.0.0/0").run(&["check"]);
    assert!(wide.code == 0 && wide.out.contains("warning  requests to apps: outbound.allow holds all addresses"), "{wide:?}");

    let rules = home();
    let path = rules.write("regexes.yaml", "user_agent_parsers: [{regex: '('}]");
    complains(&rules.with("ROLLCALL_USER_AGENT__RULES", &path), &["wrong    user agent rules"]);

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let home = home();
        std::fs::set_permissions(home.data("instance.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
        complains(&home, &["wrong    instance key", "chmod 600"]);
    }

    let junk = home();
    // A log that the last command left would bring the pages back.
    for log in ["rollcall.db-wal", "rollcall.db-shm"] {
        drop(std::fs::remove_file(junk.data(log)));
    }
    std::fs::write(junk.data("rollcall.db"), "this is not a database, however long one reads in it".repeat(100)).unwrap();
    complains(&junk, &["wrong    database"]);
    assert!(!junk.fails(1, &["serve"]).is_empty());

    let away = home().with("ROLLCALL_DATABASE__URL", "postgres://someone:hunter2@127.0.0.1:1/nothing");
    complains(&away, &["wrong    database", "database.url"]);
    let done = away.run(&["check"]);
    assert!(!done.out.contains("hunter2") && !done.err.contains("hunter2"));
    for args in [&["serve"][..], &["user", "list"], &["session", "list"]] {
        assert!(!away.fails(1, args).contains("hunter2"));
    }
}

#[test]
fn check_tells_files_that_are_swapped() {
    let home = Home::sqlite();
    home.import(&[user(50, "alice")]);
    let (city, asn) = (home.folder().join("city.mmdb"), home.folder().join("asn.mmdb"));
    crate::support::geoip::write_city(&city, &[("81.2.69.0/24", "EU", "DE", "Berlin")]);
    crate::support::geoip::write_asn(&asn, &[("81.2.69.0/24", 64496, "Example")]);
    let (city, asn) = (city.display().to_string(), asn.display().to_string());
    let right = home.with("ROLLCALL_GEOIP__CITY", &city).with("ROLLCALL_GEOIP__ASN", &asn);
    assert_eq!(right.run(&["check"]).code, 0);
    let swapped = right.with("ROLLCALL_GEOIP__CITY", &asn).with("ROLLCALL_GEOIP__ASN", &city);
    let done = swapped.run(&["check"]);
    assert_eq!(done.code, 1);
    for what in ["wrong    GeoIP City file", "wrong    GeoIP ASN file", "swapped"] {
        assert!(done.out.contains(what), "{}", done.out);
    }
}

#[test]
fn check_tells_proxies_that_are_everybody() {
    for (networks, what) in [
        ("0.0.0.0/0", "wrong    trusted proxies"),
        ("::/0", "wrong    trusted proxies"),
        ("0.0.0.0/1, 128.0.0.0/1", "wrong    trusted proxies"),
        ("10.0.0.0/8, 0.0.0.0/2, 64.0.0.0/2, 128.0.0.0/1", "wrong    trusted proxies"),
        ("::/1, 8000::/1", "wrong    trusted proxies"),
        ("0.0.0.0/1", "warning  trusted proxies"),
        ("2000::/3", "warning  trusted proxies"),
    ] {
        let done = Home::sqlite().with("ROLLCALL_HTTP__TRUSTED_PROXIES", networks).run(&["check"]);
        assert!(done.out.contains(what), "{networks}: {}", done.out);
        assert_eq!(done.code, i32::from(what.starts_with("wrong")), "{networks}: {done:?}");
    }
    for networks in ["10.0.0.0/8", "127.0.0.0/8, ::1", "192.0.2.1", "fd00::/48"] {
        let done = Home::sqlite().with("ROLLCALL_HTTP__TRUSTED_PROXIES", networks).run(&["check"]);
        assert!(done.code == 0 && !done.out.contains("trusted proxies"), "{networks}: {done:?}");
    }
}

on_both!(check_tells_whether_somebody_can_administer, |home| async move {
    home.import(&[json!({"kind": "group", "name": "staff"})]);
    let says = |home: &Home, word: &str| {
        let done = home.run(&["check"]);
        assert!(done.code == 0 && done.out.contains(word), "{word}: {done:?}");
    };
    says(&home, "warning  users: there are none");
    home.add_user("alice");
    says(&home, "no active user is an administrator");
    home.ok(&["user", "add", "root", "--superuser", "--no-password"]);
    says(&home, "no active administrator has a password or a passkey");
    home.ok_with(&["user", "set-password", "root"], &format!("{PASSWORD}\n"));
    says(&home, "ok       administrators: 1 can sign in");
    // No command takes the last one away; a hand in the database may.
    assert!(home.fails(1, &["user", "deactivate", "root"]).contains("no administrator"));
    home.execute("UPDATE users SET is_active = (1 = 0) WHERE username = 'root'").await;
    says(&home, "no active user is an administrator");
    home.import(&[
        json!({"kind": "group", "name": "rulers", "is_superuser": true}),
        json!({"kind": "user", "id": 90, "username": "heir", "groups": ["rulers"]}),
    ]);
    says(&home, "no active administrator has a password or a passkey");
    home.ok_with(&["user", "set-password", "heir"], &format!("{PASSWORD}\n"));
    says(&home, "ok       administrators: 1 can sign in");
});

#[test]
fn check_tells_a_key_that_cannot_be_used() {
    for content in [b"".as_slice(), b"not a key", b"AAAA", b"\xff\xfe"] {
        let home = Home::sqlite();
        home.import(&[user(50, "alice")]);
        std::fs::write(home.data("instance.key"), content).unwrap();
        let done = home.run(&["check"]);
        assert!(done.code == 1 && done.out.contains("wrong    instance key"), "{done:?}");
        home.fails(1, &["serve"]);
    }
    // A directory is no file, and a file that may not be read is none either.
    let home = Home::sqlite();
    home.import(&[user(50, "alice")]);
    std::fs::remove_file(home.data("instance.key")).unwrap();
    std::fs::create_dir(home.data("instance.key")).unwrap();
    let done = home.run(&["check"]);
    assert!(done.code == 1 && done.out.contains("wrong    instance key"), "{done:?}");
}

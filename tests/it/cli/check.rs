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

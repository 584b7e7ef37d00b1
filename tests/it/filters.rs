//! One language for filters: the search box of the page of all sessions and the command line read the
//! same. With a mistake in it nothing ends, and a command makes no instance.

use serde_json::{Value, json};

use crate::process::{Done, Home};
use crate::support::{SESSIONS, TestApp, encode, geoip, seed};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0";

/// Alice in Germany and Bob in Japan, each with Firefox and with curl; curl was last used long ago.
fn people() -> Vec<Value> {
    let session = |nth: u32, user: i64, ip: &str, agent: &str, used: &str| {
        seed::session(nth, user, json!({"last_ip": ip, "last_user_agent": agent, "last_used": used, "expires": "2099-01-01"}))
    };
    vec![
        json!({"kind": "user", "id": 1, "username": "alice", "name": "Alice Zebra", "email": "alice@corp.example"}),
        seed::user(2, "bob"),
        session(1, 1, "10.0.0.1", FIREFOX, "2026-11-01T12:00:00Z"),
        session(2, 1, "10.0.0.2", "curl/8.5.0", "2020-01-01T23:59:59Z"),
        session(3, 2, "2001:db8::3", FIREFOX, "2026-11-01T12:00:00Z"),
        session(4, 2, "2001:db8::4", "curl/8.5.0", "2020-01-02T00:00:00Z"),
    ]
}

/// The places of their addresses, as files: the settings that name them.
fn places(folder: &std::path::Path) -> [(&'static str, String); 2] {
    let (city, asn) = (folder.join("city.mmdb"), folder.join("asn.mmdb"));
    geoip::write_city(&city, &[("10.0.0.0/8", "EU", "DE", ""), ("2001:db8::/48", "AS", "JP", "Tokyo")]);
    geoip::write_asn(&asn, &[("10.0.0.0/8", 64500, "Ten"), ("2001:db8::/32", 64501, "Eight")]);
    [("GEOIP__CITY", city.display().to_string()), ("GEOIP__ASN", asn.display().to_string())]
}

fn with_places(home: Home) -> Home {
    let settings = places(home.folder());
    settings.iter().fold(home, |home, (name, value)| home.with(&format!("ROLLCALL_{name}"), value))
}

/// Queries, and the sessions that they find in [`people`].
const QUERIES: [(&str, &[u32]); 20] = [
    ("country:germany", &[1, 2]),
    ("country:jp browser:firefox", &[3]),
    ("COUNTRY:DE browser:FIREFOX", &[1]),
    ("user:alice", &[1, 2]),
    ("userkey:2 curl", &[4]),
    ("network:64500", &[1, 2]),
    ("network:AS64501 browser:curl", &[4]),
    ("network:2001:db8::/32", &[3, 4]),
    ("ip:10.0.0.2", &[2]),
    ("ip:10.0.0.0/8", &[1, 2]),
    ("agent:\"curl/8.5.0\"", &[2, 4]),
    ("idle:>365d", &[2, 4]),
    ("used:2020-01-01", &[2]),
    ("used:2020-01-01..2020-01-02 country:JP", &[4]),
    ("active:2020-01-01", &[2]),
    ("active:2020-01-02..2020-01-03 curl", &[4]),
    ("ends:>7d alice", &[1, 2]),
    ("\"Linux x86_64\" bob", &[3]),
    ("alice@corp.example", &[1, 2]),
    ("ZEBRA curl", &[2]),
];

db_test!(the_search_box_reads_the_language, |db| async move {
    let settings = places(db.dir.path());
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let app = TestApp::with(db, &settings).await;
    app.import(&people()).await;
    let root = app.superuser("root").await.session().await;
    for (query, want) in QUERIES {
        let page = root.get(&format!("/sessions/all?q={}", encode(query))).await.assert_status(200).text();
        let mut found: Vec<&str> = page.split("<tr data-id=\"").skip(1).map(|rest| &rest[..36]).collect();
        found.sort_unstable();
        assert_eq!(found, seed::uuids(want), "{query}");
    }
});

on_both!(the_command_line_reads_the_language, |home| async move {
    let home = with_places(home);
    home.import(&people());
    let listed = |args: &[&str]| -> Vec<String> {
        let rows = home.rows(&[&["session", "list", "--ordering", "uuid", "--json"], args].concat());
        rows.iter().map(|row| row["uuid"].as_str().unwrap().to_owned()).collect()
    };
    for (query, want) in QUERIES {
        assert_eq!(listed(&[query]), seed::uuids(want), "{query}");
    }
    assert_eq!(listed(&["country:germany", "browser:firefox"]), seed::uuids(&[1]), "words of their own");
    assert_eq!(listed(&["browser:firefox", "--country", "Japan"]), seed::uuids(&[3]), "with a flag");
    assert_eq!(listed(&["user:alice", "--except", &seed::uuid(1)]), seed::uuids(&[2]));
    assert_eq!(home.fails(3, &["session", "list", "country:FR"]), "rollcall: no session matches\n");
    let done = home.run(&["session", "end", "country:germany idle:>365d", "--yes"]);
    assert!(done.code == 0 && done.err.contains("ended 1 session"), "{done:?}");
    assert_eq!(listed(&[]), seed::uuids(&[1, 3, 4]));
    assert_eq!(home.fails(3, &["session", "end", "country:germany idle:>365d", "--yes"]), "rollcall: no session matches\n");
    let done = home.run(&["session", "revoke", &seed::uuid(3), "--yes"]);
    assert!(done.code == 0 && done.err.contains("ended 1 session"), "the older name of the command: {done:?}");
    assert_eq!(listed(&["--search", "\"alice zebra\""]), seed::uuids(&[1]), "by the full name");
    let done = home.run(&["session", "end", "--search", "@corp.example", "--yes"]);
    assert!(done.code == 0 && done.err.contains("ended 1 session"), "by the e-mail address: {done:?}");
    assert_eq!(listed(&[]), seed::uuids(&[4]));
    let ended = home.rows(&["session", "list", "--ended", "--json", "zebra reason:revoked"]);
    assert_eq!(ended.len(), 2, "and both are found when they ended");
});

on_both!(a_command_with_a_mistake_ends_nothing, |home| async move {
    let home = with_places(home);
    home.import(&people());
    let fails = |args: &[&str], says: &str| {
        for command in [&["session", "list"][..], &["session", "end", "--yes"], &["session", "revoke", "--yes"]] {
            let error = home.fails(2, &[command, args].concat());
            assert!(error.contains(says), "{args:?}: {error}");
        }
    };
    fails(&["contry:DE"], "There is no “contry:”");
    fails(&["contry:DE user:alice"], "The rest was understood: “user:alice”");
    fails(&["country:Atlantis"], "“Atlantis” is nothing that “country:” can be");
    fails(&["idle:soon", "user:bob"], "The rest was understood: “user:bob”");
    fails(&["reason:revoked", "user:bob"], "The rest was understood: “user:bob”");
    fails(&["user:alic"], "there is no user named alic");
    fails(&["--user", "alic"], "there is no user named alic");
    fails(&["userkey:99"], "there is no user with the primary key 99");
    fails(&["--user-pk", "99"], "there is no user with the primary key 99");
    fails(&["--country", "Atlantis"], "--country Atlantis: Enter a country's code");
    fails(&["--asn", "Ten"], "--asn Ten: Enter a whole number.");
    fails(&["--except", "mine", "user:bob"], "--except mine: Enter a valid UUID.");
    fails(&["country:DE", "--country", "DE"], "one of the two is enough");
    fails(&["user:bob -current"], "a command has no session of its own");
    fails(&["--search", "contry:DE"], "There is no “contry:”");
    let words: Vec<String> = (0..33).map(|nth| format!("word{nth}")).collect();
    fails(&[&words.join(" ")], "one word too many");
    for unclear in [
        &["session", "end", "--yes"][..],
        &["session", "end", "--yes", "--everyone", "user:bob"],
        &["session", "end", "--yes", &seed::uuid(1), "user:bob"],
        &["session", "end", "--yes", &seed::uuid(1), "--user", "alice"],
        &["session", "end", "--yes", &seed::uuid(1), "--everyone"],
        &["session", "end", "--yes", "--except", &seed::uuid(1)],
    ] {
        home.fails(2, unclear);
    }
    assert_eq!(home.rows(&["session", "list", "--json"]).len(), 4, "nothing ended");
});

db_test!(a_page_with_a_mistake_in_the_search_ends_nothing, |db| async move {
    let app = TestApp::new(db).await;
    app.import(&people()).await;
    let root = app.superuser("root").await.session().await;
    for (query, says, understood) in [
        ("contry:DE", "There is no “contry:”", "Nothing else was in the search"),
        ("contry:DE user:alice", "There is no “contry:”", "<code><bdi>user:alice</bdi></code>"),
        ("user:alice user:bob", "“user:bob” comes second", "<code><bdi>user:alice</bdi></code>"),
        ("idle:>soon curl", "Such as idle:&#62;30d", "<code><bdi>curl</bdi></code>"),
    ] {
        let address = encode(query);
        let page = root.get(&format!("/sessions/all?q={address}")).await.assert_status(200).text();
        assert!(page.contains(says) && page.contains(understood), "{query}: {page}");
        assert!(page.contains("nothing can be ended or exported"), "{query}");
        assert!(!page.contains("name=\"scope\"") && !page.contains("name=\"id\""), "{query}: nothing is offered to be ended");
        let proof = root.get("/sessions/all").await.proof();
        let refused = [
            root.get(&format!("/sessions/all/end?scope=all&q={address}")).await,
            root.get(&format!("/sessions/all/end?scope=picked&id={}&q={address}", seed::uuid(1))).await,
            root.get(&format!("/sessions/all/export?format=csv&q={address}")).await,
            root.post_form("/sessions/all/end", &[("proof", &proof), ("q", query), ("expected", "5"), ("typed", "5")]).await,
            root.post_form("/sessions/all/end", &[("proof", &proof), ("q", query), ("ids", &seed::uuid(1)), ("expected", "1")])
                .await,
        ];
        for answer in refused {
            let text = answer.assert_status(400).text();
            assert!(text.contains("The search has a mistake") && text.contains("Nothing was done"), "{query}: {text}");
        }
    }
    let admin = app.admin_token().await;
    assert_eq!(admin.get(SESSIONS).await.count(), 5, "nothing ended");
});

/// What a folder holds.
fn entries(home: &Home) -> Vec<String> {
    let entries = std::fs::read_dir(home.folder()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// All commands that need an instance and make none.
const COMMANDS: [&[&str]; 19] = [
    &["user", "add", "alice", "--no-password"],
    &["user", "list"],
    &["user", "set-password", "alice"],
    &["user", "recovery-link", "alice"],
    &["user", "activate", "alice"],
    &["user", "deactivate", "alice"],
    &["user", "remove-factors", "alice", "--yes"],
    &["user", "export", "alice"],
    &["user", "erase", "alice", "--yes"],
    &["user", "remove", "alice", "--yes"],
    &["token", "add", "--user", "alice"],
    &["token", "list"],
    &["policy", "show"],
    &["policy", "set", "--user", "alice", "--idle-timeout", "1h"],
    &["session", "list"],
    &["session", "show", "00000000-0000-4000-8000-000000000001"],
    &["session", "end", "--everyone", "--yes"],
    &["export"],
    &["migrate"],
];

on_both!(commands_make_no_instance, |home| async move {
    let says = |done: &Done| {
        done.code == 2 && done.out.is_empty() && done.err.contains("there is no Rollcall in") && done.err.contains("--data-dir")
    };
    for args in COMMANDS {
        let done = home.run(args);
        assert!(says(&done), "{args:?}: {done:?}");
    }
    assert_eq!(entries(&home), Vec::<String>::new(), "nothing is left in the folder");
    // A database and another folder than the one of its key: no new key is made.
    home.import(&[]);
    let key = home.data("instance.key");
    let text = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let done = home.run(&["user", "list"]);
    assert!(says(&done) && done.err.contains("instance.key") && !key.exists(), "{done:?}");
    std::fs::write(&key, text).unwrap();
    home.ok(&["user", "list"]);
});

#[test]
fn a_database_without_tables_is_no_instance() {
    let home = Home::sqlite();
    std::fs::create_dir(home.data("")).unwrap();
    rusqlite::Connection::open(home.data("rollcall.db")).unwrap().execute_batch("CREATE TABLE other (id INTEGER)").unwrap();
    assert!(home.fails(2, &["user", "list"]).contains("no tables of Rollcall"));
    assert!(!home.data("instance.key").exists());
}

#[test]
fn help_explains_the_language() {
    let home = Home::sqlite();
    for command in [["session", "list", "--help"], ["session", "end", "--help"]] {
        let help = home.ok(&command);
        // Long explanations go on in the next line.
        let flat = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in rollcall::domain::query::words() {
            assert!(help.contains(&format!("  {}:{}", word.key, word.example)) && flat.contains(word.about), "{}", word.key);
        }
        for flag in ["--country <COUNTRY>", "--last-used-gte <INSTANT>", "--except <UUID>", "--search <TEXT>"] {
            assert!(help.contains(flag), "{flag}: {help}");
        }
    }
}

on_both!(no_cell_of_a_csv_is_a_formula, |home| async move {
    let (name, agent) = ("=HYPERLINK(\"x\")", "=1+1");
    home.import(&[
        json!({"kind": "user", "id": 1, "username": name, "name": "+49 30 1234", "email": "a@b.example"}),
        seed::session(1, 1, json!({"last_user_agent": agent})),
    ]);
    home.ok(&["token", "add", "--user", name, "--identifier", "t", "--description", "@SUM(A1)"]);
    for (args, cells) in [
        (&["user", "list", "--csv"][..], &["'=HYPERLINK(\"x\")", "'+49 30 1234"][..]),
        (&["token", "list", "--csv"], &["'=HYPERLINK(\"x\")", "'@SUM(A1)"]),
        (&["session", "list", "--csv"], &["'=HYPERLINK(\"x\")", "'=1+1"]),
        (&["export", "--users", "--format", "csv"], &["'=HYPERLINK(\"x\")", "'+49 30 1234"]),
        (&["export", "--sessions", "--format", "csv"], &["'=HYPERLINK(\"x\")", "'=1+1"]),
        (&["export", "--events", "--format", "csv"], &["'=HYPERLINK(\"x\")"]),
    ] {
        let text = home.ok(args);
        assert!(!text.starts_with('\u{feff}'), "{args:?}: a pipe gets no byte order mark");
        let rows = csv::Reader::from_reader(text.as_bytes()).into_records().map(Result::unwrap);
        let all: Vec<String> = rows.flat_map(|row| row.iter().map(str::to_owned).collect::<Vec<_>>()).collect();
        assert!(!all.iter().any(|cell| cell.starts_with(['=', '+', '-', '@'])), "{args:?}: {text}");
        for cell in cells {
            assert!(all.iter().any(|known| known == cell), "{args:?} has no {cell}: {text}");
        }
    }
});

//! What is written for files and terminals: no secrets, no control characters.

use super::*;

/// What a secret looks like where it must not be.
fn traces(secret: &str) -> Vec<Vec<u8>> {
    let hash = Sha256::digest(secret.as_bytes());
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    vec![secret.as_bytes().to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes(), hash.to_vec()]
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

on_both!(no_export_holds_a_secret, |home| async move {
    let home = home.with_administrator();
    let server = home.serve().await;
    let person = Person::signed_in(&server, "akadmin").await;
    Person::new(&server, FIREFOX).sign_in("akadmin", "wrong-password-of-a-person").await;
    let token = home.ok(&["token", "add", "--user", "akadmin", "--identifier", "ci"]);
    home.import(&people());
    assert_eq!(person.key.len(), 43, "the session's key is known");
    let secrets = [PASSWORD, TOKEN, token.trim(), &person.key, "imported-session-key-number-1", "wrong-password-of-a-person"];
    let key = std::fs::read_to_string(home.data("instance.key")).unwrap();
    for what in ["--sessions", "--users", "--events"] {
        for format in ["jsonl", "csv"] {
            let text = home.ok(&["export", what, "--format", format]);
            for trace in secrets.iter().flat_map(|secret| traces(secret)).chain([key.trim().into(), b"$argon2".to_vec()]) {
                assert!(!holds(text.as_bytes(), &trace), "{what} {format} holds {}", String::from_utf8_lossy(&trace));
            }
            if format == "csv" {
                let mut reader = csv::Reader::from_reader(text.as_bytes());
                let columns = reader.headers().unwrap().len();
                assert!(reader.records().all(|record| record.unwrap().len() == columns));
                continue;
            }
            let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let least = [("--sessions", 5), ("--users", 3), ("--events", 4)].into_iter().find(|(name, _)| *name == what);
            assert!(rows.len() >= least.unwrap().1, "{what}: {rows:?}");
        }
    }
    assert_eq!(home.ok(&["export"]), home.ok(&["export", "--sessions", "--format", "jsonl"]));
    // Nor does anything at rest hold one as it is, nor the log.
    let log = server.stop().await;
    for secret in secrets {
        assert!(!log.contains(secret));
        for file in std::fs::read_dir(home.data("")).unwrap() {
            let path = file.unwrap().path();
            assert!(!holds(&std::fs::read(&path).unwrap(), secret.as_bytes()), "{} holds {secret}", path.display());
        }
    }
});

on_both!(hostile_names_stay_in_their_cells, |home| async move {
    let evil = "a\u{202e}b\u{200f}c\u{2066}\u{61c}d";
    let name = "one\ntwo\r\u{1b}[31mred\u{1b}]0;title\u{7}\u{9b}2J\ttab\u{2028}end";
    let home = home.with_administrator();
    let server = home.serve().await;
    home.ok_with(&["user", "add", "mallory"], &format!("{PASSWORD}\n"));
    // No door takes such names; they may be older than the rule.
    assert!(home.fails(1, &["user", "add", evil]).contains("name"));
    home.execute(&format!("UPDATE users SET username = '{evil}', name = '{name}' WHERE username = 'mallory'")).await;
    home.ok(&["token", "add", "--user", evil, "--identifier", "evil", "--description", name]);
    let mut person = Person::new(&server, "Evil/1.0 \u{202e} \u{9b}2J");
    assert_eq!(person.sign_in(evil, PASSWORD).await.status(), 303);
    home.import(&[user(50, "alice"), session(1, 50, "192.0.2.7", &format!("{name}{evil}"))]);
    for (args, lines) in
        [(&["user", "list"][..], 4), (&["token", "list"], 3), (&["session", "list"], 3), (&["session", "show", &uuid(1)], 16)]
    {
        let text = home.ok(args);
        let is_harmful = |c: char| (c.is_control() && c != '\n') || "\u{61c}\u{200f}\u{202e}\u{2066}\u{2028}".contains(c);
        assert!(!text.contains(is_harmful), "{args:?}: {text:?}");
        assert_eq!(text.lines().count(), lines, "{args:?}: {text}");
    }
    let row = home.rows(&["user", "list", "--json"]).into_iter().find(|row| row["username"] == evil).unwrap();
    assert_eq!(row["name"], name, "data is whole where it is not for a terminal");
    let text = home.ok(&["user", "list", "--csv"]);
    assert!(csv::Reader::from_reader(text.as_bytes()).into_records().any(|record| record.unwrap().get(2) == Some(name)));
    let done = home.run(&["user", "activate", "\u{1b}[31mnobody\u{202e}"]);
    assert!(done.code == 1 && !done.err.contains(['\u{1b}', '\u{202e}']), "{done:?}");
    assert!(!server.stop().await.contains(['\u{1b}', '\u{202e}']), "nor does the log");
});

on_both!(exported_applications_can_be_imported_again, |home| async move {
    let home = home.with_administrator();
    let _server = home.serve().await;
    let run = |args: &[&str], input: &str| {
        let done = finish(home.command(ROLLCALL).env("ROLLCALL_HTTP__PUBLIC_URL", "https://id.example").args(args), input);
        assert_eq!(done.code, 0, "{args:?}: {done:?}");
        done.out
    };
    run(&["app", "add", "wiki", "--allow", "user:akadmin", "--host", "wiki.example"], "");
    run(&["app", "rule", "wiki", "add", "/admin/**", "--allow", "user:akadmin", "--factor", "mfa"], "");
    let client = ["--redirect-uri", "https://shop.example/cb", "--scope", "openid", "--scope", "email", "--access-token", "jwt"];
    let made = run(&[&["app", "add", "shop", "--allow", "signed_in", "--client-id", "the-shop"][..], &client].concat(), "");
    let secret = made.split_whitespace().find(|word| word.len() == 43).unwrap_or_else(|| panic!("no secret: {made}"));
    let exported = run(&["export", "--applications"], "");
    for trace in traces(secret) {
        assert!(!holds(exported.as_bytes(), &trace), "{exported}");
    }
    let rows: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let shop = rows.iter().find(|row| row["slug"] == "shop").unwrap();
    assert_eq!((&shop["client"]["client_id"], &shop["client"]["access_token"]), (&json!("the-shop"), &json!("jwt")), "{shop}");
    let wiki = rows.iter().find(|row| row["slug"] == "wiki").unwrap();
    assert_eq!(wiki["access"]["allow"], json!(["user:akadmin"]), "{wiki}");
    for slug in ["wiki", "shop"] {
        run(&["app", "remove", slug, "--yes"], "");
    }
    let file = home.write("applications.jsonl", &exported);
    run(&["import", &file], "");
    assert_eq!(run(&["export", "--applications"], ""), exported);
    let table = run(&["export", "--applications", "--format", "csv"], "");
    assert!(table.starts_with("slug,name,access,"), "{table}");
});

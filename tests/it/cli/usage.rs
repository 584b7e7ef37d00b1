//! Wrong usage, and what needs no configuration.

use super::*;

#[test]
fn wrong_usage_is_told_from_failure() {
    let home = Home::sqlite();
    home.import(&[]);
    for args in [
        &[][..],
        &["srve"],
        &["serve", "--port", "1"],
        &["user"],
        &["user", "add"],
        &["token", "add", "--user", "x", "--intent", "everything"],
        &["token", "add", "--user", "x", "--expires-in", "soon"],
        &["session", "list", "--limit", "0"],
        &["session", "list", "--json", "--csv"],
        &["export", "--users", "--events"],
        &["export", "--format", "xml"],
        &["completions", "tcsh"],
        &["--set", "nonsense", "check"],
        &["--set", "no.such=1", "check"],
        &["--set", "sessions.idle_timeout=soon", "check"],
        &["--config", "/no/such/file.toml", "check"],
        &["--data-dir"],
        &["user", "add", "x", "--no-password", "--permission", "no_such"],
        &["session", "list", "--network", "10.0.0.0/99"],
        &["session", "list", "--last-ip", "nowhere"],
        &["session", "list", "--last-used-gte", "soon"],
        &["session", "show", "no-uuid"],
        &["session", "revoke", "--yes"],
        &["session", "list", "--ordering", "colour"],
        &["session", "list", "--user", "nobody"],
        &["session", "revoke", "--yes", "--user", "nobody"],
        &["session", "watch", "--user", "nobody"],
    ] {
        home.fails(2, args);
    }
    for args in [
        &["user", "set-password", "nobody"][..],
        &["user", "activate", "nobody"],
        &["user", "deactivate", "nobody"],
        &["user", "add", " ", "--no-password"],
        &["user", "add", "x", "--no-password", "--email", "not an address"],
        &["token", "add", "--user", "nobody"],
        &["token", "list", "--user", "nobody"],
        &["token", "remove", "nothing"],
        &["session", "show", "00000000-0000-4000-8000-000000000009"],
        &["session", "revoke", "--yes", "00000000-0000-4000-8000-000000000009"],
        &["import", "/no/such/file.jsonl"],
    ] {
        home.fails(1, args);
    }
    let help = home.run(&["--help"]);
    assert_eq!((help.code, help.err.as_str()), (0, ""));
    // Each begins with what it does.
    let first = |command: &[&str]| home.ok(&[command, &["--help"]].concat()).lines().next().unwrap_or_default().to_owned();
    let commands: [&[&str]; 10] = [
        &[],
        &["serve"],
        &["check"],
        &["demo"],
        &["session"],
        &["session", "list"],
        &["session", "revoke"],
        &["user", "add"],
        &["token", "add"],
        &["policy", "set"],
    ];
    let firsts: std::collections::BTreeSet<String> = commands.into_iter().map(first).collect();
    assert_eq!(firsts.len(), 10, "{firsts:?}");
    for word in ["serve", "demo", "import", "export", "user", "token", "session", "migrate", "check", "openapi", "completions"] {
        assert!(help.out.contains(&format!("  {word} ")), "{word} is not in\n{}", help.out);
    }
    for line in ["Limits of the instance, groups and users: show, list, set", "sessions, end-session, secret"] {
        assert!(
            help.out.replace('\n', " ").split_whitespace().collect::<Vec<_>>().join(" ").contains(line),
            "{line} is not in\n{}",
            help.out
        );
    }
    assert_eq!(home.ok(&["--version"]), format!("rollcall {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let home = Home::sqlite();
    home.import(&people());
    let done = crate::process::finish(home.command("sh").args(["-c", "\"$0\" openapi | head -n 1", ROLLCALL]), "");
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (0, "{\n", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_the_served_one() {
    let home = Home::sqlite();
    let printed: Value = serde_json::from_str(&home.ok(&["openapi"])).unwrap();
    assert!(printed["openapi"].as_str().unwrap().starts_with("3.1"));
    let server = home.serve().await;
    let served = server.call(Method::GET, "/api/v3/schema/", "none").await;
    assert_eq!(served.headers()["content-type"], "application/json");
    assert_eq!(printed, served.json::<Value>().await.unwrap());
}

#[test]
fn there_are_completions_for_each_shell() {
    let home = Home::sqlite();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = home.ok(&["completions", shell]);
        assert!(script.contains("rollcall") && script.contains("set-password"), "{shell}: {script}");
    }
    let script = home.write("completions.bash", home.ok(&["completions", "bash"]));
    let read = Command::new("bash").args(["-n", &script]).status();
    assert!(read.is_err() || read.unwrap().success(), "bash reads it");
    // Neither needs a configuration that is right.
    let wrong = Home::sqlite().with("ROLLCALL_LISTEN", "nowhere");
    wrong.ok(&["completions", "bash"]);
    wrong.ok(&["openapi"]);
}

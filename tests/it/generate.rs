//! `rollcall generate`: load data that is whole, realistic, and the same for the same seed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::process::Home;

const PLAN: [&str; 5] = ["generate", "--users", "300", "--sessions", "2000"];

/// What a database holds, in an order of its own and without what differs by design.
fn exported(home: &Home) -> (Vec<Value>, Vec<Value>) {
    let rows = |what: &str, name: &str| {
        let mut rows = home.rows(&["export", what]);
        rows.retain(|row| row["username"] != "akadmin");
        for row in &mut rows {
            for volatile in ["id", "user", "created"] {
                row.as_object_mut().unwrap().remove(volatile);
            }
        }
        rows.sort_by_key(|row| row[name].as_str().unwrap_or_default().to_owned());
        rows
    };
    (rows("--users", "username"), rows("--sessions", "uuid"))
}

on_both!(the_same_seed_makes_the_same_and_another_does_not, |home| async move {
    let said = home.run(&PLAN);
    assert_eq!((said.code, said.out.as_str()), (0, ""), "{}", said.err);
    assert!(said.err.contains("made 300 users and 2000 sessions in "), "{}", said.err);
    let (users, sessions) = exported(&home);
    assert_eq!((users.len(), sessions.len()), (300, 2000));

    let again = Home::sqlite();
    again.ok(&PLAN);
    assert_eq!(exported(&again), (users.clone(), sessions.clone()), "a session does not depend on the database");

    let refused = home.fails(1, &PLAN);
    assert!(refused.contains("seed 1") && refused.contains("choose another"), "{refused}");
    assert_eq!(exported(&home).1.len(), 2000, "what was refused left nothing behind");
    home.ok(&[&PLAN[..], &["--seed", "7"]].concat());
    assert_eq!(exported(&home).1.len(), 4000);

    // Skewed as real ones are.
    let mut of_user: BTreeMap<&str, u32> = BTreeMap::new();
    let mut of_agent: BTreeMap<&str, u32> = BTreeMap::new();
    let mut families = BTreeSet::new();
    for session in &sessions {
        *of_user.entry(session["username"].as_str().unwrap()).or_default() += 1;
        let agent = session["last_user_agent"].as_str().unwrap();
        *of_agent.entry(agent).or_default() += 1;
        families.insert(session["last_ip"].as_str().unwrap().contains(':'));
    }
    assert!(*of_user.values().max().unwrap() > 40, "somebody has many");
    assert!(of_user.values().filter(|count| **count < 7).count() > 60, "many have few");
    assert!(of_agent.len() > 60 && *of_agent.values().max().unwrap() > 60, "{} user agents", of_agent.len());
    assert_eq!(families.len(), 2, "IPv4 and IPv6");
});

on_both!(history_is_made_for_users_that_exist, |home| async move {
    let plan = ["generate", "--users", "40", "--sessions", "10", "--ended", "300", "--events", "400"];
    let said = home.run(&plan);
    let made = "made 40 users and 10 sessions, 300 ended sessions and 400 events in ";
    assert!(said.code == 0 && said.err.contains(made), "{}", said.err);
    let users: BTreeSet<String> =
        home.rows(&["export", "--users"]).iter().map(|user| user["username"].as_str().unwrap().to_owned()).collect();
    let ended = home.rows(&["export", "--ended"]);
    assert_eq!(ended.len(), 300);
    assert!(ended.iter().all(|row| users.contains(row["username"].as_str().unwrap()) && row["user"].as_i64() > Some(0)));
    let times: Vec<&str> = ended.iter().map(|row| row["ended"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "the keys are in the order of time");
    assert!(ended.iter().all(|row| row["last_used"].as_str() <= row["ended"].as_str()), "used before its end");
    let reasons: BTreeSet<&str> = ended.iter().map(|row| row["reason"].as_str().unwrap()).collect();
    assert!(reasons.len() >= 3, "{reasons:?}");
    let events = home.rows(&["export", "--events"]);
    let kinds: BTreeSet<&str> = events.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert!(events.len() >= 400 && kinds.contains("sign_in") && kinds.contains("sign_in_failed"), "{kinds:?}");
    let listed = home.ok(&["session", "list", "--ended", "--limit", "500", "--json"]);
    assert_eq!(listed.lines().count(), 300, "{listed}");

    let again = Home::sqlite();
    again.ok(&plan);
    let uuids = |rows: &[Value]| rows.iter().map(|row| row["uuid"].clone()).collect::<Vec<_>>();
    assert_eq!(uuids(&again.rows(&["export", "--ended"])), uuids(&ended), "the same seed, the same ends");
});

on_both!(app_sessions_are_those_of_every_tenth_user_first, |home| async move {
    let plan = ["generate", "--users", "40", "--sessions", "200", "--app-sessions", "300"];
    let without = home.fails(1, &plan);
    assert!(without.contains("http.public_url"), "{without}");
    let home = home.with("ROLLCALL_HTTP__PUBLIC_URL", "https://id.example");
    let many = home.fails(1, &["generate", "--users", "40", "--sessions", "20", "--app-sessions", "61"]);
    assert!(many.contains("at most 60 app sessions"), "{many}");
    let said = home.run(&plan);
    assert!(said.code == 0 && said.err.contains("made 40 users and 200 sessions with 300 app sessions in "), "{}", said.err);

    let counted = |what: &str| format!("SELECT CAST(count(*) AS TEXT) FROM {what}");
    for (what, count) in [
        ("app_sessions WHERE client_id IS NOT NULL AND sub <> ''", "300"),
        ("(SELECT DISTINCT session_id FROM app_sessions) these", "100"),
        ("oidc_codes WHERE used_at IS NOT NULL AND family IS NOT NULL", "300"),
        ("oidc_tokens t JOIN app_sessions o ON o.id = t.app_session_id AND o.session_id = t.session_id", "300"),
    ] {
        assert_eq!(home.texts(&counted(what)).await, [count], "{what}");
    }
    // The first user, the eleventh and so on have some forty sessions; then it is the turn of the second one and so on.
    let first = "(SELECT min(id) FROM users WHERE email LIKE '%@people.example')";
    let bare = format!(
        "session_rows s WHERE NOT EXISTS (SELECT 1 FROM app_sessions o WHERE o.session_id = s.id) AND (s.user_id - {first}) % 10 = 0"
    );
    assert_eq!(home.texts(&counted(&bare)).await, ["0"], "sessions of every tenth user without apps");

    // Their ends take all of it along.
    home.ok(&["session", "end", "--everyone", "--yes"]);
    for what in ["session_rows", "app_sessions", "oidc_codes", "oidc_tokens"] {
        assert_eq!(home.texts(&counted(what)).await, ["0"], "{what}");
    }
});

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

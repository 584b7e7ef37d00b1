//! Killed at any moment, the server tells each app of each end that was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::person::{FIRST_USER, LEASE_AND_MORE, Person, USERS, claims, installed, waiting};
use super::told::Told;
use crate::crash::Gone;
use crate::process::{Home, TOKEN, within};
use crate::support::Dice;

/// What a client knows of the ends that it asked for.
#[derive(Default)]
struct Ends {
    /// Sessions that had the app open, and whose end was acknowledged.
    acknowledged: BTreeSet<String>,
    /// Those whose end was asked for.
    asked: BTreeSet<String>,
}

/// Signs in, opens the app, and ends the session, again and again until the server is gone.
async fn live(person: Person, ends: Arc<Mutex<Ends>>) {
    while step(&person, &ends).await.is_ok() {}
}

async fn step(person: &Person, ends: &Mutex<Ends>) -> Result<(), Gone> {
    let key = person.sign_in().await?;
    let Some(session) = person.open(&key).await? else { return Ok(()) };
    ends.lock().unwrap().asked.insert(session.clone());
    if person.end(&session).await?.is_success() {
        ends.lock().unwrap().acknowledged.insert(session);
    }
    Ok(())
}

on_both!(killed_at_any_moment_it_tells_of_each_end, |home| async move {
    let kills: u32 = std::env::var("CRASH_KILLS").map_or(4, |kills| kills.parse().expect("CRASH_KILLS is a number"));
    let told = Told::start().await;
    let (home, secret) = installed(home, &told);
    let (ends, mut dice) = (Arc::new(Mutex::new(Ends::default())), Dice::new());
    let mut server = home.serve().await;
    for kill in 0..kills {
        let mut living = JoinSet::new();
        for user in FIRST_USER..FIRST_USER + USERS {
            living.spawn(live(Person::new(user, &server.origin, ("wiki", &secret)), Arc::clone(&ends)));
        }
        // Sometimes the app is slow, and sometimes it is busy or broken.
        told.is_answering(kill % 2 == 0);
        match dice.below(3) {
            0 => told.answers(200),
            1 => told.asks_to_wait(503, "1"),
            _ => told.answers(500),
        }
        let goal = ends.lock().unwrap().acknowledged.len() + 10;
        within(LEASE_AND_MORE, "a busy server", async || (ends.lock().unwrap().acknowledged.len() >= goal).then_some(())).await;
        tokio::time::sleep(dice.up_to(Duration::from_millis(300))).await;
        server.kill().await;
        living.join_all().await;
        told.is_answering(true);
        server = home.serve().await;
    }
    told.answers(200);
    home.ok(&["app", "notices", "send", "wiki"]);
    within(LEASE_AND_MORE, "that all is told", async || (waiting(&home).await == 0).then_some(())).await;
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for form in told.sent() {
        let said = claims(form.strip_prefix("logout_token=").unwrap());
        assert!(seen.insert(said["jti"].as_str().unwrap().to_owned()), "each try has a token of its own");
        *times.entry(said["sid"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let ends = ends.lock().unwrap();
    let untold: Vec<&String> = ends.acknowledged.iter().filter(|session| !times.contains_key(*session)).collect();
    assert_eq!(untold, Vec::<&String>::new(), "of {} ends", ends.acknowledged.len());
    let wrong: Vec<&String> = times.keys().filter(|session| !ends.asked.contains(*session)).collect();
    assert_eq!(wrong, Vec::<&String>::new(), "the app is told of no session that goes on");
    let tries: usize = times.values().sum();
    eprintln!("{kills} kills: {} ends acknowledged, the app was told of {} in {tries} tries", ends.acknowledged.len(), times.len());
    assert!(!server.log().contains("panicked"), "{}", server.log());
});

on_both!(killed_while_it_tells_it_tells_again, |home| async move {
    let told = Told::start().await;
    let (home, secret) = installed(home, &told);
    let server = home.serve().await;
    let (person, ends) = (Person::new(FIRST_USER, &server.origin, ("wiki", &secret)), Mutex::default());
    // The app has the request, and Rollcall has no answer.
    told.is_answering(false);
    step(&person, &ends).await.expect("the server is there");
    within(LEASE_AND_MORE, "the first try", async || (told.count() == 1).then_some(())).await;
    server.kill().await;
    told.is_answering(true);
    let server = home.serve().await;
    // Another end is told of while the first one waits.
    step(&person, &ends).await.expect("the server is there");
    within(LEASE_AND_MORE, "that both are told", async || (waiting(&home).await == 0).then_some(())).await;
    let said: Vec<Value> = told.sent().iter().map(|form| claims(form.strip_prefix("logout_token=").unwrap())).collect();
    assert_eq!((said.len(), &said[2]["sid"]), (3, &said[0]["sid"]), "{said:?}");
    assert!(said[2]["jti"] != said[0]["jti"] && said[1]["sid"] != said[0]["sid"], "{said:?}");
    // It is seen from outside, too.
    let session = said[0]["sid"].as_str().unwrap();
    let shown: Value = serde_json::from_str(&home.ok(&["session", "show", session, "--json"])).unwrap();
    assert_eq!(shown["applications"][0]["notice"]["state"], "delivered", "{shown}");
    let rows = home.rows(&["app", "notices", "list", "wiki", "--json"]);
    assert_eq!((rows.len(), &rows[1]["tries"], &rows[1]["state"]), (2, &json!(2), &json!("delivered")), "{rows:?}");
    let listed = server.call(Method::GET, &format!("/api/v3/core/logout_notices/?session={session}"), TOKEN).await;
    let listed: Value = listed.json().await.unwrap();
    assert_eq!(listed["results"][0]["state"], "delivered", "{listed}");
    assert_eq!(home.ok(&["app", "notices", "test", "wiki"]), "the app answered 204\n");
});

//! Ends of many sessions that a page began go on after a restart of the real server.

use std::time::Duration;

use serde_json::json;

use crate::process::{Home, Person, eventually, within};
use crate::support::seed;

/// Four batches.
const MANY: u32 = 4_000;

/// The users and sessions to end, as an import.
fn lines() -> Vec<serde_json::Value> {
    let mut lines: Vec<_> = (100..200).map(|n| seed::user(n, &format!("user{n}"))).collect();
    // Used lately: addresses that are old are cut at the start, which takes its time.
    let used = rollcall::domain::Clock::System.now().minus(Duration::from_secs(3600));
    let with = json!({"last_user_agent": "curl/8", "last_used": used});
    lines.extend((0..MANY).map(|n| seed::session(n, 100 + i64::from(n % 100), with.clone())));
    lines
}

/// Begins to end what the search finds, and gives the address of the page that tells how far it is.
async fn begin(person: &Person, count: u32) -> String {
    let page = "/sessions/all/end?scope=all&q=curl";
    let number = count.to_string();
    let fields = [("q", "curl"), ("expected", number.as_str()), ("typed", number.as_str()), ("comment", "a stolen laptop")];
    let answer = person.submit_to(page, "/sessions/all/end", &fields).await;
    assert_eq!(answer.status(), 303, "{:?}", answer.text().await);
    answer.headers()["location"].to_str().unwrap().to_owned()
}

async fn number(home: &Home, sql: &str) -> u32 {
    home.texts(&format!("SELECT CAST(({sql}) AS TEXT)")).await[0].parse().unwrap()
}

async fn left(home: &Home) -> u32 {
    number(home, "SELECT count(*) FROM sessions s JOIN users u ON u.id = s.user_id WHERE u.username LIKE 'user%'").await
}

on_both!(an_end_of_many_goes_on_after_sigterm, |home| async move {
    let home = home.with_administrator();
    home.import(&lines());
    let mut server = home.serve().await;
    let person = Person::signed_in(&server, "akadmin").await;
    // Slow enough to be interrupted: each chunk of ends is recorded in this time.
    slow_down(&home).await;
    let path = begin(&person, MANY).await;
    let some = within(Duration::from_secs(60), "some ended", || async {
        let left = left(&home).await;
        (left < MANY).then_some(left)
    });
    assert!(some.await > 0, "it is still going on");
    server.signal("TERM");
    assert!(server.ended().await.success());
    let at_stop = left(&home).await;
    assert!(at_stop > 0, "it was interrupted");
    assert_eq!(home.texts("SELECT state FROM end_jobs").await, ["running"]);
    assert_eq!(left(&home).await, at_stop, "nothing goes on without a server");
    hurry_up(&home).await;

    let server = home.serve().await;
    let person = Person::signed_in(&server, "akadmin").await;
    let page = within(Duration::from_secs(60), "the end of it", || async {
        let page = person.get(&path).await.text().await.unwrap();
        page.contains("sessions ended</h1>").then_some(page)
    });
    let page = page.await;
    assert!(page.contains("4,000 sessions ended") && page.contains("a stolen laptop"), "{page}");
    assert_eq!(left(&home).await, 0);
    // One event, with all of them as its parts, once they are moved.
    let content = eventually("the totals", || async {
        let content = home.texts("SELECT content FROM events WHERE kind = 'sessions_ended'").await;
        content[0].contains("\"count\":4000").then_some(content)
    });
    let content = content.await;
    assert_eq!(content.len(), 1, "{content:?}");
    assert!(content[0].contains("\"users\":100") && content[0].contains("\"reason\":\"revoked\""), "{content:?}");
    within(Duration::from_secs(120), "all are in the history", || async {
        (number(&home, "SELECT count(*) FROM ended_sessions WHERE comment = 'a stolen laptop'").await == MANY).then_some(())
    })
    .await;
    assert_eq!(number(&home, "SELECT count(DISTINCT uuid) FROM ended_sessions").await, MANY, "each once");
    assert_eq!(number(&home, "SELECT count(*) FROM events WHERE parent_id IS NOT NULL").await, MANY);
    server.stop().await;
});

on_both!(an_end_of_many_goes_on_after_sigkill_on_another_node, |home| async move {
    let home = home.with_administrator();
    home.import(&lines());
    let server = home.serve().await;
    let person = Person::signed_in(&server, "akadmin").await;
    slow_down(&home).await;
    let path = begin(&person, MANY).await;
    within(Duration::from_secs(60), "some ended", || async { (left(&home).await < MANY).then_some(()) }).await;
    server.kill().await;
    assert!(left(&home).await > 0, "it was interrupted");
    hurry_up(&home).await;
    // A new sign-in matches what is to end, and is none of what was shown.
    let server = home.serve().await;
    let mut late = Person::new(&server, "curl/8");
    late.sign_in("akadmin", crate::process::PASSWORD).await;
    let person = Person::signed_in(&server, "akadmin").await;
    let waiting = person.get(&path).await.text().await.unwrap();
    assert!(waiting.contains("Interrupted; continues soon") || waiting.contains("Ending sessions"), "{waiting}");
    within(Duration::from_secs(90), "the end of it", || async {
        person.get(&path).await.text().await.unwrap().contains("4,000 sessions ended").then_some(())
    })
    .await;
    assert_eq!(left(&home).await, 0);
    assert!(late.is_signed_in().await, "sessions that began after it stay");
    server.stop().await;
});

/// Lets each recorded end take a while: long enough to interrupt them.
async fn slow_down(home: &Home) {
    let sql = match home.schema() {
        Some(_) => {
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$; \
             CREATE TRIGGER slow AFTER INSERT ON pending_ends FOR EACH ROW EXECUTE FUNCTION slow()"
        }
        None => {
            "CREATE TRIGGER slow AFTER INSERT ON pending_ends BEGIN \
             SELECT count(*) FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3500000) SELECT i FROM n); END"
        }
    };
    home.execute(sql).await;
}

async fn hurry_up(home: &Home) {
    let of = if home.schema().is_some() { " ON pending_ends" } else { "" };
    home.execute(&format!("DROP TRIGGER slow{of}")).await;
}

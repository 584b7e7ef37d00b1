//! `/sessions/all` with sessions that ended: `state=ended` and `state=both`.

use std::time::Duration;

use rollcall::actions::by::By;
use rollcall::actions::people::{privacy, users};
use rollcall::domain::Permission;
use serde_json::json;

use crate::support::app::Browser;
use crate::support::{SESSIONS, TestApp, encode, seed};

/// The ids of the rows that a page shows, in order.
fn ids(text: &str) -> Vec<String> {
    text.split("<tr data-id=\"").skip(1).map(|rest| rest[..36].to_owned()).collect()
}

async fn page(browser: &Browser, query: &str) -> String {
    browser.get(&format!("/sessions/all?{query}")).await.assert_status(200).text()
}

/// What a search finds.
async fn found(browser: &Browser, state: &str, q: &str) -> Vec<String> {
    ids(&page(browser, &format!("state={state}&q={}", encode(q))).await)
}

/// The address of the link with this text.
fn link(text: &str, label: &str) -> String {
    let before = text.split(&format!(">{label}<")).next().filter(|before| before.len() < text.len());
    let before = before.unwrap_or_else(|| panic!("no link {label}: {text}"));
    let before = before.trim_end_matches("<span");
    let href = before.rsplit("href=\"").next().unwrap().split('"').next().unwrap();
    href.replace("&amp;", "&").replace("&#38;", "&")
}

db_test!(ended_sessions_are_found_by_the_words_that_only_they_have, |db| async move {
    let app = TestApp::with(db, &[("SESSIONS__IDLE_TIMEOUT", "7d")]).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let root = app.superuser("root").await;
    let admin = root.session().await;
    let revoked = alice.session_on("192.0.2.1", "curl/8.14.1").await;
    let signed_out = bob.session_on("192.0.2.2", "Mozilla/5.0").await;
    let live = alice.session_on("192.0.2.1", "curl/8.14.1").await;
    admin.with_csrf().delete(&revoked.url()).await.assert_status(204);
    let proof = signed_out.get("/sessions").await.proof();
    signed_out.post_form("/sign-out", &[("proof", proof.as_str())]).await;
    let (revoked, signed_out) = (vec![revoked.uuid.clone()], vec![signed_out.uuid.clone()]);
    assert_eq!(found(&admin, "ended", "").await, [signed_out.clone(), revoked.clone()].concat(), "the latest end first");
    assert_eq!(found(&admin, "ended", "reason:revoked").await, revoked);
    assert_eq!(found(&admin, "ended", "by:root").await, revoked);
    assert_eq!(found(&admin, "ended", "by:bob reason:signed_out ended:today").await, signed_out);
    assert_eq!(found(&admin, "ended", "ended:yesterday").await, Vec::<String>::new());
    assert_eq!(found(&admin, "ended", "user:alice ip:192.0.2.0/24 browser:CURL used:today").await, revoked);
    app.advance(Duration::from_secs(86_400));
    assert_eq!(found(&admin, "ended", "ended:yesterday -current").await.len(), 2);
    assert_eq!(found(&admin, "live", "reason:revoked").await, revoked, "a word that only ended sessions have shows those");
    let both = found(&admin, "both", "user:alice").await;
    assert!(both.len() == 2 && both.contains(&live.uuid) && both.contains(&revoked[0]));
    let text = page(&admin, "state=ended&q=reason:revoked").await;
    assert!(text.contains("<strong>1 session</strong>") && text.contains("ended by root"), "{text}");
    assert_eq!(link(&text, "Signed in"), "/sessions/all", "a search of live sessions has no word about ended ones");
    let wrong = page(&admin, &format!("state=ended&q={}", encode("reason:boredom"))).await;
    assert!(wrong.contains("“boredom” is nothing that “reason:” can be"), "{wrong}");
    // An end of many needs a fresh proof.
    let refused = root.session().await.get("/sessions/all/end?scope=all&q=reason:revoked").await.text();
    assert!(refused.contains("is about ended sessions") && !refused.contains("name=\"expected\""), "{refused}");
});

db_test!(who_used_an_address_yesterday_is_answered_in_two_clicks, |db| async move {
    let app = TestApp::new(db).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let gone = alice.session_on("203.0.113.9", "curl/8.14.1").await;
    let left = bob.session_on("203.0.113.9", "curl/8.14.1").await;
    gone.with_csrf().delete(&gone.url()).await.assert_status(204);
    app.advance(Duration::from_secs(86_400));
    let today = app.user("carol").await.session_on("203.0.113.9", "curl/8.14.1").await;
    let elsewhere = app.user("dora").await.session_on("203.0.113.10", "curl/8.14.1").await;
    let admin = app.superuser("root").await.session().await;
    let first = page(&admin, "").await;
    let to_address = link(&first, "203.0.113.9");
    assert_eq!(to_address, "/sessions/all?q=ip:203.0.113.9&state=both");
    let all = admin.get(&to_address).await.text();
    let shown = ids(&all);
    assert!([&gone.uuid, &left.uuid, &today.uuid].iter().all(|uuid| shown.contains(uuid)) && !shown.contains(&elsewhere.uuid));
    assert_eq!(shown.first(), Some(&today.uuid), "the latest first");
    let yesterday = admin.get(&link(&all, "Yesterday")).await.text();
    let mut shown = ids(&yesterday);
    shown.sort();
    let mut want = [gone.uuid.clone(), left.uuid.clone()];
    want.sort();
    assert_eq!(shown, want);
    assert!(yesterday.contains("active:yesterday") && yesterday.contains(">alice<") && yesterday.contains(">bob<"));
});

db_test!(who_used_an_address_yesterday_and_came_back_today_is_found, |db| async move {
    let app = TestApp::with(db, &[("HTTP__TRUSTED_PROXIES", "127.0.0.0/8"), ("SESSIONS__IDLE_TIMEOUT", "7d")]).await;
    let from_there = |browser: &Browser| browser.caller.with_header("x-forwarded-for", "203.0.113.9");
    let day = Duration::from_secs(86_400);
    // Before yesterday, and never again.
    let before = app.user("alice").await.session_on("203.0.113.9", "").await;
    let (bob, carol) = (app.user("bob").await, app.user("carol").await);
    let (stays, ends) = (bob.session_on("203.0.113.9", "").await, carol.session_on("203.0.113.9", "").await);
    let moved = app.user("dora").await.session_on("203.0.113.9", "").await;
    app.advance(day * 2);
    let admin_user = app.superuser("root").await;
    let admin = admin_user.session().await;
    from_there(&stays).get("/sessions").await.assert_status(200);
    from_there(&ends).get("/sessions").await.assert_status(200);
    moved.caller.with_header("x-forwarded-for", "203.0.113.10").get("/sessions").await.assert_status(200);
    let new = app.user("eve").await.session_on("203.0.113.9", "").await;
    app.app.touches.flush(&app.app).await.unwrap();
    admin_user.token().await.delete(&ends.url()).await.assert_status(204);
    let there = "ip:203.0.113.9 active:yesterday";
    assert_eq!(found(&admin, "live", there).await, std::slice::from_ref(&stays.uuid));
    assert_eq!(found(&admin, "ended", there).await, std::slice::from_ref(&ends.uuid));
    let mut both = found(&admin, "both", there).await;
    both.sort();
    let mut want = [stays.uuid.clone(), ends.uuid.clone()];
    want.sort();
    assert_eq!(both, want, "not {}, {} and {}", before.uuid, new.uuid, moved.uuid);
    assert_eq!(found(&admin, "both", "ip:203.0.113.9 used:yesterday").await, Vec::<String>::new(), "the last use is today's");
    assert_eq!(found(&admin, "both", "ip:203.0.113.9 active:today").await.len(), 3);
    assert_eq!(found(&admin, "live", "active:yesterday").await.len(), 2, "at any address");
    assert!(found(&admin, "live", "active:soon").await.contains(&new.uuid), "a mistake is shown, and leaves out nothing");
    // By the tables alone, too.
    let tables = app.restarted(&[("SESSIONS__INDEX_LIMIT", "0")]).await;
    let query = rollcall::domain::query::SessionQuery::parse(there);
    let filter = query.filter(app.app.clock.now()).unwrap();
    assert_eq!(tables.store.count_sessions(&filter).await.unwrap(), 1);
    assert_eq!(app.app.store.count_sessions(&filter).await.unwrap(), 1);
    // What is not found is said, with the way to the events of that day, for those who may read them.
    let query = format!("state=both&q={}", encode(there));
    let text = page(&admin, &query).await;
    let events = link(&text, "the events from this address");
    let yesterday = app.app.clock.now().minus(day).to_string();
    assert_eq!(events, format!("/events?ip=203.0.113.9&from={0}&to={0}", &yesterday[..10]));
    admin.get(&events).await.assert_status(200);
    let viewer = app.user_who_may("sam", &[Permission::ViewSessions]).await.session().await;
    let text = page(&viewer, &query).await;
    assert!(text.contains("is not found here.") && !text.contains("/events?ip="), "{text}");
    assert!(!page(&admin, "state=both&q=active:yesterday").await.contains("is not found here"));
});

db_test!(words_find_names_of_people_as_they_are_and_as_they_were, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let admin_user = app.superuser("root").await;
    let admin = admin_user.session().await;
    let token = admin_user.token().await;
    let ended = alice.session_on("192.0.2.1", "curl/8.14.1").await;
    ended.with_csrf().delete(&ended.url()).await.assert_status(204);
    let this = vec![ended.uuid.clone()];
    let nothing = Vec::<String>::new();
    assert_eq!(found(&admin, "ended", "LIC").await, this);
    assert_eq!(found(&admin, "ended", "curl alice").await, this);
    assert_eq!(found(&admin, "ended", "192.0.2.").await, this);
    assert_eq!(found(&admin, "ended", "wonder").await, nothing);
    // By another process: this one finds it at the next question.
    let other = app.restarted(&[]).await;
    let api = format!("/api/v3/core/users/{}/", alice.id.0);
    let body = json!({"username": "queen", "name": "Alice Wonder", "email": "rabbit@example.org"});
    token.send_json("PATCH", &api, &body).await.assert_status(200);
    for word in ["wonder", "RABBIT@example", "alice", "queen"] {
        assert_eq!(found(&admin, "ended", word).await, this, "{word}");
        let filter = rollcall::domain::listing::EndedFilter {
            session: rollcall::domain::listing::SessionFilter {
                search: vec![rollcall::domain::fold::fold(word)],
                ..Default::default()
            },
            ..Default::default()
        };
        assert_eq!(other.store.ended_page(&filter, None, 5).await.unwrap().rows.len(), 1, "{word}");
        let listed = token.get(&format!("/api/v3/core/ended_sessions/?search={}", encode(word))).await;
        assert_eq!(listed.assert_status(200).count(), 1, "the API finds the same: {word}");
    }
    // A user who is gone is found by the name then; one who was erased is not.
    let row = users::find(&app.app, By::Cli, "queen").await.unwrap();
    users::remove(&app.app, By::Cli, &row).await.unwrap();
    assert_eq!(found(&admin, "ended", "alic").await, this);
    assert_eq!(found(&admin, "ended", "wonder").await, nothing);
    privacy::erase(&app.app, By::Cli, "alice").await.unwrap();
    assert_eq!(found(&admin, "ended", "alic").await, nothing);
    assert_eq!(app.number("SELECT count(*) FROM former_names WHERE username = 'alice'").await, 0);
});

db_test!(pages_of_both_show_each_session_once, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let used = |n: u32| json!({"last_used": format!("2026-10-{:02}T00:00:00Z", n % 28 + 1), "last_user_agent": format!("agent {}", n % 3)});
    app.import(&(0..60).map(|n| seed::session(n, alice.id.0, used(n))).collect::<Vec<_>>()).await;
    let root = app.superuser("root").await;
    let (admin, token) = (root.session().await, root.token().await);
    // Many of these have one and the same time of their end.
    for n in (0..60).step_by(2) {
        token.delete(&format!("{SESSIONS}{}/", seed::uuid(n))).await.assert_status(204);
        if n % 12 == 0 {
            app.advance(Duration::from_secs(1));
        }
    }
    for (query, want) in
        [("state=both", 61), ("state=ended", 30), ("state=ended&q=by:root+agent", 30), ("state=both&q=%22agent+1%22", 20)]
    {
        let (mut path, mut seen) = (format!("/sessions/all?{query}&size=10"), Vec::new());
        loop {
            let text = admin.get(&path).await.assert_status(200).text();
            assert!(ids(&text).len() <= 10);
            seen.extend(ids(&text));
            if !text.contains("rel=\"next\"") {
                break;
            }
            path = link(&text, "Next");
        }
        assert_eq!(seen.len(), want, "{query}");
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), want, "{query}: each once");
    }
    for odd in
        ["after=x", "after=-1", "after=5.5", "after=1.2.3", "after=9999999", "after=0.9223372036854775807.9223372036854775807"]
    {
        admin.get(&format!("/sessions/all?state=both&{odd}")).await.assert_status(200);
    }
});

/// The uuids of an export, in order.
fn exported(lines: &str) -> Vec<String> {
    let uuid = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["uuid"].as_str().unwrap().to_owned();
    lines.lines().map(uuid).collect()
}

db_test!(what_the_list_of_ended_sessions_shows_is_exported, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    app.import(&(0..700).map(|n| seed::session(n, alice.id.0, json!({}))).collect::<Vec<_>>()).await;
    let root = app.superuser("root").await;
    let admin = root.session().await;
    let evil = app.user("=cmd|' /C calc'!A0").await.session().await;
    let proof = admin.get("/sessions/all/end?scope=all&q=user:alice").await.proof();
    let fields = [("proof", proof.as_str()), ("q", "user:alice"), ("expected", "700"), ("typed", "700"), ("comment", "zebra <x>")];
    admin.post_form("/sessions/all/end", &fields).await.assert_status(303);
    app.move_pending().await;
    admin.with_csrf().delete(&evil.url()).await.assert_status(204);
    let live = alice.session_on("192.0.2.1", "curl/8.14.1").await;

    let text = page(&admin, "state=ended&q=user:alice").await;
    let csv = link(&text, "CSV");
    assert_eq!(csv, "/sessions/all/export?q=user:alice&state=ended&format=csv");
    let file = admin.get(&csv).await.assert_status(200);
    assert_eq!(file.header("content-disposition"), Some("attachment; filename=\"ended-sessions.csv\""));
    let file = file.text();
    let file = file.strip_prefix('\u{feff}').expect("a spreadsheet takes the file for UTF-8");
    assert!(file.starts_with("uuid,user,username,") && file.contains(",root,revoked,zebra <x>,"), "{}", &file[..900]);
    let mut uuids: Vec<&str> = file.lines().skip(1).map(|line| &line[..36]).collect();
    uuids.sort_unstable();
    uuids.dedup();
    assert_eq!((uuids.len(), file.lines().count()), (700, 701), "each once");
    // From the first page on, whichever page shows the link; in the order of the list.
    let second = admin.get(&link(&text, "Next")).await.text();
    assert_eq!(link(&second, "CSV"), csv);
    let lines = admin.get("/sessions/all/export?state=ended&format=jsonl").await.assert_status(200).text();
    let exported_all = exported(&lines);
    assert_eq!((exported_all.len(), &exported_all[..25]), (701, &found(&admin, "ended", "").await[..]));
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&first["kind"], &first["reason"], &first["ended_by"]),
        (&json!("ended_session"), &json!("revoked"), &json!("root"))
    );
    for (query, count) in
        [("reason:revoked by:root", 701), ("ended:yesterday", 0), ("reason:expired", 0), ("user:cmd", 0), ("zebra", 0)]
    {
        let path = format!("/sessions/all/export?state=ended&format=jsonl&q={}", encode(query));
        let lines = exported(&admin.get(&path).await.assert_status(200).text());
        assert_eq!(lines.len(), count, "{query}");
        assert_eq!(lines.is_empty(), found(&admin, "ended", query).await.is_empty(), "as the list: {query}");
    }
    let both = admin.get("/sessions/all/export?state=both&format=jsonl&q=user:alice").await.assert_status(200).text();
    let both = exported(&both);
    assert_eq!((both.len(), both.first()), (701, Some(&live.uuid)), "live ones first");
    let both = admin.get("/sessions/all/export?state=both&format=csv&q=user:nobody").await.assert_status(200).text();
    assert_eq!(both.lines().count(), 1, "a head: {both}");
    let csv = admin.get("/sessions/all/export?state=ended&format=csv&q=reason:revoked").await.text();
    assert!(csv.contains("'=cmd"), "no cell is a formula");
    let wrong = format!("/sessions/all/export?state=ended&format=csv&q={}", encode("reason:boredom"));
    assert!(admin.get(&wrong).await.assert_status(400).text().contains("The search has a mistake"));
    app.user("plain").await.session().await.get("/sessions/all/export?state=ended&format=csv").await.assert_status(403);
});

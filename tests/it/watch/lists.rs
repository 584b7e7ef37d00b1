//! Sessions of the watched authentik in lists, exports and on pages, next to Rollcall's own.

use std::time::Duration;

use rollcall::domain::user::Permission;
use rollcall::domain::{Clock, SessionId};
use serde_json::{Value, json};

use super::{Watch, session};
use crate::support::{SESSIONS, TestDb, seed};
use crate::ui::markup::mistakes;

/// Three own sessions of two users, and nine of authentik, of the users 2 to 8. The clock is five seconds behind the poll.
async fn watching(db: TestDb) -> Watch {
    let mut watch = Watch::new(db).await;
    let own = |nth: u32, user: i64| seed::session(nth, user, json!({"last_used": "2026-10-01T00:00:00Z", "expires": "2099-01-01"}));
    let lines = [seed::user(102, "alice"), seed::user(103, "bob"), own(1, 102), own(2, 102), own(3, 103)];
    watch.rollcall.import(&lines).await;
    watch.begin(9);
    watch.poll().await.unwrap();
    watch.rollcall.advance(Duration::from_secs(4));
    watch
}

db_test!(only_who_asks_gets_sessions_of_authentik, |db| async move {
    let watch = watching(db).await;
    let admin = watch.rollcall.admin_token().await;
    let plain = admin.get(SESSIONS).await.assert_status(200).json();
    assert_eq!(plain["pagination"]["count"], 3);
    let keys: Vec<&String> = plain["results"][0].as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 10, "authentik's own fields, and no other: {keys:?}");
    let own = admin.get(&format!("{SESSIONS}?source=rollcall")).await.assert_status(200).json();
    assert_eq!(own["results"][0]["source"], "rollcall");
    assert_eq!(own["pagination"], plain["pagination"]);

    let there = admin.get(&format!("{SESSIONS}?source=authentik&ordering=-last_used")).await.assert_status(200).json();
    assert_eq!(there["pagination"]["count"], 9);
    let rows = there["results"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["source"] == "authentik" && row["current"] == false));
    assert_eq!((&rows[0]["user"], &rows[0]["last_ip"]), (&json!(2), &json!("192.0.2.2")));
    let all = admin.get(&format!("{SESSIONS}?source=all&page_size=5&page=last")).await.assert_status(200).json();
    assert_eq!((&all["pagination"]["count"], all["results"].as_array().unwrap().len()), (&json!(12), 2));
    assert_eq!(admin.get(&format!("{SESSIONS}?source=all&user__username=alice")).await.count(), 2);
    assert_eq!(admin.get(&format!("{SESSIONS}?source=authentik&user__username=user-3")).await.count(), 2);
    assert_eq!(admin.get(&format!("{SESSIONS}?source=authentik&search=browser/1")).await.count(), 1);
    assert_eq!(admin.get(&format!("{SESSIONS}?source=authentik&user__username=alice")).await.count(), 0);
    let wrong = admin.get(&format!("{SESSIONS}?source=elsewhere")).await.assert_status(400).json();
    assert!(wrong["source"][0].as_str().unwrap().contains("authentik"), "{wrong}");

    // Who sees only their own sessions sees none of authentik's, whatever their key is.
    let alice = watch.rollcall.known("alice").await.token().await;
    assert_eq!(alice.get(&format!("{SESSIONS}?source=authentik")).await.count(), 0);
    assert_eq!(alice.get(&format!("{SESSIONS}?source=all")).await.count(), 2);
    let uuid = rows[0]["uuid"].as_str().unwrap();
    for path in [format!("{SESSIONS}{uuid}/"), format!("{SESSIONS}{uuid}/details/")] {
        alice.get(&path).await.assert_status(404);
    }
});

db_test!(ages_are_by_one_clock_where_that_of_authentik_differs, |db| async move {
    let mut watch = Watch::new(db).await;
    let there = watch.now().plus(Duration::from_secs(3_600));
    let uuid = SessionId::generate(watch.now()).unwrap();
    {
        let mut world = watch.authentik.world();
        world.clock = Clock::fixed(there);
        world.begin(uuid, session(2, there.minus(Duration::from_secs(300))));
    }
    watch.poll().await.unwrap();
    let root = watch.rollcall.superuser("root").await.session().await;
    let lists = ["/sessions/all?q=source:authentik", "/sessions/all?q=source:all&state=both"].map(str::to_owned);
    for address in [format!("/sessions/{uuid}"), format!("/watch/sessions/{uuid}/end")].into_iter().chain(lists) {
        let page = root.get(&address).await.assert_status(200).text();
        let used = watch.now().minus(Duration::from_secs(300));
        assert!(page.contains(&format!("<time datetime=\"{used}\"")) && page.contains("5 minutes ago"), "{address}: {page}");
    }
    let admin = watch.rollcall.admin_token().await;
    let told = admin.get(&format!("{SESSIONS}{uuid}/")).await.assert_status(200).json();
    assert_eq!(told["last_used"], json!(there.minus(Duration::from_secs(300))), "the API says what authentik says");
});

db_test!(a_watched_session_is_shown_with_what_is_known_of_it, |db| async move {
    let watch = watching(db).await;
    let admin = watch.rollcall.admin_token().await;
    let uuid = watch.copy().await.keys().next().copied().unwrap();
    let row = watch.copy().await.remove(&uuid).unwrap();
    let one = admin.get(&format!("{SESSIONS}{uuid}/")).await.assert_status(200).json();
    assert_eq!((&one["source"], &one["user"]), (&json!("authentik"), &json!(row.session.user_pk)));
    let details = admin.get(&format!("{SESSIONS}{uuid}/details/")).await.assert_status(200).json();
    assert_eq!(details["username"], json!(row.username));
    assert_eq!(details["first_seen"], json!(row.first_seen_at));
    assert_eq!(details["as_of"], json!(watch.source().await.status.seen_at));
    assert_eq!((&details["created"], &details["known_device"]), (&Value::Null, &Value::Null), "authentik does not tell");
    let own = admin.get(&format!("{SESSIONS}{}/details/", seed::uuid(1))).await.assert_status(200).json();
    assert_eq!((&own["source"], &own["first_seen"], &own["as_of"]), (&json!("rollcall"), &Value::Null, &Value::Null));
    assert!(own["created"].is_string() && own["known_device"].is_boolean());
});

db_test!(a_filter_without_a_source_does_not_reach_into_authentik, |db| async move {
    let watch = watching(db).await;
    let admin = watch.rollcall.admin_token().await;
    let body = json!({"source": "all", "search": "192.0.2", "expected_count": 9});
    admin.post_json(&format!("{SESSIONS}revoke/"), &body).await.assert_status(400);
    let everyone = json!({"source": "all", "everyone": true, "expected_count": 12});
    let refused = admin.post_json(&format!("{SESSIONS}revoke/"), &everyone).await.assert_status(400).text();
    assert!(refused.contains("one filter each"), "{refused}");
    admin.post_json(&format!("{SESSIONS}revoke/"), &json!({"search": "192.0.2", "expected_count": 9})).await.assert_status(409);
    // Where sessions live says not which of them: this is no filter.
    let body = json!({"source": "rollcall", "expected_count": 3});
    admin.post_json(&format!("{SESSIONS}revoke/"), &body).await.assert_status(400);
    assert_eq!(admin.get(SESSIONS).await.count(), 3);
    // What a client of authentik finds in the list is what it can end.
    for uuid in admin.get(SESSIONS).await.assert_status(200).uuids() {
        admin.delete(&format!("{SESSIONS}{uuid}/")).await.assert_status(204);
    }
    assert_eq!(admin.get(&format!("{SESSIONS}?source=all")).await.count(), 9);
    assert!(watch.authentik.world().log.iter().all(|(method, _, _)| method == "GET"));
});

db_test!(the_history_is_filtered_by_where_sessions_lived, |db| async move {
    let mut watch = watching(db).await;
    let admin = watch.rollcall.admin_token().await;
    let gone = watch.copy().await.into_iter().find(|(_, row)| row.session.user_pk == 4).unwrap().0;
    watch.authentik.world().end(gone);
    watch.poll().await.unwrap();
    admin.delete(&format!("{SESSIONS}{}/", seed::uuid(1))).await.assert_status(204);
    let ended = |query: &str| {
        let (admin, path) = (admin.clone(), format!("/api/v3/core/ended_sessions/{query}"));
        async move {
            let answer = admin.get(&path).await.assert_status(200).json();
            let rows = answer["results"].as_array().unwrap().clone();
            rows.iter().map(|row| (row["uuid"].as_str().unwrap().to_owned(), row["source"].clone())).collect::<Vec<_>>()
        }
    };
    let (there, own) = ((gone.to_string(), json!("authentik")), (seed::uuid(1), json!("rollcall")));
    assert_eq!(ended("").await.len(), 2);
    assert_eq!(ended("?source=all").await.len(), 2);
    assert_eq!(ended("?source=authentik").await, std::slice::from_ref(&there));
    assert_eq!(ended("?source=rollcall").await, [own]);
    assert_eq!(ended("?source=authentik&user=4").await, [there]);
    assert_eq!(ended("?source=authentik&user=5").await, []);
});

db_test!(pages_show_watched_sessions_and_how_old_the_copy_is, |db| async move {
    let mut watch = watching(db).await;
    let hostile = "\"><script>alert(1)</script>\u{202e}";
    watch.authentik.world().users.insert(2, hostile.to_owned());
    watch.rollcall.advance(Duration::from_secs(3_600));
    watch.poll().await.unwrap();
    watch.rollcall.advance(Duration::from_secs(4));
    let root = watch.rollcall.superuser("root").await.session().await;
    let plain = root.get("/sessions/all").await.assert_status(200).text();
    assert!(plain.contains("Where the sessions live") && !plain.contains(" copied"), "{plain}");
    assert_eq!(plain.matches("<tr data-id").count(), 4, "three and the one that asks");

    let page = root.get("/sessions/all?q=source:authentik").await.assert_status(200).text();
    assert_eq!(page.matches("<tr data-id").count(), 9);
    assert!(page.contains("as of 4 s ago · 9 of 9 copied"), "{page}");
    assert!(page.contains("type=\"checkbox\" name=\"id\"") && page.contains("End selected"), "{page}");
    let user = format!("{}/if/admin/#/identity/users/3", watch.authentik.origin());
    assert!(page.contains(&format!("href=\"{user}\"")), "{page}");
    assert!(!page.contains("<script>alert") && page.contains("alert(1)"), "a name is a text");
    assert!(!page.contains('\u{202e}') && page.contains('\u{fffd}'), "{page}");
    let counts = root.get("/sessions/all/counts?q=source:authentik").await.assert_status(200).text();
    assert!(counts.contains("as of 4 s ago") && counts.contains("<strong data-count>9</strong>"), "{counts}");
    let both = root.get("/sessions/all?q=source:all&size=50").await.assert_status(200).text();
    assert_eq!(both.matches("<tr data-id").count(), 13);
    assert_eq!(both.matches("<span class=\"badge\">authentik</span>").count(), 9);
    for html in [&page, &both, &root.get("/sessions/all?q=source:all&state=both").await.assert_status(200).text()] {
        assert_eq!(mistakes(html), <[&str; 0]>::default());
    }
    let file = root.get("/sessions/all/export?q=source:all&format=jsonl").await.assert_status(200).text();
    assert_eq!(file.lines().count(), 13);
    assert_eq!(file.lines().filter(|line| line.contains("\"source\":\"authentik\"")).count(), 9);
    let there = root.get("/sessions/all/export?q=source:authentik&format=csv").await.assert_status(200).text();
    assert_eq!(there.lines().count(), 10);
    root.get("/map?q=source:all").await.assert_status(200);
    assert!(!both.contains("type=\"checkbox\" name=\"id\"") && !both.contains("End selected"), "of two places");
    let refused = root.get("/sessions/all/end?scope=all&q=source:all").await.assert_status(400).text();
    assert!(refused.contains("choose one of the two"), "{refused}");

    watch.rollcall.advance(Duration::from_secs(12));
    let late = root.get("/sessions/all?q=source:authentik").await.assert_status(200).text();
    assert!(late.contains("<span class=\"badge warn\">as of 16 s ago"), "more than three polls: {late}");
});

db_test!(the_page_of_a_watched_session_offers_what_authentik_has, |db| async move {
    let mut watch = watching(db).await;
    let root = watch.rollcall.superuser("root").await.session().await;
    let (uuid, row) = watch.copy().await.into_iter().find(|(_, row)| row.session.user_pk == 3).unwrap();
    let page = root.get(&format!("/sessions/{uuid}")).await.assert_status(200).text();
    assert_eq!(mistakes(&page), <[&str; 0]>::default());
    assert!(page.contains("First seen") && page.contains("as of 4 s ago"), "{page}");
    for absent in ["Signed in</dt>", "End this session", "Apps</h2>", "Events</h2>"] {
        assert!(!page.contains(absent), "{absent}: {page}");
    }
    assert!(page.contains(&format!("{}/if/admin/#/identity/users/3", watch.authentik.origin())));
    let end = format!("href=\"/watch/sessions/{uuid}/end\"");
    assert!(page.contains(&end), "{page}");
    let other = watch.copy().await.into_iter().find(|(id, other)| other.session.user_pk == 3 && *id != uuid).unwrap().0;
    assert!(page.contains(&format!("href=\"/sessions/{other}\"")), "the other session of {:?}", row.username);
    let clerk = watch.rollcall.user_who_may("clerk", &[Permission::ViewSessions]).await.session().await;
    let seen = clerk.get(&format!("/sessions/{uuid}")).await.assert_status(200).text();
    assert!(!seen.contains(&end), "they may not end it: {seen}");
    let alice = watch.rollcall.known("alice").await.session().await;
    alice.get(&format!("/sessions/{uuid}")).await.assert_status(404);

    watch.authentik.world().end(uuid);
    watch.poll().await.unwrap();
    let ended = root.get(&format!("/sessions/{uuid}")).await.assert_status(200).text();
    assert!(ended.contains("Ended</dt>") && ended.contains("First seen") && !ended.contains(" copied"), "{ended}");
    let history = root.get("/sessions/all?q=source:authentik&state=both").await.assert_status(200).text();
    assert_eq!(history.matches("<tr data-id").count(), 9);
    assert_eq!(history.matches("<span class=\"badge\">authentik</span>").count(), 9);
});

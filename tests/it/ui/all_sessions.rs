//! `/sessions/all`: everybody's sessions, for those who may see them.

use std::time::Duration;

use rollcall::actions::sessions::end_job;
use rollcall::domain::Permission;
use rollcall::domain::facets::Facets;
use rollcall::domain::listing::SessionFilter;
use rollcall::store::sessions::end_job::{Lease, NewEndJob};
use serde_json::json;

use crate::support::app::Browser;
use crate::support::{SESSIONS, TestApp, encode, seed};

const PHONE: &str =
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36";

/// The ids of the rows that a page shows.
fn ids(text: &str) -> Vec<String> {
    text.split("<tr data-id=\"").skip(1).map(|rest| rest[..36].to_owned()).collect()
}

async fn page(browser: &Browser, query: &str) -> String {
    browser.get(&format!("/sessions/all?{query}")).await.assert_status(200).text()
}

db_test!(only_those_who_may_see_all_do, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await.session().await;
    let viewer = app.user_who_may("vera", &[Permission::ViewSessions]).await.session().await;
    for path in [
        "/sessions/all",
        "/sessions/all/live",
        "/sessions/all/counts",
        "/sessions/all/export?format=csv",
        "/sessions/all/end?scope=all",
    ] {
        let refused = alice.get(path).await.assert_status(403).text();
        assert!(refused.contains("You may not do this") && !refused.contains("vera"), "{path}");
        assert!(app.anonymous().get(path).await.redirects_to().starts_with("/sign-in?next=/sessions/all"), "{path}");
    }
    assert!(!alice.get("/sessions").await.text().contains("href=\"/sessions/all\""));
    let seen = page(&viewer, "").await;
    assert!(ids(&seen).contains(&alice.uuid) && ids(&seen).contains(&viewer.uuid));
    assert!(!seen.contains("type=\"checkbox\" name=\"id\""), "one who may not end is offered no boxes");
    viewer.get("/sessions/all/end?scope=all").await.assert_status(403);
    let proof = viewer.get("/sessions/all").await.proof();
    let fields = [("proof", proof.as_str()), ("expected", "2"), ("typed", "2")];
    viewer.post_form("/sessions/all/end", &fields).await.assert_status(403);
    alice.get(SESSIONS).await.assert_status(200);
});

db_test!(the_search_filters_and_stays_in_the_address, |db| async move {
    let app = TestApp::new(db).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob \"the\" <b>").await);
    let on_phone = alice.session_on("10.1.2.3", PHONE).await;
    let elsewhere = alice.session_on("192.0.2.1", "curl/8.14.1").await;
    let bobs = bob.session_on("2001:db8::1", PHONE).await;
    let root = app.superuser("root").await.session_on("192.0.2.77", "").await;
    let found = async |q: &str| {
        let mut found = ids(&page(&root, &format!("q={}", encode(q))).await);
        found.sort();
        found
    };
    let these = |browsers: &[&Browser]| {
        let mut uuids: Vec<String> = browsers.iter().map(|it| it.uuid.clone()).collect();
        uuids.sort();
        uuids
    };
    assert_eq!(found("").await, these(&[&on_phone, &elsewhere, &bobs, &root]));
    assert_eq!(found("user:alice").await, these(&[&on_phone, &elsewhere]));
    assert_eq!(found("os:android").await, these(&[&on_phone, &bobs]), "in any letter case");
    assert_eq!(found("browser:\"chrome mobile\" ip:10.0.0.0/8").await, these(&[&on_phone]));
    assert_eq!(found("ip:2001:db8::/32").await, these(&[&bobs]));
    assert_eq!(found("user:\"bob \\\"the\\\" <b>\"").await, these(&[&bobs]));
    assert_eq!(found("-current").await, these(&[&on_phone, &elsewhere, &bobs]));
    assert_eq!(found("pixel").await, these(&[&on_phone, &bobs]));
    assert_eq!(found("idle:<1h user:root").await, these(&[&root]));
    assert_eq!(found("idle:>1h").await, Vec::<String>::new());
    app.advance(Duration::from_secs(7200));
    assert_eq!(found("idle:>1h -current").await, these(&[&on_phone, &elsewhere, &bobs]));
    let text = page(&root, &format!("q={}", encode("user:alice colour:red <script>"))).await;
    assert!(text.contains("There is no “colour:”") && text.contains("aria-label=\"Remove user:alice\""));
    assert!(!text.contains("<script>") && text.contains("value=\"user:alice colour:red &#60;script&#62;\""));
    assert!(text.contains("href=\"/sessions/all?q=colour:red%20%3Cscript%3E\""), "the address without the first chip");
});

db_test!(columns_order_and_pages_are_in_the_address, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let used = |n: u32| json!({"last_used": format!("2026-10-{:02}T00:00:00Z", n % 28 + 1)});
    app.import(&(0..60).map(|n| seed::session(n, alice.id.0, used(n))).collect::<Vec<_>>()).await;
    let root = app.superuser("root").await.session().await;
    let mut seen = Vec::new();
    for number in 1..=3 {
        let text = page(&root, &format!("page={number}&order=username")).await;
        assert!(text.contains(&format!("Page {number} of 3")) && text.contains("aria-sort=\"ascending\""));
        seen.extend(ids(&text));
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 61, "each row is on one page");
    assert_eq!(ids(&page(&root, "page=999").await).len(), 11, "beyond the last page is the last page");
    assert_eq!(ids(&page(&root, "size=100").await).len(), 61);
    let narrow = page(&root, "col=ip&dense=1").await;
    assert!(narrow.contains(">Where") && !narrow.contains(">Last used</a>") && narrow.contains("stack-table dense"));
    for odd in ["page=0", "page=x", "size=7", "order=nonsense", "col=x", "dense=2", "page=99999999999999999999", "q=%00"] {
        root.get(&format!("/sessions/all?{odd}")).await.assert_status(200);
    }
});

db_test!(counts_from_memory_and_from_sql_agree, |db| async move {
    let memory = TestApp::new(db).await;
    let (alice, bob) = (memory.user("alice").await, memory.user("bob").await);
    let agents = ["curl/8.14.1", PHONE, "", "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"];
    let lines: Vec<_> = (0..900_u32)
        .map(|n| {
            let more = json!({
                "last_used": format!("2026-10-{:02}T0{}:00:00Z", n % 28 + 1, n % 10), "last_user_agent": agents[n as usize % 4],
                "last_ip": format!("192.0.2.{}", n % 7),
            });
            seed::session(n, if n % 3 == 0 { bob.id.0 } else { alice.id.0 }, more)
        })
        .collect();
    memory.import(&lines).await;
    let now = memory.app.clock.now();
    let filters = [
        SessionFilter::default(),
        SessionFilter { username: Some("alice".into()), ..SessionFilter::default() },
        SessionFilter { browser: Some("curl".into()), ..SessionFilter::default() },
        SessionFilter { username: Some("nobody".into()), ..SessionFilter::default() },
    ];
    let ask = async |filter: SessionFilter| -> (Facets, Vec<(String, i64)>) {
        let store = &memory.app.store;
        let facets = store.count_facets(&filter, now).await.unwrap();
        let addresses = store.count_addresses(&filter, 5).await.unwrap();
        (facets, addresses.into_iter().map(|it| (it.address.to_string(), it.count)).collect())
    };
    for filter in filters {
        memory.app.store.use_index(1_000_000);
        let kept = ask(filter.clone()).await;
        memory.app.store.use_index(0);
        let counted = ask(filter.clone()).await;
        assert_eq!(kept, counted, "{filter:?}");
    }
    let (all, addresses) = ask(SessionFilter::default()).await;
    assert_eq!((all.users, addresses.len(), addresses[0].1), (2, 5, 129));
    assert_eq!(all.browsers.iter().map(|(_, count)| count).sum::<i64>(), 900);
});

db_test!(many_end_after_the_number_is_typed, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let (first, second) = (alice.session().await, alice.session().await);
    let bob = app.user("bob").await.session().await;
    let root = app.superuser("root").await.session().await;
    let shown = root.get("/sessions/all/end?scope=all&q=user:alice").await.assert_status(200);
    assert!(shown.text().contains("End 2 sessions?") && shown.text().contains("1 user will be signed out"), "{}", shown.text());
    assert_eq!(ids(&shown.text()).len(), 2);
    let proof = shown.proof();
    let send = async |fields: &[(&str, &str)]| {
        let mut all = vec![("proof", proof.as_str()), ("q", "user:alice")];
        all.extend_from_slice(fields);
        root.post_form("/sessions/all/end", &all).await
    };
    for wrong in
        [&[("expected", "2")][..], &[("expected", "2"), ("typed", "3")], &[("typed", "2")], &[("expected", "x"), ("typed", "x")]]
    {
        assert!(send(wrong).await.assert_status(422).text().contains("Type the number 2"), "{wrong:?}");
    }
    let stale = send(&[("expected", "3"), ("typed", "3")]).await.assert_status(409).text();
    assert!(stale.contains("There are 2 of them now, so nothing was ended"), "{stale}");
    root.post_form("/sessions/all/end", &[("q", "user:alice"), ("expected", "2"), ("typed", "2")]).await.assert_status(403);
    first.get(SESSIONS).await.assert_status(200);
    let done = send(&[("expected", "2"), ("typed", " 2 "), ("comment", "laptop <lost>")]).await;
    let result = done.redirects_to();
    assert!(result.starts_with("/sessions/all/ended/") && result.ends_with("?q=user:alice"), "{result}");
    let text = root.get(result).await.assert_status(200).text();
    assert!(text.contains("<h1>2 sessions ended</h1>") && text.contains("laptop &#60;lost&#62;"), "{text}");
    let other = app.superuser("eve").await.session().await;
    other.get(result).await.assert_status(404);
    for gone in [&first, &second] {
        gone.get(SESSIONS).await.assert_status(403);
        assert_eq!(app.ending(&gone.uuid).await, Some(("revoked".into(), "root".into())));
    }
    bob.get(SESSIONS).await.assert_status(200);
    assert!(root.get("/sessions/all/end?scope=all&q=user:alice").await.text().contains("Nothing to end"));
    app.assert_counts().await;
});

db_test!(how_far_an_end_is_shows_on_every_node, |db| async move {
    let app = TestApp::new(db).await;
    let user = app.superuser("root").await;
    let (root, eve) = (user.session().await, app.superuser("eve").await.session().await);
    // Begun elsewhere: all that is common is the database.
    app.import(&(0..784).map(|n| seed::session(n, user.id.0, json!({"last_user_agent": "curl/8"}))).collect::<Vec<_>>()).await;
    let new = NewEndJob {
        name: "elsewhere".into(),
        by: user.id,
        actor: "root".into(),
        ip: "192.0.2.1".into(),
        request_id: "the request".into(),
        target: r#"{"target": {"matching": {"search": ["CURL"]}}, "user_uuid": null}"#.into(),
        total: 784,
        comment: "sold <laptops>".into(),
    };
    let now = app.app.clock.now();
    let lease = Lease { holder: "elsewhere".into(), until: now.plus(Duration::from_secs(15)) };
    let begun = app.app.store.write(move |db| {
        Box::pin(async move {
            db.insert_end_job(&new, &lease, now).await?;
            db.update_end_job(("elsewhere", &lease), "running", (300, 484), now).await
        })
    });
    assert!(begun.await.unwrap(), "the lease is held");
    let path = "/sessions/all/ended/elsewhere";
    let running = root.get(path).await.assert_status(200).text();
    assert!(
        running.contains("Ending sessions…") && running.contains("value=\"300\"") && running.contains("sold &#60;laptops&#62;")
    );
    eve.get(path).await.assert_status(404);
    end_job::resume(&app.app, rollcall::actions::by::By::System).await.unwrap();
    assert_eq!(root.get("/api/v3/core/authenticated_sessions/?search=curl").await.count(), 784, "another node runs it");
    app.advance(Duration::from_secs(16));
    let silent = root.get(path).await.text();
    assert!(silent.contains("Interrupted; continues soon") && silent.contains("value=\"300\""), "its node is gone: {silent}");
    // This node goes on.
    end_job::resume(&app.app, rollcall::actions::by::By::System).await.unwrap();
    let through = root.get(path).await.text();
    assert!(through.contains("784 sessions ended"), "{through}");
    assert_eq!(root.get("/api/v3/core/authenticated_sessions/?search=curl").await.count(), 0);
    let event = &app.latest("sessions_ended").await[0];
    assert_eq!((event.actor.as_str(), event.ip.as_str(), event.request_id.as_str()), ("root", "192.0.2.1", "the request"));
    assert!(event.text().contains("root ended 784 sessions of 1 user (search: CURL): sold <laptops>"), "{}", event.text());
    // The node that was silent finds that it lost the lease.
    let now = app.app.clock.now();
    let late = Lease { holder: "elsewhere".into(), until: now.plus(Duration::from_secs(15)) };
    let late = app
        .app
        .store
        .write(move |db| Box::pin(async move { db.update_end_job(("elsewhere", &late), "running", (301, 483), now).await }));
    let late: Result<bool, rollcall::store::StoreError> = late.await;
    assert!(!late.unwrap());
    app.assert_counts().await;
    // It is told for a day.
    app.advance(Duration::from_secs(86_500));
    rollcall::actions::upkeep::sweep::run(&app.app, rollcall::actions::by::By::System).await.unwrap();
    assert_eq!(app.number("SELECT count(*) FROM end_jobs").await, 0);
});

db_test!(ones_own_can_be_left_out, |db| async move {
    let app = TestApp::new(db).await;
    let root_user = app.superuser("root").await;
    let (root, other) = (root_user.session().await, root_user.session().await);
    let bob = app.user("bob").await.session().await;
    let shown = root.get("/sessions/all/end?scope=all").await;
    assert!(shown.text().contains("All sessions of everybody") && shown.text().contains("Keep my session"));
    let proof = shown.proof();
    let fields = [("proof", proof.as_str()), ("expected", "3"), ("typed", "3"), ("spare", "yes")];
    let result = root.post_form("/sessions/all/end", &fields).await.redirects_to().to_owned();
    assert!(root.get(&result).await.assert_status(200).text().contains("2 sessions ended"));
    other.get(SESSIONS).await.assert_status(403);
    bob.get(SESSIONS).await.assert_status(403);
});

db_test!(picked_ones_end_and_no_others, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let (first, second, third) = (alice.session().await, alice.session().await, alice.session().await);
    let root = app.superuser("root").await.session().await;
    let path = format!("/sessions/all/end?scope=picked&id={}&id={}&id=nonsense", first.uuid, second.uuid);
    let shown = root.get(&path).await.assert_status(200);
    assert!(shown.text().contains("End 2 sessions?"));
    assert_eq!(root.get("/sessions/all/end?scope=picked&q=user:alice").await.redirects_to(), "/sessions/all?q=user:alice");
    let (proof, both) = (shown.proof(), format!("{},{}", first.uuid, second.uuid));
    let fields = [("proof", proof.as_str()), ("ids", both.as_str()), ("expected", "2"), ("typed", "2")];
    root.post_form("/sessions/all/end", &fields).await.assert_status(303);
    first.get(SESSIONS).await.assert_status(403);
    second.get(SESSIONS).await.assert_status(403);
    third.get(SESSIONS).await.assert_status(200);
    // One alone needs no number.
    let fields = [("proof", proof.as_str()), ("ids", third.uuid.as_str()), ("expected", "1")];
    root.post_form("/sessions/all/end", &fields).await.assert_status(303);
    third.get(SESSIONS).await.assert_status(403);
    root.get(SESSIONS).await.assert_status(200);
});

db_test!(exports_hold_each_session_once, |db| async move {
    let app = TestApp::new(db).await;
    let (alice, evil) = (app.user("alice").await, app.user("=cmd|' /C calc'!A0").await);
    app.import(&(0..1200).map(|n| seed::session(n, alice.id.0, json!({}))).collect::<Vec<_>>()).await;
    let root = app.superuser("root").await.session().await;
    evil.session().await;
    let csv = root.get("/sessions/all/export?format=csv").await.assert_status(200);
    assert_eq!(csv.header("content-disposition"), Some("attachment; filename=\"sessions.csv\""));
    let text = csv.text();
    let text = text.strip_prefix('\u{feff}').expect("a spreadsheet takes the file for UTF-8");
    assert!(text.starts_with("uuid,user,username,") && text.contains("'=cmd"), "no cell is a formula");
    let mut uuids: Vec<&str> = text.lines().skip(1).map(|line| &line[..36]).collect();
    uuids.sort_unstable();
    uuids.dedup();
    assert_eq!((uuids.len(), text.lines().count()), (1202, 1203));
    let lines = root.get("/sessions/all/export?format=jsonl&q=user:alice").await.assert_status(200).text();
    assert_eq!(lines.lines().count(), 1200);
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first["username"], "alice");
    assert_eq!(root.get("/sessions/all/export?format=csv&q=user:nobody").await.text().lines().count(), 1);
    assert_eq!(root.get("/sessions/all/export?format=jsonl&q=user:nobody").await.text(), "");
    root.get("/sessions/all/export?format=xml").await.assert_status(404);
});

db_test!(live_views_say_what_changed_and_end_with_their_session, |db| async move {
    let app = TestApp::new(db).await;
    let root_user = app.superuser("root").await;
    let root = root_user.session().await;
    let alice = app.user("alice").await;
    let first = alice.session().await;
    let mut stream = root.caller.build("GET", "/sessions/all/live?q=user:alice").send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let mut buffer = String::new();
    let mut event = async |buffer: &mut String| -> Option<serde_json::Value> {
        loop {
            if let Some((data, rest)) = buffer.split_once("\n\n") {
                let line =
                    data.lines().find_map(|line| line.strip_prefix("data: ")).map(|line| serde_json::from_str(line).unwrap());
                let rest = rest.to_owned();
                *buffer = rest;
                if line.is_some() {
                    return line;
                }
                continue;
            }
            buffer.push_str(std::str::from_utf8(&stream.chunk().await.ok()??).unwrap());
        }
    };
    let shown = event(&mut buffer).await.unwrap();
    assert_eq!((&shown["count"], shown["rows"].as_array().unwrap().len()), (&json!("1"), 1));
    let second = alice.session().await;
    let shown = event(&mut buffer).await.unwrap();
    let rows = shown["rows"].as_array().unwrap();
    assert!(rows.iter().any(|row| row["id"] == second.uuid.as_str() && row["html"].as_str().unwrap().starts_with("<tr")));
    let proof = first.get("/sign-out").await.proof();
    first.post_form("/sign-out", &[("proof", &proof)]).await.assert_status(303);
    let shown = event(&mut buffer).await.unwrap();
    assert_eq!(shown["gone"], json!([{"id": first.uuid, "why": "signed out"}]));
    root.post_form("/sign-out", &[("proof", &root.get("/sign-out").await.proof())]).await.assert_status(303);
    assert!(event(&mut buffer).await.is_none(), "the stream ends with the session");
});

db_test!(what_is_counted_comes_without_the_page, |db| async move {
    let app = TestApp::new(db).await;
    let root = app.superuser("root").await.session().await;
    app.user("alice").await.session_on("192.0.2.1", "curl/8.14.1").await;
    let page = root.get("/sessions/all?q=browser:curl").await.text();
    assert!(page.contains("data-counts=\"/sessions/all/counts?q=browser:curl\""), "{page}");
    let part = root.get("/sessions/all/counts?q=browser:curl").await.assert_status(200).text();
    assert!(!part.contains("<html") && part.contains("<strong data-count>1</strong> session"), "{part}");
    let facets = part.split("<aside").nth(1).unwrap();
    assert!(page.contains(facets.trim_end()), "the same as on the page: {part}");
});

db_test!(the_copied_lines_leave_out_what_the_view_does, |db| async move {
    let app = TestApp::new(db).await;
    let (root_user, alice) = (app.superuser("root").await, app.user("alice").await);
    let (root, other) = (root_user.session().await, alice.session().await);
    let page = root.get("/sessions/all?q=-current").await.text();
    let uuid = root.uuid.as_str();
    let (api, command) = (format!("except={uuid}&#38;ordering"), format!("rollcall session list --except {uuid} --ordering"));
    assert!(page.contains(&api) && page.contains(&command), "{page}");
    let admin = app.admin_token().await;
    assert_eq!(admin.get(&format!("{SESSIONS}?except={uuid}")).await.uuids(), [other.uuid.as_str()]);
    admin.get(&format!("{SESSIONS}?except=mine")).await.assert_status(400);
    // It is no filter by itself: without `everyone` nothing ends.
    let body = json!({"except": uuid, "expected_count": 1});
    admin.post_json(&format!("{SESSIONS}revoke/"), &body).await.assert_status(400);
    other.get(SESSIONS).await.assert_status(200);
    let body = json!({"except": uuid, "expected_count": 1, "everyone": true});
    admin.post_json(&format!("{SESSIONS}revoke/"), &body).await.assert_status(200);
    other.get(SESSIONS).await.assert_status(403);
    root.get(SESSIONS).await.assert_status(200);
});

db_test!(every_column_sorts, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    app.import(&[
        seed::session(1, alice.id.0, json!({"last_used": "2026-10-02T00:00:00Z"})),
        seed::session(2, alice.id.0, json!({"last_used": "2026-10-03T00:00:00Z"})),
        seed::session(3, alice.id.0, json!({"last_used": "2026-10-01T00:00:00Z"})),
    ])
    .await;
    let root = app.superuser("root").await.session().await;
    let usual = root.get("/sessions/all?q=user:alice&col=agent&col=place&col=used&col=signed-in&col=ends").await.text();
    let head = usual.split("<thead>").nth(1).and_then(|rest| rest.split("</thead>").next()).unwrap();
    assert_eq!((head.matches("order=").count(), head.matches("aria-sort").count()), (6, 1), "{head}");
    for (order, want) in [("created", [3, 1, 2]), ("-created", [2, 1, 3]), ("country", [1, 2, 3]), ("-country", [1, 2, 3])] {
        let text = root.get(&format!("/sessions/all?q=user:alice&order={order}")).await.assert_status(200).text();
        assert_eq!(ids(&text), want.map(seed::uuid), "{order}");
    }
});

db_test!(live_views_are_few, |db| async move {
    let app = TestApp::new(db).await;
    let root = app.superuser("root").await.session().await;
    let mut open = Vec::new();
    for _ in 0..rollcall::actions::sessions::watch::MOST_OF_SESSION {
        let stream = root.caller.build("GET", "/sessions/all/live").send().await.unwrap();
        assert_eq!(stream.status(), 200);
        open.push(stream);
    }
    let refused = root.get("/sessions/all/live").await.assert_status(429);
    assert_eq!(refused.header("retry-after"), Some("60"));
});

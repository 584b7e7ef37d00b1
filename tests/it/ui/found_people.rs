//! Words find sessions by what their users are called today, and ends of all that match take exactly those.

use rollcall::actions::by::By;
use rollcall::actions::people::privacy;
use rollcall::domain::fold::fold;
use rollcall::domain::listing::SessionFilter;
use rollcall::domain::query::SessionQuery;
use rollcall::domain::{EndReason, UserId};
use rollcall::store::StoreError;
use rollcall::store::sessions::end::MatchingEnd;
use rollcall::store::sessions::history::End;
use rollcall::store::sessions::locked::GoneSession;
use serde_json::{Value, json};

use crate::support::{Browser, Caller, SESSIONS, TestApp, encode, seed};

const REVOKE: &str = "/api/v3/core/authenticated_sessions/revoke/";

fn person(id: i64, username: &str, name: &str, email: &str) -> Value {
    json!({"kind": "user", "id": id, "username": username, "name": name, "email": email})
}

async fn page(browser: &Browser, state: &str, q: &str) -> String {
    browser.get(&format!("/sessions/all?state={state}&q={}", encode(q))).await.assert_status(200).text()
}

/// What a search finds, in the order of the ids.
async fn found(browser: &Browser, state: &str, q: &str) -> Vec<String> {
    let text = page(browser, state, q).await;
    let mut ids: Vec<String> = text.split("<tr data-id=\"").skip(1).map(|rest| rest[..36].to_owned()).collect();
    ids.sort();
    ids
}

async fn call(token: &Caller, id: i64, name: &str, email: &str) {
    let body = json!({"name": name, "email": email});
    token.send_json("PATCH", &format!("/api/v3/core/users/{id}/"), &body).await.assert_status(200);
}

db_test!(words_find_who_is_signed_in_by_what_they_are_called, |db| async move {
    let app = TestApp::new(db).await;
    let lines = vec![
        person(101, "alice", "Alice Zebra", "alice@corp.example"),
        person(102, "bob", "Bob Yak", "bob@other.example"),
        seed::session(1, 101, json!({"last_user_agent": "curl/8"})),
        seed::session(2, 101, json!({})),
        seed::session(3, 102, json!({"last_user_agent": "curl/8"})),
    ];
    app.import(&lines).await;
    let root = app.superuser("root").await;
    let (admin, token) = (root.session().await, root.token().await);
    token.delete(&format!("{SESSIONS}{}/", seed::uuid(2))).await.assert_status(204);
    let other = app.restarted(&[]).await;
    for limit in [0, 1_000_000] {
        // By SQL, then from memory.
        app.app.store.use_index(limit);
        for word in ["alice@corp.example", "ZEBRA", "\"alice zebra\"", "@corp", "alice"] {
            assert_eq!(found(&admin, "live", word).await, seed::uuids(&[1]), "{limit}: {word}");
            assert_eq!(found(&admin, "ended", word).await, seed::uuids(&[2]), "{limit}: {word}");
            assert_eq!(found(&admin, "both", word).await, seed::uuids(&[1, 2]), "{limit}: {word}");
        }
        assert_eq!(found(&admin, "live", "example curl").await, seed::uuids(&[1, 3]), "{limit}: each word in any text");
        assert_eq!(found(&admin, "live", "user:bob other.example").await, seed::uuids(&[3]), "{limit}");
        assert_eq!(found(&admin, "live", "user:bob zebra").await, seed::uuids(&[]), "{limit}");
        let filter = SessionQuery::parse("zebra").filter(app.app.clock.now()).unwrap();
        assert_eq!(app.app.store.count_facets(&filter, app.app.clock.now()).await.unwrap().users, 1, "{limit}");
        assert_eq!(app.app.store.count_addresses(&filter, 9).await.unwrap().len(), 1, "{limit}");
        // authentik's search stays as it is, unless more is asked for.
        for (query, want) in [
            ("search=zebra", 0),
            ("search=zebra&search_people=false", 0),
            ("search=zebra&search_people=true", 1),
            ("search=corp.example,curl&search_people=true", 1),
            ("search=curl&search_people=true", 2),
            ("search_people=true&user__username=bob", 1),
        ] {
            assert_eq!(token.get(&format!("{SESSIONS}?{query}")).await.assert_status(200).count(), want, "{limit}: {query}");
        }
    }
    let text = page(&admin, "live", "zebra").await;
    assert!(text.contains("search=zebra&#38;search_people=true") && text.contains("rollcall session list zebra --ord"), "{text}");
    assert!(!page(&admin, "live", "user:alice").await.contains("search_people"), "without a word there is no search");
    let neither = token.get(&format!("{SESSIONS}?search=zebra&search_people=maybe")).await;
    assert_eq!(neither.assert_status(200).count(), 0, "in an address, what is neither true nor false is not given");
    let neither = json!({"search": "zebra", "search_people": "maybe", "expected_count": 0});
    assert_eq!(
        token.post_json(REVOKE, &neither).await.assert_status(400).json(),
        json!({"search_people": ["Must be a valid boolean."]})
    );
    // Those of today count, also in the process that did not write them.
    call(&token, 101, "Alice Quagga", "").await;
    let by_other = async |word: &str| {
        let filter = SessionFilter { search: vec![fold(word)], search_people: Some(true), ..SessionFilter::default() };
        other.store.count_sessions(&filter).await.unwrap()
    };
    for (word, live) in [("zebra", 0), ("corp.example", 0), ("quagga", 1)] {
        assert_eq!((found(&admin, "live", word).await.len(), by_other(word).await), (live, live as i64), "{word}");
    }
});

db_test!(an_end_of_all_that_match_takes_those_that_were_shown, |db| async move {
    let app = TestApp::new(db).await;
    // More users than are named one by one, and more sessions than are moved at once.
    let mut lines: Vec<Value> = (1..=150).map(|n| person(n, &format!("u{n}"), "", &format!("p{n}@corp.example"))).collect();
    lines.extend((0..1200).map(|n| seed::session(n, i64::from(n % 150) + 1, json!({}))));
    lines.push(person(201, "alice", "Alice Zebra", "alice@else.example"));
    lines.extend((1200..1203).map(|n| seed::session(n, 201, json!({}))));
    app.import(&lines).await;
    let root = app.superuser("root").await;
    let (admin, token) = (root.session().await, root.token().await);
    let end = async |q: &str, count: &str| {
        let shown = admin.get(&format!("/sessions/all/end?scope=all&q={}", encode(q))).await.assert_status(200);
        assert!(shown.text().contains(&format!("End {count} sessions?")), "{}", shown.text());
        let (proof, number) = (shown.proof(), count.replace(',', ""));
        let fields = [("proof", proof.as_str()), ("q", q), ("expected", &number), ("typed", &number)];
        let done = admin.post_form("/sessions/all/end", &fields).await;
        loop {
            let text = admin.get(done.redirects_to()).await.assert_status(200).text();
            if !text.contains("Ending sessions…") {
                return text;
            }
        }
    };
    // A filter of the API without a search is none, whatever it looks at.
    let bare = token.post_json(REVOKE, &json!({"search_people": true, "expected_count": 1204})).await.assert_status(400);
    assert!(bare.json().get("everyone").is_some(), "{}", bare.text());
    // authentik's search does not find her.
    token.post_json(REVOKE, &json!({"search": "zebra", "expected_count": 3})).await.assert_status(409);
    let text = end("alice@else.example", "3").await;
    assert!(text.contains("3 sessions ended"), "{text}");
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 1201);
    let text = app.latest("sessions_ended").await[0].text();
    assert!(text.contains("search: ALICE@ELSE.EXAMPLE, search people: true"), "{text}");
    // Erased, she is not in the search either.
    privacy::erase(&app.app, By::Cli, "alice").await.unwrap();
    let text = app.latest("sessions_ended").await[0].text();
    assert!(!text.to_lowercase().contains("alice"), "{text}");
    assert_eq!(app.number("SELECT count(*) FROM end_jobs").await, 0);
    end("corp.example", "1,200").await;
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 1, "the administrator's own stays");
    app.move_pending().await;
    app.assert_counts().await;
});

db_test!(who_is_called_otherwise_by_then_is_not_ended, |db| async move {
    let app = TestApp::new(db).await;
    app.import(&[
        person(1, "alice", "Alice Zebra", ""),
        person(2, "bob", "Bob Zebra", ""),
        seed::session(1, 1, json!({})),
        seed::session(2, 2, json!({})),
    ])
    .await;
    let token = app.superuser("root").await.token().await;
    let (store, now) = (&app.app.store, app.app.clock.now());
    let filter = SessionQuery::parse("zebra").filter(now).unwrap();
    let matching = store.list_matching(&filter, None, None).await.unwrap();
    assert_eq!(matching.ids.len(), 2);
    call(&token, 1, "Alice Quagga", "").await;
    let (ids, which) = (matching.ids.clone(), MatchingEnd::new(&matching, &filter, None));
    let end = End { at: now, by: None, by_name: "cli".into(), reason: EndReason::Revoked, comment: String::new() };
    let gone: Result<Vec<GoneSession>, StoreError> =
        store.write(move |db| Box::pin(async move { db.end_matching(&ids, &which, &end).await })).await;
    assert_eq!(gone.unwrap().len(), 1);
    let left = SessionFilter { user: Some(UserId(1)), ..SessionFilter::default() };
    assert_eq!(store.count_sessions(&left).await.unwrap(), 1, "hers is there");
});

db_test!(who_is_erased_is_in_no_search_and_other_filters_stay, |db| async move {
    let app = TestApp::new(db).await;
    app.import(&[
        person(1, "al", "Ada Lovelace", ""),
        person(2, "curl", "", ""),
        seed::session(1, 1, json!({"last_user_agent": "Mozilla/5.0"})),
        seed::session(2, 1, json!({"last_user_agent": "Mozilla/5.0"})),
        seed::session(3, 2, json!({"last_user_agent": "curl/8.14.1"})),
        seed::session(4, 2, json!({"last_user_agent": "curl/8.14.1"})),
    ])
    .await;
    let token = app.superuser("root").await.token().await;
    for body in [
        json!({"search": "ada lovelace", "search_people": true, "expected_count": 2}),
        json!({"browser": "curl", "expected_count": 2}),
    ] {
        token.post_json(REVOKE, &body).await.assert_status(200);
    }
    let texts = async || app.latest("sessions_ended").await.iter().map(|event| event.text()).collect::<Vec<_>>().concat();
    assert!(texts().await.contains("search: LOVELACE ADA"), "{}", texts().await);
    privacy::erase(&app.app, By::Cli, "al").await.unwrap();
    privacy::erase(&app.app, By::Cli, "curl").await.unwrap();
    let left = texts().await;
    assert!(!left.contains("LOVELACE") && left.contains("browser: curl"), "{left}");
});

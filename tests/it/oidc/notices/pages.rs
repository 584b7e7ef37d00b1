//! What is seen of notices: on pages, by the API, in the session tree and in the export of a person.

use rollcall::actions::by::By;
use rollcall::actions::people::{privacy, users};
use serde_json::json;

use super::told::Told;
use super::{claims, end, opened, register, run, states, told_app, world};
use crate::guard::world::{Browser, HOME, PAGE};
use crate::support::{SESSIONS, TestApp};
use crate::ui::markup::mistakes;

const API: &str = "/api/v3/core/logout_notices/";
const PATH: &str = "/applications/wiki/client/notices";

async fn page(browser: &Browser<'_>, path: &str) -> String {
    let text = browser.send("GET", HOME, path, &PAGE).await.assert_status(200).text();
    assert_eq!(mistakes(&text), Vec::<String>::new(), "{path}");
    text
}

async fn press(browser: &Browser<'_>, button: &str) -> crate::support::Answer {
    let proof = browser.send("GET", HOME, PATH, &PAGE).await.proof();
    browser.post(HOME, &format!("{PATH}/{button}"), &format!("proof={proof}")).await
}

db_test!(an_administrator_sees_what_the_app_was_told, |db| async move {
    let (app, told) = (world(db).await, Told::start().await);
    app.user("alice").await;
    let wiki = told_app(&app, "wiki", &told, json!({})).await;
    let root = Browser::of(&app, "root").await;
    let empty = page(&root, PATH).await;
    assert!(empty.contains("There were none") && empty.contains("Send a test") && !empty.contains("Send now"), "{empty}");
    told.answers(500);
    let (first, second) = (opened(&wiki, "alice").await, opened(&wiki, "alice").await);
    end(&app, &first).await;
    run(&app).await;
    let text = page(&root, PATH).await;
    for shown in ["the app answered 500", &first, "waiting", "Send now", "Drop…", "in 4 seconds"] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    let session = page(&root, &format!("/sessions/{first}")).await;
    assert!(session.contains("Told of the end") && session.contains("waiting"), "{session}");
    let live = page(&root, &format!("/sessions/{second}")).await;
    assert!(live.contains("refresh token (<bdi>openid profile email offline_access</bdi>)"), "{live}");
    told.answers(204);
    press(&root, "send").await.assert_status(303);
    assert_eq!((run(&app).await, states(&app).await), (1, vec!["delivered"]));
    let text = page(&root, "/applications/wiki/client").await;
    assert!(text.contains("<dt>Told today</dt><dd>1</dd>") && text.contains("the app answered 500"), "{text}");
    assert!(page(&root, &format!("/sessions/{first}")).await.contains("told "));

    // A test is about no session of anybody's.
    told.requests();
    let tested = press(&root, "test").await.assert_status(200).text();
    assert!(tested.contains("The app took the test: the app answered 204."), "{tested}");
    let said = claims(&wiki, &told.sent()[0]).await;
    assert!(said.get("sub").is_none() && said["sid"] != first && said["sid"] != second, "{said}");
    told.answers(404);
    let tested = press(&root, "test").await.assert_status(200).text();
    assert!(tested.contains("The app did not take the test: the app answered 404."), "{tested}");
    assert_eq!(states(&app).await, ["delivered"], "a test leaves nothing");

    end(&app, &second).await;
    run(&app).await;
    let question = page(&root, &format!("{PATH}/drop")).await;
    assert!(question.contains("not told of 1 end, which is waiting or given up"), "{question}");
    press(&root, "drop").await.assert_status(303);
    assert_eq!(states(&app).await, ["delivered", "dropped"]);
    // Auditors look, and others do not.
    app.auditor("ann").await;
    let ann = Browser::of(&app, "ann").await;
    let seen = page(&ann, PATH).await;
    assert!(seen.contains("dropped") && !seen.contains("Send a test"), "{seen}");
    for button in ["test", "send", "drop"] {
        let proof = ann.send("GET", HOME, "/apps", &PAGE).await.proof();
        let answer = ann.post(HOME, &format!("{PATH}/{button}"), &format!("proof={proof}")).await;
        assert_eq!(answer.status, 403, "{button}");
    }
    let alice = Browser::of(&app, "alice").await;
    assert_eq!(alice.send("GET", HOME, PATH, &PAGE).await.status, 403);
});

db_test!(an_app_that_cannot_be_reached_is_shown_so, |db| async move {
    let app = world(db).await;
    app.user("alice").await;
    let wiki = register(&app, "wiki", json!({"back_channel_uri": "http://127.0.0.1:1/told"})).await;
    for _ in 0..5 {
        end(&app, &opened(&wiki, "alice").await).await;
    }
    assert_eq!((run(&app).await, run(&app).await), (4, 1));
    let root = Browser::of(&app, "root").await;
    let text = page(&root, PATH).await;
    assert!(text.contains("The app cannot be reached. The next try is") && text.contains("no connection: "), "{text}");
    assert!(page(&root, "/applications/wiki/client").await.contains("<dt>Reachable</dt><dd>no"));
    // A client that is told nothing says so.
    register(&app, "shop", json!({})).await;
    let shop = page(&root, "/applications/shop/client/notices").await;
    assert!(shop.contains("nowhere: the client has no back-channel address") && !shop.contains("Send a test"), "{shop}");
});

db_test!(notices_are_listed_sent_and_dropped_by_the_api, |db| async move {
    let (app, told) = (world(db).await, Told::start().await);
    app.user("alice").await;
    let (wiki, shop) = (told_app(&app, "wiki", &told, json!({})).await, told_app(&app, "shop", &told, json!({})).await);
    told.answers(400);
    let mut sessions = Vec::new();
    for client in [&wiki, &wiki, &shop] {
        let session = opened(client, "alice").await;
        end(&app, &session).await;
        sessions.push(session);
    }
    run(&app).await;
    let token = app.known("root").await.token().await;
    let all = token.get(API).await.assert_status(200).json();
    assert_eq!(all["pagination"]["count"], 3);
    let newest = &all["results"][0];
    assert_eq!((&newest["application"], &newest["session"]), (&json!("shop"), &json!(sessions[2])));
    let said = (&newest["state"], &newest["tries"], &newest["said"], &newest["settled"]);
    assert_eq!(said, (&json!("waiting"), &json!(1), &json!("the app answered 400"), &json!(null)));
    assert!(newest["next_try"].is_string() && newest["owed"].is_string() && newest["uri"] == told.address, "{newest}");
    let count = async |query: &str| token.get(&format!("{API}?{query}")).await.assert_status(200).count();
    assert_eq!((count("application=wiki").await, count("application=SHOP").await, count("application=none").await), (2, 1, 0));
    assert_eq!(
        (count(&format!("session={}", sessions[0])).await, count("state=waiting").await, count("state=delivered").await),
        (1, 3, 0)
    );
    assert_eq!(
        token.get(&format!("{API}?page_size=2&page=2")).await.assert_status(200).json()["results"].as_array().unwrap().len(),
        1
    );
    for wrong in ["state=gone", "session=x", "page=9"] {
        assert!([400, 404].contains(&token.get(&format!("{API}?{wrong}")).await.status), "{wrong}");
    }

    let uuid = newest["uuid"].as_str().unwrap();
    let post =
        async |caller: &crate::support::Caller, what: &str| caller.post_json(&format!("{API}{what}"), &json!({})).await.status;
    told.answers(200);
    assert_eq!(post(&token, &format!("{uuid}/send/")).await, 204);
    assert_eq!((run(&app).await, told.count()), (1, 4));
    assert_eq!(
        (post(&token, &format!("{uuid}/send/")).await, post(&token, &format!("{uuid}/drop/")).await),
        (400, 400),
        "it is delivered"
    );
    let other = all["results"][1]["uuid"].as_str().unwrap();
    assert_eq!(post(&token, &format!("{other}/drop/")).await, 204);
    assert_eq!(states(&app).await, ["waiting", "dropped", "delivered"]);
    let nobody = uuid::Uuid::nil();
    assert_eq!((post(&token, &format!("{nobody}/send/")).await, post(&token, "x/drop/").await), (404, 404));
    assert_eq!(token.get(&format!("{API}{uuid}/send/")).await.status, 405);
    // Auditors read; others do neither.
    let ann = app.auditor("ann").await.token().await;
    assert_eq!((ann.get(API).await.status, post(&ann, &format!("{uuid}/send/")).await), (200, 403));
    let alice = app.known("alice").await.token().await;
    assert_eq!((alice.get(API).await.status, post(&alice, &format!("{uuid}/drop/")).await), (403, 403));
});

/// The first application of the only row of a list.
async fn first_application(app: &TestApp, path: &str) -> serde_json::Value {
    let token = app.known("root").await.token().await;
    let answer = token.get(path).await.assert_status(200).json();
    let row = if answer["results"].is_array() { answer["results"][0].clone() } else { answer };
    row["applications"][0].clone()
}

db_test!(the_session_tree_has_tokens_and_whether_the_app_was_told, |db| async move {
    let (app, told) = (world(db).await, Told::start().await);
    app.user("alice").await;
    let wiki = told_app(&app, "wiki", &told, json!({})).await;
    let session = opened(&wiki, "alice").await;
    let live = first_application(&app, &format!("{SESSIONS}{session}/details/")).await;
    assert_eq!(live["notice"], json!(null));
    let tokens = live["tokens"].as_array().unwrap();
    let kinds: Vec<&str> = tokens.iter().map(|token| token["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["refresh", "access"]);
    assert_eq!((&tokens[0]["scope"], tokens[1]["expires"].is_string()), (&json!("openid profile email offline_access"), true));
    let listed = app.known("root").await.token().await.get("/api/v3/core/app_sessions/").await.json();
    assert_eq!(listed["results"][0]["tokens"], live["tokens"]);
    told.answers(500);
    end(&app, &session).await;
    let ended = || first_application(&app, "/api/v3/core/ended_sessions/");
    assert_eq!((&ended().await["notice"]["state"], ended().await.get("tokens")), (&json!("waiting"), None));
    run(&app).await;
    told.answers(200);
    app.advance(std::time::Duration::from_secs(7));
    run(&app).await;
    let ended = ended().await;
    assert_eq!(ended["notice"], json!({"state": "delivered", "at": app.app.clock.now()}));
    let alice = users::find(&app.app, By::Cli, "alice").await.unwrap();
    let export = privacy::export(&app.app, By::Cli, &alice).await.unwrap();
    assert_eq!(export["ended_sessions"][0]["applications"][0]["notice"], ended["notice"]);
    // What is told is forgotten with its person.
    privacy::erase(&app.app, By::Cli, "alice").await.unwrap();
    assert_eq!(app.number("SELECT count(*) FROM logout_notices").await, 0);
});

db_test!(what_is_owed_outlives_its_person_and_then_forgets_them, |db| async move {
    let (app, told) = (world(db).await, Told::start().await);
    app.user("alice").await;
    let wiki = told_app(&app, "wiki", &told, json!({"sub": "user_username", "notice_names": "both"})).await;
    opened(&wiki, "alice").await;
    told.answers(500);
    privacy::erase(&app.app, By::Cli, "alice").await.unwrap();
    run(&app).await;
    assert_eq!(claims(&wiki, &told.sent()[0]).await["sub"], "alice", "an app that knows no sessions needs the name");
    assert_eq!(app.number("SELECT count(*) FROM logout_notices WHERE sub = 'alice'").await, 1);
    app.advance(std::time::Duration::from_secs(25 * 3600));
    run(&app).await;
    assert_eq!(states(&app).await, ["given_up"]);
    assert_eq!(app.number("SELECT count(*) FROM logout_notices WHERE sub = 'alice'").await, 0);
});

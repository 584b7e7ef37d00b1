//! App sessions in the tree of their session: its page, the tables, the own devices, the personal export.

use rollcall::actions::by::By;
use rollcall::actions::people::privacy;
use serde_json::json;

use super::{add, open, server};
use crate::support::SESSIONS;
use crate::support::app::Browser;

async fn end(browser: &Browser, session: &str, opened: &str) -> crate::support::Answer {
    let proof = browser.get("/sessions").await.proof();
    browser.post_form(&format!("/sessions/{session}/apps/{opened}/end"), &[("proof", proof.as_str())]).await
}

db_test!(the_page_of_a_session_shows_its_apps_and_ends_one, |db| async move {
    let app = server(db).await;
    let wiki = add(&app, "wiki", json!({"allow": "signed_in"}), "wiki.example.com").await;
    let shop = add(&app, "shop", json!({"allow": "signed_in"}), "xn--mnchen-3ya.example").await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await.session().await);
    let (one, two) = (alice.session().await, alice.session().await);
    let page = one.get(&format!("/sessions/{}", one.uuid)).await.assert_status(200).text();
    assert!(page.contains("It has no app open."), "{page}");
    let opened = open(&app, &one.uuid, &wiki, "wiki.example.com").await.unwrap();
    open(&app, &one.uuid, &shop, "xn--mnchen-3ya.example").await.unwrap();
    open(&app, &two.uuid, &wiki, "wiki.example.com").await.unwrap();

    let page = one.get(&format!("/sessions/{}", one.uuid)).await.text();
    assert!(page.contains("The wiki") && page.contains("The shop") && page.contains("<code>wiki.example.com</code>"), "{page}");
    let button = format!("/sessions/{}/apps/{}/end", one.uuid, opened.uuid.hyphenated());
    assert!(page.contains(&button) && !page.contains("href=\"/applications/wiki\""), "{page}");
    let devices = one.get("/sessions").await.text();
    assert!(devices.contains("<bdi>The wiki</bdi>, <bdi>The shop</bdi>"), "{devices}");

    // Nobody else's app session ends, nor one without the proof of the form.
    let uuid = opened.uuid.hyphenated().to_string();
    one.post_form(&button, &[]).await.assert_status(403);
    assert_eq!(end(&bob, &one.uuid, &uuid).await.redirects_to(), format!("/sessions/{}", one.uuid));
    assert_eq!(app.number("SELECT count(*) FROM app_sessions").await, 3);
    // An app session of another session is not there.
    assert_eq!(end(&one, &two.uuid, &uuid).await.redirects_to(), format!("/sessions/{}", two.uuid));
    assert_eq!(app.number("SELECT count(*) FROM app_sessions").await, 3);

    let to = end(&one, &one.uuid, &uuid).await.redirects_to().to_owned();
    assert_eq!(to, format!("/sessions/{}?closed=wiki", one.uuid));
    let page = one.get(&to).await.text();
    assert!(page.contains("The wiki has ended here") && page.contains("The shop"), "{page}");
    assert!(!one.get(&to.replace("wiki", "shop")).await.text().contains("has ended here"), "it has not");
    assert_eq!(app.number("SELECT count(*) FROM app_sessions").await, 2);
    one.get(SESSIONS).await.assert_status(200);
    end(&one, &one.uuid, &uuid).await.assert_status(303);
    let kinds = app.number("SELECT count(*) FROM events WHERE kind = 'app_session_ended'").await;
    assert_eq!(kinds, 1, "one end is one event");
});

db_test!(administrators_see_the_apps_of_others_and_end_one, |db| async move {
    let app = server(db).await;
    let wiki = add(&app, "wiki", json!({"allow": "signed_in"}), "wiki.example.com").await;
    let (root, auditor) = (app.superuser("root").await.session().await, app.auditor("auditor").await.session().await);
    let (one, two) = (app.user("alice").await.session().await, app.user("bob").await.session().await);
    let opened = open(&app, &one.uuid, &wiki, "wiki.example.com").await.unwrap();
    let all = root.get("/sessions/all").await.text();
    assert_eq!(all.matches("<span class=\"sub\">1 app</span>").count(), 1, "{all}");
    let both = root.get("/sessions/all?state=both").await.text();
    assert_eq!(both.matches("<span class=\"sub\">1 app</span>").count(), 1, "{both}");
    let address = format!("/sessions/{}", one.uuid);
    let seen = auditor.get(&address).await.assert_status(200).text();
    assert!(seen.contains("The wiki") && !seen.contains("/apps/"), "an auditor ends nothing: {seen}");
    end(&auditor, &one.uuid, &opened.uuid.to_string()).await.assert_status(403);
    let page = root.get(&address).await.text();
    assert!(page.contains("href=\"/applications/wiki\"") && page.contains("/apps/"), "{page}");
    end(&root, &one.uuid, &opened.uuid.to_string()).await.assert_status(303);
    assert!(root.get(&address).await.text().contains("It has no app open."));

    // What a session had open stays in its history, without anything to end.
    open(&app, &two.uuid, &wiki, "wiki.example.com").await.unwrap();
    two.with_csrf().delete(&two.url()).await.assert_status(204);
    let page = root.get(&format!("/sessions/{}", two.uuid)).await.text();
    assert!(page.contains("The wiki") && !page.contains("/apps/"), "{page}");
    let ended = root.get("/sessions/all?state=ended").await.text();
    assert_eq!(ended.matches("<span class=\"sub\">1 app</span>").count(), 1, "{ended}");
});

db_test!(a_person_s_export_has_what_their_sessions_opened, |db| async move {
    let app = server(db).await;
    let wiki = add(&app, "wiki", json!({"allow": "signed_in"}), "wiki.example.com").await;
    let alice = app.user("alice").await;
    let (one, two) = (alice.session().await, alice.session().await);
    let other = app.user("bob").await.session().await;
    for session in [&one, &two, &other] {
        open(&app, &session.uuid, &wiki, "wiki.example.com").await.unwrap();
    }
    two.with_csrf().delete(&two.url()).await.assert_status(204);
    let user = rollcall::actions::people::users::find(&app.app, By::Cli, "alice").await.unwrap();
    let export = privacy::export(&app.app, By::Cli, &user).await.unwrap();
    for part in ["sessions", "ended_sessions"] {
        let [session] = &export[part].as_array().unwrap()[..] else { panic!("{part}: {export:#}") };
        let [opened] = &session["applications"].as_array().unwrap()[..] else { panic!("{part}: {session:#}") };
        assert_eq!((&opened["slug"], &opened["hosts"]), (&json!("wiki"), &json!(["wiki.example.com"])), "{part}");
        assert_eq!(opened["created"], json!("2026-11-01T12:00:00Z"), "{part}");
        assert!(opened.get("sub").is_none(), "{part}: what only the app knows is not for the export");
    }
});

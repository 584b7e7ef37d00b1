//! The pages of applications: added and changed by administrators, asked about, and My apps.

use serde_json::json;

use crate::applications::{add, open, server};
use crate::support::app::Browser;
use crate::support::{Answer, encode};

async fn post(browser: &Browser, path: &str, fields: &[(&str, &str)]) -> Answer {
    let proof = browser.get("/sessions").await.proof();
    let page = path.strip_suffix("/access").map(str::to_owned);
    let shown = match page {
        Some(page) => browser.get(&page).await.text(),
        None => String::new(),
    };
    let version = shown.split_once("name=\"version\" value=\"").and_then(|(_, rest)| rest.split('"').next()).unwrap_or_default();
    let mut all = vec![("proof", proof.as_str()), ("version", version)];
    all.extend_from_slice(fields);
    browser.post_form(path, &all).await
}

db_test!(an_application_is_added_and_opened_for_a_user, |db| async move {
    let app = server(db).await;
    let (root, alice) = (app.superuser("root").await.session().await, app.user("alice").await.session().await);
    let fields = [("slug", "wiki"), ("name", "The <b>wiki</b>"), ("host", "wiki.example.com"), ("allow", "")];
    post(&alice, "/applications", &fields).await.assert_status(403);
    root.post_form("/applications", &fields).await.assert_status(403);
    assert_eq!(post(&root, "/applications", &fields).await.redirects_to(), "/applications/wiki");
    let page = root.get("/applications/wiki").await.assert_status(200).text();
    assert!(page.contains("The &#60;b&#62;wiki&#60;/b&#62;") && page.contains(">nobody</textarea>"), "{page}");
    assert!(alice.get("/apps").await.assert_status(200).text().contains("No apps yet"));
    let changed = post(&root, "/applications/wiki/access", &[("allow", "user:alice\r\n"), ("factor", "any")]).await;
    assert_eq!(changed.redirects_to(), "/applications/wiki");
    let mine = alice.get("/apps").await.text();
    assert!(mine.contains("href=\"https://wiki.example.com/\"") && !mine.contains("<b>wiki"), "{mine}");
    assert!(root.get("/applications").await.text().contains("user:alice"));
    for (path, fields, why) in [
        ("/applications", &[("slug", "a b")][..], "a slug has"),
        ("/applications", &[("slug", "other"), ("host", "wiki.example.com")], "another guard"),
        ("/applications", &[("slug", "other"), ("allow", "group:nothing")], "no group named nothing"),
        ("/applications/wiki/access", &[("allow", "everybody"), ("factor", "any")], "everybody is not"),
        ("/applications/wiki/access", &[("allow", "anyone"), ("factor", "any")], "path rules only"),
        ("/applications/wiki/access", &[("allow", "nobody"), ("max_age", "soon")], "not a duration"),
    ] {
        let refused = post(&root, path, fields).await.assert_status(422).text();
        assert!(refused.contains(why), "{fields:?}: {refused}");
    }
    post(&root, "/applications", &[("slug", "WIKI")]).await.assert_status(409);
    post(&alice, "/applications/wiki/access", &[("allow", "user:alice")]).await.assert_status(403);
    root.get("/applications/nothing").await.assert_status(404);
});

db_test!(the_page_of_an_application_answers_whether_they_may, |db| async move {
    let app = server(db).await;
    let root = app.superuser("root").await.session().await;
    let alice = app.user("alice").await.session().await;
    let wiki = add(&app, "wiki", json!({"allow": "signed_in", "factor": "mfa"}), "wiki.example.com").await;
    open(&app, &alice.uuid, &wiki, "wiki.example.com").await.unwrap();
    let page = root.get("/applications/wiki").await.text();
    assert!(page.contains("Open now: 1") && page.contains(&format!("/sessions/{}", alice.uuid)), "{page}");
    let ask = async |user: &str, methods: &str, url: &str| {
        let query = format!("user={user}&methods={methods}&url={}", encode(url));
        root.get(&format!("/applications/wiki?{query}")).await.assert_status(200).text()
    };
    let weak = ask("alice", "pwd", "https://wiki.example.com/").await;
    assert!(weak.contains("They may not.") && weak.contains("not proved by a second factor"), "{weak}");
    let strong = ask("alice", "pwd,otp", "https://wiki.example.com/").await;
    assert!(strong.contains("They may.") && strong.contains("Remote-User: alice"), "{strong}");
    assert!(ask("", "", "https://wiki.example.com/").await.contains("nobody is signed in"));
    assert!(ask("carol", "", "https://wiki.example.com/").await.contains("no user named carol"));
    assert!(ask("alice", "", "https://other.example.com/").await.contains("no application has the host"));
    // The method, the age of the proof, and how the path can be read.
    let rules = json!([{"paths": ["/things/**"], "methods": ["DELETE"], "allow": "nobody"}, {"paths": ["/**"], "max_age": 3600}]);
    crate::guard::world::add_app(
        &app,
        "wiki",
        json!({"allow": "signed_in"}),
        json!({"hosts": ["wiki.example.com"], "rules": rules}),
    )
    .await;
    let ask = async |more: &str, path: &str| {
        let query = format!("user=alice&methods=pwd&{more}&url={}", encode(&format!("https://wiki.example.com{path}")));
        root.get(&format!("/applications/wiki?{query}")).await.assert_status(200).text()
    };
    assert!(
        ask("method=delete", "/things/1").await.contains("They may not.")
            && ask("method=POST", "/things/1").await.contains("They may.")
    );
    let old = ask("age=2h", "/").await;
    assert!(old.contains("older than 1h") && old.contains("value=\"2h\""), "{old}");
    assert!(ask("age=59m", "/").await.contains("They may."));
    for wrong in ["age=x", "age=-1h", "age=9999999999999999999y"] {
        assert!(ask(wrong, "/").await.contains("is not a duration"), "{wrong}");
    }
    assert!(ask("age=500000000y", "/").await.contains("older than 1h"));
    let read = ask("", "/x/..%2fthings/1").await;
    assert!(read.contains("Read as") && read.contains("/x/..%2fthings/1") && read.contains("/things/1</bdi>"), "{read}");
    let mine = alice.get("/apps").await.text();
    assert!(mine.contains("in 1 session"), "{mine}");
    alice.get("/applications/wiki").await.assert_status(403);
});

//! The pages of an application's rules, guard, name and proxy: what they change, and what they refuse.

use serde_json::{Value, json};

use crate::applications::{add, server};
use crate::support::app::Browser;
use crate::support::{Answer, TestApp};

/// The version that the page of this address carries.
async fn version(browser: &Browser, path: &str) -> String {
    let page = browser.get(path).await.assert_status(200).text();
    let mark = "name=\"version\" value=\"";
    page.split_once(mark).unwrap_or_else(|| panic!("no version in {page}")).1.split('"').next().unwrap().to_owned()
}

/// Sends a form that carries the version of the application as it is now.
async fn post(browser: &Browser, path: &str, fields: &[(&str, &str)]) -> Answer {
    let version = version(browser, "/applications/wiki").await;
    post_of(browser, path, &version, fields).await
}

async fn post_of(browser: &Browser, path: &str, version: &str, fields: &[(&str, &str)]) -> Answer {
    let proof = browser.get("/sessions").await.proof();
    let mut all = vec![("proof", proof.as_str()), ("version", version)];
    all.extend_from_slice(fields);
    browser.post_form(path, &all).await
}

async fn rules(app: &TestApp) -> Value {
    let all = app.app.store.applications().await.unwrap();
    serde_json::to_value(&all.by_slug("wiki").unwrap().guard().unwrap().rules).unwrap()
}

db_test!(rules_are_added_changed_moved_and_removed, |db| async move {
    let app = server(db).await;
    let root = app.superuser("root").await.session().await;
    app.user("alice").await;
    add(&app, "wiki", json!({"allow": "signed_in"}), "wiki.example.com").await;
    let to = "/applications/wiki#rules";
    let fields = [("paths", "/health\r\n\r\n /ready "), ("allow", "anyone"), ("methods", "get, HEAD")];
    assert_eq!(post(&root, "/applications/wiki/rules", &fields).await.redirects_to(), to);
    let strict = [
        ("paths", "/admin/**"),
        ("factor", "mfa"),
        ("max_age", "1h"),
        ("networks", "10.0.0.0/8\n192.0.2.7"),
        ("countries", "Germany, at"),
        ("app_passwords", "no"),
        ("place", "1"),
    ];
    assert_eq!(post(&root, "/applications/wiki/rules", &strict).await.redirects_to(), to);
    let health = json!({"paths": ["/health", "/ready"], "methods": ["GET", "HEAD"], "allow": "anyone"});
    let admin = json!({"paths": ["/admin/**"], "factor": "mfa", "max_age": 3600, "networks": ["10.0.0.0/8", "192.0.2.7/32"],
        "countries": ["AT", "DE"], "app_passwords": false});
    assert_eq!(rules(&app).await, json!([admin, health]));

    // The form shows what is stored: sent as it is, nothing changes.
    let form = root.get("/applications/wiki/rules/1").await.assert_status(200).text();
    for words in [">/admin/**</textarea>", "value=\"mfa\" selected", "value=\"1h\"", "value=\"AT, DE\"", "value=\"no\" selected"] {
        assert!(form.contains(words), "{words}: {form}");
    }
    assert_eq!(post(&root, "/applications/wiki/rules/1", &strict).await.redirects_to(), to);
    assert_eq!(rules(&app).await, json!([admin, health]));
    assert_eq!(app.number("SELECT count(*) FROM events WHERE kind = 'application_changed'").await, 2);

    assert_eq!(post(&root, "/applications/wiki/rules/1/move", &[("to", "2")]).await.redirects_to(), to);
    assert_eq!(rules(&app).await, json!([health, admin]));
    post(&root, "/applications/wiki/rules/1/move", &[("to", "3")]).await.assert_status(404);
    // Changed and moved by one form; what is `any` replaces what the application asks for.
    let changed = [("paths", "/admin/**"), ("allow", "user:alice"), ("max_age", "any"), ("networks", "any"), ("place", "1")];
    post(&root, "/applications/wiki/rules/2", &changed).await.assert_status(303);
    let [first, second] = &rules(&app).await.as_array().unwrap().clone()[..] else { panic!("two rules") };
    assert_eq!((&first["max_age"], &first["networks"], &first["factor"]), (&json!(0), &json!([]), &Value::Null));
    assert_eq!((&first["paths"], second), (&json!(["/admin/**"]), &health));
    let form = root.get("/applications/wiki/rules/1").await.text();
    assert!(form.contains(">user:alice</textarea>") && form.contains("value=\"any\""), "{form}");

    let question = root.get("/applications/wiki/rules/2/remove").await.assert_status(200).text();
    assert!(question.contains("rule 2 of The wiki") && question.contains("/health"), "{question}");
    assert_eq!(post(&root, "/applications/wiki/rules/2/remove", &[]).await.redirects_to(), to);
    assert_eq!(rules(&app).await.as_array().unwrap().len(), 1);
    for path in
        ["/applications/wiki/rules/2", "/applications/wiki/rules/0", "/applications/wiki/rules/x", "/applications/no/rules/1"]
    {
        root.get(path).await.assert_status(404);
    }
});

db_test!(a_rule_that_cannot_be_is_refused_at_its_field, |db| async move {
    let app = server(db).await;
    let root = app.superuser("root").await.session().await;
    add(&app, "wiki", json!({"allow": "signed_in"}), "wiki.example.com").await;
    for (field, value, why) in [
        ("paths", "", "at least one path"),
        ("paths", "admin", "is not a path"),
        ("paths", "/a%2f", "is not a path"),
        ("methods", "P;ST", "is not a method"),
        ("if_network", "10.0.0.0/33", "is not a network"),
        ("allow", "group:nobody-here", "no group named nobody-here"),
        ("allow", "user:alice", "no user named alice"),
        ("factor", "strong", "is not a level of proof"),
        ("max_age", "soon", "is not a duration"),
        ("max_age", "800d", "max_age is at most"),
        ("networks", "home", "is not a network"),
        ("countries", "Atlantis", "is not a country"),
        ("place", "3", "there is no rule 3"),
        ("place", "first", "is not a place"),
    ] {
        let mut fields = vec![("paths", "/kept/**")];
        fields.retain(|(name, _)| *name != field);
        fields.push((field, value));
        let page = post(&root, "/applications/wiki/rules", &fields).await.assert_status(422).text();
        assert!(page.contains(why), "{field}={value}: {page}");
        // The sentence is at the field, which is marked, and what was typed is kept.
        let at = page.find(&format!("name=\"{field}\"")).unwrap();
        let tag_end = at + page[at..].find('>').unwrap();
        assert!(page[at..tag_end].contains("aria-invalid=\"true\""), "{field}: {page}");
        assert_eq!(page.matches("role=\"alert\"").count(), 1, "{field}: {page}");
        assert!(field == "paths" || page.contains(">/kept/**</textarea>"), "{page}");
    }
    assert_eq!(rules(&app).await, json!([]));
});

db_test!(a_form_that_is_older_than_the_application_stores_nothing, |db| async move {
    let app = server(db).await;
    let root = app.superuser("root").await.session().await;
    add(&app, "wiki", json!({"allow": "signed_in"}), "wiki.example.com").await;
    let old = version(&root, "/applications/wiki").await;
    post(&root, "/applications/wiki/rules", &[("paths", "/a")]).await.assert_status(303);
    let guard = [
        ("hosts", "other.example.com"),
        ("headers", "default"),
        ("encoding", "percent"),
        ("preflight", "refuse"),
        ("same_site", "lax"),
        ("uses", "all"),
    ];
    let stale: [(&str, &[(&str, &str)]); 7] = [
        ("rules", &[("paths", "/b")]),
        ("rules/1", &[("paths", "/b")]),
        ("rules/1/move", &[("to", "1")]),
        ("rules/1/remove", &[]),
        ("access", &[("allow", "nobody"), ("factor", "any")]),
        ("edit", &[("slug", "wiki"), ("name", "Other")]),
        ("guard", &guard),
    ];
    for (path, fields) in stale {
        let path = format!("/applications/wiki/{path}");
        post_of(&root, &path, &old, fields).await.assert_status(409);
        post_of(&root, &path, "", fields).await.assert_status(409);
    }
    assert_eq!(rules(&app).await, json!([{"paths": ["/a"]}]));
    // The form that was refused carries the version of now: sent again, it is stored.
    let page = post_of(&root, "/applications/wiki/rules", &old, &[("paths", "/b")]).await.text();
    let now = version(&root, "/applications/wiki").await;
    assert!(page.contains(&now) && page.contains(">/b</textarea>"), "{page}");
    post_of(&root, "/applications/wiki/rules", &now, &[("paths", "/b")]).await.assert_status(303);
});

db_test!(a_guard_is_added_changed_and_removed_and_hosts_may_have_other_letters, |db| async move {
    let app = server(db).await;
    let root = app.superuser("root").await.session().await;
    add(&app, "wiki", json!({"allow": "signed_in"}), "wiki.example.com").await;
    add(&app, "shop", json!({"allow": "signed_in"}), "shop.example.com").await;
    let guard = |hosts: &'static str, headers: &'static str, table: &'static str| {
        [
            ("hosts", hosts),
            ("headers", headers),
            ("table", table),
            ("encoding", "utf8"),
            ("basic", "yes"),
            ("preflight", "app"),
            ("same_site", "none"),
            ("uses", "navigations"),
        ]
    };
    let own = guard("münchen.example\n*.例え.テスト:8443", "own", "X-User=username\r\nX-Team = attributes.team");
    assert_eq!(post(&root, "/applications/wiki/guard", &own).await.redirects_to(), "/applications/wiki");
    let all = app.app.store.applications().await.unwrap();
    let stored = serde_json::to_value(all.by_slug("wiki").unwrap().guard().unwrap()).unwrap();
    assert_eq!(
        stored,
        json!({"hosts": ["xn--mnchen-3ya.example", "*.xn--r8jz45g.xn--zckzah:8443"], "rules": [], "encoding": "utf8", "basic": true,
            "headers": {"X-Team": "attributes.team", "X-User": "username"}, "preflight": "app", "same_site": "none",
            "uses": "navigations"})
    );
    for path in ["/applications", "/applications/wiki"] {
        let page = root.get(path).await.text();
        assert!(page.contains("<code>xn--mnchen-3ya.example</code> (<bdi>münchen.example</bdi>)"), "{path}: {page}");
    }
    // A test may name the host either way.
    for url in ["https://münchen.example/", "https://xn--mnchen-3ya.example/"] {
        let page = root.get(&format!("/applications/wiki?user=root&url={}", crate::support::encode(url))).await.text();
        assert!(page.contains("They may."), "{url}: {page}");
    }
    for (fields, why) in [
        (guard("shop.example.com", "default", ""), "another guard"),
        (guard("login.example.com", "default", ""), "own host"),
        (guard("a b@ü.example", "default", ""), "is not a host"),
        (guard("", "default", ""), "1 to 64 hosts"),
        (guard("a.example", "own", "X-User"), "is not NAME=SOURCE"),
        (guard("a.example", "own", "X-User=password"), "is not a source"),
        (guard("a.example", "own", "Cookie=username"), "cannot be the name"),
        (guard("a.example", "some", ""), "is not one of these"),
    ] {
        let page = post(&root, "/applications/wiki/guard", &fields).await.assert_status(422).text();
        assert!(page.contains(why), "{why}: {page}");
    }
    let question = root.get("/applications/wiki/guard/remove").await.assert_status(200).text();
    assert!(question.contains("the guard of The wiki") && question.contains("xn--mnchen-3ya.example"), "{question}");
    post(&root, "/applications/wiki/guard/remove", &[]).await.assert_status(303);
    assert!(root.get("/applications/wiki").await.text().contains("It has no guard"));
    root.get("/applications/wiki/rules/new").await.assert_status(404);
    root.get("/applications/wiki/config").await.assert_status(404);
    post(&root, "/applications/wiki/guard", &guard("wiki.example.com", "remote", "")).await.assert_status(303);
});

db_test!(an_application_is_renamed_shown_otherwise_and_removed, |db| async move {
    let app = server(db).await;
    let root = app.superuser("root").await.session().await;
    let alice = app.user("alice").await.session().await;
    let wiki = add(&app, "wiki", json!({"allow": "signed_in"}), "wiki.example.com").await;
    add(&app, "shop", json!({"allow": "signed_in"}), "shop.example.com").await;
    let edit =
        [("slug", "wiki"), ("name", "Our <wiki>"), ("group", "Docs"), ("description", "Notes"), ("groups_sent", "red\nblue*")];
    assert_eq!(post(&root, "/applications/wiki/edit", &edit).await.redirects_to(), "/applications/wiki");
    let form = root.get("/applications/wiki/edit").await.text();
    assert!(form.contains("red\nblue*</textarea>") && form.contains("value=\"Our &#60;wiki&#62;\""), "{form}");
    assert!(alice.get("/apps").await.text().contains("Notes"));
    for (fields, why) in [
        (&[("slug", "a b"), ("name", "x")][..], "a slug has"),
        (&[("slug", "wiki"), ("name", "")], "a name has"),
        (&[("slug", "wiki"), ("name", "x"), ("launch_url", "javascript:alert(1)")], "is an http or https address"),
    ] {
        let page = post(&root, "/applications/wiki/edit", fields).await.assert_status(422).text();
        assert!(page.contains(why), "{why}: {page}");
    }
    post(&root, "/applications/wiki/edit", &[("slug", "SHOP"), ("name", "x")]).await.assert_status(409);

    let opened = crate::applications::open(&app, &alice.uuid, &wiki, "wiki.example.com").await.unwrap();
    let question = root.get("/applications/wiki/remove").await.assert_status(200).text();
    assert!(question.contains("1 session") && question.contains("wiki.example.com"), "{question}");
    let end = format!("/applications/wiki/sessions/{}/end", opened.uuid);
    post(&root, &end, &[]).await.assert_status(303);
    assert_eq!(app.number("SELECT count(*) FROM app_sessions").await, 0);
    assert_eq!(post(&root, "/applications/wiki/remove", &[]).await.redirects_to(), "/applications");
    root.get("/applications/wiki").await.assert_status(404);
});

db_test!(the_page_of_the_proxy_prints_what_the_command_prints_and_only_addresses, |db| async move {
    let app = server(db).await;
    let root = app.superuser("root").await.session().await;
    let wiki = add(&app, "wiki", json!({"allow": "signed_in"}), "wiki.example.com").await;
    for kind in rollcall::domain::guard::kind::Kind::ALL {
        let path = format!("/applications/wiki/config?kind={kind}&listen=8000&app=10.0.0.9:81&rollcall=10.0.0.1:9000");
        let page = root.get(&path).await.assert_status(200).text();
        let addresses = rollcall::guard::configuration::Addresses { listen: "8000", app: "10.0.0.9:81", rollcall: "10.0.0.1:9000" };
        let printed = rollcall::guard::configuration::of(kind, &wiki, addresses).unwrap();
        let escaped =
            printed.replace('&', "&#38;").replace('<', "&#60;").replace('>', "&#62;").replace('"', "&#34;").replace('\'', "&#39;");
        assert!(page.contains(escaped.trim_end()), "{kind}: {page}");
    }
    for bad in ["a;b:80", "127.0.0.1:80%0Aevil", "%7Bx%7D:1", "x"] {
        let page = root.get(&format!("/applications/wiki/config?app={bad}")).await.assert_status(422).text();
        assert!(page.contains("an address is a host and a port") && !page.contains("<pre"), "{bad}: {page}");
    }
});

db_test!(auditors_look_and_change_nothing, |db| async move {
    let app = server(db).await;
    let (auditor, alice) = (app.auditor("auditor").await.session().await, app.user("alice").await.session().await);
    let root = app.superuser("root").await.session().await;
    add(&app, "wiki", json!({"allow": "signed_in", "countries": ["DE"]}), "wiki.example.com").await;
    post(&root, "/applications/wiki/rules", &[("paths", "/a")]).await.assert_status(303);
    let page = auditor.get("/applications/wiki").await.assert_status(200).text();
    assert!(
        page.contains("signed_in") && page.contains("/a</code>") && !page.contains("method=\"post\" action=\"/applications"),
        "{page}"
    );
    auditor.get("/applications/wiki/config").await.assert_status(200);
    for path in ["edit", "guard", "guard/remove", "remove", "rules/new", "rules/1", "rules/1/remove"] {
        for browser in [&auditor, &alice] {
            browser.get(&format!("/applications/wiki/{path}")).await.assert_status(403);
        }
    }
    alice.get("/applications/wiki/config").await.assert_status(403);
    for path in ["access", "edit", "guard", "guard/remove", "remove", "rules", "rules/1", "rules/1/move", "rules/1/remove"] {
        for browser in [&auditor, &alice] {
            let fields = [("paths", "/b"), ("to", "1"), ("slug", "x"), ("name", "x"), ("hosts", "x")];
            post_of(browser, &format!("/applications/wiki/{path}"), "", &fields).await.assert_status(403);
        }
    }
    assert_eq!(rules(&app).await, json!([{"paths": ["/a"]}]));
});

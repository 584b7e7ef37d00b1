//! Users from a CSV: the preview, the faults, and what is stored.

use serde_json::json;

use crate::support::TestApp;
use crate::ui::form::{form, send, with};

const PATH: &str = "/users/import";

db_test!(a_csv_is_previewed_and_then_stored, |db| async move {
    let app = TestApp::new(db).await;
    app.import(&[json!({"kind": "group", "name": "Zürich"}), json!({"kind": "group", "name": "ops"})]).await;
    let root = app.superuser("root").await.session().await;
    let csv = "\u{feff}Username;Full Name;E-Mail;groups;type;active;auditor;attributes\r\n\
        zoë;\"Müller; Zoë <b>\";zoe@example.com;zürich | ops;external;yes;no;\"{\"\"n\"\":1}\"\r\n\
        アリス;;;;;no;yes;\r\n";
    let shown = send(&root, PATH, &with(form(&root, PATH).await, "csv", csv)).await.assert_status(200).text();
    assert!(
        shown.contains("2 users will be added") && shown.contains("Müller; Zoë &#60;b&#62;") && shown.contains("Auditor"),
        "{shown}"
    );
    // Type and attributes are in the file, a path is not.
    for says in ["data-label=\"Type\">external<", "<bdi>n</bdi></summary>", "&#34;n&#34;: 1", "not said"] {
        assert!(shown.contains(says), "{says}: {shown}");
    }
    assert!(!shown.contains("data-label=\"Path\""), "{shown}");
    let with_path = with(form(&root, PATH).await, "csv", "username,path\nbob,users/<b>\n");
    let with_path = send(&root, PATH, &with_path).await.assert_status(200).text();
    assert!(with_path.contains("<bdi>users/&#60;b&#62;</bdi>") && !with_path.contains("data-label=\"Type\""), "{with_path}");
    assert_eq!(app.number("SELECT count(*) FROM users").await, 1, "a preview stores nothing");
    let proof = shown.split("name=\"proof\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let stored = root.post_form(PATH, &[("proof", proof), ("store", "yes"), ("csv", csv)]).await;
    assert_eq!(stored.redirects_to(), "/users");
    let token = app.known("root").await.token().await;
    let zoe = &token.get("/api/v3/core/users/?username=zo%C3%AB").await.json()["results"][0];
    assert_eq!(
        (&zoe["name"], &zoe["email"], &zoe["type"]),
        (&json!("Müller; Zoë <b>"), &json!("zoe@example.com"), &json!("external"))
    );
    assert_eq!((&zoe["attributes"], zoe["groups"].as_array().unwrap().len()), (&json!({"n": 1}), 2));
    let alice = &token.get("/api/v3/core/users/?search=%E3%82%A2%E3%83%AA%E3%82%B9").await.json()["results"][0];
    assert_eq!((&alice["is_active"], &alice["rollcall_is_auditor"]), (&json!(false), &json!(true)));
    assert_eq!((app.count_events("import").await, app.count_events("user_added").await), (2, 3));
    // The same again is refused, line by line, and nothing is stored.
    let again = root.post_form(PATH, &[("proof", proof), ("store", "yes"), ("csv", csv)]).await.assert_status(409).text();
    assert!(again.contains("Line 2: there is a user named") && again.contains("Line 3:"), "{again}");
    assert_eq!(app.number("SELECT count(*) FROM users").await, 3);
});

db_test!(a_csv_that_is_half_wrong_stores_nothing_and_says_why, |db| async move {
    let app = TestApp::new(db).await;
    let root = app.superuser("root").await.session().await;
    let csv = "username\tgroups\temail\ngood\t\t\nROOT\t\t\nbob\tnobody\t\ncarol\t\tnonsense\ngood\t\t\n\tx\t\n";
    for store in ["", "yes"] {
        let filled = with(with(form(&root, PATH).await, "csv", csv), "store", store);
        let status = if store.is_empty() { 422 } else { 409 };
        let answer = send(&root, PATH, &filled).await.assert_status(status).text();
        for says in [
            "5 faults: nothing was stored",
            "Line 3: there is a user named &#34;ROOT&#34; already",
            "Line 4: there is no group named &#34;nobody&#34;",
            "Line 5: &#34;nonsense&#34;: not an e-mail address",
            "Line 6: the username &#34;good&#34; is on line 2, too",
            "Line 7: there is no username",
        ] {
            assert!(answer.contains(says), "{says}: {answer}");
        }
        assert!(answer.contains("carol\t"), "what was sent can be corrected");
    }
    assert_eq!(app.number("SELECT count(*) FROM users").await, 1);
    for (csv, says) in [
        ("usernam\nx\n", "there is no column"),
        ("", "the file is empty"),
        ("username,name\nx,\"a\u{0}b\"\n", "control characters"),
        ("username,groups\nx,\"a\u{0}b\"\n", "no group named"),
        ("username,attributes\nx,\"{\"\"a\"\":\"\"\\u0000\"\"}\"\n", "null characters"),
        ("username,name\n\"x,y\n", "cannot be read"),
    ] {
        let filled = with(form(&root, PATH).await, "csv", csv);
        let answer = send(&root, PATH, &filled).await;
        assert!(answer.text().contains(says) || says == "cannot be read", "{csv:?}: {}", answer.text());
        assert_ne!(answer.status, 500, "{csv:?}");
    }
});

db_test!(a_csv_of_thousands_is_stored_together, |db| async move {
    let app = TestApp::new(db).await;
    let root = app.superuser("root").await.session().await;
    let rows: String = (0..2000).map(|n| format!("user {n:04},Ünïcödé Nàmé {n},user{n}@example.com\n")).collect();
    let csv = format!("username,name,email\n{rows}");
    let shown = send(&root, PATH, &with(form(&root, PATH).await, "csv", &csv)).await.assert_status(200).text();
    assert!(shown.contains("2,000 users will be added") && shown.contains("And 1,950 more."));
    let filled = with(with(form(&root, PATH).await, "csv", &csv), "store", "yes");
    send(&root, PATH, &filled).await.assert_status(303);
    assert_eq!(app.number("SELECT count(*) FROM users").await, 2001);
    assert!(root.get("/users").await.text().contains("2,001 users"));
    let alice = app.user("alice").await.session().await;
    alice.get(PATH).await.assert_status(403);
    alice.post_form(PATH, &[("csv", "username\nx\n"), ("store", "yes")]).await.assert_status(403);
    // Without a fresh proof nothing is taken, however long it is.
    app.advance(std::time::Duration::from_secs(11 * 60));
    assert_eq!(root.get(PATH).await.redirects_to(), "/confirm?next=/users/import");
});

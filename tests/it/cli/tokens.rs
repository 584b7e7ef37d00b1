//! `rollcall token`.

use super::*;

on_both!(tokens, |home| async move {
    let home = home.with_administrator();
    let server = home.serve().await;
    home.add_user("alice");
    let done = home.run(&["token", "add", "--user", "akadmin", "--identifier", "ci", "--description", "for the build"]);
    let key = done.out.trim().to_owned();
    assert_eq!((done.code, done.out.as_str()), (0, format!("{key}\n").as_str()), "the key alone");
    assert!(key.len() >= 43 && !key.contains(char::is_whitespace) && !done.err.contains(&key), "{done:?}");
    assert_eq!(server.call(Method::GET, SESSIONS, &key).await.status(), 200);

    home.ok(&["app", "add", "wiki"]);
    home.fails(2, &["token", "add", "--user", "akadmin", "--intent", "app_password"]);
    home.fails(2, &["token", "add", "--user", "akadmin", "--app", "wiki"]);
    home.fails(1, &["token", "add", "--user", "akadmin", "--intent", "app_password", "--app", "nothing"]);
    for args in [&["app_password", "--app", "wiki"][..], &["verification"], &["recovery"]] {
        let intent = args[0];
        let key = home.ok(&[&["token", "add", "--user", "akadmin", "--intent"], args].concat());
        assert_eq!(server.call(Method::GET, SESSIONS, key.trim()).await.status(), 403, "{intent} does not open the API");
    }
    let short = home.ok(&["token", "add", "--user", "alice", "--expires-in", "1s", "--identifier", "short"]);
    within(Duration::from_secs(5), "that the token expires", || async {
        (server.call(Method::GET, SESSIONS, short.trim()).await.status() == 403).then_some(())
    })
    .await;

    let rows = home.rows(&["token", "list", "--json"]);
    let ci = rows.iter().find(|row| row["identifier"] == "ci").unwrap();
    assert_eq!((&ci["user"], &ci["intent"], &ci["expires"]), (&json!("akadmin"), &json!("api"), &Value::Null));
    assert_eq!(ci["description"], "for the build");
    let of_alice = home.rows(&["token", "list", "--user", "alice", "--json"]);
    assert_eq!(of_alice.iter().map(|row| &row["identifier"]).collect::<Vec<_>>(), ["short"]);
    for text in [home.ok(&["token", "list"]), home.ok(&["token", "list", "--csv"])] {
        assert!(text.contains("ci") && text.contains("never") && !text.contains(&key), "{text}");
        assert_eq!(text.lines().count(), rows.len() + 1);
    }
    assert!(home.fails(1, &["token", "add", "--user", "akadmin", "--identifier", "ci"]).contains("ci"));

    assert!(home.fails(1, &["token", "remove", "ci"]).contains("--yes"));
    assert_eq!(server.call(Method::GET, SESSIONS, &key).await.status(), 200, "it is asked about first");
    let done = home.run(&["token", "remove", "ci", "--yes"]);
    assert_eq!((done.code, done.out.as_str()), (0, ""));
    assert_eq!(server.call(Method::GET, SESSIONS, &key).await.status(), 403);
    assert!(home.fails(1, &["token", "remove", "ci", "--yes"]).contains("there is no token ci"));
});

//! The pages that ask before something ends or is removed.

use crate::support::{SESSIONS, TestApp};

db_test!(what_cannot_be_undone_is_asked_first_and_a_look_changes_nothing, |db| async move {
    let app = TestApp::new(db).await;
    let root = app.superuser("root").await.session().await;
    let alice = app.user("alice").await;
    let (one, _two) = (alice.session().await, alice.session().await);
    alice.token().await;
    let page = format!("/users/{}", alice.id.0);
    assert!(root.get(&page).await.text().contains(&format!("href=\"{page}/active\"")));
    let asked = root.get(&format!("{page}/active")).await.assert_status(200).text();
    for words in ["Deactivate <bdi>alice</bdi>?", "2 sessions of alice end.", "1 token stops working.", "These sessions will end"] {
        assert!(asked.contains(words), "{words}: {asked}");
    }
    one.get(SESSIONS).await.assert_status(200);
    let others = one.get("/sessions/end-others").await.assert_status(200).text();
    assert!(others.contains("of 1 other session</bdi>?") && others.contains("action=\"/sessions/end-others\""), "{others}");
    assert_eq!(root.get("/sessions/end-others").await.redirects_to(), "/sessions", "there is none to end");
    let proof = root.get(&format!("{page}/active")).await.proof();
    let done = root.post_form(&format!("{page}/active"), &[("proof", &proof), ("active", "no")]).await;
    assert_eq!(done.redirects_to(), page);
    one.get(SESSIONS).await.assert_status(403);
    assert_eq!(root.get(&format!("{page}/active")).await.redirects_to(), page, "an inactive one is not asked about");
});

db_test!(a_token_is_removed_after_a_question, |db| async move {
    let app = TestApp::new(db).await;
    let root = app.superuser("root").await.session().await;
    let proof = root.get("/tokens/new").await.proof();
    let wrong = [("proof", proof.as_str()), ("username", "nobody"), ("identifier", "kept"), ("days", "1")];
    let wrong = root.post_form("/tokens", &wrong).await.assert_status(422).text();
    assert!(wrong.contains("id=\"error\" tabindex=\"-1\" autofocus") && wrong.contains("value=\"kept\""), "{wrong}");
    let fields = [("proof", proof.as_str()), ("username", "root"), ("identifier", "a b&c"), ("days", "1")];
    root.post_form("/tokens", &fields).await.assert_status(200);
    let list = root.get("/tokens").await.text();
    assert!(list.contains("/tokens/remove?identifier=a%20b%26c"), "{list}");
    let asked = root.get("/tokens/remove?identifier=a%20b%26c").await.assert_status(200);
    assert!(asked.text().contains("It opens the API as root."), "{}", asked.text());
    root.get("/tokens/remove?identifier=nothing").await.assert_status(404);
    app.user("plain").await.session().await.get("/tokens/remove?identifier=a%20b%26c").await.assert_status(404);
    let done = root.post_form("/tokens/remove", &[("proof", &asked.proof()), ("identifier", "a b&c")]).await;
    assert_eq!(done.redirects_to(), "/tokens");
    assert!(!root.get("/tokens").await.text().contains("a%20b%26c"));
});

db_test!(the_form_for_a_user_has_a_page_where_its_errors_have_the_focus, |db| async move {
    let app = TestApp::new(db).await;
    let root = app.superuser("root").await.session().await;
    let list = root.get("/users").await.assert_status(200).text();
    assert!(list.contains("href=\"/users/new\"") && !list.contains("name=\"username\""));
    let proof = root.get("/users/new").await.assert_status(200).proof();
    let wrong =
        root.post_form("/users", &[("proof", proof.as_str()), ("username", ""), ("name", "Kept")]).await.assert_status(422).text();
    assert!(wrong.contains("id=\"error\" tabindex=\"-1\" autofocus") && wrong.contains("value=\"Kept\""), "{wrong}");
    app.user("plain").await.session().await.get("/users/new").await.assert_status(403);
    assert_eq!(app.anonymous().get("/users/new").await.redirects_to(), "/sign-in?next=/users/new");
});

db_test!(the_view_of_the_table_is_remembered, |db| async move {
    let app = TestApp::new(db).await;
    let root = app.superuser("root").await.session().await;
    let kept = root.get("/sessions/all?q=user:root&keep=1&size=50&col=agent&col=signed-in&dense=1").await;
    assert_eq!(kept.redirects_to(), "/sessions/all?q=user:root");
    assert!(kept.set_cookie("rollcall_view").unwrap().contains("HttpOnly"));
    let page = root.get("/sessions/all").await.assert_status(200).text();
    assert!(page.contains("stack-table dense") && page.contains(">Signed in</a>") && !page.contains(">Last used</a>"), "{page}");
    let once = root.get("/sessions/all?dense=0&col=used").await.text();
    assert!(!once.contains("stack-table dense") && once.contains(">Last used"), "the address says otherwise");
});

//! PostgreSQL that is lost, restarted, or set up in a way that does not work.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_postgres_is_missed_and_found_again() {
    let Some(home) = Home::postgres().await else { return };
    let mut proxy = PostgresProxy::open(home.schema().unwrap()).await;
    let url = proxy.url(home.schema().unwrap());
    let home = home.with("ROLLCALL_DATABASE__URL", &url).with_administrator();
    let server = home.serve().await;
    let person = Person::signed_in(&server, "akadmin").await;
    let uuid = person.uuid().await;
    for _ in 0..2 {
        proxy.cut().await;
        for _ in 0..3 {
            assert_unavailable(server.call(Method::GET, SESSIONS, TOKEN).await).await;
            assert_unavailable(server.revoke(&uuid).await).await;
            let page = person.get("/sessions").await;
            assert_eq!(page.status(), 503, "nobody is let in, and nobody is told to sign in again");
            assert!(page.headers().contains_key("retry-after"));
            let page = page.text().await.unwrap();
            for words in ["Error 503", "Nothing was changed", "Try again</a>", "href=\"/sessions\"", "</html>"] {
                assert!(page.contains(words), "{words}: {page}");
            }
        }
        assert_eq!(server.status("/-/health/ready/").await, 503);
        assert_eq!(server.status("/-/health/live/").await, 204);
        proxy.mend().await;
        eventually("that it is ready again", || async { (server.status("/-/health/ready/").await == 204).then_some(()) }).await;
        eventually("that it works again", || async { (person.get("/sessions").await.status() == 200).then_some(()) }).await;
        assert_eq!(server.sessions().await.len(), 1);
    }
    assert_eq!(server.revoke(&uuid).await.status(), 204);
    assert!(!server.log().contains("panicked"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_postgres_costs_no_500() {
    let Some(home) = Home::postgres().await else { return };
    let proxy = PostgresProxy::open(home.schema().unwrap()).await;
    let url = proxy.url(home.schema().unwrap());
    let home = home.with("ROLLCALL_DATABASE__URL", &url).with_administrator();
    let server = home.serve().await;
    let person = Person::signed_in(&server, "akadmin").await;
    for _ in 0..3 {
        // What a restart of the database does to the server's connections, and to those of no other test.
        let ports: Vec<String> = proxy.ports().iter().map(u16::to_string).collect();
        let ours = format!("client_port IN ({}) AND pid <> pg_backend_pid()", ports.join(", "));
        let sql = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}");
        home.schema().unwrap().execute(&sql).await;
        eventually("that it works again", || async {
            let status = person.get("/sessions").await.status().as_u16();
            assert!([200, 503].contains(&status), "{status}");
            (status == 200).then_some(())
        })
        .await;
    }
    assert_eq!(server.sessions().await.len(), 1);
}

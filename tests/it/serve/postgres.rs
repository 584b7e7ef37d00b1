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

/// A role of its own in the cluster of the tests, which may use a schema. It is dropped in the end.
struct Role {
    name: String,
}

impl Role {
    async fn create(schema: &TestSchema, name: &str, options: &str) -> Self {
        let name = format!("{name}_{}", std::process::id());
        schema.execute(&format!("DROP ROLE IF EXISTS {name}; CREATE ROLE {name} LOGIN {options}")).await;
        schema.execute(&format!("GRANT ALL ON SCHEMA {} TO {name}", schema.name())).await;
        Self { name }
    }

    /// The schema's URL with this role in it.
    fn url(&self, schema: &TestSchema) -> String {
        let url = schema.url();
        let (_, rest) = url.split_once("://").unwrap();
        let (_, host) = rest.split_once('@').unwrap();
        format!("postgres://{}@{host}", self.name)
    }

    async fn drop(self, schema: &TestSchema) {
        schema.execute(&format!("DROP OWNED BY {0} CASCADE; DROP ROLE {0}", self.name)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_became_read_only_is_left_for_one_that_can_be_written() {
    let Some(home) = Home::postgres().await else { return };
    let role = Role::create(home.schema().unwrap(), "read_only", "").await;
    let url = role.url(home.schema().unwrap());
    let home = home.with("ROLLCALL_DATABASE__URL", &url).with_administrator();
    let server = home.serve().await;
    Person::signed_in(&server, "akadmin").await;
    let schema = home.schema().unwrap();
    for _ in 0..2 {
        // From now on connections of this role are read-only, those that there are among them.
        schema.execute(&format!("ALTER ROLE {} SET default_transaction_read_only = on", role.name)).await;
        schema.execute(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}'", role.name)).await;
        eventually("that ready tells", || async { (server.status("/-/health/ready/").await == 503).then_some(()) }).await;
        let refused = Person::new(&server, "curl/8.5.0").sign_in("akadmin", PASSWORD).await;
        assert_eq!(refused.status(), 503);
        assert_eq!(server.call(Method::GET, SESSIONS, TOKEN).await.status(), 200, "reading goes on");
        // New connections could write again; the old ones never will.
        schema.execute(&format!("ALTER ROLE {} RESET default_transaction_read_only", role.name)).await;
        within(Duration::from_secs(5), "that it writes again", || async {
            let answer = Person::new(&server, "curl/8.5.0").sign_in("akadmin", PASSWORD).await;
            (answer.status() == 303).then_some(())
        })
        .await;
        // Each connection that is still read-only is thrown away when it answers so.
        eventually("that ready tells", || async { (server.status("/-/health/ready/").await == 204).then_some(()) }).await;
    }
    server.stop().await;
    role.drop(home.schema().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_not_kept_beyond_their_age() {
    let Some(home) = Home::postgres().await else { return };
    let role = Role::create(home.schema().unwrap(), "aged", "").await;
    let url = role.url(home.schema().unwrap());
    let home = home.with("ROLLCALL_DATABASE__URL", &url).with_administrator().with("ROLLCALL_DATABASE__CONNECTION_AGE", "1s");
    let server = home.serve().await;
    let schema = home.schema().unwrap();
    let connections = async || {
        let of_role = format!("SELECT pid::text FROM pg_stat_activity WHERE usename = '{}'", role.name);
        let pids: Vec<String> = schema.texts(&of_role).await;
        pids
    };
    let first = connections().await;
    assert!(first.len() >= 3, "one of each kind: {first:?}");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    eventually("that others took their place", || async {
        Person::signed_in(&server, "akadmin").await;
        let now = connections().await;
        (now.len() >= 2 && first.iter().filter(|pid| now.contains(pid)).count() <= 1).then_some(())
    })
    .await;
    server.stop().await;
    role.drop(home.schema().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_connections_are_enough() {
    let Some(home) = Home::postgres().await else { return };
    let role = Role::create(home.schema().unwrap(), "few", "CONNECTION LIMIT 4").await;
    let url = role.url(home.schema().unwrap());
    let home = home.with("ROLLCALL_DATABASE__URL", &url).with_administrator();
    let server = home.serve().await;
    let asks = (0..12).map(|n| {
        let server = &server;
        async move {
            if n % 3 == 0 {
                Person::new(server, "curl/8.5.0").sign_in("akadmin", PASSWORD).await.status().as_u16()
            } else {
                server.call(Method::GET, SESSIONS, TOKEN).await.status().as_u16()
            }
        }
    });
    let statuses = futures_util::future::join_all(asks).await;
    assert!(statuses.iter().all(|status| [200, 303].contains(status)), "{statuses:?}");
    let uuid = Person::signed_in(&server, "akadmin").await.uuid().await;
    assert_eq!(server.revoke(&uuid).await.status(), 204);
    server.stop().await;
    role.drop(home.schema().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_another_encoding_is_named() {
    let Some(home) = Home::postgres().await else { return };
    let schema = home.schema().unwrap();
    let name = format!("latin1_{}", std::process::id());
    schema.execute(&format!("DROP DATABASE IF EXISTS {name}")).await;
    let create = format!("CREATE DATABASE {name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
    schema.execute(&create).await;
    let url = schema.url();
    let (start, _) = url.split_once('?').unwrap();
    let (server, _) = start.rsplit_once('/').unwrap();
    let wrong = Home::sqlite().with("ROLLCALL_DATABASE__URL", &format!("{server}/{name}"));
    for args in [&["serve"][..], &["migrate"], &["user", "list"]] {
        let error = wrong.fails(1, args);
        assert!(error.contains("LATIN1") && error.contains("UTF8"), "{error}");
    }
    let checked = wrong.run(&["check"]);
    assert!(checked.code == 1 && checked.out.contains("LATIN1"), "{checked:?}");
    schema.execute(&format!("DROP DATABASE {name}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_lends_connections_by_transaction_is_named() {
    let Some(home) = Home::postgres().await else { return };
    let pooler = TransactionPooler::open(home.schema().unwrap()).await;
    let home = home.with("ROLLCALL_DATABASE__URL", &pooler.url());
    for args in [&["serve"][..], &["user", "list"]] {
        let error = home.fails(1, args);
        assert!(error.contains("pooler") && error.contains("pool_mode = session"), "{error}");
    }
}

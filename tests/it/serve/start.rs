//! How the server starts: links, credentials, files, ports, and the demo.

use super::*;

on_both!(the_first_start_prints_a_link_that_works_once, |home| async move {
    let server = home.serve().await;
    let link = server.set_up_link().expect("a set-up link");
    let path = path_of(&link, &server);
    let person = Person::new(&server, "curl/8.5.0");
    assert_eq!(person.get(&path).await.status(), 200, "looking does not use it up");
    for (password, again, complaint) in [(PASSWORD, "another one", "differ"), ("short", "short", "at least 8")] {
        let response = person.submit(&path, &[("password", password), ("again", again)]).await;
        assert_eq!(response.status(), 200);
        assert!(response.text().await.unwrap().contains(complaint));
    }
    let response = person.submit(&path, &[("password", PASSWORD), ("again", PASSWORD)]).await;
    assert_eq!(response.status(), 303, "{}", response.text().await.unwrap());
    assert!(person.is_signed_in().await);

    let other = Person::new(&server, "curl/8.5.0");
    assert_eq!(other.get(&path).await.status(), 404, "it works once");
    let second = person.submit(&path, &[("password", "another password"), ("again", "another password")]).await;
    assert!(!second.status().is_success() && !second.status().is_redirection(), "{}", second.status());
    assert!(Person::signed_in(&server, "akadmin").await.is_signed_in().await);
    assert!(!server.log().contains(PASSWORD));
    server.stop().await;

    let server = home.serve().await;
    assert_eq!(server.set_up_link(), None, "there is a password by now");
});

on_both!(a_start_before_the_link_was_used_makes_a_new_one, |home| async move {
    let first = home.serve().await;
    let old = path_of(&first.set_up_link().unwrap(), &first);
    assert_eq!(first.status(&old).await, 200);
    first.stop().await;
    let second = home.serve().await;
    let new = path_of(&second.set_up_link().unwrap(), &second);
    assert_ne!(old, new);
    assert_eq!(second.status(&old).await, 404);
    assert_eq!(second.status(&new).await, 200);
});

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_may_read_key_and_database() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::sqlite();
    let server = home.serve().await;
    for name in ["instance.key", "rollcall.db", "rollcall.db-wal"] {
        let mode = std::fs::metadata(home.data(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let key = std::fs::read(home.data("instance.key")).unwrap();
    server.stop().await;
    home.serve().await.stop().await;
    assert_eq!(std::fs::read(home.data("instance.key")).unwrap(), key, "it is made once");
}

on_both!(configured_credentials_take_the_place_of_the_link, |home| async move {
    // The users that an import brought do not count: there is no akadmin yet.
    home.import(&[user(40, "alice")]);
    let home = home.with_administrator();
    let server = home.serve().await;
    assert_eq!(server.set_up_link(), None);
    let person = Person::signed_in(&server, "akadmin").await;
    assert_eq!(uuids(&server.sessions().await), [person.uuid().await]);
    let log = server.stop().await;
    assert!(!log.contains(PASSWORD) && !log.contains(TOKEN));

    // Later values change nothing.
    let home = home.with("ROLLCALL_BOOTSTRAP__PASSWORD", "quite another").with("ROLLCALL_BOOTSTRAP__TOKEN", "another-token");
    let server = home.serve().await;
    assert!(Person::signed_in(&server, "akadmin").await.is_signed_in().await);
    assert_eq!(server.call(Method::GET, SESSIONS, "another-token").await.status(), 403);
    assert_eq!(server.sessions().await.len(), 2);
});

on_both!(health_is_told, |home| async move {
    let server = home.serve().await;
    assert_eq!(server.status("/-/health/live/").await, 204);
    assert_eq!(server.status("/-/health/ready/").await, 204);
});

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_said() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let home = Home::sqlite();
    assert!(home.fails(1, &["serve", "--listen", &address]).contains(&address));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_is_what_it_says_and_leaves_nothing() {
    let home = Home::sqlite();
    let folder = home.folder().join("tmp");
    std::fs::create_dir(&folder).unwrap();
    let mut command = home.command(ROLLCALL);
    let server = Server::start({
        command.arg("demo").env("TMPDIR", &folder);
        command
    })
    .await;
    let said = eventually("what the demo prints", || ready(Some(server.out()).filter(|out| out.contains("curl")))).await;
    let value = |name: &str| {
        let line = said.lines().find_map(|line| line.trim().strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {said}")).trim().to_owned()
    };
    assert_eq!(value("open"), server.origin);
    let mut person = Person::new(&server, "curl/8.5.0");
    assert_eq!(person.sign_in(&value("user"), &value("password")).await.status(), 303);
    assert!(person.is_signed_in().await);

    let body: Value = server.call(Method::GET, SESSIONS, &value("token")).await.json().await.unwrap();
    assert!(body["pagination"]["count"].as_u64() > Some(20), "{body}");
    let results = body["results"].as_array().unwrap();
    assert!(results.iter().any(|session| session["geo_ip"]["city"].is_string()), "places show");
    assert!(results.iter().any(|session| session["asn"]["asn"].is_number()), "networks show");

    let line = said.lines().find(|line| line.starts_with("curl ")).unwrap();
    if Command::new("curl").arg("--version").output().is_ok() {
        let done = finish(home.command("sh").args(["-c", line]), "");
        let printed: Value = serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {done:?}"));
        assert_eq!(printed["results"].as_array().unwrap().len(), 3);
    } else {
        skip("there is no curl");
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    server.stop().await;
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "its folder is gone");
    assert!(!home.data("").exists(), "and the data directory was never touched");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_watches_a_made_up_authentik_where_people_come_and_go() {
    let home = Home::sqlite();
    let folder = home.folder().join("tmp");
    std::fs::create_dir(&folder).unwrap();
    let mut command = home.command(ROLLCALL);
    command.args(["demo", "--watch"]).env("TMPDIR", &folder);
    let server = Server::start(command).await;
    let said =
        eventually("what the demo prints", || ready(Some(server.out()).filter(|out| out.contains("source:authentik")))).await;
    let token = said.lines().find_map(|line| line.trim().strip_prefix("token ")).unwrap().trim().to_owned();
    let copied = || async {
        let list = format!("{SESSIONS}?source=authentik&ordering=-last_used&page_size=100");
        let body: Value = server.call(Method::GET, &list, &token).await.json().await.unwrap();
        let rows = body["results"].as_array().unwrap().clone();
        rows.iter().map(|row| row["uuid"].to_string()).collect::<Vec<_>>()
    };
    let first = eventually("a copy", || async { Some(copied().await).filter(|rows| rows.len() > 20) }).await;
    eventually("a new session", || async {
        Some(copied().await).filter(|rows| rows.first().is_some_and(|uuid| !first.contains(uuid)))
    })
    .await;
    eventually("an end", || async { Some(copied().await).filter(|rows| first.iter().any(|uuid| !rows.contains(uuid))) }).await;
    server.stop().await;
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "its folder is gone");
}

//! `rollcall serve` and `rollcall demo`: starting, stopping, crashing, and living through trouble.

use std::future::ready;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process::{Home, PASSWORD, Person, PostgresProxy, ROLLCALL, SESSIONS, Server, TOKEN, eventually, finish, skip, within};

/// A session for an import; `nth` makes it its own.
fn session(nth: u32, user: i64, expires: &str) -> Value {
    json!({
        "kind": "session", "uuid": uuid(nth), "session_key": format!("imported-session-key-number-{nth}"), "user": user,
        "last_ip": "192.0.2.7", "last_user_agent": "curl/8.5.0", "last_used": "2020-01-02T03:04:05Z", "expires": expires,
    })
}

fn uuid(nth: u32) -> String {
    format!("00000000-0000-4000-8000-{nth:012}")
}

fn user(id: i64, username: &str) -> Value {
    json!({"kind": "user", "id": id, "username": username})
}

fn uuids(sessions: &[Value]) -> Vec<&str> {
    let mut uuids: Vec<_> = sessions.iter().map(|session| session["uuid"].as_str().unwrap()).collect();
    uuids.sort_unstable();
    uuids
}

fn path_of(link: &str, server: &Server) -> String {
    link.strip_prefix(&server.origin).unwrap_or_else(|| panic!("{link} is not on {}", server.origin)).to_owned()
}

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

on_both!(a_restart_keeps_sessions, |home| async move {
    let home = home.with_administrator();
    let server = home.serve().await;
    let address = server.address().to_owned();
    let person = Person::signed_in(&server, "akadmin").await;
    server.stop().await;
    // On the same port, so that the browser brings its cookie.
    let home = home.with("ROLLCALL_LISTEN", &address);
    let server = home.serve().await;
    assert!(person.is_signed_in().await);
    assert_eq!(server.sessions().await.len(), 1);
});

on_both!(what_was_acknowledged_survives_a_kill, |home| async move {
    let mut home = home.with_administrator();
    let mut server = home.serve().await;
    let address = server.address().to_owned();
    home = home.with("ROLLCALL_LISTEN", &address);
    let mut kept: Vec<Person> = Vec::new();
    for _ in 0..3 {
        let stays = Person::signed_in(&server, "akadmin").await;
        let goes = Person::signed_in(&server, "akadmin").await;
        let gone = goes.uuid().await;
        assert_eq!(server.revoke(&gone).await.status(), 204);
        server.kill().await;
        server = home.serve().await;
        kept.push(stays);
        assert!(!goes.is_signed_in().await, "what was ended stays ended");
        for person in &kept {
            assert!(person.is_signed_in().await, "who signed in stays so");
        }
        assert_eq!(server.sessions().await.len(), kept.len());
    }
});

on_both!(a_stop_writes_down_the_last_use, |home| async move {
    let home = home.with_administrator().with("ROLLCALL_SESSIONS__TOUCH_INTERVAL", "1ms");
    let server = home.serve().await;
    let person = Person::signed_in(&server, "akadmin").await;
    let uuid = person.uuid().await;
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0";
    assert_eq!(person.get_with_agent("/sessions", agent).await.status(), 200);
    server.stop().await;
    let shown: Value = serde_json::from_str(&home.ok(&["session", "show", &uuid, "--json"])).unwrap();
    assert_eq!(shown["last_user_agent"], agent);
    assert!(shown["last_used"].as_str() > shown["created"].as_str(), "{shown}");
});

async fn a_signal_lets_requests_finish(name: &str) {
    let home = Home::sqlite().with_administrator();
    let mut server = home.serve().await;
    // One request whose body is under way, one that only begins, and a connection that says nothing.
    let mut under_way = TcpStream::connect(server.address()).await.unwrap();
    let body = "uid=akadmin&password=wrong&next=/";
    let head = format!(
        "POST /sign-in HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n",
        server.address(),
        body.len()
    );
    let (first, rest) = body.split_at(9);
    under_way.write_all(format!("{head}{first}").as_bytes()).await.unwrap();
    let mut beginning = TcpStream::connect(server.address()).await.unwrap();
    beginning.write_all(b"GET / HT").await.unwrap();
    let _silent = TcpStream::connect(server.address()).await.unwrap();
    // An answer on a later connection says that the earlier ones were taken.
    assert_eq!(server.status("/-/health/live/").await, 204);
    server.signal(name);
    let address = server.address().to_owned();
    within(Duration::from_secs(5), "that no connection is taken any more", || async {
        TcpStream::connect(&address).await.err().map(drop)
    })
    .await;
    under_way.write_all(rest.as_bytes()).await.unwrap();
    let mut answer = String::new();
    under_way.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(answer.contains("</html>"), "the whole answer: {answer}");
    assert_eq!(server.ended().await.code(), Some(0));
    assert!(server.log().contains("stopping"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_requests_finish() {
    a_signal_lets_requests_finish("TERM").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigint_lets_requests_finish() {
    a_signal_lets_requests_finish("INT").await;
}

on_both!(expired_sessions_are_swept_and_live_ones_never, |home| async move {
    let home = home.with_administrator().with("ROLLCALL_SESSIONS__PURGE_INTERVAL", "100ms");
    let ours = home.serve().await;
    let person = Person::signed_in(&ours, "akadmin").await;
    let live = person.uuid().await;
    let (long, last) = ("2099-01-01T00:00:00Z", "2020-01-02T03:04:06Z");
    let expired = (0..700).map(|nth| session(nth, 50, last));
    let lines: Vec<Value> = [user(50, "alice")].into_iter().chain(expired).chain([session(900, 50, long)]).collect();
    home.import(&lines);
    eventually("that only live sessions are left", || async { (ours.sessions().await.len() == 2).then_some(()) }).await;
    assert_eq!(uuids(&ours.sessions().await), {
        let mut both = vec![uuid(900), live];
        both.sort();
        both
    });
    assert!(person.is_signed_in().await);
    let shown: Value = serde_json::from_str(&home.ok(&["session", "show", &uuid(699), "--json"])).unwrap();
    assert_eq!((shown["reason"].as_str(), shown["username"].as_str()), (Some("expired"), Some("alice")));
    let events = home.rows(&["export", "--events"]);
    assert_eq!(events.iter().filter(|event| event["detail"] == "expired").count(), 700, "each is told once");
});

on_both!(a_session_that_is_over_is_out_before_it_is_swept, |home| async move {
    let home =
        home.with_administrator().with("ROLLCALL_SESSIONS__ABSOLUTE_TIMEOUT", "2s").with("ROLLCALL_SESSIONS__PURGE_INTERVAL", "0");
    let server = home.serve().await;
    let person = Person::signed_in(&server, "akadmin").await;
    eventually("that the session is over", || async { (!person.is_signed_in().await).then_some(()) }).await;
    assert_eq!(server.sessions().await.len(), 1, "nothing sweeps it, and authentik lists it");
});

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_dawdles_or_babbles_is_cut_off() {
    let home = Home::sqlite().with_administrator();
    let server = home.serve().await;
    let mut slow = TcpStream::connect(server.address()).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").await.unwrap();

    for head in [
        format!("GET / HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "x".repeat(1 << 20)),
        format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(1 << 20)),
        format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(5000)),
        "\u{0}\u{1}\u{2}\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n".to_owned(),
        "POST /sign-in HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n".to_owned(),
        "POST /sign-in HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n".to_owned(),
    ] {
        let (mut stream, shown) = (TcpStream::connect(server.address()).await.unwrap(), head.get(..60).unwrap_or(&head));
        // The server may hang up before it has read it all; then there is no answer to read either.
        drop(stream.write_all(head.as_bytes()).await);
        let mut answer = Vec::new();
        let reading = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
        assert!(reading.is_ok(), "{shown:?} is not cut off");
        let answer = String::from_utf8_lossy(&answer);
        let is_refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
        assert!(is_refused, "{shown:?}: {answer}");
        assert_eq!(server.status("/-/health/ready/").await, 204, "the server lives");
    }

    let mut answer = Vec::new();
    let reading = tokio::time::timeout(Duration::from_secs(30), slow.read_to_end(&mut answer)).await;
    assert!(reading.is_ok(), "a head that never ends is not waited for");
    assert!(!server.log().contains("panicked"));
}

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

/// A City file that knows one network.
fn city_file(name: &str, country: &str, more: u8) -> Vec<u8> {
    let mut writer = mmdb_writer::Writer::new("Test-City");
    let record = json!({"country": {"iso_code": country}, "city": {"names": {"en": name}}, "continent": {"code": "EU"}});
    let more = (0..more).map(|nth| format!("203.0.{nth}.0/24"));
    for network in ["127.0.0.0/8".to_owned()].into_iter().chain(more) {
        writer.insert(network.parse::<ipnet::IpNet>().unwrap(), &record).unwrap();
    }
    writer.to_bytes().unwrap()
}

/// Replaces a file as an updater does: at once.
fn replace(path: &Path, content: &[u8]) {
    let new = path.with_extension("new");
    std::fs::write(&new, content).unwrap();
    std::fs::rename(new, path).unwrap();
}

on_both!(a_new_geoip_file_shows_while_running, |home| async move {
    let path = home.folder().join("city.mmdb");
    let home = home.with_administrator().with("ROLLCALL_GEOIP__CITY", &path.display().to_string());
    let server = home.serve().await;
    let person = Person::signed_in(&server, "akadmin").await;
    let city = || async { person.session().await["geo_ip"]["city"].as_str().map(str::to_owned) };
    let is_in = |country: &'static str| {
        let server = &server;
        async move {
            let path = format!("{SESSIONS}?country={country}");
            let body: Value = server.call(Method::GET, &path, TOKEN).await.json().await.unwrap();
            body["pagination"]["count"] == 1
        }
    };
    assert_eq!(person.session().await["geo_ip"], Value::Null, "a file that is missing is no failure");
    for (name, country, more) in [("Berlin", "DE", 0), ("Porto", "PT", 3)] {
        replace(&path, &city_file(name, country, more));
        eventually(name, || async { city().await.filter(|seen| seen == name) }).await;
        eventually("that filters follow", || async { is_in(country).await.then_some(()) }).await;
    }
    assert!(!is_in("DE").await);
    for broken in [b"not a MaxMind file".as_slice(), &city_file("Lviv", "UA", 9)[..200], b""] {
        let complaints = || server.log().matches("a GeoIP file cannot be used").count();
        let before = complaints();
        replace(&path, broken);
        eventually("a complaint", || ready((complaints() > before).then_some(()))).await;
        assert_eq!(city().await.as_deref(), Some("Porto"), "the old file stays in use");
    }
    replace(&path, &city_file("Osaka", "JP", 5));
    eventually("Osaka", || async { city().await.filter(|seen| seen == "Osaka") }).await;
});

/// The API's answer while its database is away.
async fn assert_unavailable(response: reqwest::Response) {
    assert_eq!(response.status(), 503);
    assert!(response.headers()["retry-after"].to_str().unwrap().parse::<u32>().is_ok());
    assert_eq!(response.headers()["content-type"], "application/json");
    let body: Value = response.json().await.unwrap();
    assert!(body["detail"].is_string() && body.as_object().unwrap().len() == 1, "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_database_is_read_and_recovers() {
    let home = Home::sqlite().with_administrator();
    let server = home.serve().await;
    let person = Person::signed_in(&server, "akadmin").await;
    let other = Person::signed_in(&server, "akadmin").await;
    let uuid = other.uuid().await;
    for mode in ["IMMEDIATE", "EXCLUSIVE"] {
        let lock = rusqlite::Connection::open(home.data("rollcall.db")).unwrap();
        lock.execute_batch(&format!("BEGIN {mode}")).unwrap();
        let mut newcomer = Person::new(&server, "curl/8.5.0");
        let (ended, signed_in, ()) = tokio::join!(server.revoke(&uuid), newcomer.sign_in("akadmin", PASSWORD), async {
            assert_eq!(server.sessions().await.len(), 2, "reading goes on");
            assert!(person.is_signed_in().await);
            assert_eq!(server.status("/-/health/ready/").await, 204);
        });
        assert_unavailable(ended).await;
        assert_eq!(signed_in.status(), 503);
        assert!(signed_in.headers().contains_key("retry-after"));
        assert!(signed_in.text().await.unwrap().contains("</html>"), "a page for people");
        lock.execute_batch("ROLLBACK").unwrap();
        assert!(other.is_signed_in().await, "what was refused was not done");
    }
    assert_eq!(server.revoke(&uuid).await.status(), 204);
    assert!(!other.is_signed_in().await);
    assert!(Person::signed_in(&server, "akadmin").await.is_signed_in().await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_database_does_not_hold_up_a_stop() {
    let home = Home::sqlite().with_administrator().with("ROLLCALL_SESSIONS__TOUCH_INTERVAL", "1ms");
    let mut server = home.serve().await;
    let person = Person::signed_in(&server, "akadmin").await;
    let uuid = person.uuid().await;
    let lock = rusqlite::Connection::open(home.data("rollcall.db")).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(person.is_signed_in().await);
    let (address, id) = (server.address().to_owned(), server.id());
    let (ended, status) = tokio::join!(
        async {
            // Answered or cut off, but not with success.
            let request =
                reqwest::Client::builder().no_proxy().build().unwrap().delete(format!("http://{address}{SESSIONS}{uuid}/"));
            request.bearer_auth(TOKEN).send().await.map(|response| response.status())
        },
        async {
            crate::process::signal(id, "TERM");
            server.ended().await
        }
    );
    assert!(ended.is_err() || ended.is_ok_and(|status| !status.is_success()));
    assert!(status.code().is_some(), "it ended by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_lock_is_waited_for() {
    let home = Home::sqlite().with_administrator();
    let server = home.serve().await;
    let person = Person::signed_in(&server, "akadmin").await;
    let uuid = person.uuid().await;
    let lock = rusqlite::Connection::open(home.data("rollcall.db")).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (ended, ()) = tokio::join!(server.revoke(&uuid), async {
        assert_eq!(server.status("/-/health/live/").await, 204);
        lock.execute_batch("ROLLBACK").unwrap();
    });
    assert_eq!(ended.status(), 204);
}

on_both!(an_import_that_is_killed_stores_nothing, |home| async move {
    let home = home.with_administrator();
    let server = home.serve().await;
    let mut importing = home.command(ROLLCALL).args(["import", "-", "--replace"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = importing.stdin.take().unwrap();
    // More than fits into the pipe: some of it is read when the last of it is written.
    let sessions = (0..5000).map(|nth| session(nth, 50, "2099-01-01T00:00:00Z"));
    for line in [user(50, "alice")].into_iter().chain(sessions) {
        writeln!(stdin, "{line}").unwrap();
    }
    assert_eq!(server.sessions().await.len(), 0, "an import that is not done does not show");
    importing.kill().unwrap();
    importing.wait().unwrap();
    let person = Person::signed_in(&server, "akadmin").await;
    assert_eq!(uuids(&server.sessions().await), [person.uuid().await]);
    assert_eq!(home.rows(&["user", "list", "--json"]).len(), 1);
});

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_survived() {
    if Command::new("prlimit").arg("--version").output().is_err() {
        return skip("there is no prlimit to make room with");
    }
    let home = Home::sqlite().with_administrator().with("ROLLCALL_SESSIONS__PURGE_INTERVAL", "0");
    home.serve().await.stop().await;
    let sessions = (0..400).map(|nth| session(nth, 50, "2099-01-01T00:00:00Z"));
    home.import(&[user(50, "alice")].into_iter().chain(sessions).collect::<Vec<_>>());
    // No file may grow beyond what the database has plus a little: as full as a disk gets. What the
    // shell counts in is 512 bytes.
    let blocks = std::fs::metadata(home.data("rollcall.db")).unwrap().len() / 512 + 100;
    let mut command = home.command("sh");
    command.args(["-c", &format!("trap '' XFSZ; ulimit -S -f {blocks}; exec \"$0\" serve"), ROLLCALL]);
    let server = Server::start(command).await;
    let mut ended = 0;
    let refused = loop {
        let response = server.revoke(&uuid(ended)).await;
        if response.status() != 204 {
            break response;
        }
        ended += 1;
        assert!(ended < 400, "the disk never filled");
    };
    assert!(ended > 0, "there was some room");
    assert_unavailable(refused).await;
    for _ in 0..3 {
        assert_unavailable(server.revoke(&uuid(ended)).await).await;
        let body: Value = server.call(Method::GET, SESSIONS, TOKEN).await.json().await.unwrap();
        assert_eq!(body["pagination"]["count"], 400 - ended, "reading goes on, and nothing was half done");
    }
    let room = ["--pid", &server.id().to_string(), "--fsize=unlimited"];
    assert!(Command::new("prlimit").args(room).status().unwrap().success());
    eventually("that it works again", || async { (server.revoke(&uuid(ended)).await.status() == 204).then_some(()) }).await;
    assert!(Person::signed_in(&server, "akadmin").await.is_signed_in().await);
    server.stop().await;
    let integrity = rusqlite::Connection::open(home.data("rollcall.db")).unwrap();
    let word: String = integrity.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(word, "ok");
}

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

//! What a service manager does with the process: reload, lock, messages, a delay of the stop.

use std::os::unix::net::UnixDatagram;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_reads_the_settings_again() {
    let home = Home::sqlite().with_administrator();
    let settings = |text: &str| home.write("rollcall.toml", text);
    settings("[sessions]\nidle_timeout = '7h'\n");
    let server = home.serve().await;
    let person = Person::signed_in(&server, "akadmin").await;
    // Nothing changed.
    server.signal("HUP");
    logs(&server, "settings were read again applied=\"\"").await;
    assert!(!server.log().contains("needs a restart"), "{}", server.log());
    // The form of the log changes; two other settings wait for a restart.
    settings("data_dir = '/no/such'\nlog.format = 'json'\n[sessions]\nidle_timeout = '8h'\n[http]\nshutdown_delay = '1s'\n");
    server.signal("HUP");
    logs(&server, "\"message\":\"needs a restart: http.shutdown_delay, sessions.idle_timeout\"").await;
    logs(&server, "\"applied\":\"log.format\"").await;
    // A mistake: nothing is applied, though the form of the log alone would be right.
    settings("log.format = 'text'\n[geoip]\ncity = '/no/such.mmdb'\n");
    server.signal("HUP");
    logs(&server, "\"error\":\"geoip.city: /no/such.mmdb: No such file or directory (os error 2)\"").await;
    settings("log.format = 'text'\n[sessions]\nidel_timeout = '8h'\n");
    server.signal("HUP");
    logs(&server, "sessions.idel_timeout").await;
    // The log is still JSON, and follows the next good settings.
    settings("log.format = 'text'\nlog.filter = 'rollcall=debug,warn'\n");
    server.signal("HUP");
    logs(&server, "settings were read again applied=\"log.filter, log.format\"").await;
    // It serves all the time, and stops as ever.
    assert!(person.is_signed_in().await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_takes_other_limits_of_sign_in_and_other_proxies() {
    let home = Home::sqlite().with_administrator();
    let settings = |text: &str| home.write("rollcall.toml", text);
    settings("[sign_in]\nhelp = 'Ask at the desk.'\naccount_limit = '100/1h'\n");
    let server = home.serve().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let page = async || http.get(format!("{}/sign-in", server.origin)).send().await.unwrap().text().await.unwrap();
    let wrong_token = async |address: &str| {
        let url = format!("{}{SESSIONS}", server.origin);
        http.get(url).bearer_auth("no-such-token").header("x-forwarded-for", address).send().await.unwrap();
    };
    assert!(page().await.contains("Ask at the desk."));
    wrong_token("203.0.113.7").await;
    logs(&server, "sign-in refused reason=\"token\" client.ip=\"127.0.0.1\"").await;
    settings("[sign_in]\nhelp = 'Call 117.'\naccount_limit = '2/1h'\n[http]\ntrusted_proxies = ['127.0.0.0/8']\n");
    server.signal("HUP");
    logs(&server, "applied=\"http.trusted_proxies, sign_in.account_limit, sign_in.help\"").await;
    assert!(!server.log().contains("needs a restart"), "{}", server.log());
    let shown = page().await;
    assert!(shown.contains("Call 117.") && !shown.contains("Ask at the desk."));
    wrong_token("203.0.113.7").await;
    logs(&server, "sign-in refused reason=\"token\" client.ip=\"203.0.113.7\"").await;
    let mut person = Person::new(&server, "curl/8");
    for _ in 0..4 {
        person.sign_in("akadmin", "wrong").await;
    }
    logs(&server, "sign-in limited limit=\"account\"").await;
    assert_eq!(server.log().matches("sign-in refused reason=\"password\"").count(), 2, "{}", server.log());
    server.stop().await;
}

/// Runs the program as another user of this machine; `None` when that is not possible here.
fn as_nobody(home: &Home, args: &[&str]) -> Option<crate::process::Done> {
    let switch = ["--reuid=65532", "--regid=65532", "--clear-groups", "--bounding-set=-all", ROLLCALL];
    let can = home.command("setpriv").args(switch).arg("version").output();
    if !can.is_ok_and(|output| output.status.success()) {
        skip("no command can be run as another user here");
        return None;
    }
    Some(finish(home.command("setpriv").args(switch).args(args), ""))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_of_another_owner_is_named_with_what_helps() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::sqlite();
    let open = |path: &Path| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::create_dir(home.folder().join("data")).unwrap();
    open(home.folder());
    open(&home.folder().join("data"));
    let data = home.folder().join("data").display().to_string();
    let Some(done) = as_nobody(&home, &["serve"]) else { return };
    let owner = rustix::process::geteuid().as_raw();
    let wanted = format!(
        "rollcall: cannot write to {data}: it belongs to user {owner} (mode 0755), this is user 65532, group 65532. \
         chown 65532:65532 it, or run with --user {owner}:"
    );
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.err.starts_with(&wanted), "{done:?}");
    // One that cannot be made: it is the folder above that counts.
    let Some(done) = as_nobody(&home, &["serve", "--set", &format!("data_dir={}/new/one", home.folder().display())]) else {
        return;
    };
    assert!(done.err.contains(&format!("cannot write to {}: it belongs to user {owner}", home.folder().display())), "{done:?}");
    let Some(done) = as_nobody(&home, &["healthcheck"]) else { return };
    assert_eq!(done.code, 1, "it needs no folder of its own: {done:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_needs_a_capability_is_named_with_it() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::sqlite();
    std::fs::set_permissions(home.folder(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let Some(done) = as_nobody(&home, &["serve", "--listen", "127.0.0.1:443"]) else { return };
    if done.err.contains("listening on") {
        return skip("every port is open to every user here");
    }
    assert_eq!(done.code, 1, "{done:?}");
    let wanted =
        "cannot listen on 127.0.0.1:443: Permission denied; ports below 1024 need CAP_NET_BIND_SERVICE (docs/OPERATIONS.md, Ports)";
    assert!(done.err.contains(wanted), "{done:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_url_with_a_path_is_refused_with_the_reason() {
    for url in ["https://example.com/rollcall", "http://example.com/a/"] {
        let error = Home::sqlite().with("ROLLCALL_HTTP__PUBLIC_URL", url).fails(2, &["serve"]);
        let reason =
            "has a path. Applications on one host name can act for each other's users: give Rollcall a host name of its own";
        assert!(error.contains(&format!("ROLLCALL_HTTP__PUBLIC_URL: {url} {reason}")), "{error}");
    }
    let error = Home::sqlite().with("ROLLCALL_HTTP__PUBLIC_URL", "ftp://example.com/x").fails(2, &["serve"]);
    assert!(error.contains("is not an address such as"), "{error}");
}

/// A record of an ASN file.
#[derive(serde::Serialize)]
struct Record {
    autonomous_system_number: u32,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_takes_other_geoip_files_and_rules() {
    let home = Home::sqlite().with_administrator();
    let asn = |number: u32| {
        let mut writer = mmdb_writer::Writer::builder("Test-ASN").description(&[("en", "a test")]).build();
        let record = Record { autonomous_system_number: number };
        writer.insert("127.0.0.0/8".parse::<ipnet::IpNet>().unwrap(), &record).unwrap();
        writer.to_bytes().unwrap()
    };
    let (one, two) = (home.write("one.mmdb", asn(64496)), home.write("two.mmdb", asn(64497)));
    home.write("rollcall.toml", format!("geoip.asn = '{one}'\n"));
    let server = home.serve().await;
    Person::signed_in(&server, "akadmin").await;
    let system = || async { server.sessions().await[0]["asn"]["asn"].as_u64() };
    assert_eq!(system().await, Some(64496));
    // The rules of the second file cannot be used, so neither is the file of networks.
    let rules = home.write("regexes.yaml", "user_agent_parsers: [{regex: '('}]");
    home.write("rollcall.toml", format!("geoip.asn = '{two}'\nuser_agent.rules = '{rules}'\n"));
    server.signal("HUP");
    logs(&server, "settings cannot be read again; nothing was changed").await;
    assert_eq!(system().await, Some(64496));
    home.write("regexes.yaml", include_str!("../../../data/uap-core/regexes.yaml").replace("Firefox", "Feuerfuchs"));
    server.signal("HUP");
    logs(&server, "applied=\"geoip.asn, user_agent.rules\"").await;
    assert_eq!(system().await, Some(64497));
    home.write("rollcall.toml", "");
    server.signal("HUP");
    logs(&server, "settings were read again applied=\"geoip.asn, user_agent.rules\"").await;
    eventually("that no file is used", || async { system().await.is_none().then_some(()) }).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_of_a_sqlite_file_is_refused() {
    let home = Home::sqlite();
    let server = home.serve().await;
    let database = home.data("rollcall.db").display().to_string();
    let refused = |pid: u32| {
        format!("rollcall: another Rollcall (pid {pid}) serves {database}; stop it first, or use PostgreSQL for several servers\n")
    };
    for command in ["serve", "migrate"] {
        assert_eq!(home.fails(1, &[command]), refused(server.id()), "{command}");
    }
    // Other commands take no lock.
    home.ok(&["session", "list", "--json"]);
    // A start waits for a server that is ending.
    let mut waiting = home.command(ROLLCALL);
    waiting.arg("serve");
    let (next, ()) = tokio::join!(Server::start(waiting), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        server.stop().await;
    });
    // A killed server leaves the file, and not the lock.
    next.kill().await;
    home.serve().await.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_servers_share_a_postgres_database() {
    let Some(home) = Home::postgres().await else { return };
    let (one, two) = (home.serve().await, home.serve().await);
    assert_eq!((one.status("/-/health/ready/").await, two.status("/-/health/ready/").await), (204, 204));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_is_told() {
    let home = Home::sqlite();
    let path = home.folder().join("notify").display().to_string();
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let next = || {
        let mut bytes = [0; 4096];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    let home = home.with("NOTIFY_SOCKET", &path);
    let server = home.serve().await;
    assert_eq!(next(), format!("READY=1\nSTATUS=listening on {}", server.origin));
    server.signal("HUP");
    assert_eq!((next().as_str(), next().as_str()), ("RELOADING=1", "READY=1"));
    server.stop().await;
    assert_eq!(next(), "STOPPING=1");
    // Nobody listens any more: the server starts all the same.
    std::fs::remove_file(&path).unwrap();
    assert!(home.serve().await.stop().await.contains("the service manager cannot be told"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_delayed_and_not_ready_from_its_first_moment() {
    let home = Home::sqlite().with("ROLLCALL_HTTP__SHUTDOWN_DELAY", "3s");
    let mut server = home.serve().await;
    assert_eq!(server.status("/-/health/ready/").await, 204);
    let signalled = std::time::Instant::now();
    server.signal("TERM");
    eventually("that it is not ready", || async { (server.status("/-/health/ready/").await == 503).then_some(()) }).await;
    assert_eq!(server.status("/-/health/live/").await, 204, "new connections are answered");
    assert!(signalled.elapsed() < Duration::from_secs(3), "{:?}", signalled.elapsed());
    assert_eq!(server.ended().await.code(), Some(0));
    assert!(signalled.elapsed() >= Duration::from_secs(3), "{:?}", signalled.elapsed());
}

on_both!(healthcheck_asks_the_server_that_runs_here, |home| async move {
    // Nothing runs and nothing is there: nothing is made either.
    let error = home.fails(1, &["healthcheck"]);
    assert!(error.contains("127.0.0.1:0"), "{error}");
    assert!(!home.data("").exists(), "it makes no data directory");
    // The port was taken by chance: `server.json` has it.
    let mut server = home.serve().await;
    let written: Value = serde_json::from_str(&std::fs::read_to_string(home.data("server.json")).unwrap()).unwrap();
    assert_eq!(
        written,
        json!({
            "pid": server.id(), "version": env!("CARGO_PKG_VERSION"), "origin": server.origin, "listeners": [server.address()],
        })
    );
    for args in [&["healthcheck"][..], &["healthcheck", "--live"], &["healthcheck", "--timeout", "500ms"]] {
        let done = home.run(args);
        assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (0, "", ""), "{args:?}");
    }
    server.signal("STOP");
    let error = home.fails(1, &["healthcheck", "--timeout", "300ms"]);
    assert_eq!(error, format!("rollcall: {}: no answer within 300ms\n", server.address()));
    server.signal("CONT");
    server.signal("TERM");
    assert_eq!(server.ended().await.code(), Some(0));
    assert!(!home.data("server.json").exists());
    home.fails(1, &["healthcheck"]);
    // A killed server leaves the file. Its process is gone, so the settings say where to ask.
    let killed = home.serve().await;
    let address = killed.address().to_owned();
    killed.kill().await;
    assert!(home.data("server.json").exists());
    let error = home.fails(1, &["healthcheck"]);
    assert!(!error.contains(&address), "{error}");
    let next = home.serve().await;
    home.ok(&["healthcheck"]);
    next.stop().await;
});

#[tokio::test(flavor = "multi_thread")]
async fn healthcheck_tells_a_server_that_is_not_ready_from_another_program() {
    let home = Home::sqlite().with("ROLLCALL_HTTP__SHUTDOWN_DELAY", "5s");
    let server = home.serve().await;
    server.signal("TERM");
    eventually("that it is not ready", || async { (server.status("/-/health/ready/").await == 503).then_some(()) }).await;
    let error = home.fails(1, &["healthcheck"]);
    assert_eq!(error, format!("rollcall: {}: the server is not ready\n", server.address()));
    home.ok(&["healthcheck", "--live"]);
    for (answer, words) in [
        ("HTTP/1.1 404 Not Found\r\n\r\n", "the answer has the status 404"),
        ("220 mail.example ESMTP\r\n", "the answer is not HTTP"),
        ("", "the answer is not HTTP"),
    ] {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap().to_string();
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = other.accept().unwrap();
            let mut request = [0; 1024];
            let length = std::io::Read::read(&mut stream, &mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let error = Home::sqlite().with("ROLLCALL_LISTEN", &address).fails(1, &["healthcheck"]);
        assert!(error.contains(words) && error.contains(&address), "{error}");
        assert!(answering.join().unwrap().starts_with("GET /-/health/ready/ HTTP/1.1\r\n"));
    }
}

#[test]
fn version_says_what_the_program_is() {
    // Also with wrong settings.
    let home = Home::sqlite().with("ROLLCALL_LISTEN", "nowhere");
    assert_eq!(home.ok(&["version"]), format!("rollcall {}\n", env!("CARGO_PKG_VERSION")));
    let shown = home.rows(&["version", "--json"]).remove(0);
    assert_eq!(shown["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(shown["schema"], rollcall::store::migrations().last().unwrap().name);
    assert!(shown["target"].as_str().unwrap().starts_with(std::env::consts::ARCH), "{shown}");
    assert!(shown["features"].is_array() && shown["commit"].is_string() && shown["user_agent_rules"].is_string(), "{shown}");
}

//! Settings: the file, the environment, the flags.

use super::*;

#[test]
fn wrong_settings_are_named() {
    for (name, value, words) in [
        ("ROLLCALL_LISTNE", "127.0.0.1:1", &["ROLLCALL_LISTNE", "ROLLCALL_LISTEN"][..]),
        ("ROLLCALL_SESSIONS__IDEL_TIMEOUT", "1h", &["ROLLCALL_SESSIONS__IDEL_TIMEOUT", "ROLLCALL_SESSIONS__IDLE_TIMEOUT"]),
        ("ROLLCALL_SESSIONS__IDLE_TIMEOUT", "soon", &["ROLLCALL_SESSIONS__IDLE_TIMEOUT", "soon", "30m"]),
        ("ROLLCALL_LISTEN", "localhost", &["ROLLCALL_LISTEN", "127.0.0.1:9000"]),
        ("ROLLCALL_DATABASE__URL", "mysql://me:hunter2@x", &["ROLLCALL_DATABASE__URL", "postgres://"]),
    ] {
        let error = Home::sqlite().with(name, value).fails(2, &["serve"]);
        assert!(words.iter().all(|word| error.contains(word)) && !error.contains("hunter2"), "{error}");
    }
    for (content, words) in [
        ("sessions = { idel_timeout = '1h' }", &["sessions.idel_timeout", "sessions.idle_timeout"][..]),
        ("lisen = '127.0.0.1:0'", &["lisen", "listen"]),
        ("[http]\ntrusted_proxies = ['10.0.0.0/99']", &["http.trusted_proxies", "10.0.0.0/99"]),
        ("listen = ", &["rollcall.toml", "line 1"]),
        ("[sessions\n", &["rollcall.toml"]),
    ] {
        let home = Home::sqlite();
        home.write("rollcall.toml", content);
        let error = home.fails(2, &["check"]);
        assert!(words.iter().all(|word| error.contains(word)), "{content}: {error}");
    }
    let home = Home::sqlite();
    let error = home.fails(2, &["--set", "sessions.purge_intervall=1m", "check"]);
    assert!(error.contains("--set") && error.contains("sessions.purge_interval"), "{error}");
    assert_eq!(home.with("ROLLCALL_LOG__FORMAT", "").run(&["check"]).code, 0, "an empty variable is an unset one");
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_win_over_the_environment_and_that_over_the_file() {
    let home = Home::sqlite().with("ROLLCALL_DATA_DIR", "");
    home.write("rollcall.toml", "data_dir = 'of-the-file'\n[http]\npublic_url = 'https://file.example'\n");
    let made = |name: &str| home.folder().join(name).join("rollcall.db").exists();
    let make = ["import", "-"];
    home.ok(&make);
    assert!(made("of-the-file"));
    home.write("other.toml", "data_dir = 'of-the-other-file'\n");
    home.ok(&["import", "-", "--config", "other.toml"]);
    assert!(made("of-the-other-file"));
    let done = crate::process::finish(home.command(ROLLCALL).args(make).env("ROLLCALL_DATA_DIR", "of-the-environment"), "");
    assert!(done.code == 0 && made("of-the-environment"), "{done:?}");
    for (flag, name) in [("--data-dir", "of-the-flag"), ("--set", "data_dir=of-the-set")] {
        let mut command = home.command(ROLLCALL);
        command.args(make).args([flag, name]).env("ROLLCALL_DATA_DIR", "of-the-loser");
        let done = crate::process::finish(&mut command, "");
        assert!(done.code == 0 && made(name.trim_start_matches("data_dir=")) && !made("of-the-loser"), "{done:?}");
    }
    // The file's own setting of another key holds throughout.
    let mut command = home.command(ROLLCALL);
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir", "served"]);
    let server = Server::start(command).await;
    assert!(server.set_up_link().unwrap().starts_with("https://file.example/set-up/"), "{}", server.log());
}

#[test]
fn settings_before_and_behind_a_command_both_hold() {
    let home = Home::sqlite();
    home.import(&[user(50, "alice")]);
    let shown = |args: &[&str]| home.rows(&[args, &["policy", "show", "--json"]].concat()).remove(0);
    let one = ["--set", "sessions.idle_timeout=7h"];
    let policy = shown(&[&one[..], &["--set", "sessions.absolute_timeout=8d"]].concat());
    assert_eq!((&policy["idle_timeout"], &policy["absolute_timeout"]), (&json!("7h"), &json!("8days")));
    let line = ["--set", "sessions.idle_timeout=7h", "policy", "--set", "sessions.absolute_timeout=8d", "show", "--json"];
    let policy = home.rows(&[&line[..], &["--set", "sessions.remember_timeout=9d"]].concat()).remove(0);
    assert_eq!(
        (&policy["idle_timeout"], &policy["absolute_timeout"], &policy["remember_timeout"]),
        (&json!("7h"), &json!("8days"), &json!("9days"))
    );
    // Behind the command or before it, a mistake is one.
    for line in [
        &["--set", "no.such=1", "check", "--set", "log.filter=info"][..],
        &["--set", "log.filter=info", "check", "--set", "no.such=1"],
    ] {
        assert!(home.fails(2, line).contains("no.such"));
    }
    let twice = home.fails(2, &["--data-dir", "a", "check", "--data-dir", "b"]);
    assert!(twice.contains("--data-dir") && twice.contains("multiple times"), "{twice}");
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_of_kubernetes_services_are_a_warning() {
    let mut home = Home::sqlite();
    let of_services = [
        ("ROLLCALL_SERVICE_HOST", "10.0.0.1"),
        ("ROLLCALL_SERVICE_PORT", "9000"),
        ("ROLLCALL_SERVICE_PORT_HTTP", "9000"),
        ("ROLLCALL_PORT", "tcp://10.0.0.1:9000"),
        ("ROLLCALL_PORT_9000_TCP", "tcp://10.0.0.1:9000"),
        ("ROLLCALL_PORT_9000_TCP_PROTO", "tcp"),
        ("ROLLCALL_PORT_9000_TCP_PORT", "9000"),
        ("ROLLCALL_PORT_9000_TCP_ADDR", "10.0.0.1"),
        ("ROLLCALL_DB_SERVICE_HOST", "fd00::7"),
    ];
    for (name, value) in of_services {
        home = home.with(name, value);
    }
    let log = home.serve().await.stop().await;
    let checked = home.run(&["check"]);
    assert_eq!(checked.code, 0, "{checked:?}");
    for text in [&log, &checked.out] {
        assert_eq!(text.matches("no settings, and left out: ").count(), 1, "one warning: {text}");
        for part in ["and 6 more", "`enableServiceLinks: false`", "to set the port, use ROLLCALL_LISTEN"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    let home = Home::sqlite().with("ROLLCALL_PORT", "9000").with("ROLLCALL_VERSION", "0.1.0");
    let log = home.serve().await.stop().await;
    assert!(log.contains("left out: ROLLCALL_PORT, ROLLCALL_VERSION.") && log.contains("use ROLLCALL_LISTEN"), "{log}");
    for (name, value) in [("ROLLCALL_VERSIONS", "1"), ("ROLLCALL_SERVICE_HOTS", "10.0.0.1"), ("ROLLCALL_LISTEN_PORT", "9000")] {
        let error = Home::sqlite().with(name, value).fails(2, &["serve"]);
        assert!(error.contains(name) && error.contains("the nearest is ROLLCALL_"), "{error}");
    }
}

#[test]
fn characters_that_nobody_sees_are_refused_by_name() {
    let parts = [
        ("pw\r", "U+000D"),
        ("p\tw", "U+0009"),
        ("p\u{1b}[31mw", "U+001B"),
        ("pw\n", "U+000A"),
        ("p\u{85}w", "U+0085"),
        (" pw", "begins with a blank"),
        ("pw ", "ends with a blank"),
        ("pw\u{a0}", "ends with a blank"),
        ("\u{feff}pw", "begins with a blank"),
        ("pw\u{200b}", "ends with a blank"),
    ];
    for path in
        ["bootstrap.password", "bootstrap.token", "http.public_url", "data_dir", "geoip.city", "log.filter", "authentik.secret_key"]
    {
        let name = format!("ROLLCALL_{}", path.to_uppercase().replace('.', "__"));
        for (value, why) in parts {
            let error = Home::sqlite().with(&name, value).fails(2, &["check"]);
            assert!(error.contains(&name) && error.contains(why), "{name}: {error}");
            let error = Home::sqlite().fails(2, &["--set", &format!("{path}={value}"), "check"]);
            assert!(error.contains(path) && error.contains(why), "{path}: {error}");
        }
        let (table, key) = path.rsplit_once('.').unwrap_or(("", path));
        let home = Home::sqlite();
        let header = if table.is_empty() { String::new() } else { format!("[{table}]\n") };
        home.write("rollcall.toml", format!("{header}{key} = \"pw\\r\"\n"));
        let error = home.fails(2, &["check"]);
        assert!(error.contains(path) && error.contains("U+000D"), "{error}");
    }
    // A file whose lines end as Windows ends them is fine: they are no part of a value.
    let home = Home::sqlite();
    home.write("rollcall.toml", "[sessions]\r\nidle_timeout = '7h'\r\n");
    assert_eq!(home.run(&["check"]).code, 0);
}

#[test]
fn a_database_url_says_what_is_wrong_with_it() {
    for (url, code, word) in [
        ("sqlite:x?mode=rwc", 2, "no parameters"),
        ("sqlite::memory:", 2, "no parameters"),
        ("postgres://u:hunter2@127.0.0.1:1/d?sslmdoe=require", 1, "sslmdoe"),
        ("postgres://u:hunter2@127.0.0.1:1/d?sslmode=verify", 1, "verify-full"),
        ("postgres://u:hunter2@127.0.0.1:1/d?sslrootcert=/no/such.pem", 1, "sslrootcert"),
    ] {
        let error = Home::sqlite().with("ROLLCALL_DATABASE__URL", url).fails(code, &["serve"]);
        assert!(error.contains(word) && !error.contains("hunter2"), "{url}: {error}");
    }
    let error =
        Home::sqlite().with("ROLLCALL_DATABASE__URL", "postgres://u@127.0.0.1:1/d?sslmode=verify-full").fails(1, &["serve"]);
    assert!(!error.contains("cannot be read"), "the URL is fine, there is no database: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn links_lead_to_the_servers_own_address() {
    for (listen, origin) in
        [("0.0.0.0:0", "http://localhost:"), ("[::]:0", "http://localhost:"), ("127.0.0.1:0", "http://127.0.0.1:")]
    {
        let home = Home::sqlite();
        let mut command = home.command(ROLLCALL);
        command.args(["serve", "--listen", listen]);
        let server = Server::start(command).await;
        let link = server.set_up_link().unwrap();
        let port = server.origin.rsplit(':').next().unwrap();
        assert!(link.starts_with(&format!("{origin}{port}/set-up/")), "{listen}: {link}");
        let page = reqwest::Client::builder().no_proxy().build().unwrap().get(&link).send().await;
        assert_eq!(page.unwrap().status(), 200, "{link} opens");
        // A command that knows nothing of the flag prints the same address.
        let printed = home.ok(&["user", "recovery-link", "akadmin"]);
        assert!(printed.starts_with(&format!("{origin}{port}/set-up/")), "{printed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_could_be_guessed_is_refused() {
    for weak in ["x", "short", "aaaaaaaaaaaaaaaaaaaaaaaa"] {
        let home = Home::sqlite().with("ROLLCALL_BOOTSTRAP__TOKEN", weak);
        let error = home.fails(1, &["serve"]);
        assert!(error.contains("the key of a token") && !error.contains("aaaa"), "{error}");
        let token = json!({"kind": "token", "key": weak, "intent": "api", "user": 70, "expires": "2099-01-01T00:00:00Z"});
        let lines = [user(70, "carol"), token].map(|line| format!("{line}\n")).concat();
        let home = Home::sqlite();
        let done = home.run_with(&["import", "-"], &lines);
        assert!(done.code == 1 && done.err.contains("line 2: the key of a token"), "{done:?}");
    }
}

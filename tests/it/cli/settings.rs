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

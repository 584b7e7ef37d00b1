//! Secrets in files of their own, and the file that settings are read from.

use std::path::Path;

use crate::process::{Done, Home, ROLLCALL, eventually, finish, free_port, skip};
use crate::tls_database::{is_root, programs, ran};

/// The configuration line of `rollcall check`, and its warnings.
fn check(home: &Home) -> Done {
    home.run(&["check"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_read_from_its_file_in_each_form() {
    let sqlite = |home: &Home, name: &str| format!("sqlite:{}", home.folder().join(name).display());
    let uses = |home: &Home, done: &Done, name: &str| {
        let path = home.folder().join(name).display().to_string();
        assert!(done.code == 0 && done.out.contains(&format!("{path} does not exist yet")), "{done:?}");
    };
    // The variable that names a file.
    let home = Home::sqlite();
    let file = home.write("url", format!("{}\n", sqlite(&home, "a.db")));
    let home = home.with("ROLLCALL_DATABASE__URL_FILE", &file);
    uses(&home, &check(&home), "a.db");
    // The same setting in the settings file is weaker.
    home.write("rollcall.toml", format!("[database]\nurl = '{}'\n", sqlite(&home, "weak.db")));
    uses(&home, &check(&home), "a.db");
    // The settings file names one, in both forms, relative paths too.
    for form in ["file:url", &format!("file:{file}"), &format!("file://{file}")] {
        let home = Home::sqlite();
        home.write("url", format!("{}\r\n", sqlite(&home, "b.db")));
        std::fs::write(&file, format!("{}\r\n", sqlite(&home, "b.db"))).unwrap();
        home.write("rollcall.toml", format!("[database]\nurl = '{form}'\n"));
        uses(&home, &check(&home), "b.db");
    }
    // A credential of systemd is the weakest.
    let home = Home::sqlite();
    std::fs::create_dir(home.folder().join("credentials")).unwrap();
    home.write("credentials/database.url", sqlite(&home, "c.db"));
    home.write("credentials/of-another-program", "x");
    let credentials = home.folder().join("credentials").display().to_string();
    let home = home.with("CREDENTIALS_DIRECTORY", &credentials);
    uses(&home, &check(&home), "c.db");
    home.write("rollcall.toml", format!("[database]\nurl = '{}'\n", sqlite(&home, "d.db")));
    uses(&home, &check(&home), "d.db");
}

#[test]
fn mistakes_with_secret_files_are_named_and_show_no_secret() {
    let home = Home::sqlite().with("ROLLCALL_DATABASE__URL", "sqlite:/x").with("ROLLCALL_DATABASE__URL_FILE", "/x");
    let error = home.fails(2, &["check"]);
    assert_eq!(error, "rollcall: ROLLCALL_DATABASE__URL and ROLLCALL_DATABASE__URL_FILE are both set; unset one\n");
    let error = Home::sqlite().with("ROLLCALL_DATABASE__URL_FILE", "/no/such").fails(2, &["check"]);
    assert_eq!(error, "rollcall: ROLLCALL_DATABASE__URL_FILE: /no/such: No such file or directory\n");
    let error = Home::sqlite().with("ROLLCALL_LISTEN_FILE", "/x").fails(2, &["check"]);
    assert_eq!(error, "rollcall: ROLLCALL_LISTEN_FILE: listen is no secret; write ROLLCALL_LISTEN\n");
    for (content, what) in [("", "is empty"), ("hunter2\r", "holds a carriage return"), ("a\nhunter2\n", "holds a line break")] {
        let home = Home::sqlite();
        let file = home.write("secret", content);
        let home = home.with("ROLLCALL_BOOTSTRAP__PASSWORD_FILE", &file);
        let error = home.fails(2, &["check"]);
        assert_eq!(error, format!("rollcall: ROLLCALL_BOOTSTRAP__PASSWORD_FILE: {file} {what}\n"));
        // The same file, named by the settings file.
        let home = Home::sqlite();
        let file = home.write("secret", content);
        home.write("rollcall.toml", format!("bootstrap.password = 'file:{file}'\n"));
        let error = home.fails(2, &["check"]);
        assert_eq!(error, format!("rollcall: ./rollcall.toml: bootstrap.password: {file} {what}\n"));
    }
    // A value of the wrong form shows neither the value nor the file's content.
    let home = Home::sqlite();
    let file = home.write("secret", "mysql://me:hunter2@x");
    let error = home.with("ROLLCALL_DATABASE__URL_FILE", &file).fails(2, &["check"]);
    assert!(error.contains("ROLLCALL_DATABASE__URL_FILE") && !error.contains("hunter2"), "{error}");
    // `file:` is no mark in a setting that is not secret.
    let home = Home::sqlite();
    home.write("rollcall.toml", "sessions.idle_timeout = 'file:/x'\n");
    assert!(home.fails(2, &["check"]).contains("file:/x"));
}

#[test]
#[cfg(unix)]
fn check_warns_of_a_secret_that_every_user_may_read() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::sqlite();
    let file = home.write("secret", "a long password");
    let home = home.with("ROLLCALL_BOOTSTRAP__PASSWORD_FILE", &file);
    let warning = format!("warning  bootstrap.password: every user may read {file}");
    for (mode, warns) in [(0o644, true), (0o604, true), (0o640, false), (0o600, false)] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let done = check(&home);
        assert_eq!((done.code, done.out.contains(&warning)), (0, warns), "{mode:o}: {done:?}");
        assert!(!done.out.contains("a long password"), "{}", done.out);
    }
}

#[test]
#[cfg(unix)]
fn a_settings_file_that_may_be_planted_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::sqlite();
    let file = home.write("rollcall.toml", "sessions.idle_timeout = '7h'\n");
    let done = check(&home);
    assert!(done.code == 0 && done.out.contains("the file is ./rollcall.toml"), "{done:?}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    let error = home.fails(2, &["check"]);
    assert_eq!(error, "rollcall: ./rollcall.toml can be written by every user; name it with --config if you mean it\n");
    assert_eq!(home.run(&["check", "--config", "rollcall.toml"]).code, 0, "a named file is meant");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    if !is_root() {
        return skip("files can be given to another user by root alone");
    }
    std::os::unix::fs::chown(&file, Some(1001), None).unwrap();
    let error = home.fails(2, &["check"]);
    assert_eq!(error, "rollcall: ./rollcall.toml belongs to user 1001; name it with --config if you mean it\n");
    assert_eq!(home.run(&["check", "--config", "rollcall.toml"]).code, 0);
    // A link of another user chooses the file, also one of root's.
    std::fs::rename(&file, home.folder().join("real.toml")).unwrap();
    std::os::unix::fs::chown(home.folder().join("real.toml"), Some(0), None).unwrap();
    std::os::unix::fs::symlink("real.toml", &file).unwrap();
    assert_eq!(check(&home).code, 0);
    std::os::unix::fs::lchown(&file, Some(1001), None).unwrap();
    assert!(home.fails(2, &["check"]).contains("./rollcall.toml belongs to user 1001"));
}

/// A PostgreSQL that asks for passwords. It stops when this is dropped.
struct WithPasswords {
    bin: std::path::PathBuf,
    folder: tempfile::TempDir,
    port: u16,
}

impl WithPasswords {
    fn start(bin: std::path::PathBuf) -> Self {
        let folder = tempfile::TempDir::new().unwrap();
        let port = free_port();
        let this = Self { bin, folder, port };
        let root = this.folder.path().display().to_string();
        std::fs::write(this.file("pw"), "first one\n").unwrap();
        if is_root() {
            ran(Path::new("chown"), &["-R", "postgres:", &root], false);
        }
        let (data, pw) = (this.file("data"), format!("--pwfile={}", this.file("pw")));
        ran(&this.bin.join("initdb"), &["-D", &data, "-U", "rollcall", "-E", "UTF8", "-A", "scram-sha-256", &pw], true);
        let options = format!("-p {port} -k {root} -c listen_addresses=127.0.0.1 -c fsync=off");
        ran(&this.bin.join("pg_ctl"), &["-D", &data, "-l", &this.file("log"), "-w", "start", "-o", &options], true);
        this
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    async fn execute(&self, password: &str, sql: &str) {
        let url = format!("host=127.0.0.1 port={} user=rollcall password='{password}' dbname=postgres", self.port);
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(sql).await.unwrap();
    }
}

impl Drop for WithPasswords {
    fn drop(&mut self) {
        ran(&self.bin.join("pg_ctl"), &["-D", &self.file("data"), "-m", "immediate", "stop"], true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_of_postgres_is_changed_without_a_restart() {
    let Some(bin) = programs() else { return skip("PostgreSQL's initdb is not installed") };
    let database = WithPasswords::start(bin);
    let home = Home::sqlite();
    let file = home.write("password", "first one\n");
    // That of the URL is wrong, so it is not the one that is used.
    let url = format!("postgres://rollcall:wrong@127.0.0.1:{}/postgres", database.port);
    let home = home.with("ROLLCALL_DATABASE__URL", &url).with("ROLLCALL_DATABASE__PASSWORD_FILE", &file);
    let server = home.serve().await;
    assert_eq!(server.status("/-/health/ready/").await, 204);
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = 'rollcall'";
    let change = |to: &str| format!("ALTER USER rollcall PASSWORD '{to}'; {others}");
    // Changed in the database alone: new connections fail.
    database.execute("first one", &change("second one")).await;
    eventually("that the old password no longer serves", || async {
        (server.status("/-/health/ready/").await == 503).then_some(())
    })
    .await;
    std::fs::write(&file, "second one").unwrap();
    // A connection that signed in just before the change may not have been there to be ended.
    database.execute("second one", others).await;
    eventually("that the new password is read", || async { (server.status("/-/health/ready/").await == 204).then_some(()) }).await;
    // A file that is gone: the last password serves, and the log says so once.
    std::fs::remove_file(&file).unwrap();
    database.execute("second one", others).await;
    eventually("that the last password is kept", || async {
        let is_ready = server.status("/-/health/ready/").await == 204;
        (is_ready && server.log().contains("the database's password cannot be read again")).then_some(())
    })
    .await;
    let log = server.stop().await;
    assert!(["first one", "second one"].iter().all(|secret| !log.contains(secret)), "{log}");
    let error = finish(home.command(ROLLCALL).env("ROLLCALL_DATABASE__PASSWORD_FILE", "/no/such").arg("check"), "");
    assert_eq!(error.code, 2, "{error:?}");
}

//! The backup before an upgrade: with it, the older version can go on.

use std::path::Path;

use crate::process::{Home, Server};

/// What the fixture's administrator has as a token.
const TOKEN: &str = "upgrade-fixture-administrators-token";

/// An instance with the database of the first release, and people in it.
async fn of_the_first_release(home: &Home) {
    let name = if home.schema().is_some() { "postgres.sql" } else { "sqlite.sql" };
    let dump = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upgrade/v0.1.0").join(name);
    std::fs::create_dir_all(home.folder().join("data")).unwrap();
    home.execute(&std::fs::read_to_string(dump).unwrap()).await;
}

async fn count_sessions(server: &Server) -> u64 {
    let path = format!("{}?page_size=1", crate::process::SESSIONS);
    let answer = server.call(reqwest::Method::GET, &path, TOKEN).await;
    assert_eq!(answer.status(), 200);
    let body: serde_json::Value = answer.json().await.unwrap();
    body["pagination"]["count"].as_u64().unwrap()
}

fn head_of(path: &Path) -> serde_json::Value {
    let text = String::from_utf8(zstd::decode_all(std::fs::read(path).unwrap().as_slice()).unwrap()).unwrap();
    serde_json::from_str(text.lines().next().unwrap()).unwrap()
}

fn backup_of(home: &Home) -> std::path::PathBuf {
    home.data(&format!("before-{}.backup", env!("CARGO_PKG_VERSION")))
}

on_both!(an_upgrade_writes_a_backup_of_the_old_schema_first, |home| async move {
    of_the_first_release(&home).await;
    let server = home.serve().await;
    let backup = backup_of(&home);
    assert!(server.log().contains(&format!("the backup before it is {}", backup.display())), "{}", server.log());
    let head = head_of(&backup);
    assert_eq!(head["migrations"], serde_json::json!(["0001_init"]));
    // One of the four is past its time, and counts until it is swept.
    let live = 3..=4;
    assert!(live.contains(&count_sessions(&server).await));
    server.stop().await;
    let before = std::fs::metadata(&backup).unwrap().modified().unwrap();
    let server = home.serve().await;
    server.stop().await;
    assert_eq!(std::fs::metadata(&backup).unwrap().modified().unwrap(), before, "nothing is left to upgrade");

    // A newer version restores it on another database, and upgrades it there.
    let file = backup.display().to_string();
    let other = Home::sqlite();
    let done = other.run(&["restore", &file, "--keep-sessions"]);
    assert_eq!(done.code, 0, "{done:?}");
    let server = other.serve().await;
    assert!(live.contains(&count_sessions(&server).await));
    server.stop().await;
});

on_both!(an_older_schema_is_backed_up_as_it_is, |home| async move {
    of_the_first_release(&home).await;
    let file = home.folder().join("a.backup");
    home.ok(&["backup", &file.display().to_string(), "--without-key"]);
    assert_eq!(head_of(&file)["migrations"], serde_json::json!(["0001_init"]));
    let applied = home.texts("SELECT name FROM migrations ORDER BY name").await;
    assert_eq!(applied, ["0001_init"], "a backup upgrades nothing");
});

on_both!(other_commands_that_upgrade_make_the_backup_too_unless_a_setting_says_no, |home| async move {
    of_the_first_release(&home).await;
    let key = Home::sqlite();
    key.import(&[]);
    std::fs::copy(key.data("instance.key"), home.data("instance.key")).unwrap();
    home.ok(&["migrate", "--set", "database.backup_before_upgrade=false"]);
    assert!(!backup_of(&home).exists());
    let other = Home::sqlite();
    of_the_first_release(&other).await;
    std::fs::copy(key.data("instance.key"), other.data("instance.key")).unwrap();
    other.ok(&["user", "list"]);
    assert!(backup_of(&other).exists());
});

#[tokio::test(flavor = "multi_thread")]
async fn without_room_for_the_backup_nothing_is_upgraded() {
    let home = Home::sqlite();
    of_the_first_release(&home).await;
    let disk = home.folder().join("disk").display().to_string();
    std::fs::create_dir(&disk).unwrap();
    let mount = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=16k", "tmpfs", &disk]).status();
    if !mount.is_ok_and(|status| status.success()) {
        return crate::process::skip("no file system of a given size can be mounted");
    }
    let database = format!("sqlite:{}", home.data("rollcall.db").display());
    let done = home.run(&["--database-url", &database, "--set", &format!("data_dir={disk}"), "serve"]);
    assert!(std::process::Command::new("umount").arg(&disk).status().unwrap().success());
    assert_eq!(done.code, 1, "{done:?}");
    for part in [
        "no room for a backup before the upgrade: ",
        " needed, ",
        &format!(" free in {disk}. Make room, or set database.backup_before_upgrade=false"),
    ] {
        assert!(done.err.contains(part), "{part}: {done:?}");
    }
    assert_eq!(home.texts("SELECT name FROM migrations").await, ["0001_init"]);
}

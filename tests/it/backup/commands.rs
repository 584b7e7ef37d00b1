//! `rollcall backup` and `rollcall restore`, as people type them.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::process::{Home, PASSWORD, Person, ROLLCALL, finish};

fn path_of(home: &Home, name: &str) -> String {
    home.folder().join(name).display().to_string()
}

on_both!(a_backup_is_made_while_the_server_runs_and_restored_when_it_does_not, |home| async move {
    let home = home.with_administrator();
    let server = home.serve().await;
    let person = Person::signed_in(&server, "akadmin").await;
    let file = path_of(&home, "a.backup");
    let done = home.run(&["backup", &file]);
    assert_eq!((done.code, done.out.as_str()), (0, ""), "{done:?}");
    assert!(done.err.contains("backed up 1 user, 1 session to"), "{done:?}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!home.folder().join("a.backup.part").exists());
    let checked = home.ok(&["backup", "--check", &file]);
    assert!(checked.contains("instance key: in it") && checked.contains("users: 1\n"), "{checked}");
    // It is not replaced by accident.
    let before = std::fs::read(&file).unwrap();
    assert!(home.fails(1, &["backup", &file]).contains("exists; --force replaces it"));
    assert_eq!(std::fs::read(&file).unwrap(), before);
    home.ok(&["backup", &file, "--force"]);
    let check = home.run(&["check"]);
    assert!(check.out.contains("ok       backup: the last one was made 0 hours ago"), "{check:?}");

    let running = home.fails(1, &["restore", &file, "--replace", "--yes"]);
    assert!(running.contains("a Rollcall serves this database"), "{running}");
    assert!(person.is_signed_in().await, "nothing happened");
    server.stop().await;

    let message = home.fails(1, &["restore", &file]);
    assert!(message.contains("the database has 1 user; restore needs an empty one, or --replace"), "{message}");
    assert!(home.fails(1, &["restore", &file, "--replace"]).contains("add --yes"), "nobody is asked in a pipe");
    let done = home.run(&["restore", &file, "--replace", "--yes"]);
    assert_eq!((done.code, done.out.as_str()), (0, ""), "{done:?}");
    for said in ["All sessions ended (1 session)", "Passwords, tokens", "rollcall token remove", "rollcall user deactivate"] {
        assert!(done.err.contains(said), "{said}: {done:?}");
    }
    let server = home.serve().await;
    assert!(!person.at(&server).is_signed_in().await, "its session ended");
    let person = Person::signed_in(&server, "akadmin").await;
    server.stop().await;
    // With the sessions as they are.
    home.ok(&["backup", &file, "--force"]);
    home.ok(&["restore", &file, "--replace", "--yes", "--keep-sessions"]);
    let server = home.serve().await;
    assert!(person.at(&server).is_signed_in().await);
    server.stop().await;
});

on_both!(the_instance_key_goes_with_the_backup_and_no_other_is_replaced_by_accident, |home| async move {
    home.import(&[]);
    home.add_user("alice");
    let (with, without) = (path_of(&home, "with"), path_of(&home, "without"));
    home.ok(&["backup", &with]);
    home.ok(&["backup", &without, "--without-key"]);
    assert!(home.ok(&["backup", "--check", &without]).contains("instance key: not in it"));
    let (key, old) = (home.data("instance.key"), std::fs::read(home.data("instance.key")).unwrap());
    let secret = String::from_utf8(old.clone()).unwrap();
    let text = |path: &str| String::from_utf8(zstd::decode_all(std::fs::read(path).unwrap().as_slice()).unwrap()).unwrap();
    assert!(text(&with).contains(secret.trim()) && !text(&without).contains(secret.trim()));

    // None is here: it is put in place.
    std::fs::remove_file(&key).unwrap();
    let done = home.run(&["restore", &without, "--replace", "--yes"]);
    assert!(done.code == 0 && done.err.contains("second factors cannot be opened"), "{done:?}");
    assert!(!key.exists());
    assert!(home.fails(1, &["backup", &path_of(&home, "x")]).contains("--without-key leaves it out"));
    home.ok(&["restore", &with, "--replace", "--yes"]);
    assert_eq!(std::fs::read(&key).unwrap(), old);
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);

    // Another one is here.
    let another = Home::sqlite();
    another.import(&[]);
    std::fs::copy(another.data("instance.key"), &key).unwrap();
    let other = std::fs::read(&key).unwrap();
    assert_ne!(other, old);
    let message = home.fails(1, &["restore", &with, "--replace", "--yes"]);
    assert!(message.contains("another instance key") && message.contains("--replace-key"), "{message}");
    assert_eq!(std::fs::read(&key).unwrap(), other, "nothing happened");
    home.ok(&["restore", &with, "--replace", "--yes", "--replace-key"]);
    assert_eq!(std::fs::read(&key).unwrap(), old);
    assert_eq!(std::fs::read(home.data("instance.key.replaced")).unwrap(), other);
});

on_both!(a_damaged_backup_leaves_the_database_as_it_is, |home| async move {
    home.import(&[]);
    home.add_user("alice");
    let file = path_of(&home, "a.backup");
    home.ok(&["backup", &file]);
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&file, bytes).unwrap();
    home.add_user("bob");
    let message = home.fails(1, &["restore", &file, "--replace", "--yes"]);
    assert!(message.contains(&format!("{file}: line ")) && message.contains(": damaged; nothing was written"), "{message}");
    assert!(home.fails(1, &["backup", "--check", &file]).contains(": damaged"));
    assert_eq!(home.rows(&["user", "list", "--json"]).len(), 2);
    assert!(home.fails(1, &["restore", "/no/such/file", "--replace", "--yes"]).contains("/no/such/file: No such file"));
    let foreign = home.write("foreign", "not a backup at all, and longer than the seal of one");
    assert!(home.fails(1, &["restore", &foreign, "--replace", "--yes"]).contains("is no backup of Rollcall"));
});

on_both!(a_folder_of_backups_keeps_the_newest, |home| async move {
    home.import(&[]);
    let folder = path_of(&home, "backups");
    std::fs::create_dir(&folder).unwrap();
    let names = || {
        let mut names: Vec<String> =
            std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    for name in ["rollcall-20200101T000000Z.backup", "rollcall-20210101T000000Z.backup", "mine.backup"] {
        let file = std::fs::File::create(format!("{folder}/{name}")).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(name.len() as u64)).unwrap();
    }
    home.ok(&["backup", "--into", &folder, "--keep", "2"]);
    let left = names();
    assert_eq!(left.len(), 3, "{left:?}");
    assert!(left.contains(&"mine.backup".to_owned()), "no other file is removed");
    let made = left.iter().find(|name| name.as_str() > "rollcall-2022");
    let made = made.unwrap_or_else(|| panic!("{left:?}"));
    home.ok(&["backup", "--check", &format!("{folder}/{made}")]);
    for wrong in [
        &["backup"][..],
        &["backup", "x", "--into", "y"],
        &["backup", "x", "--keep", "1"],
        &["backup", "--into", "y", "--keep", "0"],
    ] {
        assert_eq!(home.run(wrong).code, 2, "{wrong:?}");
    }
});

on_both!(a_backup_that_cannot_be_written_leaves_nothing, |home| async move {
    // More than the small disk below holds.
    let lines: Vec<_> = (1..2_000).map(|n| crate::support::seed::user(n, &format!("user-number-{n}"))).collect();
    home.import(&lines);
    // Through a pipe, and onto a full disk.
    let mut command = home.command("sh");
    let out = path_of(&home, "piped");
    let done = finish(command.args(["-c", &format!("{ROLLCALL} backup - > {out}")]), "");
    assert_eq!((done.code, done.out.as_str()), (0, ""), "{done:?}");
    home.ok(&["backup", "--check", &out]);
    let done = finish(home.command("sh").args(["-c", &format!("{ROLLCALL} backup - > /dev/full")]), "");
    assert!(done.code == 1 && done.err.contains("No space left on device"), "{done:?}");

    let disk = path_of(&home, "disk");
    std::fs::create_dir(&disk).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4k", "tmpfs", &disk]).status();
    if !mounted.is_ok_and(|status| status.success()) {
        return crate::process::skip("no file system of a given size can be mounted");
    }
    let full = format!("{disk}/a.backup");
    let done = home.run(&["backup", &full]);
    let left = std::fs::read_dir(&disk).unwrap().count();
    assert!(Command::new("umount").arg(&disk).status().unwrap().success());
    assert!(done.code == 1 && done.err.contains("a.backup: No space left on device"), "{done:?}");
    assert_eq!(left, 0, "neither the file nor a part of it");
    assert!(home.fails(1, &["backup", "/no/such/folder/a"]).contains("/no/such/folder/a: No such file"));
});

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_database_gives_no_backup() {
    let home = Home::sqlite();
    let lines: Vec<_> = (1..400).map(|n| crate::support::seed::user(n, &format!("user-number-{n}"))).collect();
    home.import(&lines);
    let path = home.data("rollcall.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    // All pages but the first ones, which hold the schema.
    let start = bytes.len() / 2;
    bytes[start..].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let file = path_of(&home, "a.backup");
    let message = home.fails(1, &["backup", &file]);
    assert!(message.contains("malformed") || message.contains("cannot be read"), "{message}");
    assert!(!home.folder().join("a.backup").exists() && !home.folder().join("a.backup.part").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_instance_nothing_is_backed_up_or_made() {
    let home = Home::sqlite();
    let file = path_of(&home, "a.backup");
    let message = home.fails(2, &["backup", &file]);
    assert!(message.contains("there is no Rollcall in") && message.contains("--data-dir or ROLLCALL_DATA_DIR"), "{message}");
    assert!(!home.folder().join("data").exists() && !home.folder().join("a.backup").exists());
    let wrong = home.write("wrong", "x");
    home.fails(1, &["restore", &wrong]);
    assert!(!home.folder().join("data").exists(), "the file is looked at first");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_moves_from_sqlite_to_postgresql_by_two_commands() {
    let (from, Some(to)) = (Home::sqlite().with_administrator(), Home::postgres().await) else { return };
    let server = from.serve().await;
    Person::signed_in(&server, "akadmin").await;
    let file = path_of(&from, "a.backup");
    from.ok(&["backup", &file]);
    server.stop().await;
    let done = to.run(&["restore", &file]);
    assert_eq!(done.code, 0, "{done:?}");
    let server = to.serve().await;
    let mut person = Person::new(&server, "curl/8");
    assert_eq!(person.sign_in("akadmin", PASSWORD).await.status(), 303);
    assert_eq!(std::fs::read(from.data("instance.key")).unwrap(), std::fs::read(to.data("instance.key")).unwrap());
    server.stop().await;
}

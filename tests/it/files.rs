//! Files that settings name: only regular files are read, and nothing waits for another one.
#![cfg(unix)]

use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::{Home, eventually};
use crate::support::geoip;

/// Longer than the job that looks for changed GeoIP files sleeps.
const A_LOOK: Duration = Duration::from_secs(6);

/// What is no regular file, with the words that name it.
fn odd_files(home: &Home) -> (UnixListener, Vec<(String, &'static str)>) {
    let at = |name: &str| home.folder().join(name).display().to_string();
    assert!(Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());
    std::fs::create_dir(at("folder")).unwrap();
    let socket = UnixListener::bind(at("socket")).unwrap();
    let files = vec![
        (at("fifo"), "is a FIFO"),
        (at("folder"), "is a directory"),
        (at("socket"), "is a socket"),
        ("/dev/zero".to_owned(), "is a device"),
    ];
    (socket, files)
}

/// Which files are open is asked of every process that this machine runs, so PostgreSQL adds
/// nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_geoip_path_that_is_no_file_blocks_neither_the_server_nor_its_end() {
    let home = Home::sqlite();
    let (_socket, files) = odd_files(&home);
    for (path, what) in &files {
        let home = Home::sqlite().with("ROLLCALL_GEOIP__CITY", path).with("ROLLCALL_GEOIP__ASN", path);
        let server = home.serve().await;
        assert_eq!(server.status("/-/health/live/").await, 204, "{path}");
        let before = Instant::now();
        let log = server.stop().await;
        assert!(before.elapsed() < Duration::from_secs(5), "{path}");
        assert!(log.contains(what) && log.contains(path), "{path}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifo_that_takes_the_place_of_a_geoip_file_is_left_alone() {
    let home = Home::sqlite();
    let city = home.folder().join("city.mmdb");
    geoip::write_city(&city, &[("198.51.100.0/24", "EU", "DE", "Berlin")]);
    let home = home.with("ROLLCALL_GEOIP__CITY", &city.display().to_string());
    let server = home.serve().await;
    std::fs::remove_file(&city).unwrap();
    assert!(Command::new("mkfifo").arg(&city).status().unwrap().success());
    eventually("a word in the log", || async { server.log().contains("is a FIFO").then_some(()) }).await;
    tokio::time::sleep(A_LOOK).await;
    assert_eq!(server.log().matches("is a FIFO").count(), 1, "it is said once: {}", server.log());
    let before = Instant::now();
    server.stop().await;
    assert!(before.elapsed() < Duration::from_secs(5), "SIGTERM ends the server");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_files_that_settings_name_are_refused_by_name() {
    let home = Home::sqlite();
    let (_socket, files) = odd_files(&home);
    for (path, what) in &files {
        for setting in ["ROLLCALL_USER_AGENT__RULES", "ROLLCALL_CONFIG"] {
            let before = Instant::now();
            let done = Home::sqlite().with(setting, path).run(&["serve"]);
            assert!(done.code != 0 && done.err.contains(what) && done.err.contains(path), "{setting} {path}: {done:?}");
            assert!(before.elapsed() < Duration::from_secs(10), "{setting} {path}");
        }
    }
    let home = Home::sqlite();
    std::fs::create_dir_all(home.folder().join("data")).unwrap();
    assert!(Command::new("mkfifo").arg(home.data("instance.key")).status().unwrap().success());
    let done = home.run(&["serve"]);
    assert!(done.code != 0 && done.err.contains("is a FIFO"), "{done:?}");
    let done = Home::sqlite().with("ROLLCALL_GEOIP__CITY", &files[0].0).run(&["check"]);
    assert!(done.code == 1 && done.out.contains("is a FIFO"), "{done:?}");
}

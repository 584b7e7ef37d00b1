//! The machine's clock jumps under a server that runs. A small library that is loaded into the server moves its wall
//! clock, and leaves the clock that counts since the machine started alone.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rollcall::domain::{Clock, Timestamp};
use serde_json::{Value, json};

use crate::process::{Home, ROLLCALL, SESSIONS, Server, eventually, skip};
use crate::support::seed;

const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(id, at);
    const char *path = getenv("CLOCK_OFFSET_FILE");
    if (done == 0 && id == CLOCK_REALTIME && path) {
        char text[32] = {0};
        int file = open(path, O_RDONLY);
        if (file >= 0) {
            if (read(file, text, sizeof text - 1) > 0) at->tv_sec += atol(text);
            close(file);
        }
    }
    return done;
}
"#;
const HOUR: i64 = 3600;

/// A server whose wall clock is moved by writing seconds into a file.
struct Moved {
    home: Home,
    shim: PathBuf,
}

impl Moved {
    /// `None` where there is no C compiler.
    fn new(home: Home) -> Option<Self> {
        let source = home.write("shim.c", SHIM);
        let shim = home.folder().join("shim.so");
        let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&shim).arg(source).arg("-ldl").output();
        if !made.is_ok_and(|made| made.status.success()) {
            skip("no C compiler (cc) makes the library that moves a clock");
            return None;
        }
        let offset = home.write("offset", "0");
        let home = home.with("ROLLCALL_SESSIONS__PURGE_INTERVAL", "1s").with("CLOCK_OFFSET_FILE", &offset).with_administrator();
        Some(Self { home, shim })
    }

    async fn serve(&self) -> Server {
        let mut command = self.home.command(ROLLCALL);
        command.arg("serve").env("LD_PRELOAD", &self.shim);
        Server::start(command).await
    }

    fn set(&self, seconds: i64) {
        // Replaced at once: a reader sees the one or the other.
        let new = self.home.write("offset.new", seconds.to_string());
        std::fs::rename(new, self.home.folder().join("offset")).unwrap();
    }

    /// Sessions of a user, which end at these times from now; the `n`th has the key `key-n`.
    fn import(&self, ends: &[i64]) {
        let at = |seconds: i64| Timestamp(Clock::System.now().0 + seconds * 1_000_000).to_string();
        let session = |(n, ends): (usize, &i64)| {
            let with = json!({"expires": at(*ends), "last_used": at(-HOUR)});
            seed::session(u32::try_from(n).unwrap(), 70, with)
        };
        let mut lines: Vec<Value> = vec![seed::user(70, "alice")];
        lines.extend(ends.iter().enumerate().map(session));
        self.home.import(&lines);
    }
}

/// What a session's cookie is answered.
async fn look(server: &Server, n: usize) -> u16 {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = http.get(format!("{}{SESSIONS}", server.origin)).header("cookie", format!("rollcall_session=key-{n}"));
    request.send().await.unwrap().status().as_u16()
}

/// What the detailed readiness says of the clock.
async fn clock(server: &Server) -> String {
    let answer = reqwest::get(format!("{}/-/health/ready/?detail", server.origin)).await.unwrap();
    answer.json::<Value>().await.unwrap()["clock"].as_str().unwrap().to_owned()
}

async fn doubted(server: &Server, words: &str) {
    eventually(words, async || clock(server).await.contains(words).then_some(())).await;
}

async fn believed(server: &Server) {
    eventually("the clock is believed", async || (clock(server).await == "believed").then_some(())).await;
}

/// Longer than some sweeps.
async fn some_sweeps() {
    tokio::time::sleep(Duration::from_millis(3500)).await;
}

async fn count(home: &Home, table: &str) -> String {
    home.texts(&format!("SELECT CAST(count(*) AS TEXT) FROM {table}")).await.remove(0)
}

on_both!(a_clock_that_jumps_ahead_deletes_nothing, |home| async move {
    let Some(moved) = Moved::new(home) else { return };
    moved.import(&[2 * HOUR, 2 * HOUR, -HOUR]);
    let server = moved.serve().await;
    eventually("the sweep of what is over", async || (count(&moved.home, "sessions").await == "2").then_some(())).await;
    for (seconds, words) in [(13 * HOUR, "ahead"), (100 * 24 * HOUR, "ahead")] {
        moved.set(seconds);
        doubted(&server, words).await;
        some_sweeps().await;
        assert_eq!(count(&moved.home, "sessions").await, "2", "nothing is swept");
        assert_eq!(count(&moved.home, "ended_sessions").await, "1", "nothing is purged");
        moved.set(0);
        believed(&server).await;
        assert_eq!(look(&server, 0).await, 200, "the session goes on");
    }
    let log = eventually("the log", async || Some(server.log()).filter(|log| log.contains("the clock is believed again"))).await;
    assert!(log.contains("the clock jumped: nothing is swept or purged by it"), "{log}");
    // What is over by the right time is still swept.
    moved.home.execute(&format!("UPDATE session_rows SET expires_at = {}", Clock::System.now().0 - 60_000_000)).await;
    eventually("the sweep", async || (count(&moved.home, "sessions").await == "0").then_some(())).await;
    server.stop().await;
});

on_both!(a_clock_that_goes_back_opens_no_session_again, |home| async move {
    let Some(moved) = Moved::new(home) else { return };
    moved.import(&[2 * HOUR, 30]);
    let server = moved.serve().await;
    assert_eq!((look(&server, 0).await, look(&server, 1).await), (200, 200));
    // Half a minute passes, within what two clocks may differ.
    moved.set(31);
    assert_eq!(look(&server, 1).await, 403, "it is over");
    tokio::time::sleep(Duration::from_millis(6000)).await;
    moved.set(-3 * HOUR);
    assert_eq!((look(&server, 0).await, look(&server, 1).await), (200, 403));
    doubted(&server, "behind").await;
    some_sweeps().await;
    assert_eq!(look(&server, 1).await, 403);
    server.stop().await;
    // Nor after a restart.
    let server = moved.serve().await;
    doubted(&server, "behind").await;
    assert_eq!((look(&server, 0).await, look(&server, 1).await), (200, 403));
    server.stop().await;
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jump_is_confirmed_by_a_command_and_seen_by_check() {
    let Some(moved) = Moved::new(Home::sqlite()) else { return };
    moved.import(&[2 * HOUR]);
    let server = moved.serve().await;
    moved.set(13 * HOUR);
    doubted(&server, "ahead").await;
    let check = async || moved.home.run(&["check"]).out;
    let seen = eventually("check says it", async || Some(check().await).filter(|out| out.contains("seconds ahead"))).await;
    assert!(seen.contains("warning  clock: "), "{seen}");
    assert!(moved.home.run(&["clock", "confirm"]).err.contains("confirmed"), "this machine's own clock is not the server's");
    tokio::time::sleep(Duration::from_millis(6000)).await;
    assert!(clock(&server).await.contains("ahead"), "the clock that was confirmed is another one");
    let mut command = moved.home.command(ROLLCALL);
    let done = crate::process::finish(command.args(["clock", "confirm"]).env("LD_PRELOAD", &moved.shim), "");
    assert_eq!(done.code, 0, "{done:?}");
    believed(&server).await;
    eventually("the sweep by the confirmed clock", async || (count(&moved.home, "sessions").await == "0").then_some(())).await;
    server.stop().await;
}

//! `rollcall check` and `rollcall watch` next to an authentik, and a server that polls by itself.

use std::time::Duration;

use rollcall::domain::{Clock, SessionId};

use super::authentik::{Authentik, EndFault, Fault, TOKEN};
use super::session;
use crate::process::{self, Home, SESSIONS, eventually};

/// An authentik with some sessions, and a home that watches it. The token is in a file.
pub async fn watching(home: Home) -> (Home, Authentik) {
    let authentik = Authentik::start(Clock::System).await;
    let now = Clock::System.now();
    for user in 2..9 {
        authentik.world().begin(SessionId::generate(now).unwrap(), session(user, now));
    }
    let home = home.with("ROLLCALL_AUTHENTIK__URL", &authentik.origin()).with("ROLLCALL_AUTHENTIK__SHARE", "1");
    let file = home.write("token", format!("{TOKEN}\n"));
    let home = home.with("ROLLCALL_AUTHENTIK__TOKEN_FILE", &file);
    (home.with("ROLLCALL_AUTHENTIK__EVERY", "200ms"), authentik)
}

on_both!(check_says_what_is_wrong_with_authentik_and_what_to_do, |home| async move {
    let (home, authentik) = watching(home).await;
    let done = home.run(&["check"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("answers as 2026.8.1; the token belongs to rollcall"), "{}", done.out);
    assert!(done.out.contains("the token sees 7 sessions"), "{}", done.out);

    authentik.world().most = 3;
    let done = home.run(&["check"]);
    assert!(done.code == 0 && done.out.contains("a page has 3 sessions at most"), "{done:?}");
    let now = Clock::System.now();
    for (at, words) in
        [(now.plus(Duration::from_secs(600)), "its clock is 9m"), (now.minus(Duration::from_secs(3_600)), "behind this machine's")]
    {
        authentik.world().clock = Clock::fixed(at);
        let done = home.run(&["check"]);
        assert!(done.code == 0 && done.out.contains(words), "{done:?}");
    }
    authentik.world().clock = Clock::System;
    authentik.world().sees_all = false;
    let done = home.run(&["check"]);
    assert!(!done.out.contains("its clock"), "{done:?}");
    assert!(done.code == 0 && done.out.contains("authentik_core.view_authenticatedsession"), "{done:?}");
    authentik.world().sees_users = false;
    let done = home.run(&["check"]);
    assert!(done.code == 0 && done.out.contains("authentik_core.view_user"), "{done:?}");

    for (fault, words) in [
        (Fault::Redirect, "redirects are refused"),
        (Fault::Status(404), "must be its API"),
        (Fault::Status(502), "the status 502"),
        (Fault::Incomplete, "cannot be read"),
        (Fault::Cut, "cannot be reached"),
    ] {
        authentik.world().fault = fault;
        let done = home.run(&["check"]);
        assert!(done.code == 1 && done.out.contains(words), "{fault:?}: {done:?}");
    }
    authentik.world().fault = Fault::None;
    authentik.world().takes_token = false;
    let done = home.run(&["check"]);
    assert!(done.code == 1 && done.out.contains("refuses the token") && done.out.contains("expiring: false"), "{done:?}");
    authentik.world().takes_token = true;
    authentik.world().is_superuser = true;
    let done = home.run(&["check"]);
    assert!(done.code == 1 && done.out.contains("the superuser rollcall"), "{done:?}");
    let home = home.with("ROLLCALL_AUTHENTIK__ALLOW_SUPERUSER", "true");
    let done = home.run(&["check"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(authentik.world().log.iter().all(|(method, _, _)| method == "GET"), "a check only reads");
});

#[tokio::test]
async fn addresses_that_give_the_token_away_are_refused_at_start() {
    for (url, words) in [
        ("http://auth.example", "is http on another machine"),
        ("https://auth.example/path", "is not an address such as https://auth.example.com"),
        ("https://me@auth.example", "is not an address"),
    ] {
        let home = Home::sqlite().with("ROLLCALL_AUTHENTIK__URL", url).with("ROLLCALL_AUTHENTIK__TOKEN", TOKEN);
        let done = home.run(&["check"]);
        assert!(done.code == 2 && done.err.contains(words) && !done.err.contains(TOKEN), "{url}: {done:?}");
    }
    let done = Home::sqlite().with("ROLLCALL_AUTHENTIK__URL", "https://auth.example").run(&["check"]);
    assert!(done.code == 2 && done.err.contains("authentik.token is not"), "{done:?}");
}

on_both!(a_server_keeps_the_copy_and_the_command_line_shows_it, |home| async move {
    let (home, authentik) = watching(home.with_administrator()).await;
    let server = home.serve().await;
    let status = || async { serde_json::from_str::<serde_json::Value>(&home.run(&["watch", "status", "--json"]).out).ok() };
    let fresh = eventually("a first copy", || async { status().await.filter(|status| status["state"] == "fresh") }).await;
    assert_eq!((&fresh["sessions"], &fresh["copied"], &fresh["version"]), (&7.into(), &7.into(), &"2026.8.1".into()));
    let list = |args: &[&str]| home.rows(&[&["session", "list", "--source", "authentik", "--json"], args].concat());
    assert_eq!(list(&[]).len(), 7);
    let of_four = list(&["user:user-4"]);
    assert_eq!((of_four.len(), &of_four[0]["user"], &of_four[0]["source"]), (1, &4.into(), &"authentik".into()));
    assert_eq!(list(&["192.0.2.5"])[0]["username"], "user-5");
    assert_eq!(list(&["USER-6"]).len() + list(&["--last-ip", "192.0.2.8"]).len(), 2);
    let by_name: Vec<String> =
        list(&["--ordering", "-username", "--limit", "2"]).iter().map(|row| row["username"].to_string()).collect();
    assert_eq!(by_name, ["\"user-8\"", "\"user-7\""]);
    assert_eq!(home.run(&["session", "list", "--source", "authentik", "user:nobody"]).code, 3);
    assert_eq!(home.rows(&["session", "list", "--json"]).len(), 0, "none of them is a session of Rollcall");
    let table = home.run(&["session", "list", "--source", "authentik"]);
    assert!(table.err.contains("as of ") && table.err.contains("7 of 7 sessions copied"), "{table:?}");
    let first = authentik.world().sessions.keys().next().copied().unwrap();
    let shown = home.rows(&["session", "list", "--source", "all", "--ordering", "uuid", "--json"]);
    assert_eq!((shown.len(), &shown[0]["uuid"]), (7, &first.to_string().into()));
    let one = home.run(&["session", "show", &first.to_string()]);
    assert!(one.code == 0 && one.out.contains("authentik") && one.out.contains("first_seen"), "{one:?}");
    let exported = home.run(&["export", "--source", "all"]);
    assert_eq!((exported.code, exported.out.lines().count()), (0, 7), "{exported:?}");
    assert_eq!(home.run(&["export"]).out.lines().count(), 0);
    let refused = home.run(&["session", "end", "--source", "all", "--yes", "192.0.2.5"]);
    assert!(refused.code == 2 && refused.err.contains("one filter each"), "{refused:?}");
    authentik.world().end(first);
    eventually("an end", || async { status().await.filter(|status| status["copied"] == 6) }).await;
    let ended = home.run(&["session", "list", "--ended", "--json"]).out;
    assert!(ended.contains(&first.to_string()) && ended.contains("\"gone\""), "{ended}");

    // Another process may poll only when the server does not.
    let done = home.run(&["watch", "run", "--once"]);
    assert!(done.code == 1 && done.err.contains("another process polls"), "{done:?}");
    let (command, log) = (std::fs::read(format!("/proc/{}/cmdline", server.id())).unwrap(), server.stop().await);
    assert!(log.contains("authentik"), "{log}");
    for text in [log, exported.out, String::from_utf8(command).unwrap()] {
        assert!(!text.contains(TOKEN), "{text}");
    }
    let done = home.run(&["watch", "run", "--once"]);
    assert!(done.code == 0 && done.out.contains("fresh"), "the server gave the lease back: {done:?}");

    // A token that was replaced is read from its file; the old one is refused.
    home.write("token", "another-token");
    let done = home.run(&["watch", "run", "--once"]);
    assert!(done.code == 1 && done.err.contains("refuses the token"), "{done:?}");
    home.write("token", TOKEN);
    assert_eq!(home.run(&["watch", "run", "--once"]).code, 0);
    for file in std::fs::read_dir(home.folder().join("data")).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes()), "the token is in the data directory");
    }
});

on_both!(a_server_that_is_killed_goes_on_from_its_copy, |home| async move {
    let (home, authentik) = watching(home.with_administrator()).await;
    let copied = || async {
        let out = home.run(&["watch", "status", "--json"]).out;
        serde_json::from_str::<serde_json::Value>(&out).ok().and_then(|status| status["copied"].as_i64())
    };
    let mut all: Vec<SessionId> = authentik.world().sessions.keys().copied().collect();
    for round in 0..3 {
        let server = home.serve().await;
        eventually("a copy", || async { copied().await.filter(|count| *count > 0) }).await;
        server.kill().await;
        let now = Clock::System.now();
        let new = SessionId::generate(now).unwrap();
        authentik.world().begin(new, session(3 + round, now));
        authentik.world().end(all.remove(0));
        all.push(new);
        // The lease of the killed server ends by itself; no test waits for that long.
        home.execute("UPDATE sources SET lease_until = 0").await;
    }
    assert_eq!(home.run(&["watch", "run", "--once"]).code, 0);
    let ended: usize = home.rows(&["session", "list", "--ended", "--json"]).len();
    assert_eq!((copied().await, ended), (Some(7), 3));
});

on_both!(a_server_that_is_killed_during_an_end_finds_out_what_became_of_it, |home| async move {
    let (home, authentik) = watching(home.with_administrator()).await;
    let uuids: Vec<SessionId> = authentik.world().sessions.keys().copied().collect();
    for (uuid, fault) in [(uuids[0], EndFault::HangsAfter), (uuids[1], EndFault::HangsBefore)] {
        let server = home.serve().await;
        eventually("a copy that is not old", || async { home.ok(&["watch", "status"]).contains("fresh").then_some(()) }).await;
        authentik.world().end_fault = fault;
        let end = reqwest::Client::new().delete(format!("{}{SESSIONS}{uuid}/", server.origin)).bearer_auth(process::TOKEN);
        let caller = tokio::spawn(end.send());
        let is_sent = |target: &str| target.ends_with(&format!("{uuid}/"));
        eventually("the request at authentik", || async {
            authentik.world().log.iter().any(|(method, target, _)| method == "DELETE" && is_sent(target)).then_some(())
        })
        .await;
        server.kill().await;
        assert!(caller.await.unwrap().is_err(), "the caller is not told what became of it");
        authentik.world().end_fault = EndFault::None;
        assert_eq!(home.texts("SELECT state FROM asked_ends ORDER BY id DESC LIMIT 1").await, ["sent"]);
        // No test waits for the lease of the killed server, nor for as long as a request may be under way.
        home.execute("UPDATE sources SET lease_until = 0").await;
        home.execute("UPDATE asked_ends SET sent_at = 0").await;
        assert_eq!(home.run(&["watch", "run", "--once"]).code, 0);
    }
    assert_eq!(home.texts("SELECT state FROM asked_ends ORDER BY id").await, ["ended", "still_there"]);
    let ended = home.rows(&["session", "list", "--ended", "--json"]);
    assert_eq!((ended.len(), &ended[0]["uuid"], &ended[0]["reason"]), (1, &uuids[0].to_string().into(), &"revoked".into()));
    assert_eq!((&ended[0]["ended_by"], authentik.world().sessions.len()), (&"akadmin".into(), 6));
});

on_both!(the_command_line_ends_a_session_at_authentik, |home| async move {
    let (home, authentik) = watching(home.with_administrator()).await;
    let uuids: Vec<String> = authentik.world().sessions.keys().map(ToString::to_string).collect();
    home.serve().await.stop().await;
    assert_eq!(home.run(&["watch", "run", "--once"]).code, 0);
    let done = home.run(&["session", "revoke", &uuids[0], &uuids[1], "--yes", "--reason", "stolen"]);
    assert!(done.code == 0 && done.err.contains("Not reached: tokens") && done.err.contains("ended 2 sessions"), "{done:?}");
    assert_eq!(authentik.world().sessions.len(), 5);
    let ended = home.rows(&["session", "list", "--ended", "--json"]);
    assert!(
        ended.iter().all(|row| row["reason"] == "revoked" && row["comment"] == "stolen" && row["ended_by"] == "cli"),
        "{ended:?}"
    );
    authentik.world().end_fault = EndFault::Denied;
    let done = home.run(&["session", "revoke", &uuids[2], "--yes"]);
    assert!(done.code == 1 && done.err.contains("authentik_core.delete_authenticatedsession"), "{done:?}");
    authentik.world().end_fault = EndFault::CutAfter;
    let done = home.run(&["session", "revoke", &uuids[3], "--yes"]);
    assert!(done.code == 1 && done.err.contains("it is not known whether authentik ended the session"), "{done:?}");
    assert!(home.ok(&["watch", "status", "--json"]).contains("\"unknown_ends\":1"));
    home.execute("UPDATE sources SET seen_at = 1").await;
    let done = home.run(&["session", "revoke", &uuids[4], "--yes"]);
    assert!(done.code == 1 && done.err.contains("watch run --once"), "{done:?}");
    assert_eq!(home.run(&["session", "revoke", &uuids[0], "--yes"]).code, 1);
});

on_both!(an_end_of_many_at_authentik_goes_on_after_a_crash, |home| async move {
    let (home, authentik) = watching(home.with_administrator().with("ROLLCALL_AUTHENTIK__ENDS_PER_SECOND", "4")).await;
    let server = home.serve().await;
    eventually("a copy", || async { home.ok(&["watch", "status"]).contains("fresh").then_some(()) }).await;
    let body = serde_json::json!({"source": "authentik", "network": "192.0.2.0/29", "expected_count": 6});
    let url = format!("{}{SESSIONS}revoke/", server.origin);
    let begun = reqwest::Client::new().post(url).bearer_auth(process::TOKEN).json(&body).send().await.unwrap();
    assert_eq!(begun.status(), 202);
    let sent = || {
        let world = authentik.world();
        let ends = world.log.iter().filter(|(method, _, _)| method == "DELETE");
        ends.map(|(_, target, _)| target.clone()).collect::<Vec<String>>()
    };
    eventually("some ends", || async { (sent().len() >= 2).then_some(()) }).await;
    server.kill().await;
    assert!(sent().len() < 6);
    // No test waits for the leases of the killed server, nor for as long as a request may be under way.
    home.execute("UPDATE sources SET lease_until = 0").await;
    home.execute("UPDATE source_jobs SET lease_until = 0").await;
    home.execute("UPDATE asked_ends SET sent_at = 1 WHERE sent_at > 0").await;
    let server = home.serve().await;
    let job = || async { home.rows(&["watch", "ends", "--json"]).pop().unwrap() };
    eventually("the end of the job", || async { Some(job().await).filter(|job| job["state"] == "done" && job["unknown"] == 0) })
        .await;
    assert_eq!(authentik.world().sessions.len(), 1);
    let (mut unique, all) = (sent(), sent().len());
    unique.sort();
    unique.dedup();
    assert_eq!((unique.len(), all), (6, 6), "each is sent once");
    server.stop().await;
});

on_both!(the_command_line_ends_many_and_shows_how_far_it_is, |home| async move {
    let (home, authentik) = watching(home.with_administrator()).await;
    home.serve().await.stop().await;
    // No test waits for the lease of a server that was stopped in the middle of a poll.
    home.execute("UPDATE sources SET lease_until = 0").await;
    assert_eq!(home.run(&["watch", "run", "--once"]).code, 0);
    let end = |more: &[&str]| home.run(&[&["session", "end", "--source", "authentik"], more].concat());
    assert_eq!(end(&["user:nobody", "--yes"]).code, 3);
    let done = end(&["user:user-4", "--yes"]);
    assert!(done.code == 0 && done.err.contains("done: ended 1 of 1 sessions at authentik"), "{done:?}");
    let done = end(&["--everyone", "--yes"]);
    assert!(done.code != 0 && done.err.contains("--expected-count 6"), "{done:?}");
    assert_eq!(authentik.world().sessions.len(), 6);
    let done = end(&["--everyone", "--yes", "--expected-count", "6"]);
    assert!(done.code == 0 && done.err.contains("done: ended 6 of 6"), "{done:?}");
    let jobs = home.rows(&["watch", "ends", "--json"]);
    assert_eq!((jobs.len(), &jobs[0]["ended"], &jobs[1]["filter"]["username"]), (2, &6.into(), &"user-4".into()));
    assert_eq!(home.run(&["watch", "stop", jobs[0]["name"].as_str().unwrap()]).code, 1);
});

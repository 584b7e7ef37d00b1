//! What password hashing costs: bounded whatever clients do, and flat over many sign-ins.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::process::{Home, PASSWORD, Person, Server};
use crate::support::raw;

/// A field of the process's status in KiB: `VmRSS` (resident now) or `VmHWM` (resident at most).
fn memory(server: &Server, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_start_matches(':').split_whitespace().next().unwrap().parse().unwrap()
}

/// The cookie and the proof of a fresh sign-in form.
async fn form(address: SocketAddr) -> (String, String) {
    let page = raw::request(address, "GET", "/sign-in", &[], b"").await;
    let cookie = page.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let body = String::from_utf8(page.bytes).unwrap();
    let proof = body.split("name=\"proof\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    (cookie, proof.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sign_ins_whose_clients_hang_up_cost_no_more_memory_than_the_bound() {
    let home = Home::sqlite()
        .with_administrator()
        .with("ROLLCALL_SIGN_IN__ADDRESS_LIMIT", "0")
        .with("ROLLCALL_SIGN_IN__INSTANCE_LIMIT", "0");
    let server = home.serve().await;
    let address: SocketAddr = server.address().parse().unwrap();
    let (cookie, proof) = form(address).await;
    let before = memory(&server, "VmHWM");
    let attempts = (0..240).map(|n| {
        let body = format!("uid=nobody-{n}&password=a-wrong-password&next=%2F&proof={proof}");
        let head = format!(
            "POST /sign-in HTTP/1.1\r\nHost: {address}\r\nCookie: {cookie}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        async move {
            tokio::time::sleep(Duration::from_millis(n * 5)).await;
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            // Long enough for its turn to come.
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    });
    futures_util::future::join_all(attempts).await;
    let grown = memory(&server, "VmHWM").saturating_sub(before);
    let processors = std::thread::available_parallelism().unwrap().get() as u64;
    // One hash for each permit, and room for 240 connections.
    let bound = (processors.max(2) - 1) * 20 * 1024 + 40 * 1024;
    assert!(grown < bound, "{grown} KiB more than before, at most {bound} are right");
    assert!(Person::signed_in(&server, "akadmin").await.is_signed_in().await, "others are served");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resident_memory_is_flat_over_many_sign_ins() {
    let home = Home::sqlite().with_administrator();
    let server = home.serve().await;
    for _ in 0..5 {
        Person::signed_in(&server, "akadmin").await;
    }
    let after_five = memory(&server, "VmRSS");
    for _ in 0..25 {
        Person::signed_in(&server, "akadmin").await;
    }
    let after_thirty = memory(&server, "VmRSS");
    assert!(after_thirty < after_five + 15 * 1024, "{after_five} KiB, then {after_thirty} KiB: not one hash more");
    server.stop().await;
}

on_both!(a_hash_that_costs_too_much_is_refused_at_import, |home| async move {
    let line = |hash: &str| format!("{{\"kind\":\"user\",\"id\":7,\"username\":\"mallory\",\"password_hash\":\"{hash}\"}}\n");
    for params in ["m=19456,t=4000000,p=1", "m=3000000,t=1,p=1", "m=19456,t=2,p=64"] {
        let file = home.write(
            "users.jsonl",
            line(&format!("$argon2id$v=19${params}$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")),
        );
        let complaint = home.fails(1, &["import", &file]);
        assert!(complaint.contains("password_hash") && complaint.contains("128 MiB"), "{complaint}");
    }
    let file =
        home.write("users.jsonl", line("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"));
    home.ok(&["import", &file]);
    let server = home.serve().await;
    let mut person = Person::new(&server, "curl/8.5.0");
    assert_eq!(
        person.sign_in("mallory", "password").await.status(),
        303,
        "a hash of Argon2's own program, and {PASSWORD} is not it"
    );
    server.stop().await;
});

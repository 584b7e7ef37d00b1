//! Clients that are slow, rude, or many.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_dawdles_or_babbles_is_cut_off() {
    let home = Home::sqlite().with_administrator();
    let server = home.serve().await;
    let mut slow = TcpStream::connect(server.address()).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").await.unwrap();

    for head in [
        format!("GET / HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "x".repeat(1 << 20)),
        format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(1 << 20)),
        format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(5000)),
        "\u{0}\u{1}\u{2}\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n".to_owned(),
        "POST /sign-in HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n".to_owned(),
        "POST /sign-in HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n".to_owned(),
    ] {
        let (mut stream, shown) = (TcpStream::connect(server.address()).await.unwrap(), head.get(..60).unwrap_or(&head));
        // The server may hang up before it has read it all; then there is no answer to read either.
        drop(stream.write_all(head.as_bytes()).await);
        let mut answer = Vec::new();
        let reading = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
        assert!(reading.is_ok(), "{shown:?} is not cut off");
        let answer = String::from_utf8_lossy(&answer);
        let is_refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
        assert!(is_refused, "{shown:?}: {answer}");
        assert_eq!(server.status("/-/health/ready/").await, 204, "the server lives");
    }

    let mut answer = Vec::new();
    let reading = tokio::time::timeout(Duration::from_secs(30), slow.read_to_end(&mut answer)).await;
    assert!(reading.is_ok(), "a head that never ends is not waited for");
    assert!(!server.log().contains("panicked"));
}

/// A file of 1.5 MB that anybody may ask for.
const LARGE: &str = "/api/v3/browser/swagger-ui-bundle.js";

/// A connection from one of this machine's addresses that keeps as little unread as it may.
async fn connect_from(ip: &str, server: &Server) -> std::io::Result<TcpStream> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    socket.bind(format!("{ip}:0").parse().unwrap())?;
    socket.connect(server.address().parse().unwrap()).await
}

/// Asks for the large file many times over, and never reads.
async fn never_read(ip: &str, server: &Server) -> std::io::Result<TcpStream> {
    let mut stream = connect_from(ip, server).await?;
    let request = format!("GET {LARGE} HTTP/1.1\r\nhost: {}\r\n\r\n", server.address());
    stream.write_all(request.repeat(20).as_bytes()).await?;
    Ok(stream)
}

/// The status of a request from that address; `None` when the connection is refused or closed.
async fn status_from(ip: &str, server: &Server, path: &str) -> Option<u16> {
    let asking = async {
        let mut stream = connect_from(ip, server).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", server.address());
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        String::from_utf8_lossy(&answer).split(' ').nth(1)?.parse().ok()
    };
    tokio::time::timeout(Duration::from_secs(10), asking).await.unwrap_or(None)
}

/// Whether the other end of a connection is gone. What it sent is left unread.
fn is_gone(stream: &TcpStream) -> bool {
    stream.try_write(b" ").is_err_and(|error| error.kind() != std::io::ErrorKind::WouldBlock)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_is_cut_off() {
    let home = Home::sqlite();
    let server = home.serve().await;
    let stream = never_read("127.0.0.1", &server).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!is_gone(&stream), "it has time to read");
    within(Duration::from_secs(40), "that the connection ends", || async { is_gone(&stream).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_slowly_gets_everything() {
    let home = Home::sqlite();
    let server = home.serve().await;
    let mut stream = connect_from("127.0.0.1", &server).await.unwrap();
    let request = format!("GET {LARGE} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", server.address());
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut read, mut part, started) = (0, vec![0; 64 * 1024], std::time::Instant::now());
    loop {
        match stream.read(&mut part).await.unwrap() {
            0 => break,
            some => read += some,
        }
        // For longer than the time in which a client must have read something.
        if started.elapsed() < Duration::from_secs(25) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    assert!(read > 1_000_000, "{read}");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_few_file_descriptors_are_enough_to_serve_others_and_to_stop() {
    let home = Home::sqlite();
    let mut command = home.command("sh");
    command.args(["-c", "ulimit -n 96; exec \"$0\" serve", ROLLCALL]);
    let mut server = Server::start(command).await;
    let mut held = Vec::new();
    for _ in 0..120 {
        held.extend(never_read("127.0.0.1", &server).await);
    }
    assert_eq!(status_from("127.0.0.2", &server, "/-/health/ready/").await, Some(204), "one address has not all places");
    // Now all of them are taken.
    for n in 0..120 {
        held.extend(never_read(&format!("127.0.1.{}", n % 8), &server).await);
    }
    server.signal("TERM");
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.log());
    let lines = server.log().lines().filter(|line| line.contains("too many connections from one address")).count();
    assert!((1..=10).contains(&lines), "{lines} lines, not one for each connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_one_address_are_bounded() {
    let home = Home::sqlite().with("ROLLCALL_HTTP__MAX_CONNECTIONS_PER_ADDRESS", "3");
    let server = home.serve().await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(connect_from("127.0.0.1", &server).await.unwrap());
    }
    eventually("that a fourth is closed", || async {
        status_from("127.0.0.1", &server, "/-/health/live/").await.is_none().then_some(())
    })
    .await;
    assert_eq!(status_from("127.0.0.2", &server, "/-/health/live/").await, Some(204));
    held.pop();
    eventually("that its place is free", || async {
        (status_from("127.0.0.1", &server, "/-/health/live/").await == Some(204)).then_some(())
    })
    .await;
    server.stop().await;
    // Proxies bring the connections of everybody.
    let proxied = Home::sqlite().with("ROLLCALL_HTTP__MAX_CONNECTIONS_PER_ADDRESS", "1");
    let proxied = proxied.with("ROLLCALL_HTTP__TRUSTED_PROXIES", "127.0.0.0/8");
    let server = proxied.serve().await;
    let _held = [connect_from("127.0.0.1", &server).await.unwrap(), connect_from("127.0.0.1", &server).await.unwrap()];
    assert_eq!(status_from("127.0.0.1", &server, "/-/health/live/").await, Some(204));
}

/// Seconds of processor time that a process used so far.
#[cfg(target_os = "linux")]
fn processor_time(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_of_requests_for_a_large_file_compresses_it_once() {
    let home = Home::sqlite();
    let server = home.serve().await;
    let ask = async |times: usize| {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        let head = format!("GET {LARGE} HTTP/1.1\r\nhost: {}\r\naccept-encoding: gzip\r\n", server.address());
        let requests = format!("{}{head}connection: close\r\n\r\n", format!("{head}\r\n").repeat(times - 1));
        stream.write_all(requests.as_bytes()).await.unwrap();
        let mut answers = Vec::new();
        stream.read_to_end(&mut answers).await.unwrap();
        let count = answers.windows(24).filter(|bytes| bytes.eq_ignore_ascii_case(b"content-encoding: gzip\r\n")).count();
        assert_eq!(count, times);
        answers.len()
    };
    let before = processor_time(server.id());
    let one = ask(1).await;
    let first = processor_time(server.id()) - before;
    assert!(one < 700_000, "it is compressed: {one}");
    let before = processor_time(server.id());
    ask(60).await;
    let others = processor_time(server.id()) - before;
    // Compressing takes most of the first answer's time; 60 more would take 60 times as long.
    assert!(others < 10.0 * first.max(0.05), "the first took {first} s of processor time, 60 more took {others} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_break_the_rules_are_refused() {
    let home = Home::sqlite();
    let server = home.serve().await;
    let send = async |head: String| {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        drop(stream.write_all(head.as_bytes()).await);
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer).await);
        String::from_utf8_lossy(&answer).split(' ').nth(1).and_then(|status| status.parse::<u16>().ok())
    };
    for hosts in [
        "host: a.example\r\nhost: b.example\r\n",
        "host: a.example\r\nHOST: a.example\r\n",
        "",
        "host: a.example, b.example/\r\n",
        "host: a b\r\n",
        "host: user@a.example\r\n",
        "host: http://a.example\r\n",
    ] {
        let head = format!("GET /sign-in HTTP/1.1\r\n{hosts}connection: close\r\n\r\n");
        assert_eq!(send(head).await, Some(400), "{hosts:?}");
    }
    for (kib, status) in [(8, 200), (60, 200), (120, 200), (130, 431), (190, 431)] {
        let of_a_line = format!("GET /sign-in HTTP/1.1\r\nhost: a\r\nx: {}\r\nconnection: close\r\n\r\n", "y".repeat(kib * 1024));
        let line = format!("x: {}\r\n", "y".repeat(2043));
        let of_many = format!("GET /sign-in HTTP/1.1\r\nhost: a\r\n{}connection: close\r\n\r\n", line.repeat(kib / 2));
        let of_a_path = format!("GET /sign-in?{} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", "y".repeat(kib * 1024));
        // A target of 64 KiB or more is refused as such.
        let of_a_path = (of_a_path, if kib < 64 { 200 } else { 414 });
        for (head, status) in [(of_a_line, status), (of_many, status), of_a_path] {
            let seen = send(head).await;
            // Beyond the bound the server may hang up before all was sent, and its answer be lost.
            assert!(seen == Some(status) || (status != 200 && matches!(seen, None | Some(414 | 431))), "{kib} KiB: {seen:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_ends_is_not_waited_for() {
    let home = Home::sqlite();
    let server = home.serve().await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let head = format!(
        "POST /sign-in HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 60000\r\n\r\n",
        server.address()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let started = std::time::Instant::now();
    let mut answer = Vec::new();
    while answer.is_empty() {
        assert!(started.elapsed() < Duration::from_secs(90), "it is waited for");
        drop(stream.write_all(b"x").await);
        if let Ok(read) = tokio::time::timeout(Duration::from_secs(2), stream.read_buf(&mut answer)).await {
            read.unwrap();
        }
    }
    assert!(started.elapsed() > Duration::from_secs(50), "it has its time");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
}

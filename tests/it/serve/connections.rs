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

//! HTTP/1.1 by hand, for requests that no client library would send.

use std::net::SocketAddr;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Answer;

/// Sends a request and reads the answer to its end. Nothing is added but `Host` (unless given) and
/// `Connection: close`.
pub async fn request(address: SocketAddr, method: &str, target: &str, headers: &[(&str, &[u8])], body: &[u8]) -> Answer {
    let mut head = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n").into_bytes();
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head.extend(format!("Host: {address}\r\n").as_bytes());
    }
    for (name, value) in headers {
        head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    head.extend(b"\r\n");
    head.extend(body);
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    // A server that refuses early may close before all is written; its answer is what counts.
    drop(stream.write_all(&head).await);
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    parse(&answer)
}

fn parse(answer: &[u8]) -> Answer {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(answer)));
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok()).expect("a status line");
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').expect("a header");
        headers.append(name.parse::<HeaderName>().expect("a name"), HeaderValue::from_str(value.trim()).expect("a value"));
    }
    assert!(!headers.contains_key("transfer-encoding"), "bodies come in one piece");
    Answer { status, headers, bytes: answer[end + 4..].to_vec() }
}

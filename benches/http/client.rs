//! A connection that is kept, and as little else as can be: the load must not cost more than what it
//! measures.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// One request: method, host, path with query, header lines, body.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    pub method: &'static str,
    /// The `Host`; `""` is the server's.
    pub host: String,
    /// The status that the answer must have; `None`: any of success and redirects.
    pub status: Option<u16>,
    pub path: String,
    pub head: String,
    pub body: String,
}

impl Ask {
    pub fn get(path: impl Into<String>, head: &str) -> Self {
        Self { method: "GET", path: path.into(), head: head.to_owned(), ..Self::default() }
    }
}

pub struct Client {
    address: String,
    stream: BufReader<TcpStream>,
    /// When the last answer came.
    last: Instant,
    /// The last answer's body.
    pub body: Vec<u8>,
    head: String,
}

/// After this long without a request a new connection is made.
const IDLE: Duration = Duration::from_secs(20);

fn open(address: &str) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    BufReader::with_capacity(1 << 17, stream)
}

impl Client {
    pub fn connect(address: &str) -> Self {
        Self { address: address.to_owned(), stream: open(address), last: Instant::now(), body: Vec::new(), head: String::new() }
    }

    /// Sends one request and gives the answer's status.
    pub fn ask(&mut self, ask: &Ask) -> u16 {
        // The server closes a connection that is idle for long.
        if self.last.elapsed() > IDLE {
            self.stream = open(&self.address);
        }
        let Ask { method, host, path, head, body, .. } = ask;
        let host = if host.is_empty() { crate::guard::HOME } else { host };
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n{head}{length}\r\n{body}");
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        self.head.clear();
        while !self.head.ends_with("\r\n\r\n") {
            assert!(self.stream.read_line(&mut self.head).unwrap() > 0, "{method} {path}: the server hung up");
        }
        let status = self.head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = self.headers("content-length").next().map_or(0, |length| length.parse().unwrap());
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body).unwrap();
        self.last = Instant::now();
        status
    }

    /// The headers of that name of the last answer.
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = |line: &'a str| line.split_once(':').filter(|(found, _)| found.eq_ignore_ascii_case(name));
        self.head.lines().filter_map(named).map(|(_, value)| value.trim())
    }

    /// The last answer's body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// Asks and expects success.
    pub fn get_json(&mut self, path: &str, head: &str) -> serde_json::Value {
        let status = self.ask(&Ask::get(path, head));
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&self.body));
        self.json()
    }
}

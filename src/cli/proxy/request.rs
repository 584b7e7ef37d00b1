//! A request that a probe sends.

use crate::actions::guard::probes::{AGENT, PARAMETER};

/// A request, as it is written.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// The method.
    pub(super) method: &'static str,
    /// What is before the path in the first line: `http://host` in the absolute form, else nothing.
    pub(super) origin: String,
    /// The path.
    pub(super) path: String,
    /// Parameters of the query beyond the proof, each with its `&`.
    pub(super) more: String,
    /// `Host`; `None`: that of the address.
    pub(super) host: Option<String>,
    /// Header lines.
    pub(super) lines: Vec<(String, String)>,
    /// What is sent as a trailer of a body.
    pub(super) trailers: Vec<(String, String)>,
}

impl Request {
    /// A plain one.
    pub(super) fn new(method: &'static str, path: &str) -> Self {
        Self {
            method,
            path: path.to_owned(),
            origin: String::new(),
            more: String::new(),
            host: None,
            lines: Vec::new(),
            trailers: Vec::new(),
        }
    }

    /// With one more header line.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.lines.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With the lines that open a WebSocket.
    pub(super) fn for_web_socket(self) -> Self {
        self.with("Upgrade", "websocket")
            .with("Connection", "Upgrade")
            .with("Sec-WebSocket-Version", "13")
            .with("Sec-WebSocket-Key", "cm9sbGNhbGwgY2hlY2sgIQ==")
    }

    /// Path and query.
    pub(super) fn target(&self, proof: &str) -> String {
        format!("{}?{PARAMETER}={proof}{}", self.path, self.more)
    }

    /// What it is, for people.
    pub(super) fn describe(&self) -> String {
        let lines = self.lines.iter().filter(|(name, _)| name != "Cookie" && !name.starts_with("Sec-WebSocket"));
        let lines: Vec<String> = lines.map(|(name, value)| format!("{name}: {value}")).collect();
        let host = self.host.as_ref().map(|host| format!("Host: {host}"));
        let all: Vec<String> = host.into_iter().chain(lines).collect();
        let with = if all.is_empty() { String::new() } else { format!(" with {}", all.join(", ")) };
        format!("{} {}{}{with}", self.method, self.origin, self.path)
    }

    /// The bytes, with the proof.
    pub(super) fn bytes(&self, authority: &str, proof: &str) -> Vec<u8> {
        let host = self.host.as_deref().unwrap_or(authority);
        let mut text = format!("{} {}{} HTTP/1.1\r\nHost: {host}\r\n", self.method, self.origin, self.target(proof));
        let mut line = |name: &str, value: &str| text.extend([name, ": ", value, "\r\n"]);
        line("User-Agent", AGENT);
        line("X-Rollcall-Key", proof);
        let has_connection = self.lines.iter().any(|(name, _)| name == "Connection");
        if !has_connection {
            line("Connection", "close");
        }
        for (name, value) in &self.lines {
            line(name, value);
        }
        if self.trailers.is_empty() {
            if matches!(self.method, "POST" | "PUT") {
                text.push_str("Content-Length: 0\r\n");
            }
            text.push_str("\r\n");
            return text.into_bytes();
        }
        let names: Vec<&str> = self.trailers.iter().map(|(name, _)| name.as_str()).collect();
        line("Trailer", &names.join(", "));
        text.push_str("Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n");
        for (name, value) in &self.trailers {
            text.extend([name, ": ", value, "\r\n"]);
        }
        text.push_str("\r\n");
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_written_byte_for_byte() {
        let request = Request { origin: "http://b".into(), more: "&c=1".into(), ..Request::new("POST", "/..%2f") };
        let text = String::from_utf8(request.with("X", "y").bytes("a", "p")).unwrap();
        let want = "POST http://b/..%2f?rollcall-probe=p&c=1 HTTP/1.1\r\nHost: a\r\nUser-Agent: rollcall check proxy\r\n\
            X-Rollcall-Key: p\r\nConnection: close\r\nX: y\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(text, want);
        let trailing = Request { trailers: vec![("T".into(), "v".into())], ..Request::new("POST", "/") };
        let text = String::from_utf8(trailing.bytes("a", "p")).unwrap();
        assert!(text.ends_with("Trailer: T\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nT: v\r\n\r\n"), "{text}");
    }
}

//! An app's server that is told of ends: it takes every notice at once.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The longest wait for notices. An app is told of 100 a second, so a large end takes longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest that a connection may be silent.
const SILENCE: Duration = Duration::from_secs(10);

/// What arrived: how many notices, and when the last one did.
#[derive(Clone, Copy, Default)]
struct Arrived {
    notices: u64,
    last: Option<Instant>,
}

/// A server on loopback that answers each request with 200.
pub struct Receiver {
    pub address: String,
    arrived: Arc<Mutex<Arrived>>,
}

impl Receiver {
    /// Listens for as long as the process runs.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let arrived = Arc::new(Mutex::new(Arrived::default()));
        let shared = Arc::clone(&arrived);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || drop(answer(&stream, &shared)));
            }
        });
        Self { address, arrived }
    }

    /// How many notices arrived so far.
    pub fn told(&self) -> u64 {
        self.arrived.lock().unwrap().notices
    }

    /// When the last one did.
    pub fn last(&self) -> Option<Instant> {
        self.arrived.lock().unwrap().last
    }

    /// Waits until this number arrived, and not too long.
    pub fn wait_for(&self, notices: u64) {
        let began = Instant::now();
        while self.told() < notices && began.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Reads one request, counts it and answers it.
fn answer(stream: &TcpStream, arrived: &Mutex<Arrived>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line)? > 0 && line != "\r\n" {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    if body.starts_with(b"logout_token=") {
        let mut arrived = arrived.lock().unwrap();
        *arrived = Arrived { notices: arrived.notices + 1, last: Some(Instant::now()) };
    }
    let mut stream = stream;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

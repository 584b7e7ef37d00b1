//! What comes before HTTP on a connection: a header of the PROXY protocol, and the handshake of TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::http::peer::Peer;
use crate::http::proxy_protocol::{self, Parsed, Source};

/// How long the header of the PROXY protocol may take.
const HEADER_TIME: Duration = Duration::from_secs(5);
/// How long a handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// How long a client that speaks HTTP on a port of TLS may take to read that.
const TOLD_TIME: Duration = Duration::from_secs(2);
/// The first byte of TLS: a record of a handshake.
const HANDSHAKE: u8 = 0x16;

/// The answer to HTTP on a port of TLS.
const SPEAKS_HTTPS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 22\r\n\
    X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nConnection: close\r\n\r\nthis port speaks https\n";

/// A stream of which some bytes were read already.
pub(super) struct Begun<S> {
    read: Vec<u8>,
    taken: usize,
    stream: S,
}

impl<S> Begun<S> {
    /// A stream of which nothing was read.
    pub(super) fn new(stream: S) -> Self {
        Self { read: Vec::new(), taken: 0, stream }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Begun<S> {
    /// Reads the header of the PROXY protocol and gives the peer that it names. `None` when there is none in time.
    pub(super) async fn header(&mut self, proxy: Peer) -> Option<Peer> {
        let source = timeout(HEADER_TIME, self.source()).await.ok()??;
        Some(match source {
            Source::Address(ip) => Peer::at(ip),
            Source::Proxy => proxy,
            Source::Unnamed => Peer::behind(&proxy),
        })
    }

    async fn source(&mut self) -> Option<Source> {
        loop {
            match proxy_protocol::parse(&self.read) {
                Parsed::Header(length, source) => {
                    self.taken = length;
                    return Some(source);
                }
                Parsed::More if self.read.len() < proxy_protocol::LONGEST => self.more(proxy_protocol::LONGEST).await?,
                Parsed::More | Parsed::Wrong => return None,
            }
        }
    }

    /// Reads some bytes, so that there are at most `most`. `None` at the end of the stream.
    async fn more(&mut self, most: usize) -> Option<()> {
        let left = most.saturating_sub(self.read.len());
        let read = (&mut self.stream).take(u64::try_from(left).ok()?).read_buf(&mut self.read).await.ok()?;
        (read > 0).then_some(())
    }

    /// Speaks TLS from here on. `None` when the client does not, in time; one that speaks HTTP is told.
    pub(super) async fn handshake(mut self, config: Arc<ServerConfig>) -> Option<TlsStream<Self>> {
        let shaking = async {
            if self.taken >= self.read.len() {
                self.more(self.read.len() + 1024).await?;
            }
            match self.read.get(self.taken) {
                Some(&HANDSHAKE) => TlsAcceptor::from(config).accept(self).await.ok(),
                Some(first) if first.is_ascii_alphabetic() => {
                    drop(timeout(TOLD_TIME, self.tell()).await);
                    None
                }
                _ => None,
            }
        };
        timeout(HANDSHAKE_TIME, shaking).await.ok().flatten()
    }

    /// Answers a client that speaks HTTP, and reads on until it closes: what is not read when a connection is closed
    /// may take the answer with it.
    async fn tell(&mut self) -> Option<()> {
        self.stream.write_all(SPEAKS_HTTPS).await.ok()?;
        self.stream.shutdown().await.ok()?;
        let mut rest = [0; 1024];
        while self.stream.read(&mut rest).await.ok()? > 0 {}
        Some(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Begun<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(rest) = this.read.get(this.taken..).filter(|rest| !rest.is_empty()) {
            let some = rest.get(..into.remaining().min(rest.len())).unwrap_or_default();
            into.put_slice(some);
            this.taken += some.len();
            if this.taken >= this.read.len() {
                (this.read, this.taken) = (Vec::new(), 0);
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Begun<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    fn proxy() -> Peer {
        Peer::at("10.0.0.1".parse().unwrap())
    }

    #[tokio::test]
    async fn what_follows_a_header_is_read_whole_however_it_arrives() {
        let sent = b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for chunk in [1, 2, 7, 40, 41, 42, 200] {
            let (mut far, near) = duplex(chunk);
            let sending = tokio::spawn(async move {
                for part in sent.chunks(chunk) {
                    far.write_all(part).await.unwrap();
                }
                far
            });
            let mut begun = Begun::new(near);
            let peer = begun.header(proxy()).await.unwrap();
            assert_eq!(peer, Peer::at("192.0.2.7".parse().unwrap()));
            let mut rest = [0; 27];
            begun.read_exact(&mut rest).await.unwrap();
            assert_eq!(&rest, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "{chunk}");
            drop(sending.await.unwrap());
        }
    }

    #[tokio::test]
    async fn a_connection_without_a_header_is_left_after_the_time() {
        let (mut far, near) = duplex(100);
        far.write_all(b"PROXY ").await.unwrap();
        let started = tokio::time::Instant::now();
        assert_eq!(Begun::new(near).header(proxy()).await, None);
        assert!(started.elapsed() >= HEADER_TIME, "{:?}", started.elapsed());
        let (mut far, near) = duplex(2000);
        far.write_all(&[b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x02\x09".as_slice(), &[0; 600]].concat()).await.unwrap();
        assert_eq!(Begun::new(near).header(proxy()).await, None, "it is longer than a header may be");
    }
}

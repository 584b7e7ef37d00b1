//! A connection whose peer must keep reading: a write that makes no progress ends it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How fast a peer must read while the server has something to send.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The time in which at least `bytes` must be taken.
    pub time: Duration,
    /// The least that counts as progress, in bytes.
    pub bytes: usize,
}

/// A stream that fails with [`io::ErrorKind::TimedOut`] when its peer reads more slowly than its [`Pace`].
///
/// The clock runs only while bytes wait for the peer: from the first write that the kernel does not take
/// at once until the peer took enough of them, or all. A connection that is idle, or whose answer is
/// still being made, is not timed here.
pub struct Paced<S> {
    stream: S,
    pace: Pace,
    /// What is done to the stream before it is given up.
    give_up: fn(&S),
    /// When the bytes that wait must be taken; `None` while none wait.
    deadline: Option<Pin<Box<Sleep>>>,
    /// How many were taken since the clock runs.
    taken: usize,
}

impl<S> Paced<S> {
    /// Wraps a stream. `give_up` is called with it once its peer turned out too slow.
    pub fn new(stream: S, pace: Pace, give_up: fn(&S)) -> Self {
        Self { stream, pace, give_up, deadline: None, taken: 0 }
    }

    /// Starts the clock unless it runs, and returns whether the deadline has passed.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let time = self.pace.time;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + time)));
        ready!(deadline.as_mut().poll(context));
        (self.give_up)(&self.stream);
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read what is sent"))
    }

    fn progress(&mut self, bytes: usize) {
        if self.deadline.is_some() {
            self.taken += bytes;
            if self.taken >= self.pace.bytes {
                self.stop_clock();
            }
        }
    }

    fn stop_clock(&mut self) {
        (self.deadline, self.taken) = (None, 0);
    }

    /// What a write of the stream came to: progress, or one more wait.
    fn wrote(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match outcome {
            Poll::Ready(Ok(bytes)) => {
                self.progress(bytes);
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.wait(context).map(Err),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.wrote(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Called by hyper when all that it buffered was taken.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Ready(flushed) => {
                self.stop_clock();
                Poll::Ready(flushed)
            }
            Poll::Pending => self.wait(context).map(Err),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const PACE: Pace = Pace { time: Duration::from_millis(400), bytes: 1000 };

    /// Writes to a peer that reads `chunk` bytes every `every`, and gives how it ended, and when.
    async fn write_to(length: usize, chunk: usize, every: Duration) -> (io::Result<()>, Duration) {
        let (near, mut far) = duplex(1000);
        let reader = tokio::spawn(async move {
            let mut bytes = vec![0; chunk.max(1)];
            loop {
                tokio::time::sleep(every).await;
                if chunk > 0 && far.read(&mut bytes).await.unwrap_or(0) == 0 {
                    break;
                }
            }
        });
        let (mut near, started) = (Paced::new(near, PACE, |_| ()), Instant::now());
        let written = near.write_all(&vec![7; length]).await;
        reader.abort();
        (written, started.elapsed())
    }

    #[tokio::test]
    async fn a_peer_that_never_reads_is_left_after_the_time() {
        let (written, took) = write_to(100_000, 0, Duration::from_secs(1)).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(took >= PACE.time && took < 10 * PACE.time, "{took:?}");
    }

    #[tokio::test]
    async fn a_peer_that_drips_is_left_too() {
        let (written, took) = write_to(100_000, 1, Duration::from_millis(10)).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(took >= PACE.time && took < 10 * PACE.time, "{took:?}");
    }

    #[tokio::test]
    async fn a_peer_that_is_slow_and_reads_on_gets_everything() {
        let (written, took) = write_to(10_000, 1000, Duration::from_millis(80)).await;
        written.unwrap();
        assert!(took > PACE.time, "longer than one wait: {took:?}");
    }

    #[tokio::test]
    async fn an_idle_connection_is_not_timed() {
        let (near, mut far) = duplex(1000);
        let mut near = Paced::new(near, PACE, |_| ());
        near.write_all(b"all of it").await.unwrap();
        near.flush().await.unwrap();
        tokio::time::sleep(2 * PACE.time).await;
        near.write_all(b", and more").await.unwrap();
        let mut read = [0; 19];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"all of it, and more");
    }
}

//! A limit on how long the head of a request may arrive, apart from how long a connection may be idle.
//!
//! The two must differ. A head that arrives slowly is an attack or a fault, and its connection is closed soon. An idle
//! connection must stay open for longer than the client keeps it (90 s in the API server): a request that is sent just as the
//! connection is closed is lost. hyper has one timer for both, which limits the idle time here.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use crate::connection::{Activity, Connection};

/// A stream that fails once the head of a request has been arriving for too long.
#[derive(Debug)]
pub struct HeaderTimeout<S> {
    stream: S,
    connection: Arc<Connection>,
    limit: Duration,
    timer: Pin<Box<Sleep>>,
}

impl<S> HeaderTimeout<S> {
    /// A head may take `limit` from its first byte. `connection` says whether one is arriving; a new connection may stay idle, as
    /// Go's client opens some that it uses later.
    pub fn new(stream: S, connection: Arc<Connection>, limit: Duration) -> Self {
        Self {
            stream,
            connection,
            limit,
            timer: Box::pin(sleep(limit)),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HeaderTimeout<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        match (this.connection.activity(), &polled) {
            (Activity::Idle, Poll::Ready(Ok(()))) if buffer.filled().len() > before => {
                this.connection.set_activity(Activity::Header);
                this.timer.as_mut().reset(Instant::now() + this.limit);
            }
            (Activity::Header, Poll::Pending) if this.timer.as_mut().poll(context).is_ready() => {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            _ => {}
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeaderTimeout<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    const LIMIT: Duration = Duration::from_secs(10);

    fn stream() -> (DuplexStream, HeaderTimeout<DuplexStream>) {
        let (client, server) = duplex(64);
        let (connection, _) = Connection::new(Ipv4Addr::LOCALHOST.into());
        (client, HeaderTimeout::new(server, connection, LIMIT))
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_may_be_idle_and_its_first_head_has_the_limit() {
        let (mut client, mut stream) = stream();
        let mut byte = [0];
        let silence = tokio::time::timeout(10 * LIMIT, stream.read_exact(&mut byte)).await;
        assert!(silence.is_err(), "silence is not a failure");

        client.write_all(b"P").await.unwrap();
        stream.read_exact(&mut byte).await.unwrap();
        let begin = Instant::now();
        let error = stream.read_exact(&mut byte).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begin.elapsed() >= LIMIT, "{:?}", begin.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_head_times_out_and_silence_between_requests_does_not() {
        let (mut client, mut stream) = stream();
        let mut byte = [0];

        client.write_all(b"P").await.unwrap();
        stream.read_exact(&mut byte).await.unwrap();
        stream.connection.set_activity(Activity::Answering);
        stream.connection.set_idle();
        let silence = tokio::time::timeout(10 * LIMIT, stream.read_exact(&mut byte)).await;
        assert!(silence.is_err(), "silence is not a failure");

        client.write_all(b"P").await.unwrap();
        stream.read_exact(&mut byte).await.unwrap();
        let trickle = async {
            loop {
                sleep(LIMIT / 4).await;
                let _ = client.write_all(b"O").await;
            }
        };
        let begin = Instant::now();
        let cut = async {
            loop {
                if let Err(error) = stream.read_exact(&mut byte).await {
                    return error;
                }
            }
        };
        let error = tokio::select! { error = cut => error, () = trickle => unreachable!() };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(
            begin.elapsed() <= LIMIT + Duration::from_millis(10),
            "{:?}",
            begin.elapsed()
        );
    }
}

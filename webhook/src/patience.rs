//! How long a client may take over the head of a request, and how long it may say nothing at all.
//!
//! The two must differ. A head that trickles in is an attack or a fault and is cut off soon. A connection that is kept
//! alive between two requests, or in store for the first one, must outlive the client's own patience (90 s in the API
//! server), because a client that sends just as we hang up loses its request. hyper's one timer covers the silence; this
//! covers the head.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// What a connection is doing.
#[derive(Clone, Debug)]
pub struct Stage(Arc<AtomicU8>);

const HEAD: u8 = 0;
const BUSY: u8 = 1;
const IDLE: u8 = 2;

impl Stage {
    /// A new connection. The client may keep it in store: Go's dials one for each request that waits, and a request for which
    /// another connection is free sooner leaves its own unused.
    pub fn connected() -> Self {
        Self(Arc::new(AtomicU8::new(IDLE)))
    }

    /// A request has come and is being answered.
    pub fn busy(&self) {
        self.0.store(BUSY, Ordering::Relaxed);
    }

    /// The answer is on its way; the client may be silent now.
    pub fn idle(&self) {
        self.0.store(IDLE, Ordering::Relaxed);
    }
}

/// A stream that fails once a head has been arriving for too long.
#[derive(Debug)]
pub struct Patient<S> {
    stream: S,
    stage: Stage,
    limit: Duration,
    timer: Pin<Box<Sleep>>,
}

impl<S> Patient<S> {
    /// Heads may take up to `limit` from their first byte.
    pub fn new(stream: S, stage: Stage, limit: Duration) -> Self {
        Self {
            stream,
            stage,
            limit,
            timer: Box::pin(sleep(limit)),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        match (this.stage.0.load(Ordering::Relaxed), &polled) {
            (IDLE, Poll::Ready(Ok(()))) if buffer.filled().len() > before => {
                this.stage.0.store(HEAD, Ordering::Relaxed);
                this.timer.as_mut().reset(Instant::now() + this.limit);
            }
            (HEAD, Poll::Pending) if this.timer.as_mut().poll(context).is_ready() => {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            _ => {}
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    #[tokio::test(start_paused = true)]
    async fn a_connection_may_wait_for_its_first_request() {
        let limit = Duration::from_secs(10);
        let (mut client, server) = duplex(64);
        let mut patient = Patient::new(server, Stage::connected(), limit);
        let mut byte = [0];
        let silence = tokio::time::timeout(10 * limit, patient.read_exact(&mut byte)).await;
        assert!(silence.is_err(), "silence is not a failure");

        // Once it has begun, its head counts as any other.
        client.write_all(b"P").await.unwrap();
        patient.read_exact(&mut byte).await.unwrap();
        let begin = Instant::now();
        let error = patient.read_exact(&mut byte).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begin.elapsed() >= limit, "{:?}", begin.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_head_is_cut_off_and_silence_between_requests_is_not() {
        let limit = Duration::from_secs(10);
        let (mut client, server) = duplex(64);
        let stage = Stage::connected();
        let mut patient = Patient::new(server, stage.clone(), limit);
        let mut byte = [0];

        client.write_all(b"P").await.unwrap();
        patient.read_exact(&mut byte).await.unwrap();
        stage.busy();
        stage.idle();
        let silence = tokio::time::timeout(10 * limit, patient.read_exact(&mut byte)).await;
        assert!(silence.is_err(), "silence is not a failure");

        client.write_all(b"P").await.unwrap();
        patient.read_exact(&mut byte).await.unwrap();
        let trickle = async {
            loop {
                sleep(limit / 4).await;
                let _ = client.write_all(b"O").await;
            }
        };
        let begin = Instant::now();
        let cut = async {
            loop {
                if let Err(error) = patient.read_exact(&mut byte).await {
                    return error;
                }
            }
        };
        let error = tokio::select! { error = cut => error, () = trickle => unreachable!() };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(
            begin.elapsed() <= limit + Duration::from_millis(10),
            "{:?}",
            begin.elapsed()
        );
    }
}

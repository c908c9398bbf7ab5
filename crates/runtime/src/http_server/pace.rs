//! Tells a slow request from an idle connection. hyper's one timer runs over both; a request's headers get ten seconds, an
//! idle connection more than a minute. hyper has no timer for a client that stops taking its answer; this has.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

const IDLE: u8 = 0;
const HEADERS: u8 = 1;
const REQUEST: u8 = 2;

/// Where a connection is: between requests, in the headers of one, or in the request itself.
#[derive(Clone)]
pub(super) struct Phase(Arc<AtomicU8>);

impl Phase {
    /// A new connection owes us its first headers.
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicU8::new(HEADERS)))
    }

    /// The headers are complete.
    pub(super) fn request(&self) {
        self.set(REQUEST);
    }

    /// The answer is on its way.
    pub(super) fn answered(&self) {
        self.set(IDLE);
    }

    // One task drives the whole connection, so the order of memory is the order of its steps.
    fn set(&self, phase: u8) {
        self.0.store(phase, Ordering::Relaxed);
    }

    fn is(&self, phase: u8) -> bool {
        self.0.load(Ordering::Relaxed) == phase
    }
}

/// A stream that fails when headers take too long, or when nothing of an answer is taken any more.
pub(super) struct Paced<S> {
    stream: S,
    phase: Phase,
    header_read: Duration,
    headers: Pin<Box<Sleep>>,
    stall: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Paced<S> {
    pub(super) fn new(stream: S, phase: Phase, header_read: Duration, stall: Duration) -> Self {
        Self { stream, phase, header_read, headers: Box::pin(sleep(header_read)), stall, stalled: None }
    }

    /// What is left of a write: a failure when none has made progress for too long.
    fn unless_stalled<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stall = self.stall;
        ready!(self.stalled.get_or_insert_with(|| Box::pin(sleep(stall))).as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, buffer) else {
            // Only waiting is cut off: what has come in counts, however late an overloaded process gets to it.
            if !self.phase.is(HEADERS) {
                return Poll::Pending;
            }
            ready!(self.headers.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        };
        read?;
        let began = buffer.filled().len() > before && self.phase.is(IDLE);
        if began {
            self.phase.set(HEADERS);
            let due = Instant::now() + self.header_read;
            self.headers.as_mut().reset(due);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.unless_stalled(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.unless_stalled(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.stream).poll_shutdown(context);
        self.unless_stalled(context, ended)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.unless_stalled(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

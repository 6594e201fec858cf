//! [`Call`]: one call of the handler, whose panics end its connection only.

use core::future::Future;
use core::pin::Pin;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};

use crate::error::{Error, Result};

/// One call of the handler. A panic in it is its error, wherever it comes from: the function that makes the future, a poll
/// of that, or its drop. (An executor aborts the process if the drop of a task panics.)
///
/// The future is boxed, so that a connection between two requests does not take the room of the largest handler.
pub(super) struct Call<F>(Option<Pin<Box<F>>>);

impl<F> Call<F> {
    /// Calls the handler.
    pub(super) fn new(handler: impl FnOnce() -> F) -> Call<F> {
        Call(catch(|| Box::pin(handler())))
    }

    /// Drops the future; `None` if that panicked.
    fn end(&mut self) -> Option<()> {
        catch(|| self.0 = None)
    }
}

impl<F: Future<Output = Result<()>>> Future for Call<F> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let polled = self.0.as_mut().and_then(|future| catch(|| future.as_mut().poll(cx)));
        if let Some(Poll::Pending) = polled {
            return Poll::Pending;
        }
        // Dropped here, where a panic can still be told.
        let ended = self.end();
        match (polled, ended) {
            (Some(answered), Some(())) => answered,
            _ => Poll::Ready(Err(Error::other("the handler panicked"))),
        }
    }
}

impl<F> Drop for Call<F> {
    fn drop(&mut self) {
        self.end();
    }
}

/// What it returns; `None` if it panicked. (The panic hook has told of it.)
fn catch<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

//! [`Call`]: one call of the handler. If the handler panics, its connection alone ends.

use core::future::Future;
use core::pin::Pin;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};

use crate::error::{Error, Result};

/// One call of the handler. A panic of the handler becomes an error, be it in the function that makes the future, in a poll
/// of the future, or in its drop. (An executor aborts the process if the drop of a task panics.)
///
/// The future is boxed, so that a connection between two requests does not take the room of the largest handler.
pub(super) struct Call<F>(Option<Pin<Box<F>>>);

impl<F> Call<F> {
    /// Calls the handler.
    pub(super) fn new(handler: impl FnOnce() -> F) -> Call<F> {
        Call(catch(|| Box::pin(handler())))
    }

    /// Drops the future; `None` if its drop panicked.
    fn drop_future(&mut self) -> Option<()> {
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
        // The future is dropped here, where a panic of its drop can still become the result.
        let ended = self.drop_future();
        match (polled, ended) {
            (Some(answered), Some(())) => answered,
            _ => Poll::Ready(Err(Error::other("the handler panicked"))),
        }
    }
}

impl<F> Drop for Call<F> {
    fn drop(&mut self) {
        self.drop_future();
    }
}

/// The value that `work` returns; `None` if it panicked. (The panic hook has told of the panic.)
fn catch<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

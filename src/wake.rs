//! Waking many tasks, of which one may be at fault.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// Wakes them all. One that panics has a bug that is its own executor's: the others are woken nonetheless, and so is the
/// caller spared, who would else end its deadlines, its shutdown or its publish over another's bug. (The panic hook has
/// told of it.)
pub(crate) fn all(wakers: impl IntoIterator<Item = Waker>) {
    let mut wakers = wakers.into_iter();
    while catch_unwind(AssertUnwindSafe(|| wakers.by_ref().for_each(Waker::wake))).is_err() {}
}

//! The standard library, but with locks and atomics that an explorer of schedules has in its hands. So the sources under
//! test are those that everybody builds.

pub use ::std::*;

pub mod sync {
    //! What waits, or is seen by other threads.

    pub use shuttle::sync::{Arc, LockResult, Mutex, MutexGuard, PoisonError, Weak, atomic};

    /// The one of the explorer's threads that comes second does not wait for the first: they run on one thread, which
    /// would wait for itself.
    #[derive(Debug)]
    pub struct OnceLock<T>(::std::sync::OnceLock<T>);

    impl<T> OnceLock<T> {
        pub const fn new() -> OnceLock<T> {
            OnceLock(::std::sync::OnceLock::new())
        }

        pub fn get(&self) -> Option<&T> {
            self.0.get()
        }

        pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
            if self.0.get().is_none() {
                let made = make();
                let _lost = self.0.set(made);
            }
            self.0.get().expect("it is set")
        }
    }

    impl<T> Default for OnceLock<T> {
        fn default() -> OnceLock<T> {
            OnceLock::new()
        }
    }
}

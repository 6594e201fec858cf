//! [`Step`]: complete, or more is needed; a fault is the error beside it.

/// What a parse step found in the bytes that it was given.
///
/// # Examples
///
/// See [`Head::parse`](super::head::Head::parse).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// All of it is there.
    Complete(T),
    /// It is right so far, and some next byte can make it whole.
    NeedMore,
}

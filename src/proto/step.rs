//! [`Step`]: the result of a parse step that met no fault.

/// The result of a parse step that met no fault.
///
/// # Examples
///
/// See [`Head::parse`](super::head::Head::parse).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// The element is whole.
    Complete(T),
    /// The element is legal so far, and further bytes can make it whole.
    NeedMore,
}

//! [`Request`]: what a connection keeps of the request that it is answering.

use crate::proto::head::Head;
use crate::proto::headers::Headers;

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) head: Head,
    /// The fields that its answer gets, whichever it is.
    pub(crate) headers: Headers,
    /// Bytes of its body that are being collected.
    pub(crate) collected: usize,
}

impl Default for Request {
    fn default() -> Request {
        Request { head: Head::EMPTY, headers: Headers::default(), collected: 0 }
    }
}

impl Request {
    /// Bytes of the peer's that it keeps.
    pub(crate) fn size(&self) -> usize {
        self.head.len() + self.collected
    }
}

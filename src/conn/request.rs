//! [`Request`]: what a connection keeps of the request that it is answering.

use crate::proto::head::Head;
use crate::proto::headers::Headers;

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) head: Head,
    /// The header fields that the handler has added to its response, whichever that will be.
    pub(crate) headers: Headers,
    /// How many bytes of its body were collected.
    pub(crate) collected: usize,
}

impl Default for Request {
    fn default() -> Request {
        Request { head: Head::EMPTY, headers: Headers::default(), collected: 0 }
    }
}

impl Request {
    /// How many received bytes it keeps.
    pub(crate) fn size(&self) -> usize {
        self.head.len() + self.collected
    }
}

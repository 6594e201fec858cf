//! [`Request`]: what a connection keeps of the request that it is answering.

use std::cell::Cell;

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

thread_local! {
    /// The memory of this thread's last request, for its next one: it saves three allocations for each request.
    static SPARE: Cell<Option<Box<Request>>> = const { Cell::new(None) };
}

impl Request {
    const EMPTY: Request = Request { head: Head::EMPTY, headers: Headers::EMPTY, collected: 0 };

    /// An empty request, in memory that the thread kept.
    pub(crate) fn new() -> Box<Request> {
        SPARE.take().unwrap_or_else(|| Box::new(Request::EMPTY))
    }

    /// The request is over: its memory is for the thread's next one.
    pub(crate) fn end(mut self: Box<Request>) {
        if self.head.is_small() {
            self.head.clear();
            (self.headers, self.collected) = (Headers::EMPTY, 0);
            self.put_back();
        }
    }

    /// The memory was not used.
    pub(crate) fn put_back(self: Box<Request>) {
        SPARE.set(Some(self));
    }

    /// How many received bytes it keeps.
    pub(crate) fn size(&self) -> usize {
        self.head.len() + self.collected
    }
}

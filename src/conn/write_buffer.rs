//! [`WriteBuffer`]: what a connection is about to write, and by when some of it must have been taken.

use core::cell::Cell;
use std::io::IoSlice;
use std::time::Duration;

use super::patience::Patience;
use crate::proto::content::Content;
use crate::server::clock::Moment;

/// As much must a peer take within [`Limits::write_time`](crate::Limits::write_time), in bytes, or all that is left: to
/// take one byte now and then is no progress.
pub(crate) const PROGRESS: usize = 16 * 1024;

/// Content up to this many bytes is copied behind its head, so that both are one write. Larger content is written from
/// where it is.
const COPIED: usize = 1024;

/// The most memory in bytes that a thread keeps for its next answer.
const REUSED: usize = 16 * 1024;

/// What a connection is about to write: a word, which owns nothing while there is nothing.
#[derive(Debug, Default)]
pub(crate) struct WriteBuffer(Option<Box<Outgoing>>);

#[derive(Debug, Default)]
struct Outgoing {
    bytes: Vec<u8>,
    /// Follows the bytes, from where it is.
    content: Content,
    /// How many of both are written.
    written: usize,
    /// What the peer must take next, from when it first let something wait.
    progress: Option<Progress>,
    /// Whether the end of the stream follows.
    last: bool,
}

/// So many bytes must be taken in that time.
#[derive(Debug)]
struct Progress {
    left: usize,
    patience: Patience,
}

thread_local! {
    /// The memory that this thread's last answer was written from, for the next one: it saves two allocations for each
    /// answer and each event. A connection that waits for its peer to read gives it back.
    static SPARE: Cell<Option<Box<Outgoing>>> = const { Cell::new(None) };
}

impl WriteBuffer {
    /// Whether nothing was put here since it was cleared. What is written in full stays until the stream has flushed it.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Where to append. What is written leaves, or it would stay for as long as a slow peer lets something wait.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        let outgoing = self.outgoing();
        outgoing.keep_content();
        outgoing.bytes.drain(..core::mem::take(&mut outgoing.written));
        &mut outgoing.bytes
    }

    /// Appends an answer's content.
    pub(crate) fn push(&mut self, content: Content) {
        match content.bytes() {
            bytes if bytes.len() <= COPIED => self.bytes().extend_from_slice(bytes),
            _ => {
                self.bytes();
                self.outgoing().content = content;
            }
        }
    }

    fn outgoing(&mut self) -> &mut Outgoing {
        self.0.get_or_insert_with(|| SPARE.take().unwrap_or_default())
    }

    /// How many bytes are not written yet.
    pub(crate) fn left(&self) -> usize {
        self.0.as_ref().map_or(0, |outgoing| outgoing.left())
    }

    /// What is not written yet, in two parts of which either may be empty.
    pub(crate) fn rest(&self) -> [IoSlice<'_>; 2] {
        let parts = self.0.as_ref().map_or([&[][..], &[]], |outgoing| outgoing.rest());
        parts.map(IoSlice::new)
    }

    /// So many of the rest were written.
    pub(crate) fn advance(&mut self, written: usize) {
        let outgoing = self.outgoing();
        outgoing.written += written;
        outgoing.progress.take_if(|progress| {
            progress.left = progress.left.saturating_sub(written);
            progress.left == 0
        });
    }

    /// The peer lets the rest wait; returns by when it must have taken some of it, `within` from the first time.
    /// Memory that the rest does not need goes back to the thread.
    pub(crate) fn wait(&mut self, within: Duration, now: impl FnOnce() -> Moment) -> Moment {
        let outgoing = self.outgoing();
        outgoing.shrink();
        let left = outgoing.left().min(PROGRESS);
        let patience = Patience::Left(within);
        outgoing.progress.get_or_insert(Progress { left, patience }).patience.resume(now)
    }

    /// Whoever has waited for the peer to read does so no more.
    pub(crate) fn pause(&mut self, now: impl FnOnce() -> Moment) {
        if let Some(progress) = self.0.as_mut().and_then(|outgoing| outgoing.progress.as_mut()) {
            progress.patience.pause(now);
        }
    }

    /// By when the peer must have read some of what waits.
    pub(crate) fn by(&self) -> Moment {
        let progress = self.0.as_ref().and_then(|outgoing| outgoing.progress.as_ref());
        progress.map_or(Moment::NEVER, |progress| progress.patience.by())
    }

    /// The end of the stream follows what is there.
    pub(crate) fn make_last(&mut self) {
        self.outgoing().last = true;
    }

    pub(crate) fn is_last(&self) -> bool {
        self.0.as_ref().is_some_and(|outgoing| outgoing.last)
    }

    /// All is written, or nobody wants it.
    pub(crate) fn clear(&mut self) {
        let Some(mut outgoing) = self.0.take() else { return };
        if outgoing.bytes.capacity() <= REUSED {
            let mut bytes = core::mem::take(&mut outgoing.bytes);
            bytes.clear();
            *outgoing = Outgoing { bytes, ..Outgoing::default() };
            SPARE.set(Some(outgoing));
        }
    }
}

impl Outgoing {
    fn left(&self) -> usize {
        self.bytes.len() + self.content.bytes().len() - self.written
    }

    fn rest(&self) -> [&[u8]; 2] {
        let (bytes, content) = (&self.bytes[..], self.content.bytes());
        let behind = self.written.saturating_sub(bytes.len());
        [&bytes[self.written.min(bytes.len())..], &content[behind..]]
    }

    /// Takes over what is left of the content: something else is to follow it. (An answer whose future was dropped may be
    /// half written when that happens.)
    fn keep_content(&mut self) {
        if !self.content.bytes().is_empty() {
            let [bytes, content] = self.rest();
            self.bytes = [bytes, content].concat();
            (self.content, self.written) = (Content::EMPTY, 0);
        }
    }

    /// Keeps no more memory than the bytes take that are left, for the peer may let them wait for long.
    fn shrink(&mut self) {
        let left = self.bytes.len().saturating_sub(self.written);
        if self.bytes.capacity() <= 2 * left {
            return;
        }
        let kept = self.bytes[self.bytes.len() - left..].to_vec();
        self.written = self.written.saturating_sub(self.bytes.len());
        let bytes = core::mem::replace(&mut self.bytes, kept);
        WriteBuffer(Some(Box::new(Outgoing { bytes, ..Outgoing::default() }))).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::clock::Clock;

    fn text(buffer: &WriteBuffer) -> Vec<u8> {
        buffer.rest().map(|part| part.to_vec()).concat()
    }

    fn owned(buffer: &WriteBuffer) -> usize {
        buffer.0.as_ref().map_or(0, |outgoing| outgoing.bytes.capacity())
    }

    #[test]
    fn what_is_written_leaves_while_something_waits() {
        let mut buffer = WriteBuffer::default();
        for _ in 0..1000 {
            buffer.bytes().extend_from_slice(b"0123456789");
            buffer.advance(buffer.left() - 5);
            assert_eq!(text(&buffer), b"56789");
        }
        assert!(buffer.bytes().capacity() < 100);
    }

    #[test]
    fn large_content_stays_where_it_is() {
        let shared: std::sync::Arc<[u8]> = vec![b'x'; 100_000].into();
        let mut buffer = WriteBuffer::default();
        buffer.bytes().extend_from_slice(b"head");
        buffer.push(shared.clone().into());
        assert_eq!((buffer.left(), buffer.rest()[1].as_ptr()), (100_004, shared.as_ptr()));
        buffer.advance(3);
        assert_eq!(&*buffer.rest()[0], b"d");
        buffer.advance(2);
        assert_eq!((buffer.rest()[0].len(), buffer.rest()[1].len()), (0, 99_999));
        assert!(owned(&buffer) < 100);
        // Whatever comes behind it is written behind it.
        buffer.advance(99_990);
        buffer.bytes().extend_from_slice(b"next");
        assert_eq!(text(&buffer), b"xxxxxxxxxnext");
    }

    #[test]
    fn who_waits_for_its_peer_keeps_no_spare_memory() {
        let now = Clock::default().now();
        let mut buffer = WriteBuffer::default();
        buffer.bytes().extend_from_slice(&[b'x'; 10_000]);
        buffer.advance(9_990);
        buffer.wait(Duration::MAX, || now);
        assert!(owned(&buffer) <= 20, "{}", owned(&buffer));
        assert_eq!(text(&buffer), [b'x'; 10]);
        // The next one gets it.
        let mut next = WriteBuffer::default();
        assert!(next.bytes().capacity() >= 10_000);
    }

    #[test]
    fn a_deadline_is_about_progress() {
        let (start, second) = (Clock::default().now(), Duration::from_secs(1));
        let at = |seconds| start.after(second * seconds);
        let mut buffer = WriteBuffer::default();
        buffer.bytes().extend_from_slice(&[b'x'; 40_000]);
        assert_eq!(buffer.wait(second, || at(0)), at(1));
        // Neither a few bytes nor what is added gives it more time.
        buffer.advance(PROGRESS - 1);
        buffer.bytes().extend_from_slice(b"more");
        assert_eq!(buffer.wait(second, || at(5)), at(1));
        buffer.advance(1);
        assert_eq!((buffer.by(), buffer.wait(second, || at(5))), (Moment::NEVER, at(6)));
        // The rest may be less.
        buffer.advance(PROGRESS);
        assert_eq!(buffer.wait(second, || at(7)), at(8));
        buffer.advance(buffer.left());
        assert_eq!((buffer.left(), buffer.by()), (0, Moment::NEVER));
    }
}

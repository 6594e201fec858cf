//! Fuzz input as a property needs it: the front decides, and what is left comes from the network.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use tidings::Limits;

/// Bytes that are used from the front.
pub struct Input<'d> {
    rest: &'d [u8],
}

impl<'d> Input<'d> {
    pub fn new(data: &'d [u8]) -> Input<'d> {
        Input { rest: data }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next byte; 0 if there is none.
    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// A number below `end`, which is 256 at most.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    pub fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == chances - 1
    }

    pub fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.below(among.len())]
    }

    /// As many bytes as there are, up to `most`.
    pub fn take(&mut self, most: usize) -> &'d [u8] {
        let (taken, rest) = self.rest.split_at(most.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// As many bytes as the next one says.
    pub fn some(&mut self) -> &'d [u8] {
        let length = self.byte();
        self.take(length.into())
    }

    /// As many bytes as the next one says, as text.
    pub fn text(&mut self) -> String {
        String::from_utf8_lossy(self.some()).into_owned()
    }

    /// Where the rest is cut.
    pub fn cuts(&mut self) -> Cuts<'d> {
        Cuts { widths: self.some(), at: 0 }
    }

    /// The defaults, small ones, or drawn ones.
    pub fn limits(&mut self) -> Limits {
        let mut limits = Limits::DEFAULT;
        let (head, headers, body, overhead) = match self.byte() % 4 {
            0 => return limits,
            1 => (64, 3, 10, 8),
            2 => (512, 8, 256, 64),
            _ => (1 + self.byte() as usize, self.below(8), self.byte() as usize, self.below(32)),
        };
        (limits.head, limits.headers, limits.body, limits.chunk_overhead) = (head, headers, body, overhead);
        limits
    }

    pub fn rest(self) -> &'d [u8] {
        self.rest
    }
}

/// The widths of the pieces in which bytes come, over and over again.
#[derive(Clone)]
pub struct Cuts<'d> {
    widths: &'d [u8],
    at: usize,
}

impl<'d> Cuts<'d> {
    pub const NONE: Cuts<'static> = Cuts { widths: &[], at: 0 };
    pub const EVERYWHERE: Cuts<'static> = Cuts { widths: &[0], at: 0 };

    /// The width of the next piece, at least 1.
    pub fn width(&mut self) -> usize {
        let Some(width) = self.widths.get(self.at) else { return usize::MAX };
        self.at = (self.at + 1) % self.widths.len();
        usize::from(*width) + 1
    }

    /// Cuts all of it.
    pub fn pieces(mut self, bytes: &'d [u8]) -> Vec<&'d [u8]> {
        let (mut pieces, mut rest) = (Vec::new(), bytes);
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(self.width().min(rest.len()));
            pieces.push(piece);
            rest = later;
        }
        pieces
    }
}

/// Whether somebody was woken.
#[derive(Default)]
pub struct Flag(AtomicBool);

impl Flag {
    /// Whether it was woken since the last look.
    pub fn take(&self) -> bool {
        self.0.swap(false, Ordering::SeqCst)
    }
}

impl Wake for Flag {
    fn wake(self: std::sync::Arc<Flag>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

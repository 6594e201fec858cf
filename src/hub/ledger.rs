//! [`Ledger`]: the bytes that a hub keeps, and [`Charge`], what one message adds to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes that a hub keeps: of its messages, of the frames made of them, and what is reserved.
#[derive(Debug)]
pub(super) struct Ledger {
    bytes: AtomicUsize,
    /// `history_bytes`: above it the oldest message leaves.
    most: usize,
}

impl Ledger {
    pub(super) fn new(most: usize) -> Ledger {
        Ledger { bytes: AtomicUsize::new(0), most }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether something has to leave.
    pub(super) fn is_over(&self) -> bool {
        self.bytes() > self.most
    }

    pub(super) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn take(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What a message adds to the bytes of its hub.
#[derive(Debug)]
pub(super) struct Charge {
    ledger: Arc<Ledger>,
    /// The bytes of this one; `SETTLED` when it is kept no more.
    bytes: AtomicUsize,
    /// Its own bytes are reserved, and it does not leave for want of room: only what is made of it is counted here.
    reserved: bool,
}

const SETTLED: usize = usize::MAX;

impl Charge {
    pub(super) fn new(weight: usize, reserved: bool, ledger: &Arc<Ledger>) -> Charge {
        let bytes = if reserved { 0 } else { weight };
        ledger.add(bytes);
        Charge { ledger: ledger.clone(), bytes: AtomicUsize::new(bytes), reserved }
    }

    /// Whether so much may be kept with the message: what can't leave must not push out others.
    pub(super) fn has_room(&self, more: usize) -> bool {
        !self.reserved || self.ledger.bytes().saturating_add(more) <= self.ledger.most
    }

    pub(super) fn add(&self, more: usize) {
        // The ledger first: a message that leaves in between takes out no more than what is in it. Release, so that
        // who takes these bytes out has seen them put in; else the ledger might go below zero for a moment.
        self.ledger.add(more);
        let add = |bytes| (bytes != SETTLED).then(|| bytes + more);
        if self.bytes.fetch_update(Ordering::Release, Ordering::Relaxed, add).is_err() {
            self.ledger.take(more);
        }
    }

    /// The message is kept no more.
    pub(super) fn settle(&self) {
        // A message leaves its ring once.
        self.ledger.take(self.bytes.swap(SETTLED, Ordering::Acquire));
    }
}

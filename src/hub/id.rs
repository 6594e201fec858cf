//! [`Id`]: the id of a message, and a cursor.

use core::fmt;
use core::str::FromStr;

/// The id of a message, and a cursor: the last message that a reader has. Hub-wide and totally ordered, written
/// `epoch-seq`; one cursor resumes any set of topics over any transport.
///
/// # Examples
///
/// ```
/// use tidings::Id;
///
/// let id: Id = "1700000000000-7".parse()?;
/// assert_eq!(id, Id::new(1_700_000_000_000, 7));
/// assert_eq!(id.to_string(), "1700000000000-7");
/// assert!(id > Id::EARLIEST);
/// # Ok::<(), tidings::ParseIdError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// Which log: for our own, its start in milliseconds since 1970, and 20 random bits behind that.
    pub(super) epoch: u64,
    /// Which message of it.
    pub(super) seq: u64,
}

impl Id {
    /// The cursor before everything, written `earliest`: all that is kept, and never a gap.
    pub const EARLIEST: Id = Id { epoch: 0, seq: 0 };

    /// The cursor behind everything: as a cursor it is one that no log gave out, so a gap.
    pub const MAX: Id = Id { epoch: u64::MAX, seq: u64::MAX };

    /// An id from its parts.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(tidings::Id::new(5, 3).to_string(), "5-3");
    /// ```
    pub const fn new(epoch: u64, seq: u64) -> Id {
        Id { epoch, seq }
    }

    /// The part before the dash.
    ///
    /// # Examples
    ///
    /// ```
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// let (first, second) = (hub.publish("news", "a")?, hub.publish("news", "b")?);
    /// assert_eq!(first.epoch(), second.epoch());
    /// # tidings::Result::Ok(())
    /// ```
    pub const fn epoch(self) -> u64 {
        self.epoch
    }

    /// The part behind the dash.
    ///
    /// # Examples
    ///
    /// ```
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// let (first, second) = (hub.publish("news", "a")?, hub.publish("weather", "b")?);
    /// assert_eq!(first.seq() + 1, second.seq());
    /// # tidings::Result::Ok(())
    /// ```
    pub const fn seq(self) -> u64 {
        self.seq
    }

    /// The next id of the same log.
    pub(super) fn successor(self) -> Id {
        match self.seq.checked_add(1) {
            Some(seq) => Id { seq, ..self },
            None => Id { epoch: self.epoch.saturating_add(1), seq: 0 },
        }
    }

    /// The greatest id below this one.
    pub(super) fn predecessor(self) -> Id {
        match self.seq.checked_sub(1) {
            Some(seq) => Id { seq, ..self },
            None => Id { epoch: self.epoch.saturating_sub(1), seq: u64::MAX },
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // In a third of the time that `core::fmt` takes for the numbers.
        let (mut epoch, mut seq) = (itoa::Buffer::new(), itoa::Buffer::new());
        for part in [epoch.format(self.epoch), "-", seq.format(self.seq)] {
            f.write_str(part)?;
        }
        Ok(())
    }
}

/// Text that is not an id.
///
/// # Examples
///
/// ```
/// use tidings::{Id, ParseIdError};
///
/// assert_eq!("yesterday".parse::<Id>(), Err(ParseIdError));
/// assert_eq!(ParseIdError.to_string(), "not an id: epoch-seq, or earliest");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseIdError;

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an id: epoch-seq, or earliest")
    }
}

impl std::error::Error for ParseIdError {}

impl FromStr for Id {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Id, ParseIdError> {
        if text == "earliest" {
            return Ok(Id::EARLIEST);
        }
        let (epoch, seq) = text.split_once('-').ok_or(ParseIdError)?;
        Ok(Id { epoch: decimal(epoch)?, seq: decimal(seq)? })
    }
}

/// Digits only: `u64::from_str` takes a sign.
fn decimal(text: &str) -> Result<u64, ParseIdError> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ParseIdError);
    }
    text.parse().map_err(|_| ParseIdError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_digits_a_dash_and_digits() {
        for bad in [
            "",
            "-",
            "1",
            "1-",
            "-1",
            "+1-2",
            "1-+2",
            "1-2-3",
            " 1-2",
            "1-2 ",
            "a-b",
            "18446744073709551616-0",
        ] {
            assert_eq!(bad.parse::<Id>(), Err(ParseIdError), "{bad}");
        }
        assert_eq!("18446744073709551615-18446744073709551615".parse(), Ok(Id::MAX));
        assert_eq!("earliest".parse(), Ok(Id::EARLIEST));
        assert_eq!(Id::new(5, 3).to_string(), "5-3");
        assert_eq!(ParseIdError.to_string(), "not an id: epoch-seq, or earliest");
    }

    #[test]
    fn successor_and_predecessor_go_over_the_epoch() {
        let edge = Id::new(7, u64::MAX);
        assert_eq!(edge.successor(), Id::new(8, 0));
        assert_eq!(Id::new(8, 0).predecessor(), edge);
        assert_eq!(Id::new(8, 1).predecessor(), Id::new(8, 0));
    }
}

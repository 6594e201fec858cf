//! [`Patience`]: how long bytes may still wait for a slow reader.

use std::time::Duration;

use crate::server::clock::Moment;

/// How long bytes may still wait for a slow reader. Time in which no future tries to write does not count: the client may
/// have read everything that its socket had.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// A future is writing: the deadline.
    Until(Moment),
    /// No future is writing: the time that is left once one does.
    Left(Duration),
}

impl Patience {
    /// A future writes from now on; returns the deadline.
    pub(crate) fn resume(&mut self, now: impl FnOnce() -> Moment) -> Moment {
        let by = match *self {
            Patience::Until(by) => by,
            Patience::Left(left) => now().after(left),
        };
        *self = Patience::Until(by);
        by
    }

    /// No future writes any more.
    pub(crate) fn pause(&mut self, now: impl FnOnce() -> Moment) {
        if let Patience::Until(by) = *self {
            *self = Patience::Left(by.since(now()));
        }
    }

    /// The deadline; never, while no future writes.
    pub(crate) fn by(self) -> Moment {
        match self {
            Patience::Until(by) => by,
            Patience::Left(_) => Moment::NEVER,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::clock::Clock;

    #[test]
    fn time_in_which_nobody_writes_does_not_count() {
        let start = Clock::default().now();
        let at = |seconds| start.after(Duration::from_secs(seconds));
        let mut patience = Patience::Left(Duration::from_secs(10));
        assert_eq!((patience.by(), patience.resume(|| at(0))), (Moment::NEVER, at(10)));
        assert_eq!(patience.resume(|| at(5)), at(10));
        patience.pause(|| at(8));
        patience.pause(|| at(9));
        assert_eq!((patience.by(), patience.resume(|| at(100))), (Moment::NEVER, at(102)));
        // What is past has no time left.
        patience.pause(|| at(200));
        assert_eq!(patience.resume(|| at(300)), at(300));
    }
}

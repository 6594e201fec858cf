//! [`Date`]: the value of the `Date` field, formatted once a second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The second for which the value was last formatted, and that value.
#[derive(Debug, Default)]
pub(crate) struct Date(Mutex<(u64, Option<Arc<str>>)>);

impl Date {
    /// The value at this time; `None` if no valid clock shows that time.
    pub(crate) fn at(&self, now: SystemTime) -> Option<Arc<str>> {
        let second = now.duration_since(UNIX_EPOCH).ok()?.as_secs();
        let mut date = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if date.0 != second {
            *date = (second, imf_date(second).map(Arc::from));
        }
        date.1.clone()
    }
}

/// 2020-01-01, in seconds since 1970. A clock that shows an earlier time was not set yet, and a server without a clock sends
/// no `Date` (RFC 9110, 6.6.1).
const FIRST_VALID: u64 = 1_577_836_800;

/// The IMF-fixdate (RFC 9110, 5.6.7) of a time in seconds since 1970; `None` if no valid clock shows that time.
fn imf_date(seconds: u64) -> Option<String> {
    if seconds < FIRST_VALID {
        return None;
    }
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let weekday = &"ThuFriSatSunMonTueWed"[(days % 7) as usize * 3..][..3];
    let month = &"JanFebMarAprMayJunJulAugSepOctNovDec"[month * 3..][..3];
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    Some(format!("{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT"))
}

/// The year, the month (from 0) and the day of the month of the day that is `days` after 1970-01-01 (Howard Hinnant's
/// `civil_from_days`).
fn civil(days: u64) -> (u64, usize, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    (year_of_era + era * 400 + u64::from(month < 2), month as usize, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_date_is_renewed_each_second() {
        let (date, second) = (Date::default(), Duration::from_secs(1));
        let start = UNIX_EPOCH + Duration::from_secs(FIRST_VALID);
        let at = |time: SystemTime| date.at(time).map(|date| date.to_string());
        let first = at(start);
        assert_eq!(first.as_deref(), Some("Wed, 01 Jan 2020 00:00:00 GMT"));
        assert_eq!(at(start + second - Duration::from_nanos(1)), first);
        assert_eq!(at(start + second).as_deref(), Some("Wed, 01 Jan 2020 00:00:01 GMT"));
        // The clock was set, to a second that it had shown before and to one before there is a date.
        assert_eq!(at(start), first);
        assert_eq!((at(start - second), at(UNIX_EPOCH - second)), (None, None));
        assert_eq!(at(start), first);
    }

    #[test]
    fn each_day_of_eight_centuries_is_the_one_behind_the_last() {
        let (mut days, leap) = (0, |year| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
        for year in 1970..2770 {
            let february = if leap(year) { 29 } else { 28 };
            let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (month, length) in lengths.into_iter().enumerate() {
                for day in 1..=length {
                    assert_eq!(civil(days), (year, month, day));
                    days += 1;
                }
            }
        }
    }

    #[test]
    fn dates_are_those_of_the_rfc_and_the_calendar() {
        assert_eq!(imf_date(1_583_020_799).as_deref(), Some("Sat, 29 Feb 2020 23:59:59 GMT"));
        assert_eq!(imf_date(1_609_459_199).as_deref(), Some("Thu, 31 Dec 2020 23:59:59 GMT"));
        assert_eq!(imf_date(1_609_459_200).as_deref(), Some("Fri, 01 Jan 2021 00:00:00 GMT"));
        assert_eq!(imf_date(4_107_542_400).as_deref(), Some("Mon, 01 Mar 2100 00:00:00 GMT"));
        assert_eq!(imf_date(5), None);
    }
}

//! Points in time as a calendar shows them, in UTC.

use std::fmt;

use bson::DateTime;

const MILLIS_PER_DAY: i64 = 86_400_000;
/// Days of 400 years, after which the calendar repeats itself.
const DAYS_PER_ERA: i64 = 146_097;
/// Days from the first of March of the year 0 to the first of January 1970.
const DAYS_TO_1970: i64 = 719_468;

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) year: i64,
    /// From 1.
    pub(super) month: i64,
    /// From 1.
    pub(super) day: i64,
    /// From 1.
    pub(super) day_of_year: i64,
    /// From 1, which is Sunday.
    pub(super) day_of_week: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
    pub(super) millisecond: i64,
}

impl Moment {
    pub(super) fn of(date: DateTime) -> Self {
        let millis = date.timestamp_millis();
        let (days, rest) = (
            millis.div_euclid(MILLIS_PER_DAY),
            millis.rem_euclid(MILLIS_PER_DAY),
        );
        let (year, month, day) = civil(days);
        Self {
            year,
            month,
            day,
            day_of_year: days - days_before(year) + 1,
            // The first of January 1970 was a Thursday.
            day_of_week: (days + 4).rem_euclid(7) + 1,
            hour: rest / 3_600_000,
            minute: rest / 60_000 % 60,
            second: rest / 1000 % 60,
            millisecond: rest % 1000,
        }
    }
}

/// Year, month and day of a number of days since 1970. Years are counted from March here, so that
/// the leap day is the last of one.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_TO_1970;
    let (era, day_of_era) = (days.div_euclid(DAYS_PER_ERA), days.rem_euclid(DAYS_PER_ERA));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Days from 1970 to the first day of a year.
fn days_before(year: i64) -> i64 {
    let before = year - 1;
    365 * (year - 1970) + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400)
        - 477
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
            millisecond,
            ..
        } = self;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_eight_centuries_follows_the_one_before() {
        let at = |days: i64| Moment::of(DateTime::from_millis(days * MILLIS_PER_DAY));
        let mut before = at(-150_001);
        for days in -150_000..150_000 {
            let moment = at(days);
            let next_in_month = (before.year, before.month, before.day + 1);
            let first_of_next = moment.day == 1 && before.day >= 28;
            let follows = (moment.year, moment.month, moment.day) == next_in_month || first_of_next;
            assert!(follows, "{before:?} is followed by {moment:?}");
            let new_year = moment.month == 1 && moment.day == 1;
            let expected = if new_year { 1 } else { before.day_of_year + 1 };
            assert_eq!(moment.day_of_year, expected, "{moment:?}");
            assert_eq!(moment.day_of_week, before.day_of_week % 7 + 1);
            before = moment;
        }
    }

    #[test]
    fn known_moments_are_written_as_they_should() {
        let written = |millis| Moment::of(DateTime::from_millis(millis)).to_string();
        assert_eq!(written(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(written(951_782_400_123), "2000-02-29T00:00:00.123Z");
        assert_eq!(written(-1), "1969-12-31T23:59:59.999Z");
    }
}

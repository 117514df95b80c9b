//! Takes nanoseconds since 1970.
//! Gives dates and times in UTC as text, and reads what people type.
//! Never knows what time it is: see `clock`.

const NANOS: i64 = 1_000_000_000;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// A date, proleptic Gregorian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    pub year: i64,
    pub month: i64,
    pub day: i64,
}

impl Date {
    /// The date of a day counted from 1970-01-01 (H. Hinnant, "chrono-compatible low-level date algorithms").
    #[must_use]
    pub fn of_day(days: i64) -> Self {
        let days = days.saturating_add(719_468);
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self { year, month, day }
    }
}

impl std::fmt::Display for Date {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// Which hour since 1970 a time is in.
#[must_use]
pub fn hour_of(unix_nanos: i64) -> i64 {
    unix_nanos.div_euclid(HOUR * NANOS)
}

/// The date of such an hour, and its place in the day.
#[must_use]
pub fn date_and_hour(hour: i64) -> (Date, i64) {
    (Date::of_day(hour.div_euclid(24)), hour.rem_euclid(24))
}

/// `2026-11-20T10:00:00.123Z`, cut to milliseconds.
#[must_use]
pub fn millis(unix_nanos: i64) -> String {
    let seconds = unix_nanos.div_euclid(NANOS);
    let millis = unix_nanos.rem_euclid(NANOS) / 1_000_000;
    let (date, rest) = (
        Date::of_day(seconds.div_euclid(DAY)),
        seconds.rem_euclid(DAY),
    );
    let (hour, minute, second) = (rest / HOUR, rest % HOUR / 60, rest % 60);
    format!("{date}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Reads `90s`, `15m`, `2h`, `7d` as a span of time before `now`, and RFC 3339 (or a bare date) as itself.
#[must_use]
pub fn since(text: &str, now_unix_nanos: i64) -> Option<i64> {
    let unit = match text.chars().last()? {
        's' => Some(1),
        'm' => Some(60),
        'h' => Some(HOUR),
        'd' => Some(DAY),
        _ => None,
    };
    let number = text
        .get(..text.len().saturating_sub(1))
        .map(str::parse::<i64>);
    if let (Some(unit), Some(Ok(number))) = (unit, number) {
        let nanos = number.checked_mul(unit)?.checked_mul(NANOS)?;
        return (number >= 0).then(|| now_unix_nanos.saturating_sub(nanos));
    }
    arrow::compute::kernels::cast_utils::string_to_timestamp_nanos(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_go_both_ways_over_leap_years() {
        assert_eq!(Date::of_day(0).to_string(), "1970-01-01");
        assert_eq!(Date::of_day(-1).to_string(), "1969-12-31");
        assert_eq!(Date::of_day(11_016).to_string(), "2000-02-29");
        assert_eq!(Date::of_day(47_541).to_string(), "2100-03-01");
    }

    #[test]
    fn hours_of_a_day() {
        let (date, hour) = date_and_hour(hour_of(1_795_168_800_123_456_789));
        assert_eq!((date.to_string().as_str(), hour), ("2026-11-20", 10));
        assert_eq!(
            millis(1_795_168_800_123_456_789),
            "2026-11-20T10:00:00.123Z"
        );
        assert_eq!(millis(i64::MAX), "2262-04-11T23:47:16.854Z");
    }

    #[test]
    fn since_reads_what_people_type() {
        let now = 1_795_168_800 * NANOS;
        assert_eq!(since("15m", now), Some(now - 900 * NANOS));
        assert_eq!(since("7d", now), Some(now - 7 * DAY * NANOS));
        assert_eq!(since("2026-11-20T10:00:00Z", 0), Some(now));
        assert_eq!(since("2026-11-20T11:00:00+01:00", 0), Some(now));
        for wrong in [
            "",
            "m",
            "-5m",
            "5 weeks",
            "yesterday",
            "99999999999999d",
            "é",
        ] {
            assert_eq!(since(wrong, now), None, "{wrong}");
        }
    }
}

//! When the major versions of `PostgreSQL` end: the project's versioning policy
//! (<https://www.postgresql.org/support/versioning/>), five years after each first release.

use veritas_model::Timestamp;

/// Major version, and the day of its last release as days since 1970-01-01.
const LAST_DAYS: [(u32, i64); 9] = [
    (10, 19_306), // 2022-11-10
    (11, 19_670), // 2023-11-09
    (12, 20_048), // 2024-11-21
    (13, 20_405), // 2025-11-13
    (14, 20_769), // 2026-11-12
    (15, 21_133), // 2027-11-11
    (16, 21_497), // 2028-11-09
    (17, 21_861), // 2029-11-08
    (18, 22_232), // 2030-11-14
];

const SECONDS_OF_A_DAY: f64 = 86_400.0;

/// How long a major version is mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Support {
    /// It is.
    Supported,
    /// It ends within half a year.
    Ends,
    /// It is mended no more.
    Ended,
    /// It is newer than what is known here.
    Unknown,
}

/// Returns whether a major version is mended at `now`.
pub(super) fn support(major: u32, now: Timestamp) -> Support {
    if LAST_DAYS.first().is_some_and(|&(oldest, _)| major < oldest) {
        return Support::Ended;
    }
    let Some(&(_, last_day)) = LAST_DAYS.iter().find(|(known, _)| *known == major) else {
        return Support::Unknown;
    };
    #[expect(clippy::cast_precision_loss, reason = "days of this century are small")]
    let left = last_day as f64 + 1.0 - now.seconds() / SECONDS_OF_A_DAY;
    if left <= 0.0 {
        Support::Ended
    } else if left <= 183.0 {
        Support::Ends
    } else {
        Support::Supported
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_ends_on_its_last_day() {
        let at = |days: f64| Timestamp::from_seconds(days * SECONDS_OF_A_DAY);
        assert_eq!(support(9, at(0.0)), Support::Ended);
        assert_eq!(support(15, at(20_000.0)), Support::Supported);
        assert_eq!(support(15, at(21_000.0)), Support::Ends);
        assert_eq!(support(15, at(21_133.5)), Support::Ends);
        assert_eq!(support(15, at(21_134.0)), Support::Ended);
        assert_eq!(support(99, at(21_134.0)), Support::Unknown);
    }
}

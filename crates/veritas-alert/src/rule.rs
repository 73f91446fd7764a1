//! Rules: which ones are sound, which ones look odd, and the defaults.

use std::time::Duration;

use veritas_model::{AlertRule, Comparison, Severity};

/// The longest hold, and the longest time to keep firing.
pub const LONGEST_HOLD: Duration = Duration::from_hours(24);
/// The most bytes in a series name.
pub const LONGEST_SERIES: usize = 200;
/// The most bytes in a title.
pub const LONGEST_TITLE: usize = 200;

/// Why a rule is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RuleError {
    /// The name is not 1 to 64 of `a-z`, `0-9` and `_`.
    #[error("the rule's name {name:?} is not 1 to 64 characters of a-z, 0-9 and _")]
    Name {
        /// The name given.
        name: String,
    },
    /// The series is empty, too long, or has characters that no series has.
    #[error(
        "the series {series:?} is not 1 to {LONGEST_SERIES} letters, digits, dots, dashes, colons and underscores"
    )]
    Series {
        /// The series given.
        series: String,
    },
    /// The title is empty, too long, or has control characters.
    #[error("the title is not 1 to {LONGEST_TITLE} bytes without control characters")]
    Title,
    /// The threshold is not a finite number.
    #[error("the threshold is not a finite number")]
    Threshold,
    /// The clear level is not a finite number, or is beyond the threshold.
    #[error("the clear level {clear} is not a number on the quiet side of the threshold {threshold}")]
    Clear {
        /// The clear level given.
        clear: f64,
        /// The threshold.
        threshold: f64,
    },
    /// A duration is longer than a day.
    #[error("{field} is longer than 24 hours")]
    TooLong {
        /// `hold` or `keep_firing_for`.
        field: &'static str,
    },
}

/// What looks odd about a rule that is accepted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RuleWarning {
    /// No series of this name is known now: the rule stays quiet until there is one.
    #[error("no series {series:?} is known")]
    UnknownSeries {
        /// The series.
        series: String,
    },
    /// The series is a share that never passes the threshold.
    #[error("{series:?} is never beyond {threshold}")]
    Unreachable {
        /// The series.
        series: String,
        /// The threshold.
        threshold: f64,
    },
}

/// Returns the rules that apply unless an operator changed or removed them:
/// CPU above 80 % and memory above 85 % (warning), disk above 90 % (critical),
/// each held for ten seconds.
pub fn default_rules() -> Vec<AlertRule> {
    [
        ("high_cpu", "system.cpu.percent", 80.0, Severity::Warning, "High CPU usage"),
        ("high_memory", "system.memory.percent", 85.0, Severity::Warning, "High memory usage"),
        ("high_disk", "system.disk.percent", 90.0, Severity::Critical, "High disk usage"),
    ]
    .into_iter()
    .map(|(name, series, threshold, severity, title)| AlertRule {
        name: name.into(),
        series: series.into(),
        comparison: Comparison::Above,
        threshold,
        clear: None,
        hold: Duration::from_secs(10),
        keep_firing_for: Duration::ZERO,
        severity,
        title: title.into(),
    })
    .collect()
}

/// Checks a rule before it is stored.
///
/// # Errors
///
/// The first [`RuleError`] found, in the order of the variants.
pub fn validate(rule: &AlertRule) -> Result<(), RuleError> {
    let name_is_sound = (1..=64).contains(&rule.name.len())
        && rule.name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    if !name_is_sound {
        return Err(RuleError::Name { name: clipped(&rule.name) });
    }
    let series_is_sound = (1..=LONGEST_SERIES).contains(&rule.series.len())
        && rule.series.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte));
    if !series_is_sound {
        return Err(RuleError::Series { series: clipped(&rule.series) });
    }
    if !(1..=LONGEST_TITLE).contains(&rule.title.len()) || rule.title.chars().any(char::is_control) {
        return Err(RuleError::Title);
    }
    if !rule.threshold.is_finite() {
        return Err(RuleError::Threshold);
    }
    if let Some(clear) = rule.clear
        && (!clear.is_finite() || rule.comparison.holds(clear, rule.threshold))
    {
        return Err(RuleError::Clear { clear, threshold: rule.threshold });
    }
    if rule.hold > LONGEST_HOLD {
        return Err(RuleError::TooLong { field: "hold" });
    }
    if rule.keep_firing_for > LONGEST_HOLD {
        return Err(RuleError::TooLong { field: "keep_firing_for" });
    }
    Ok(())
}

/// Returns what looks odd about a sound rule, given the series known now.
pub fn warnings(rule: &AlertRule, known_series: &[&str]) -> Vec<RuleWarning> {
    let mut warnings = Vec::new();
    if !known_series.contains(&rule.series.as_str()) {
        warnings.push(RuleWarning::UnknownSeries { series: rule.series.clone() });
    }
    // A process may use several cores; every other percentage ends at 100.
    let is_share = rule.series.ends_with("percent") && !rule.series.starts_with("process.cpu");
    let is_unreachable = match rule.comparison {
        Comparison::Above => rule.threshold >= 100.0,
        Comparison::Below => rule.threshold <= 0.0,
    };
    if is_share && is_unreachable {
        warnings.push(RuleWarning::Unreachable { series: rule.series.clone(), threshold: rule.threshold });
    }
    warnings
}

/// An error message repeats at most this much of what it was given.
fn clipped(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(edit: impl Fn(&mut AlertRule), expected: &Result<(), RuleError>) {
        let mut rule = default_rules().remove(0);
        edit(&mut rule);
        assert_eq!(&validate(&rule), expected);
    }

    #[test]
    fn the_defaults_are_sound() {
        for rule in default_rules() {
            assert_eq!(validate(&rule), Ok(()));
            assert_eq!(rule.hold, Duration::from_secs(10));
        }
    }

    #[test]
    fn a_rule_is_refused_for_each_of_its_faults() {
        check(|rule| rule.name = String::new(), &Err(RuleError::Name { name: String::new() }));
        check(|rule| rule.name = "High".into(), &Err(RuleError::Name { name: "High".into() }));
        check(|rule| rule.name = "x".repeat(65), &Err(RuleError::Name { name: "x".repeat(64) }));
        check(|rule| rule.series = String::new(), &Err(RuleError::Series { series: String::new() }));
        check(|rule| rule.series = "a b".into(), &Err(RuleError::Series { series: "a b".into() }));
        check(|rule| rule.title = "a\nb".into(), &Err(RuleError::Title));
        check(|rule| rule.threshold = f64::NAN, &Err(RuleError::Threshold));
        check(|rule| rule.threshold = f64::INFINITY, &Err(RuleError::Threshold));
        check(|rule| rule.clear = Some(81.0), &Err(RuleError::Clear { clear: 81.0, threshold: 80.0 }));
        check(|rule| rule.hold = Duration::from_secs(86_401), &Err(RuleError::TooLong { field: "hold" }));
        check(
            |rule| rule.keep_firing_for = Duration::MAX,
            &Err(RuleError::TooLong { field: "keep_firing_for" }),
        );
    }

    #[test]
    fn a_clear_level_at_the_threshold_or_on_its_quiet_side_is_sound() {
        check(|rule| rule.clear = Some(80.0), &Ok(()));
        check(|rule| rule.clear = Some(70.0), &Ok(()));
        let below = |clear| {
            move |rule: &mut AlertRule| {
                rule.comparison = Comparison::Below;
                rule.clear = Some(clear);
            }
        };
        check(below(90.0), &Ok(()));
        check(below(70.0), &Err(RuleError::Clear { clear: 70.0, threshold: 80.0 }));
    }

    #[test]
    fn an_odd_rule_is_accepted_with_a_warning() {
        let mut rule = default_rules().remove(0);
        assert_eq!(warnings(&rule, &["system.cpu.percent"]), []);
        rule.threshold = 100.0;
        assert_eq!(
            warnings(&rule, &[]),
            [
                RuleWarning::UnknownSeries { series: "system.cpu.percent".into() },
                RuleWarning::Unreachable { series: "system.cpu.percent".into(), threshold: 100.0 }
            ]
        );
    }
}

//! Alert rules, as tables of the file.

use std::time::Duration;

use toml::de::{DeArray, DeTable, DeValue};
use veritas_model::{AlertRule, Comparison, Severity};

use crate::{
    kind::{Complaint, quoted, seconds, to_float},
    suggest::nearest,
};

/// The keys of a rule.
pub(crate) const KEYS: &[&str] =
    &["name", "series", "above", "below", "clear", "hold", "keep_firing_for", "severity", "title"];

/// The longest that a rule may hold or keep firing.
const LONGEST: Duration = Duration::from_hours(24);

/// Reads the tables `[[alerts.rules]]`.
pub(crate) fn read(tables: &DeArray<'_>) -> Result<Vec<AlertRule>, Complaint> {
    let mut rules: Vec<AlertRule> = Vec::with_capacity(tables.len());
    for table in tables {
        let Some(table) = table.as_ref().as_table() else {
            return Err(Complaint::new(
                "holds something that is not a table",
                "write [[alerts.rules]] and its keys below it",
            ));
        };
        let rule = rule(table)?;
        if rules.iter().any(|earlier| earlier.name == rule.name) {
            let what = format!("has two rules named {:?}", rule.name);
            return Err(Complaint::new(what, "give each rule a name of its own"));
        }
        rules.push(rule);
    }
    Ok(rules)
}

fn rule(table: &DeTable<'_>) -> Result<AlertRule, Complaint> {
    let name = required_text(table, "name", "a rule")?;
    let of = format!("the rule {name:?}");
    if let Some(key) = table.keys().map(|key| key.as_ref().as_ref()).find(|key: &&str| !KEYS.contains(key)) {
        let hint = nearest(key, KEYS.iter().copied()).map_or_else(
            || format!("a rule has the keys {}", quoted(KEYS)),
            |near| format!("did you mean {near:?}?"),
        );
        return Err(Complaint::new(format!("has {of} with an unknown key {key:?}"), hint));
    }
    let (comparison, threshold) = match (number(table, "above", &of)?, number(table, "below", &of)?) {
        (Some(threshold), None) => (Comparison::Above, threshold),
        (None, Some(threshold)) => (Comparison::Below, threshold),
        _ => {
            let hint = "a rule has either above = NUMBER or below = NUMBER";
            return Err(Complaint::new(format!("has {of} without one threshold"), hint));
        }
    };
    let clear = number(table, "clear", &of)?;
    if clear.is_some_and(|clear| comparison.holds(clear, threshold)) {
        let hint = "clear is where the alert ends: on the calm side of the threshold";
        return Err(Complaint::new(format!("has {of} that would clear while it fires"), hint));
    }
    let severity = match optional_text(table, "severity", &of)? {
        None => Severity::Warning,
        Some(word) => Severity::parse(word).ok_or_else(|| {
            Complaint::new(
                format!("has {of} with the severity {word:?}"),
                "a severity is one of \"info\", \"warning\", \"critical\"",
            )
        })?,
    };
    Ok(AlertRule {
        series: required_text(table, "series", &of)?.to_owned(),
        comparison,
        threshold,
        clear,
        hold: duration(table, "hold", &of)?.unwrap_or(Duration::from_secs(10)),
        keep_firing_for: duration(table, "keep_firing_for", &of)?.unwrap_or(Duration::ZERO),
        severity,
        title: optional_text(table, "title", &of)?.unwrap_or(name).to_owned(),
        name: name.to_owned(),
    })
}

fn optional_text<'a>(table: &'a DeTable<'_>, key: &str, of: &str) -> Result<Option<&'a str>, Complaint> {
    let Some(value) = table.get(key) else { return Ok(None) };
    let text = value.as_ref().as_str().filter(|text| !text.is_empty());
    text.map(Some)
        .ok_or_else(|| Complaint::new(format!("has {of} whose {key} is not a text"), "put it in quotes"))
}

fn required_text<'a>(table: &'a DeTable<'_>, key: &str, of: &str) -> Result<&'a str, Complaint> {
    optional_text(table, key, of)?
        .ok_or_else(|| Complaint::new(format!("has {of} without a {key}"), format!("add {key} = \"…\"")))
}

fn number(table: &DeTable<'_>, key: &str, of: &str) -> Result<Option<f64>, Complaint> {
    let Some(value) = table.get(key) else { return Ok(None) };
    to_number(value.as_ref()).map(Some).ok_or_else(|| {
        Complaint::new(format!("has {of} whose {key} is not a number"), format!("write {key} = 80"))
    })
}

fn duration(table: &DeTable<'_>, key: &str, of: &str) -> Result<Option<Duration>, Complaint> {
    let Some(value) = table.get(key) else { return Ok(None) };
    value
        .as_ref()
        .as_str()
        .map_or_else(|| to_number(value.as_ref()), seconds)
        .filter(|seconds| (0.0..=LONGEST.as_secs_f64()).contains(seconds))
        .map(|seconds| Some(Duration::from_secs_f64(seconds)))
        .ok_or_else(|| {
            let hint = "it takes seconds from 0 to 86400, or a text such as \"10s\", \"5m\"";
            Complaint::new(format!("has {of} whose {key} is not a duration in range"), hint)
        })
}

fn to_number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Integer(integer) => {
            i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(to_float)
        }
        DeValue::Float(float) => float.as_str().parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    }
}

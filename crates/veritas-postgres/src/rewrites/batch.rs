//! Batches: the single statements of a group of keys against the one that asks for all of them.

use veritas_model::MeasuredGain;
use veritas_rewrite::{
    Form, Rewrite,
    fuzz::{self, Value},
};

use super::{Declined, Trial};
use crate::trial::{self, Group};

/// Keys that are asked for at most.
const MOST_KEYS: usize = 16;

/// Measures a batch with the keys of the vectors. What else a statement is asked with is that
/// of the first vector: a batch holds it fixed.
pub(super) fn measured(trial: &mut Trial<'_>, rewrite: &Rewrite) -> Result<MeasuredGain, Declined> {
    let not = |reason: &str| Declined::NotMeasured { reason: reason.to_owned() };
    let groups = groups(trial, rewrite).ok_or_else(|| not("fewer than two keys are known"))?;
    let batch = trial.checked(&rewrite.sql)?;
    let effort = trial.options.effort;
    trial::batch(trial.scratch, trial.statement, &batch, &groups, effort, trial.clock)
        .map_err(|error| not(&error.to_string()))
}

/// Returns groups of keys: all of them where there are two, else as many as there are keys,
/// of half of them each.
fn groups(trial: &Trial<'_>, rewrite: &Rewrite) -> Option<Vec<Group>> {
    let Form::Batch { parameter, .. } = rewrite.form else { return None };
    let place = parameter.checked_sub(1)?;
    let first = trial.vectors.first()?;
    let mut keys: Vec<String> = Vec::new();
    for key in trial.vectors.iter().filter_map(|vector| vector.get(place)?.clone()) {
        if keys.len() < MOST_KEYS && !keys.contains(&key) {
            keys.push(key);
        }
    }
    if keys.len() < 2 {
        return None;
    }
    let (size, number) = if keys.len() == 2 { (2, 1) } else { (keys.len().div_ceil(2).max(2), keys.len()) };
    let old: Vec<Value> = first.iter().map(|text| text.clone().map_or(Value::Null, Value::Text)).collect();
    let group = |start: usize| {
        let of_group: Vec<&String> = keys.iter().cycle().skip(start).take(size).collect();
        let single = of_group.iter().map(|key| {
            let mut values = first.clone();
            values[place] = Some((*key).clone());
            values
        });
        let every: Vec<Value> = of_group.iter().map(|key| Value::Text((*key).clone())).collect();
        let batch = fuzz::mapped(&rewrite.parameters, &old, &every, None)?;
        let text = |value: Value| match value {
            Value::Null => None,
            value => Some(value.to_string()),
        };
        Some(Group { single: single.collect(), batch: batch.into_iter().map(text).collect() })
    };
    (0..number).map(group).collect()
}

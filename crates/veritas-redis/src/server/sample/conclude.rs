//! What the keys of one reading say of all keys.

use std::collections::HashMap;

use veritas_cache::server::{HotKeys, KeyHeat, KeySample, KeySize, NotRead, PatternShare, Section};
use veritas_model::{Bytes, Ratio};

use super::{
    super::pattern::{pattern, shown},
    Chosen, KEPT, Looked, Question, Questions, Remembered,
    estimate::{share_of, uses_of},
};

/// Concludes from what the keys answered; `keys` is how many keys the database has.
pub(in super::super) fn conclude(
    chosen: &Chosen,
    questions: &Questions,
    last: &Questions,
    database: u32,
    keys: Option<u64>,
    prefix: &str,
    remembered: &mut Remembered,
) -> Section<KeySample> {
    if let (Err(why), Err(_)) = (&chosen.drawn, &chosen.scanned) {
        return Err(why.clone());
    }
    let drawn = || chosen.keys.iter().filter(|looked| looked.draws > 0);
    let count = |of: &dyn Fn(&&Looked) -> bool| drawn().filter(of).map(|looked| looked.draws).sum::<u64>();
    let alive = count(&|looked| looked.lasts.is_some() || looked.size.is_some());
    let with_ttl_known = count(&|looked| looked.lasts.is_some());
    let lasting = count(&|looked| looked.lasts == Some(true));
    // Without a single answer: refused, out of time, or an empty database.
    let asked = |question| -> Section<()> {
        chosen.drawn.as_ref().map_err(NotRead::clone)?;
        let answered = drawn().any(|looked| match question {
            Question::Ttl => looked.lasts.is_some(),
            _ => looked.size.is_some(),
        });
        if answered {
            return Ok(());
        }
        if drawn().next().is_none() {
            return Err(NotRead::NotKept { reason: "the database has no keys" });
        }
        Err(questions.refusal(question))
    };
    let without_ttl = asked(Question::Ttl).and_then(|()| {
        share_of(lasting, with_ttl_known).ok_or(NotRead::NotKept { reason: "the database has no keys" })
    });
    let sizes: Vec<(u64, u64)> = drawn().filter_map(|looked| Some((looked.draws, looked.size?))).collect();
    let mean_size = asked(Question::Size).map(|()| {
        let total: u128 = sizes.iter().map(|(draws, size)| u128::from(*draws) * u128::from(*size)).sum();
        let keys: u64 = sizes.iter().map(|(draws, _)| draws).sum();
        Bytes::new(u64::try_from(total / u128::from(keys.max(1))).unwrap_or(u64::MAX))
    });
    let biggest = chosen.biggest();
    let hottest = chosen.hottest();
    remembered.biggest = biggest.iter().map(|place| chosen.keys[*place].key.clone()).collect();
    remembered.hottest = hottest.iter().map(|place| chosen.keys[*place].key.clone()).collect();
    Ok(KeySample {
        database,
        drawn: alive,
        scanned: chosen.scanned.as_ref().copied().unwrap_or(0),
        passes: remembered.passes,
        probes: questions.probes + last.probes,
        lasting_patterns: asked(Question::Ttl).map(|()| lasting_patterns(chosen, with_ttl_known, prefix)),
        without_ttl,
        mean_size,
        biggest: if biggest.is_empty() && !chosen.keys.is_empty() {
            Err(questions.refusal(Question::Size))
        } else {
            Ok(biggest.iter().map(|place| size_of(&chosen.keys[*place], prefix)).collect())
        },
        hottest: hot_keys(chosen, questions, &hottest, keys, prefix),
    })
}

fn size_of(looked: &Looked, prefix: &str) -> KeySize {
    KeySize {
        key: shown(&looked.key),
        pattern: pattern(&looked.key, prefix),
        kind: looked.kind.clone().filter(|kind| kind != "none"),
        bytes: Bytes::new(looked.size.unwrap_or(0)),
    }
}

fn lasting_patterns(chosen: &Chosen, sampled: u64, prefix: &str) -> Vec<PatternShare> {
    let mut counts: HashMap<String, u64> = HashMap::new();
    for looked in chosen.keys.iter().filter(|looked| looked.draws > 0 && looked.lasts == Some(true)) {
        *counts.entry(pattern(&looked.key, prefix)).or_default() += looked.draws;
    }
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    counts.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    let share = |(pattern, count)| Some(PatternShare { pattern, lasting: share_of(count, sampled)? });
    counts.into_iter().take(KEPT).filter_map(share).collect()
}

fn hot_keys(
    chosen: &Chosen,
    questions: &Questions,
    hottest: &[usize],
    keys: Option<u64>,
    prefix: &str,
) -> Section<HotKeys> {
    if !chosen.counts_uses {
        return Err(NotRead::NotKept {
            reason: "the server counts the uses of keys only under an LFU policy",
        });
    }
    if chosen.keys.iter().all(|looked| looked.counter.is_none()) && !chosen.keys.is_empty() {
        return Err(questions.refusal(Question::Counter));
    }
    let hot = |place: usize| hottest.contains(&place);
    let uses = |place: usize| chosen.keys[place].counter.map_or(0.0, uses_of);
    // The hot keys themselves, and for every other key the mean of those drawn.
    let others = chosen
        .keys
        .iter()
        .enumerate()
        .filter(|(place, looked)| looked.draws > 0 && looked.counter.is_some() && !hot(*place));
    let (mut count, mut sum) = (0.0, 0.0);
    for (place, looked) in others {
        count += float(looked.draws);
        sum += float(looked.draws) * uses(place);
    }
    let of_hot: f64 = hottest.iter().map(|place| uses(*place)).sum();
    let all = keys.map(|keys| {
        let rest = float(keys.saturating_sub(hottest.len() as u64));
        of_hot + if count > 0.0 { rest * sum / count } else { 0.0 }
    });
    let heat = |place: &usize| {
        let looked = &chosen.keys[*place];
        KeyHeat {
            key: shown(&looked.key),
            pattern: pattern(&looked.key, prefix),
            counter: looked.counter.unwrap_or(0),
            uses: uses(*place),
            use_share: all.filter(|all| *all > 0.0).and_then(|all| Ratio::new(uses(*place) / all)),
        }
    };
    Ok(HotKeys { keys: hottest.iter().map(heat).collect() })
}

#[expect(clippy::cast_precision_loss, reason = "an estimate needs no more than 53 bits of a count")]
const fn float(count: u64) -> f64 {
    count as f64
}

//! Steadiness: an advice is proposed when it stands, and stays the same while it nearly does.

use std::{collections::BTreeMap, time::Duration};

use veritas_cache::{Knob, KnobName};
use veritas_model::Monotonic;

/// Advice on one namespace, as it stood at the last looks.
///
/// A curve that is estimated moves a little from look to look. An advice is passed on
/// when it was given at several looks, some time apart; another one that is near to it
/// (within a factor of two) does not replace it, so that the proposal keeps its identity.
#[derive(Debug, Default)]
pub(crate) struct Steady {
    standing: BTreeMap<KnobName, Standing>,
}

#[derive(Debug, Clone, Copy)]
struct Standing {
    knob: Knob,
    since: Monotonic,
    looks: u32,
}

impl Steady {
    /// So many looks must agree.
    const LOOKS: u32 = 3;

    /// Notes what a look advises about a knob; returns what is to be proposed.
    pub(crate) fn look(
        &mut self,
        name: KnobName,
        advised: Option<Knob>,
        now: Monotonic,
        long_enough: Duration,
    ) -> Option<Knob> {
        let Some(knob) = advised else {
            // It must stand anew, but if the same comes back it is the same.
            if let Some(standing) = self.standing.get_mut(&name) {
                (standing.looks, standing.since) = (0, now);
            }
            return None;
        };
        let standing = self
            .standing
            .entry(name)
            .and_modify(|standing| {
                if is_near(&standing.knob, &knob) {
                    if standing.looks == 0 {
                        standing.since = now;
                    }
                    standing.looks = standing.looks.saturating_add(1);
                } else {
                    *standing = Standing { knob, since: now, looks: 1 };
                }
            })
            .or_insert(Standing { knob, since: now, looks: 1 });
        (standing.looks >= Self::LOOKS && now.since(standing.since) >= long_enough).then_some(standing.knob)
    }

    /// Forgets everything: what was advised was advised about something else.
    pub(crate) fn forget(&mut self) {
        self.standing.clear();
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio of sizes")]
fn is_near(one: &Knob, other: &Knob) -> bool {
    let within_two = |one: f64, other: f64| one.max(other) <= 2.0 * one.min(other);
    match (one, other) {
        (Knob::Capacity(one), Knob::Capacity(other)) => within_two(one.get() as f64, other.get() as f64),
        (Knob::Ttl(one), Knob::Ttl(other)) | (Knob::Stale(one), Knob::Stale(other)) => {
            within_two(one.as_secs_f64(), other.as_secs_f64())
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use veritas_model::Bytes;

    use super::*;

    fn looks(steady: &mut Steady, advised: &[Option<u64>]) -> Vec<Option<u64>> {
        (0..)
            .zip(advised)
            .map(|(second, bytes)| {
                let knob = bytes.map(|bytes| Knob::Capacity(Bytes::new(bytes)));
                let now = Monotonic::from_origin(Duration::from_secs(second));
                match steady.look(KnobName::Capacity, knob, now, Duration::from_secs(2)) {
                    Some(Knob::Capacity(bytes)) => Some(bytes.get()),
                    _ => None,
                }
            })
            .collect()
    }

    #[test]
    fn an_advice_must_stand_and_then_stays_the_same() {
        let advised = [Some(100), Some(140), Some(80), Some(120), Some(190)];
        let proposed = looks(&mut Steady::default(), &advised);
        assert_eq!(proposed, [None, None, Some(100), Some(100), Some(100)]);
    }

    #[test]
    fn what_comes_and_goes_or_jumps_is_not_proposed() {
        let come_and_go = [Some(100), Some(100), None, Some(100), Some(100), None];
        assert_eq!(looks(&mut Steady::default(), &come_and_go), [None; 6]);
        let back = [Some(100), Some(100), Some(100), None, Some(120), Some(120), Some(120)];
        assert_eq!(looks(&mut Steady::default(), &back)[6], Some(100));
        let jump = [Some(100), Some(300), Some(100), Some(300), Some(100), Some(300)];
        assert_eq!(looks(&mut Steady::default(), &jump), [None; 6]);
    }
}

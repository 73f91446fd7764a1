//! Plans of changes to caches, as text that an operator can read and a restart can undo.
//!
//! The target is the namespace, the forward text its knob (`capacity=67108864`), the
//! inverse the knob before. A capacity that comes from another namespace names it:
//! `capacity=67108864 and sessions capacity=8388608`. A knob has no blanks, so the
//! text reads back in one way only, whatever the name.

use veritas_cache::{Knob, KnobName};
use veritas_model::{ChangeKind, Plan};

/// One knob of one namespace, and what it was before.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Turn {
    pub(crate) namespace: String,
    pub(crate) forward: Knob,
    pub(crate) inverse: Knob,
}

/// A change to a cache: its turn, and that of the namespace whose bytes it takes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CachePlan {
    pub(crate) main: Turn,
    pub(crate) donor: Option<Turn>,
}

const AND: &str = " and ";

impl CachePlan {
    /// Returns the turns, the one that gives bytes before the one that takes them.
    pub(crate) fn turns(&self) -> impl DoubleEndedIterator<Item = &Turn> {
        self.donor.iter().chain(std::iter::once(&self.main))
    }

    /// Writes the plan.
    pub(crate) fn to_plan(&self) -> Plan {
        let text = |side: fn(&Turn) -> Knob| {
            let donor = self.donor.as_ref();
            let rest = donor.map(|donor| format!("{AND}{} {}", donor.namespace, side(donor)));
            format!("{}{}", side(&self.main), rest.unwrap_or_default())
        };
        Plan {
            target: self.main.namespace.clone(),
            forward: text(|turn| turn.forward),
            inverse: text(|turn| turn.inverse),
            object: format!("{}/{}", self.main.namespace, self.main.forward.name().as_str()),
            scope: std::iter::once(&self.main)
                .chain(&self.donor)
                .map(|turn| turn.namespace.clone())
                .collect(),
        }
    }

    /// Reads a plan; refuses what is not letter for letter one of ours, with the reason.
    pub(crate) fn of(kind: ChangeKind, plan: &Plan) -> Result<Self, String> {
        let (forward, inverse) = (knobs(&plan.forward)?, knobs(&plan.inverse)?);
        let main = Turn { namespace: plan.target.clone(), forward: forward.0, inverse: inverse.0 };
        let donor = match (forward.1, inverse.1) {
            (None, None) => None,
            (Some((name, forward)), Some((other, inverse))) if name == other => {
                Some(Turn { namespace: name, forward, inverse })
            }
            _ => return Err("its two directions are about different namespaces".to_owned()),
        };
        let read = Self { main, donor };
        if kind_of(&read.main.forward) != Some(kind) {
            return Err(format!("{} is no change of the kind {}", plan.forward, kind.as_str()));
        }
        let is_capacity = |knob: &Knob| knob.name() == KnobName::Capacity;
        if read.donor.is_some() && !read.turns().all(|turn| is_capacity(&turn.forward)) {
            return Err("only bytes can be taken from another namespace".to_owned());
        }
        let undoes = |turn: &Turn| turn.forward.name() == turn.inverse.name();
        if !read.turns().all(undoes) {
            return Err("its inverse turns another knob".to_owned());
        }
        if read.to_plan() != *plan {
            return Err("it is not written as such plans are".to_owned());
        }
        Ok(read)
    }
}

/// Returns the kind of change that setting a knob is; `None` for what is never proposed.
pub(crate) const fn kind_of(knob: &Knob) -> Option<ChangeKind> {
    match knob {
        Knob::Capacity(_) => Some(ChangeKind::CacheCapacity),
        Knob::Ttl(_) => Some(ChangeKind::CacheTtl),
        Knob::EarlyRefresh(_) | Knob::Stale(_) | Knob::Jitter(_) => Some(ChangeKind::CachePolicy),
        Knob::Bypass(false) => Some(ChangeKind::CacheStart),
        Knob::Bypass(true) => Some(ChangeKind::CacheStop),
        Knob::AsConfigured(_) => None,
    }
}

type Knobs = (Knob, Option<(String, Knob)>);

fn knobs(text: &str) -> Result<Knobs, String> {
    let read = |text: &str| text.parse::<Knob>().map_err(|error| error.to_string());
    let Some((main, rest)) = text.split_once(AND) else { return Ok((read(text)?, None)) };
    let (name, knob) = rest.rsplit_once(' ').ok_or_else(|| format!("{rest:?} is no knob of a namespace"))?;
    Ok((read(main)?, Some((name.to_owned(), read(knob)?))))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use veritas_model::Bytes;

    use super::*;

    fn capacity(bytes: u64) -> Knob {
        Knob::Capacity(Bytes::new(bytes))
    }

    fn turn(namespace: &str, forward: Knob, inverse: Knob) -> Turn {
        Turn { namespace: namespace.to_owned(), forward, inverse }
    }

    #[track_caller]
    fn check(kind: ChangeKind, plan: &CachePlan, forward: &str, inverse: &str) {
        let written = plan.to_plan();
        assert_eq!((written.forward.as_str(), written.inverse.as_str()), (forward, inverse));
        assert_eq!(CachePlan::of(kind, &written).as_ref(), Ok(plan));
    }

    #[test]
    fn a_plan_reads_back_as_it_is_written() {
        let ttl = turn("users", Knob::Ttl(Duration::from_secs(90)), Knob::AsConfigured(KnobName::Ttl));
        check(ChangeKind::CacheTtl, &CachePlan { main: ttl, donor: None }, "ttl=90s", "ttl=configured");
        let awkward = "a and b capacity=1 and c";
        let plan = CachePlan {
            main: turn(awkward, capacity(2), capacity(1)),
            donor: Some(turn(awkward, capacity(3), capacity(4))),
        };
        check(
            ChangeKind::CacheCapacity,
            &plan,
            "capacity=2 and a and b capacity=1 and c capacity=3",
            "capacity=1 and a and b capacity=1 and c capacity=4",
        );
        assert_eq!(plan.to_plan().scope, [awkward, awkward]);
        assert_eq!(
            plan.turns().next().map(|turn| &turn.forward),
            Some(&capacity(3)),
            "bytes are given first"
        );
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        let good = CachePlan { main: turn("users", capacity(2), capacity(1)), donor: None }.to_plan();
        assert!(CachePlan::of(ChangeKind::CacheCapacity, &good).is_ok());
        let refused = |spoil: &dyn Fn(&mut Plan), kind| {
            let mut plan = good.clone();
            spoil(&mut plan);
            CachePlan::of(kind, &plan).unwrap_err()
        };
        let capacity = ChangeKind::CacheCapacity;
        for (spoil, reason) in [
            (&(|plan: &mut Plan| plan.forward = "DROP TABLE".into()) as &dyn Fn(&mut Plan), "is no knob"),
            (&|plan: &mut Plan| plan.inverse = "ttl=1s".into(), "its inverse turns another knob"),
            (&|plan: &mut Plan| plan.object = "users/ttl".into(), "not written as"),
            (&|plan: &mut Plan| plan.scope.clear(), "not written as"),
            (&|plan: &mut Plan| plan.forward = "capacity=02".into(), "not written as"),
            (&|plan: &mut Plan| plan.forward = "capacity=2 and x".into(), "is no knob of a namespace"),
            (&|plan: &mut Plan| plan.forward = "capacity=2 and x capacity=1".into(), "different namespaces"),
            (&|plan: &mut Plan| plan.forward = "capacity=configured".into(), "is no change of the kind"),
        ] {
            let said = refused(spoil, capacity);
            assert!(said.contains(reason), "{said:?} should say {reason:?}");
        }
        assert!(refused(&|_| {}, ChangeKind::CacheTtl).contains("no change of the kind"));
    }
}

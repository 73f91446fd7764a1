//! Guard rails: what must hold of the live server before a change begins.

use veritas_index_advisor::size;
use veritas_model::ActuatorError;

use super::{
    ActuatorOptions, IndexDefinition,
    live::{Live, State, busy, guard, said},
};
use crate::{facts, scratch::free_space};

/// How much more space than its expected size an index is given.
const RESERVE: f64 = 1.3;
/// Space that is left over on the disk in any case.
const SPARE: u64 = 64 << 20;

/// Refuses to begin on a replica, under too much load, and while replicas are behind.
pub(super) fn check_load(live: &mut Live<'_>, options: &ActuatorOptions) -> Result<State, ActuatorError> {
    let state = live.state()?;
    if state.is_replica {
        return Err(guard("it is a replica: indexes are made on its primary"));
    }
    if let Some(most) = options.most_active
        && state.active > i64::from(most)
    {
        let reason = format!("{} sessions are working, allowed {most}: it waits for less load", state.active);
        return Err(busy(live.target, reason));
    }
    if let Some(behind) = state.behind
        && u64::try_from(behind).is_ok_and(|behind| behind > options.most_behind.get())
    {
        let allowed = options.most_behind.get();
        return Err(busy(live.target, format!("a replica is {behind} bytes behind, allowed {allowed}")));
    }
    Ok(state)
}

/// Refuses an index that does not fit: itself with a reserve, the log of writing it, and
/// the files of sorting.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sizes of disks stay below 2^53"
)]
pub(super) fn check_space(
    live: &mut Live<'_>,
    state: &State,
    definition: &IndexDefinition,
    options: &ActuatorOptions,
) -> Result<(), ActuatorError> {
    let spec = definition.spec();
    let facts =
        facts::read(&mut live.session, std::slice::from_ref(&spec.table)).map_err(|error| match error {
            facts::FactsError::Catalogue(error) => said(live.target, "read facts of the table", &error),
        })?;
    let facts = facts
        .table(&spec.table)
        .ok_or_else(|| super::live::refused(format!("there is no {}", spec.table)))?;
    let on_disk = || free_space(&live.target.options, state.data_directory.as_deref());
    let Some(free) = options.free.map(veritas_model::Bytes::get).or_else(on_disk) else {
        return if options.build_without_known_space {
            Ok(())
        } else {
            Err(guard("how much space is free is not known"))
        };
    };
    // Where the size is not known, the table's own is taken: few indexes are larger.
    let high = size::bytes(spec, facts).map_or(facts.pages * 8_192.0, |size| size.high.get() as f64);
    let needed = (high * RESERVE + 2.0 * high) as u64 + SPARE;
    if needed > free {
        return Err(guard(format!(
            "the index, its log and its sorting take up to {needed} bytes ({high:.0} of them stay), and {free} are free"
        )));
    }
    Ok(())
}

//! What the kept changes brought, summed for the published answer.

use veritas_model::{Change, ChangeKind, ChangeState, KindGroup, Outcome};

/// What the kept changes brought. Index changes count under indexing, every other
/// kind of database change under query execution.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Improvements {
    /// The kinds of which at least one change is kept.
    pub kinds_kept: Vec<ChangeKind>,
    /// Kept created indexes.
    pub indexes_created: u64,
    /// Kept dropped indexes.
    pub indexes_dropped: u64,
    /// Mean share of the work that is gone, over the kept index changes: on the live
    /// load where it ran often enough, else as the proof measured it. `None` of none.
    pub indexing_gain: Option<f64>,
    /// Kept changes of the other kinds.
    pub queries_optimized: u64,
    /// Mean seconds saved per call over those; `None` of none.
    pub mean_seconds_saved: Option<f64>,
    /// Mean share of the bytes read per call that is gone, over those where it was
    /// measured; `None` of none.
    pub memory_reduction: Option<f64>,
}

impl Improvements {
    /// Sums up the kept among the changes.
    pub fn of(changes: &[Change]) -> Self {
        let kept: Vec<&Change> = changes.iter().filter(|change| change.state == ChangeState::Kept).collect();
        let count = |kind| kept.iter().filter(|change| change.kind == kind).count() as u64;
        let in_group = |group| kept.iter().copied().filter(move |change| change.kind.group() == group);
        Self {
            kinds_kept: ChangeKind::ALL.into_iter().filter(|kind| count(*kind) > 0).collect(),
            indexes_created: count(ChangeKind::IndexCreate),
            indexes_dropped: count(ChangeKind::IndexDrop),
            indexing_gain: mean(in_group(KindGroup::Indexing).map(gain)),
            queries_optimized: in_group(KindGroup::QueryExecution).count() as u64,
            mean_seconds_saved: mean(in_group(KindGroup::QueryExecution).map(seconds_saved)),
            memory_reduction: mean(in_group(KindGroup::QueryExecution).filter_map(bytes_reduction)),
        }
    }
}

fn gain(change: &Change) -> f64 {
    let live = change.live.as_ref().filter(|live| live.outcome != Outcome::NotEnoughData);
    live.map_or(change.predicted.gain, |live| live.gain)
}

fn seconds_saved(change: &Change) -> f64 {
    let live = change.live.as_ref().filter(|live| live.outcome != Outcome::NotEnoughData);
    live.map_or(change.predicted.seconds_before - change.predicted.seconds_after, |live| {
        live.seconds_saved_per_call
    })
}

fn bytes_reduction(change: &Change) -> Option<f64> {
    let before = change.predicted.bytes_read_before.filter(|bytes| *bytes > 0.0)?;
    Some(1.0 - change.predicted.bytes_read_after? / before)
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

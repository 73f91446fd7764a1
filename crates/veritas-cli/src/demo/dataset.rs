//! The demo's data, the same for each seed, whatever database they are put into.

pub(super) mod postgres;
pub(super) mod sqlite;

use veritas::database::Value;
use veritas_statistics::Rng;

/// Rows of `content`.
pub(super) const CONTENT_ROWS: u64 = 200_000;
/// Rows of `authors`.
pub(super) const AUTHORS: u64 = 2_000;
/// Rows of `verifications`.
pub(super) const VERIFICATIONS: u64 = 200_000;
/// The pieces of content that verifications concentrate on, as popular content does.
pub(super) const VERIFIED_CONTENT: u64 = 300;
/// Kinds of content.
pub(super) const KINDS: u64 = 80;

const VERDICTS: [&str; 4] = ["true", "false", "misleading", "unproven"];
const STATUSES: [&str; 3] = ["pending", "verified", "rejected"];

/// The tables, in the order in which they are filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Authors,
    Content,
    Verifications,
}

impl Table {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Authors => "authors",
            Self::Content => "content",
            Self::Verifications => "verifications",
        }
    }
}

/// Draws every row of every table, table by table; `progress` hears the share done, 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "row counts are small")]
fn draw<E>(
    seed: u64,
    mut progress: impl FnMut(f64),
    mut insert: impl FnMut(Table, &[Value]) -> Result<(), E>,
) -> Result<(), E> {
    let mut rng = Rng::new(seed);
    let total = (AUTHORS + CONTENT_ROWS + VERIFICATIONS) as f64;
    let mut done = 0_u64;
    let mut insert = |table, row: &[Value]| {
        done += 1;
        if done.is_multiple_of(4_000) {
            progress(done as f64 / total);
        }
        insert(table, row)
    };
    for id in rowids(AUTHORS) {
        let row = [
            Value::Integer(id),
            Value::Text(format!("Author {id}")),
            Value::Text(format!("Institute {}", id % 97)),
        ];
        insert(Table::Authors, &row)?;
    }
    for id in rowids(CONTENT_ROWS) {
        let row = [
            Value::Integer(id),
            Value::Integer(1 + rng.below(AUTHORS).cast_signed()),
            Value::Text(kind(rng.below(KINDS))),
            Value::Text(format!("Claim {id}: what the sources say")),
            Value::Text(body(&mut rng)),
            Value::Text(STATUSES[index(&mut rng, STATUSES.len())].to_owned()),
            Value::Real(rng.next_f64()),
            Value::Integer(1_600_000_000 + id * 60),
        ];
        insert(Table::Content, &row)?;
    }
    for id in rowids(VERIFICATIONS) {
        let row = [
            Value::Integer(id),
            Value::Integer(1 + rng.below(VERIFIED_CONTENT).cast_signed()),
            Value::Text(format!("verifier-{}", rng.below(50))),
            Value::Text(VERDICTS[index(&mut rng, VERDICTS.len())].to_owned()),
            Value::Real(rng.next_f64()),
            Value::Integer(1_600_000_000 + id),
        ];
        insert(Table::Verifications, &row)?;
    }
    Ok(())
}

/// Returns the row ids 1 to `count`, as databases count them.
fn rowids(count: u64) -> std::ops::RangeInclusive<i64> {
    1..=count.cast_signed()
}

/// Names the kind with this number.
pub(super) fn kind(number: u64) -> String {
    format!("kind-{number:02}")
}

/// Draws a verdict.
pub(super) fn verdict(number: u64) -> &'static str {
    VERDICTS[usize::try_from(number).unwrap_or(0) % VERDICTS.len()]
}

fn index(rng: &mut Rng, len: usize) -> usize {
    usize::try_from(rng.below(len as u64)).unwrap_or(0)
}

/// Some sixteen words, as a claim has.
fn body(rng: &mut Rng) -> String {
    const WORDS: [&str; 12] = [
        "report",
        "source",
        "study",
        "claim",
        "quote",
        "figure",
        "photo",
        "record",
        "witness",
        "agency",
        "archive",
        "statement",
    ];
    let mut text = String::with_capacity(160);
    for _ in 0..16 {
        text.push_str(WORDS[index(rng, WORDS.len())]);
        text.push(' ');
    }
    text
}

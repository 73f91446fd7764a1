//! The demo's database: a real `SQLite` file with flaws planted in its schema.

use std::path::Path;

use rusqlite::{Connection, params};
use veritas_statistics::Rng;

/// Rows of `content`.
pub(super) const CONTENT_ROWS: u64 = 200_000;
/// Rows of `authors`.
pub(super) const AUTHORS: u64 = 2_000;
/// Rows of `verifications`.
pub(super) const VERIFICATIONS: u64 = 200_000;
/// The pieces of content that verifications concentrate on, as popular content does.
pub(super) const VERIFIED_CONTENT: u64 = 1_000;
/// Kinds of content.
pub(super) const KINDS: u64 = 80;

/// The schema. Planted: `content.author_id` has no index.
const SCHEMA: &str = "
    CREATE TABLE authors (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        affiliation TEXT NOT NULL
    );
    CREATE TABLE content (
        id INTEGER PRIMARY KEY,
        author_id INTEGER NOT NULL,
        kind TEXT NOT NULL,
        title TEXT NOT NULL,
        body TEXT NOT NULL,
        status TEXT NOT NULL,
        score REAL NOT NULL,
        created_at INTEGER NOT NULL
    );
    CREATE TABLE verifications (
        id INTEGER PRIMARY KEY,
        content_id INTEGER NOT NULL,
        verifier TEXT NOT NULL,
        verdict TEXT NOT NULL,
        confidence REAL NOT NULL,
        checked_at INTEGER NOT NULL
    );
";

const INDEXES: &str = "
    CREATE INDEX content_by_kind ON content(kind);
    CREATE INDEX verifications_by_content ON verifications(content_id);
";

const VERDICTS: [&str; 4] = ["true", "false", "misleading", "unproven"];
const STATUSES: [&str; 3] = ["pending", "verified", "rejected"];

/// Opens a connection as the demo's service uses it.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Fills a new database; `progress` hears the share done, 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "row counts are small")]
pub(super) fn build(path: &Path, seed: u64, mut progress: impl FnMut(f64)) -> rusqlite::Result<()> {
    let mut connection = connect(path)?;
    connection.execute_batch(SCHEMA)?;
    let mut rng = Rng::new(seed);
    let total = (AUTHORS + CONTENT_ROWS + VERIFICATIONS) as f64;
    let mut done = 0_u64;
    let mut step = || {
        done += 1;
        if done.is_multiple_of(4_000) {
            progress(done as f64 / total);
        }
    };
    let tx = connection.transaction()?;
    {
        let mut insert = tx.prepare("INSERT INTO authors VALUES (?1, ?2, ?3)")?;
        for id in rowids(AUTHORS) {
            insert.execute(params![id, format!("Author {id}"), format!("Institute {}", id % 97)])?;
            step();
        }
        let mut insert = tx.prepare("INSERT INTO content VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
        for id in rowids(CONTENT_ROWS) {
            insert.execute(params![
                id,
                1 + rng.below(AUTHORS).cast_signed(),
                kind(rng.below(KINDS)),
                format!("Claim {id}: what the sources say"),
                body(&mut rng),
                STATUSES[index(&mut rng, STATUSES.len())],
                rng.next_f64(),
                1_600_000_000 + id * 60,
            ])?;
            step();
        }
        let mut insert = tx.prepare("INSERT INTO verifications VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
        for id in rowids(VERIFICATIONS) {
            insert.execute(params![
                id,
                1 + rng.below(VERIFIED_CONTENT).cast_signed(),
                format!("verifier-{}", rng.below(50)),
                VERDICTS[index(&mut rng, VERDICTS.len())],
                rng.next_f64(),
                1_600_000_000 + id,
            ])?;
            step();
        }
    }
    tx.execute_batch(INDEXES)?;
    tx.commit()?;
    connection.execute_batch("ANALYZE; PRAGMA wal_checkpoint(TRUNCATE);")?;
    progress(1.0);
    Ok(())
}

/// Returns the row ids 1 to `count`, as `SQLite` counts them.
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

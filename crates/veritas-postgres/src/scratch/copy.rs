//! Rows: from the live server to the copy, by `COPY`, in one snapshot and at a bounded pace.

use std::{pin::pin, time::Duration};

use bytes::Bytes as Chunk;
use futures_util::{SinkExt as _, StreamExt as _};
use veritas_model::{Bytes, Clock, Monotonic};

use super::{ScratchError, ScratchLimits, schema::Table};
use crate::session::{ConnectOptions, Session, SessionError, qualified};

/// Bytes held between the two servers.
const HELD: usize = 4 << 20;
/// Tables up to this size are never sampled: there would be nothing left to plan with.
const SMALL: u64 = 8 << 20;
/// The least share of pages that is asked for.
const SMALLEST_SHARE: f64 = 0.000_1;
/// How much longer than its time a call is waited for.
const GRACE: Duration = Duration::from_secs(1);
/// A sample of the same table has the same pages.
const SEED: u32 = 7;

/// One snapshot for everything; rows in their physical order; no rows hidden by policies
/// without an error.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL synchronize_seqscans = off; \
    SET LOCAL row_security = off; SET LOCAL max_parallel_workers_per_gather = 0";

/// Opens the session that reads the live server, with its snapshot taken.
pub(super) fn reader(source: &ConnectOptions, limits: &ScratchLimits) -> Result<Session, ScratchError> {
    let options = ConnectOptions {
        statement_timeout: limits.time,
        idle_in_transaction_timeout: limits.time,
        ..source.clone()
    };
    let at = ScratchError::at("read the live server");
    let mut live = Session::connect(&options).map_err(&at)?;
    live.batch(SNAPSHOT).map_err(&at)?;
    Ok(live)
}

/// Returns the share of each table that is copied, so that all together fit in `limit`.
#[expect(clippy::cast_precision_loss, reason = "sizes of tables stay below 2^53")]
pub(super) fn shares(tables: &[Table], limit: Bytes) -> Vec<f64> {
    let sizes: Vec<u64> = tables.iter().map(|table| table.size.get()).collect();
    let all: u64 = sizes.iter().sum();
    if all <= limit.get() {
        return vec![1.0; tables.len()];
    }
    let small: u64 = sizes.iter().filter(|size| **size <= SMALL).sum();
    let large = (all - small).max(1);
    let share = limit.get().saturating_sub(small) as f64 / large as f64;
    let share = share.clamp(SMALLEST_SHARE, 1.0);
    sizes.into_iter().map(|size| if size <= SMALL { 1.0 } else { share }).collect()
}

/// Copies the rows of one table; the copy is empty and was made in the transaction that
/// is open. Returns how many.
pub(super) fn table(
    live: &mut Session,
    copy: &mut Session,
    table: &Table,
    share: f64,
    limits: &ScratchLimits,
    clock: &dyn Clock,
    end: Monotonic,
) -> Result<u64, ScratchError> {
    let from = ScratchError::at("read the rows of a table");
    let to = ScratchError::at("write the rows of a table");
    let name = qualified(&table.relation.schema, &table.relation.name);
    let columns = table.columns.join(", ");
    let format = if table.binary { "binary" } else { "text" };
    let sample = if share < 1.0 {
        format!(" TABLESAMPLE SYSTEM ({}) REPEATABLE ({SEED})", share * 100.0)
    } else {
        String::new()
    };
    let read = format!("COPY (SELECT {columns} FROM ONLY {name}{sample}) TO STDOUT (FORMAT {format})");
    let freeze = if table.vacuumed { ", FREEZE" } else { "" };
    let write = format!("COPY {name} ({columns}) FROM STDIN (FORMAT {format}{freeze})");
    let left =
        || Some(end.since(clock.monotonic())).filter(|left| !left.is_zero()).ok_or(ScratchError::TooSlow);

    let (reader, writer) = (live.client().map_err(&from)?, copy.client().map_err(&to)?);
    let started = clock.monotonic();
    let rows =
        live.within(left()?).block_on(async { reader.copy_out(read.as_str()).await }).map_err(&from)?;
    let sink = copy.within(left()?).block_on(async { writer.copy_in::<_, Chunk>(write.as_str()).await });
    let (mut rows, mut sink) = (pin!(rows.fuse()), pin!(sink.map_err(&to)?));
    let mut passed = 0_u64;
    loop {
        // The two connections live on runtimes of their own: a bit from the one, then to the other.
        let held = live.within(left()?).block_on(async {
            let (mut held, mut size) = (Vec::new(), 0);
            while size < HELD {
                match rows.next().await {
                    Some(Ok(chunk)) => {
                        size += chunk.len();
                        held.push(Ok(chunk));
                    }
                    Some(Err(error)) => return Err(error),
                    None => break,
                }
            }
            Ok(held)
        });
        let held: Vec<Result<Chunk, tokio_postgres::Error>> = held.map_err(&from)?;
        if held.is_empty() {
            break;
        }
        passed += held.iter().flatten().map(|chunk| chunk.len() as u64).sum::<u64>();
        copy.within(left()?)
            .block_on(async { sink.send_all(&mut futures_util::stream::iter(held)).await })
            .map_err(&to)?;
        if let Some(pause) = pause(passed, limits.bytes_per_second, clock.monotonic().since(started)) {
            let left = left()?;
            if pause > left {
                return Err(ScratchError::TooSlow);
            }
            let wait = async {
                tokio::time::sleep(pause).await;
                Ok(())
            };
            live.within(left.saturating_add(GRACE)).block_on(wait).map_err(&from)?;
        }
    }
    copy.within(left()?).block_on(async { sink.finish().await }).map_err(|error| match error {
        SessionError::TimedOut => ScratchError::TooSlow,
        error => to(error),
    })
}

/// Returns how long to wait so that no more than `rate` bytes a second were read.
#[expect(clippy::cast_precision_loss, reason = "bytes of a copy stay below 2^53")]
fn pause(passed: u64, rate: Option<u64>, elapsed: Duration) -> Option<Duration> {
    let due = Duration::try_from_secs_f64(passed as f64 / rate.filter(|rate| *rate > 0)? as f64).ok()?;
    due.checked_sub(elapsed).filter(|pause| !pause.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_is_held_back_to_its_rate() {
        assert_eq!(pause(1_000, Some(100), Duration::from_secs(4)), Some(Duration::from_secs(6)));
        assert_eq!(pause(1_000, Some(100), Duration::from_secs(10)), None);
        assert_eq!(pause(1_000, None, Duration::ZERO), None);
    }
}

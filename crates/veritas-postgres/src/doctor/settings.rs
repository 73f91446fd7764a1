//! Settings that cost time, or leave sessions without a limit.

use super::{
    Fault, Severity, Storage,
    visit::{Examination, Found, Visit},
};
use crate::session::ident;

pub(super) const EXAMINATIONS: &[Examination] = &[
    Examination::new("shared_buffers", "the buffers fit the machine", shared_buffers),
    Examination::new("effective_cache_size", "the planner knows of the cache", cache_size),
    Examination::new("memory_promised", "sorts of all connections fit into memory", promised),
    Examination::new("random_page_cost", "the planner knows the storage", page_cost),
    Examination::new("statistics_target", "statistics are fine enough", target),
    Examination::new("planner_method_off", "the planner may use every method", methods),
    Examination::new("settings_wait", "every setting is in force", waiting),
    Examination::new("no_statement_timeout", "statements end", statement_timeout),
    Examination::new("no_idle_timeout", "forgotten transactions end", idle_timeout),
];

/// What the built-in value of `shared_buffers` is (manual, 20.4).
const BUILT_IN_BUFFERS: u64 = 128 << 20;

/// The size of the database by the catalogue, which locks nothing.
const DATABASE_BYTES: &str = "SELECT (sum(c.relpages::bigint) * pg_catalog.current_setting('block_size')::bigint)::bigint::text \
     FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'i', 't', 'm')";

fn shared_buffers(visit: &mut Visit<'_>) -> Found {
    let buffers = visit.size("shared_buffers")?;
    if buffers.get() > BUILT_IN_BUFFERS {
        return Ok(None);
    }
    let seen;
    let fix;
    if let Some(memory) = visit.limits.machine_memory {
        if memory.get() / 8 <= buffers.get() {
            return Ok(None);
        }
        seen = format!("{} MiB of {} MiB", buffers.mebibytes(), memory.mebibytes());
        fix = format!("ALTER SYSTEM SET shared_buffers = '{}MB' (needs a restart)", (memory.get() / 4) >> 20);
    } else {
        let data = visit.numbers(DATABASE_BYTES, &[])?.first().copied().flatten().unwrap_or(0.0);
        #[expect(clippy::cast_precision_loss, reason = "sizes of databases stay below 2^53 bytes")]
        if data <= 8.0 * buffers.get() as f64 {
            return Ok(None);
        }
        seen = format!("{} MiB, and the database has {:.0} MiB", buffers.mebibytes(), data / 1_048_576.0);
        fix = "ALTER SYSTEM SET shared_buffers to a quarter of the machine's memory (needs a restart)"
            .to_owned();
    }
    let detail = "The built-in size is meant to start anywhere. Pages that are not held are copied from the system's cache, or read.";
    Ok(Some(
        Fault::new(Severity::Warning, "The buffers are as small as they were built in", detail, fix)
            .seen(vec![seen]),
    ))
}

fn cache_size(visit: &mut Visit<'_>) -> Found {
    let (cache, buffers) = (visit.size("effective_cache_size")?, visit.size("shared_buffers")?);
    if cache >= buffers {
        return Ok(None);
    }
    let detail = "The planner believes that less is cached than the buffers alone hold, and avoids indexes.";
    let fix = "ALTER SYSTEM SET effective_cache_size to three quarters of the machine's memory; SELECT pg_reload_conf()";
    let fault = Fault::new(Severity::Warning, "The planner is told of too small a cache", detail, fix);
    let seen =
        format!("effective_cache_size {} MiB, shared_buffers {} MiB", cache.mebibytes(), buffers.mebibytes());
    Ok(Some(fault.seen(vec![seen])))
}

fn promised(visit: &mut Visit<'_>) -> Found {
    let Some(memory) = visit.limits.machine_memory else { return Err(UNKNOWN_MACHINE.to_owned()) };
    #[expect(clippy::cast_precision_loss, reason = "sizes stay below 2^53 bytes")]
    let (work, memory) = (visit.size("work_mem")?.get() as f64, memory.get() as f64);
    let promised = work * visit.number("max_connections")?;
    if promised <= memory {
        return Ok(None);
    }
    let detail = "Each sort and each hash of each connection may take work_mem: together more than the machine has. \
                  The system then ends the server.";
    let fix = "lower work_mem or max_connections, and give large reports their own by SET LOCAL work_mem";
    let fault = Fault::new(Severity::Note, "More memory is promised than there is", detail, fix);
    let seen = format!(
        "work_mem x max_connections = {:.0} MiB of {:.0} MiB",
        promised / 1_048_576.0,
        memory / 1_048_576.0
    );
    Ok(Some(fault.seen(vec![seen])))
}

const UNKNOWN_MACHINE: &str = "the memory of the server's machine is not known, and cannot be asked for";

fn page_cost(visit: &mut Visit<'_>) -> Found {
    match visit.limits.storage {
        None => return Err("it is not known what the data lie on, and cannot be asked for".to_owned()),
        Some(Storage::Disk) => return Ok(None),
        Some(Storage::Flash) => {}
    }
    let cost = visit.number("random_page_cost")?;
    if cost < 3.0 {
        return Ok(None);
    }
    let detail = "The planner takes a page anywhere to cost four times the next page, as on spinning disks, and avoids indexes.";
    let fix = "ALTER SYSTEM SET random_page_cost = 1.1; SELECT pg_reload_conf()";
    let fault = Fault::new(Severity::Note, "The planner is told of spinning disks", detail, fix);
    Ok(Some(fault.seen(vec![format!("random_page_cost = {cost}")])))
}

/// What the built-in value of `default_statistics_target` is.
const BUILT_IN_TARGET: f64 = 100.0;

fn target(visit: &mut Visit<'_>) -> Found {
    let target = visit.number("default_statistics_target")?;
    if target >= BUILT_IN_TARGET {
        return Ok(None);
    }
    let detail =
        "The planner knows fewer frequent values and coarser ranges than it is built for, and misjudges.";
    let fix = "ALTER SYSTEM SET default_statistics_target = 100; SELECT pg_reload_conf(); ANALYZE";
    let fault = Fault::new(Severity::Note, "Statistics are coarser than built in", detail, fix);
    Ok(Some(fault.seen(vec![format!("default_statistics_target = {target}")])))
}

#[expect(clippy::unnecessary_wraps, reason = "every examination has the same form")]
fn methods(visit: &mut Visit<'_>) -> Found {
    let off: Vec<String> = visit
        .settings()
        .filter(|(name, setting)| {
            name.starts_with("enable_") && setting.value == "off" && setting.built_in == "on"
        })
        .map(|(name, setting)| format!("{name} = off, by {}", setting.source))
        .collect();
    if off.is_empty() {
        return Ok(None);
    }
    let detail =
        "Methods of the planner are switched off for every statement. That mends one and spoils others.";
    let fix = off.iter().filter_map(|seen| Some(format!("ALTER SYSTEM RESET {}", seen.split(' ').next()?)));
    let fix = fix.collect::<Vec<_>>().join("\n");
    Ok(Some(
        Fault::new(Severity::Warning, "The planner may not use all of its methods", detail, fix).seen(off),
    ))
}

#[expect(clippy::unnecessary_wraps, reason = "every examination has the same form")]
fn waiting(visit: &mut Visit<'_>) -> Found {
    let waiting: Vec<String> = visit
        .settings()
        .filter(|(_, setting)| setting.waits_for_restart)
        .map(|(name, setting)| format!("{name}, still {}", setting.value))
        .collect();
    if waiting.is_empty() {
        return Ok(None);
    }
    let detail = "What the configuration says is not what the server does; the next restart, planned or not, changes it.";
    Ok(Some(
        Fault::new(Severity::Note, "Settings wait for a restart", detail, "restart the server").seen(waiting),
    ))
}

fn statement_timeout(visit: &mut Visit<'_>) -> Found {
    let detail = "A statement that goes wrong runs until somebody ends it, and holds its locks.";
    timeout(visit, "statement_timeout", "Statements have no time limit", detail, "30s")
}

fn idle_timeout(visit: &mut Visit<'_>) -> Found {
    let detail = "A transaction that an application forgets holds its locks, and keeps vacuum from cleaning, until \
                  its connection ends.";
    let title = "Forgotten transactions have no time limit";
    timeout(visit, "idle_in_transaction_session_timeout", title, detail, "60s")
}

fn timeout(visit: &mut Visit<'_>, name: &'static str, title: &str, detail: &str, advised: &str) -> Found {
    if visit.configured(name)? != "0" {
        return Ok(None);
    }
    let (role, database) = (ident(&visit.role.name), ident(&visit.database));
    let fix = format!("ALTER ROLE {role} IN DATABASE {database} SET {name} = '{advised}'");
    let seen = format!("{name} = 0 for role {} in database {}", visit.role.name, visit.database);
    Ok(Some(Fault::new(Severity::Note, title, detail, fix).seen(vec![seen])))
}

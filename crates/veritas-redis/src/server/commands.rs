//! What each command cost: the sections `commandstats` and `latencystats` of `INFO`.

use std::time::Duration;

use veritas_cache::server::{CommandReading, NotRead, Section, TimeQuantile};

use super::info::Info;

/// How many commands a reading holds: the costliest ones.
const MOST: usize = 64;

/// Reads what each command cost, the costliest first.
pub(super) fn read(info: &Info<'_>) -> Section<Vec<CommandReading>> {
    let mut commands: Vec<CommandReading> = info
        .starting_with("cmdstat_")
        .filter_map(|(name, values)| {
            Some(CommandReading {
                name: name.to_ascii_lowercase(),
                calls: value(values, "calls")?,
                time: Duration::from_micros(value(values, "usec")?),
                failed: value(values, "failed_calls"),
                rejected: value(values, "rejected_calls"),
                quantiles: info
                    .text(&format!("latency_percentiles_usec_{name}"))
                    .map(quantiles)
                    .unwrap_or_default(),
            })
        })
        .collect();
    if commands.is_empty() {
        // The section is the one that managed services leave out; `INFO` itself is a command.
        return Err(NotRead::NotKept { reason: "the server does not tell what its commands cost" });
    }
    commands.sort_by(|one, other| other.time.cmp(&one.time).then_with(|| one.name.cmp(&other.name)));
    commands.truncate(MOST);
    Ok(commands)
}

fn value(values: &str, name: &str) -> Option<u64> {
    let pair = values.split(',').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name));
    pair?.1.parse().ok()
}

/// Reads `p50=1.003,p99=27.007`.
fn quantiles(values: &str) -> Vec<TimeQuantile> {
    let one = |pair: &str| {
        let (name, micros) = pair.split_once('=')?;
        let percent: f64 = name.strip_prefix('p')?.parse().ok()?;
        let micros: f64 = micros.parse().ok()?;
        let time = Duration::try_from_secs_f64(micros / 1e6).ok()?;
        // 99.9 / 100 is not the float that 0.999 is.
        let quantile = (percent * 1e6).round() / 1e8;
        (0.0..=1.0).contains(&quantile).then_some(TimeQuantile { quantile, time })
    };
    values.split(',').filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_costliest_come_first_with_their_quantiles() {
        let text = "cmdstat_get:calls=10,usec=20,usec_per_call=2.00,rejected_calls=1,failed_calls=0\n\
                    cmdstat_config|get:calls=1,usec=90,usec_per_call=90.00\n\
                    latency_percentiles_usec_get:p50=1.003,p99.9=27.007,px=1\n";
        let commands = read(&Info::parse(text)).unwrap();
        assert_eq!((commands[0].name.as_str(), commands[0].failed), ("config|get", None));
        assert_eq!((commands[1].calls, commands[1].rejected), (10, Some(1)));
        assert_eq!(commands[1].time_per_call(), Some(Duration::from_micros(2)));
        let quantiles = &commands[1].quantiles;
        assert_eq!(quantiles.len(), 2);
        assert_eq!(quantiles[1], TimeQuantile { quantile: 0.999, time: Duration::from_nanos(27_007) });
    }

    #[test]
    fn a_server_that_keeps_no_costs_says_so() {
        assert!(matches!(read(&Info::parse("redis_version:7.0.15\n")), Err(NotRead::NotKept { .. })));
    }
}

//! Reading one node: three rounds of questions, and what each failure costs of the reading.

use std::sync::Arc;

use redis::{Cmd, Value, cmd};
use tokio::time::{Duration, Instant};
use veritas_cache::server::{NodeReading, NotRead, Section};
use veritas_model::Clock;

use super::{
    commands,
    dialogue::Dialogue,
    events::{self, SLOW_ENTRIES},
    info::Info,
    reply::{accepted, text},
    sample::{self, Remembered},
};
use crate::options::Endpoint;

/// Questions sent together: a server answers them in one go, so that other clients
/// wait for these, which take it less than a millisecond.
const TOGETHER: usize = 250;

/// Time that is kept back for the last round when the sampling is slow.
const RESERVE: Duration = Duration::from_millis(50);

/// Reads one node until `deadline`; what was not read by then is missing.
pub(super) async fn read(
    endpoint: &Endpoint,
    prefix: &str,
    deadline: Instant,
    clock: &Arc<dyn Clock>,
    remembered: &mut Remembered,
) -> NodeReading {
    let address = endpoint.to_string();
    let mut dialogue = match Dialogue::begin(endpoint, deadline).await {
        Ok(dialogue) => dialogue,
        Err(why) => return NodeReading::missing(address, clock.monotonic(), &why),
    };
    let first = [info_all(), slow_log(), two_words("SLOWLOG", "LEN"), two_words("LATENCY", "LATEST")];
    let mut commands = first.to_vec();
    commands.extend(remembered.choosing());
    let replies = match dialogue.ask(&commands).await {
        Ok(replies) => replies,
        Err(why) => return NodeReading::missing(address, clock.monotonic(), &why),
    };
    let database = u32::try_from(endpoint.info.redis_settings().db()).unwrap_or(0);
    let (told, chosen) = replies.split_at(first.len().min(replies.len()));
    let mut reading = reading_of(address, told, prefix, clock);
    let counts_uses = reading.memory.as_ref().is_ok_and(|memory| memory.policy.counts_uses());
    let keys =
        reading.keyspace.as_ref().ok().and_then(|databases| {
            databases.iter().find(|known| known.index == database).map(|known| known.keys)
        });
    reading.sample =
        sample_keys(&mut dialogue, chosen, database, keys, counts_uses, prefix, remembered).await;
    reading
}

fn info_all() -> Cmd {
    two_words("INFO", "all")
}

fn slow_log() -> Cmd {
    let mut command = two_words("SLOWLOG", "GET");
    command.arg(SLOW_ENTRIES);
    command
}

fn two_words(command: &str, subcommand: &str) -> Cmd {
    let mut whole = cmd(command);
    whole.arg(subcommand);
    whole
}

/// Reads what the first round told.
fn reading_of(address: String, told: &[Value], prefix: &str, clock: &Arc<dyn Clock>) -> NodeReading {
    let read_at = clock.monotonic();
    let info = accepted("INFO", told.first())
        .and_then(|reply| text(reply).ok_or(NotRead::Unreadable { command: "INFO" }));
    let mut reading = match &info {
        Ok(info) => {
            let info = Info::parse(info);
            NodeReading {
                server: info.identity(),
                memory: info.memory(),
                keyspace: info.keyspace(),
                traffic: info.traffic(),
                clients: info.clients(),
                commands: commands::read(&info),
                replication: info.replication(),
                persistence: info.persistence(),
                ..NodeReading::missing(address, read_at, &NotRead::TimedOut)
            }
        }
        Err(why) => NodeReading::missing(address, read_at, why),
    };
    reading.slow_log = events::slow_log(told.get(1), told.get(2), prefix);
    reading.latency_events = events::latency(told.get(3));
    reading
}

/// Asks about the chosen keys and concludes from the answers.
async fn sample_keys(
    dialogue: &mut Dialogue,
    chosen: &[Value],
    database: u32,
    keys: Option<u64>,
    counts_uses: bool,
    prefix: &str,
    remembered: &mut Remembered,
) -> Section<veritas_cache::server::KeySample> {
    let mut chosen = remembered.choose(chosen, counts_uses);
    let mut questions = chosen.questions();
    while dialogue.left() > RESERVE {
        let commands = questions.next(&chosen, TOGETHER);
        if commands.is_empty() {
            break;
        }
        let replies = dialogue.ask(&commands).await?;
        questions.answer(&mut chosen, &replies);
    }
    let mut last = chosen.last_questions();
    let commands = last.next(&chosen, TOGETHER);
    // Without the kinds of the biggest keys the rest still holds.
    if let Ok(replies) = dialogue.ask(&commands).await {
        last.answer(&mut chosen, &replies);
    }
    sample::conclude(&chosen, &questions, &last, database, keys, prefix, remembered)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use veritas_cache::server::ServerReading;
    use veritas_model::{SystemClock, Timestamp};

    use super::*;
    use crate::server::findings::findings;

    /// What a server tells, an `@` for each number.
    const TOLD: &str = "\
        redis_version:7.0.15\nredis_mode:standalone\nrun_id:x\nuptime_in_seconds:@\nserver_time_usec:@\n\
        used_memory:@\nused_memory_rss:@\nused_memory_peak:@\nmaxmemory:@\nmaxmemory_policy:allkeys-lfu\n\
        mem_fragmentation_ratio:@\ntotal_system_memory:@\ndb0:keys=@,expires=@,avg_ttl=@\n\
        db1:keys=@,expires=@\ntotal_commands_processed:@\ninstantaneous_ops_per_sec:@\nkeyspace_hits:@\n\
        keyspace_misses:@\nevicted_keys:@\nexpired_keys:@\ntotal_connections_received:@\n\
        rejected_connections:@\ntotal_net_input_bytes:@\ntotal_net_output_bytes:@\nlatest_fork_usec:@\n\
        connected_clients:@\nblocked_clients:@\nmaxclients:@\nrole:master\nconnected_slaves:@\n\
        master_repl_offset:@\nslave0:ip=x,state=online,offset=@\nloading:0\nrdb_changes_since_last_save:@\n\
        rdb_last_save_time:@\naof_enabled:1\ncmdstat_keys:calls=@,usec=@,failed_calls=@\n\
        cmdstat_get:calls=@,usec=@\nlatency_percentiles_usec_get:p50=@,p99=@,p@=@\n";

    /// Lines as a server may tell them, with numbers that no server should.
    fn told() -> impl Strategy<Value = String> {
        let number = prop_oneof![
            Just("0".to_owned()),
            Just("-1".to_owned()),
            Just("18446744073709551615".to_owned()),
            Just("9223372036854775807".to_owned()),
            Just("nan".to_owned()),
            Just("1e308".to_owned()),
            "[0-9]{1,6}",
        ];
        prop::collection::vec(number, 50).prop_map(|numbers| {
            let mut numbers = numbers.iter().cycle();
            let mut parts = TOLD.split('@');
            let mut text = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                text.extend(numbers.next().map(String::as_str));
                text.push_str(part);
            }
            text
        })
    }

    /// Any reply at all.
    fn reply() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Nil),
            Just(Value::Okay),
            any::<i64>().prop_map(Value::Int),
            prop::collection::vec(any::<u8>(), 0..24).prop_map(Value::BulkString),
            Just(Value::BulkString(b"... (18446744073709551615 more arguments)".to_vec())),
            any::<f64>().prop_map(Value::Double),
        ];
        leaf.prop_recursive(4, 200, 40, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..40).prop_map(Value::Array),
                prop::collection::vec((inner.clone(), inner), 0..4).prop_map(Value::Map),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_hostile_server_is_read_judged_and_sampled_without_a_panic(
            info in told(),
            later in told(),
            others in prop::collection::vec(reply(), 3),
            chosen in prop::collection::vec(reply(), 0..30),
            answers in prop::collection::vec(reply(), 0..60),
        ) {
            let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
            let readings = [info, later].map(|info| {
                let mut told = vec![Value::BulkString(info.into_bytes())];
                told.extend(others.clone());
                let mut reading = reading_of("here".into(), &told, "veritas", &clock);
                let mut remembered = Remembered::default();
                let mut sampled = remembered.choose(&chosen, true);
                let mut questions = sampled.questions();
                while !questions.next(&sampled, 20).is_empty() && !answers.is_empty() {
                    questions.answer(&mut sampled, &answers);
                }
                let last = sampled.last_questions();
                let keys = reading.keys();
                reading.sample = sample::conclude(&sampled, &questions, &last, 0, keys, "veritas", &mut remembered);
                let (name, read_at) = ("main".to_owned(), Timestamp::default());
                ServerReading { name, read_at, took: Duration::ZERO, nodes: vec![reading], left_off: 0 }
            });
            findings(&readings[0], None);
            findings(&readings[1], Some(&readings[0]));
        }
    }
}
